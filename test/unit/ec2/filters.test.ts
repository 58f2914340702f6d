import { Ec2Error } from '../../../src/lab/ec2/ec2-error.ts';
import { compileFilters, type Filter } from '../../../src/lab/ec2/filters.ts';

const TABLE = {
  paths: {
    status: 'status',
    'addresses.private-ip-address': 'addresses.ip',
    main: 'main',
    'attachment.id': 'attachment.id',
  },
  tagSet: 'tagSet',
};

const ROWS = {
  a: {
    status: 'in-use',
    main: true,
    addresses: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }],
    attachment: { id: 7 },
    tagSet: [
      { key: 'Name', value: 'web*1' },
      { key: 'env', value: 'prod' },
    ],
  },
  b: { status: 'available', main: false, addresses: [], attachment: undefined, tagSet: [{ key: 'env', value: '' }] },
};

const passing = (...filters: readonly (readonly [string, ...string[]])[]): string => {
  const passes = compileFilters(
    filters.map(([Name, ...Value]): Filter => ({ Name, Value })),
    TABLE,
  );
  return Object.entries(ROWS)
    .filter(([, row]) => passes(row))
    .map(([name]) => name)
    .join('');
};

test.each([
  [[], 'ab'],
  [[['status', 'in-use']], 'a'],
  [[['status', 'in-use', 'available']], 'ab'],
  [[['status', 'In-Use']], ''],
  [[['status', 'in-us']], ''],
  [[['status', 'in*']], 'a'],
  [[['status', '*']], 'ab'],
  [[['status', 'in?use']], 'a'],
  [[['status', '?n-use']], 'a'],
  [[['status', 'in.use']], ''],
  [[['main', 'true']], 'a'],
  [[['attachment.id', '7']], 'a'],
  [[['addresses.private-ip-address', '10.0.0.2']], 'a'],
  [[['addresses.private-ip-address', '10.0.0.*']], 'a'],
  [[['tag:env', 'prod']], 'a'],
  [[['tag:env', '']], 'b'],
  [[['tag:env', '*']], 'ab'],
  [[['tag:Env', 'prod']], ''],
  [[['tag:Name', 'web\\*1']], 'a'],
  [[['tag:Name', 'web\\?1']], ''],
  [[['tag-key', 'Name', 'none']], 'a'],
  [
    [
      ['status', '*'],
      ['tag:env', 'prod'],
    ],
    'a',
  ],
  [
    [
      ['status', 'available'],
      ['tag:env', 'prod'],
    ],
    '',
  ],
] as [[string, ...string[]][], string][])('%j lets %s through', (filters, expected) => {
  expect(passing(...filters)).toBe(expected);
});

test.each([['no-such'], ['tag'], ['toString'], ['Status']])('the filter %s is invalid', (name) => {
  expect(() => passing([name, 'x'])).toThrow(`The filter '${name}' is invalid`);
});

test('a filter without a value, and too many values, are refused', () => {
  expect(() => passing(['status'])).toThrow(/no value/);
  const values = Array.from({ length: 201 }, (_, at) => String(at));
  expect(() => passing(['status', ...values])).toThrow(Ec2Error);
});
