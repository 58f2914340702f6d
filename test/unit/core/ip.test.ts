import {
  cidrAddress,
  cidrBase,
  cidrContains,
  cidrLength,
  cidrSize,
  compareIp,
  ipBytes,
  ipFromBytes,
  parseCidr,
  parseIp,
} from '../../../src/core/ip.ts';

const ip = (text: string) => {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};
const cidr = (text: string) => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
};

test.each([
  ['10.0.1.21', '10.0.1.21'],
  ['2001:DB8::0:1', '2001:db8::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['::ffff:10.0.0.1', '::ffff:a00:1'],
  ['::', '::'],
  ['fe80::1:0:0', 'fe80::1:0:0'],
  ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
])('%s is written %s (RFC 5952)', (text, canonical) => {
  expect(parseIp(text)).toBe(canonical);
});

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  '10.0.0.01',
  '1.2.3.4.5',
  ':::',
  '1::2::3',
  '12345::',
  'g::1',
  '1:2:3:4:5:6:7:8:9',
  '1:2:3',
])('%j is no address', (text) => {
  expect(parseIp(text)).toBeUndefined();
});

test('a block clears its host bits, knows its size and its members', () => {
  const block = cidr('10.0.1.21/28');
  expect(block).toBe('10.0.1.16/28');
  expect([cidrBase(block), cidrLength(block), cidrSize(block)]).toEqual(['10.0.1.16', 28, 16]);
  expect(cidrAddress(block, 15)).toBe('10.0.1.31');
  expect([ip('10.0.1.16'), ip('10.0.1.32'), ip('2001:db8::1')].map((one) => cidrContains(block, one))).toEqual([
    true,
    false,
    false,
  ]);
  expect(cidr('2001:db8:1::5/80')).toBe('2001:db8:1::/80');
  expect([parseCidr('10.0.0.0/33'), parseCidr('10.0.0.0/x'), parseCidr('nothing/8')]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test('bytes and order', () => {
  for (const text of ['10.0.1.2', '2001:db8::1']) expect(ipFromBytes(ipBytes(ip(text)))).toBe(text);
  expect([ip('10.0.1.10'), ip('::1'), ip('10.0.1.9')].sort(compareIp)).toEqual(['10.0.1.9', '10.0.1.10', '::1']);
});
