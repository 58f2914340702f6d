import { AddressSpace } from '../../../providers/memory/address-space.ts';
import { cidr } from './harness.ts';

const take = (space: AddressSpace, count: number) => Array.from({ length: count }, () => space.takeAddress());

test("the first four addresses and the last of a subnet are the cloud's", () => {
  const space = new AddressSpace(cidr('10.0.0.0/28'));
  expect(space.freeCount).toBe(11);
  const given = take(space, 12);
  expect(given[0]).toBe('10.0.0.4/32');
  expect(given[10]).toBe('10.0.0.14/32');
  expect(given[11]).toBeUndefined();
  expect(space.freeCount).toBe(0);
});

test('a prefix needs a whole aligned block of the subnet', () => {
  const space = new AddressSpace(cidr('10.0.0.0/26'));
  // Four /28s: the first and the last hold reserved addresses.
  expect(space.takePrefix()).toBe('10.0.0.16/28');
  expect(space.takePrefix()).toBe('10.0.0.32/28');
  expect(space.takePrefix()).toBeUndefined();
  expect(space.freeCount).toBe(59 - 32);
});

test('one single address in a /28 is enough to fragment it, until it is given back', () => {
  const space = new AddressSpace(cidr('10.0.0.0/27'));
  const wide = new AddressSpace(cidr('10.0.0.0/26'));
  expect(space.takePrefix()).toBeUndefined();
  expect(wide.takeExactly(cidr('10.0.0.21/32'))).toBe(true);
  expect(wide.takePrefix()).toBe('10.0.0.32/28');
  expect(wide.takePrefix()).toBeUndefined();
  wide.release(cidr('10.0.0.21/32'));
  expect(wide.takePrefix()).toBe('10.0.0.16/28');
});

test('an address or prefix by name is given once, and never a reserved one', () => {
  const space = new AddressSpace(cidr('10.0.0.0/24'));
  expect(space.takeExactly(cidr('10.0.0.3/32'))).toBe(false);
  expect(space.takeExactly(cidr('10.0.0.255/32'))).toBe(false);
  expect(space.takeExactly(cidr('10.0.0.0/28'))).toBe(false);
  expect(space.takeExactly(cidr('10.0.0.64/28'))).toBe(true);
  expect(space.takeExactly(cidr('10.0.0.70/32'))).toBe(false);
  expect(space.takeExactly(cidr('10.0.0.64/28'))).toBe(false);
  space.release(cidr('10.0.0.64/28'));
  expect(space.takeExactly(cidr('10.0.0.70/32'))).toBe(true);
  expect(space.freeCount).toBe(250);
});

test('a freed address is the next one given when the lowest is', () => {
  const space = new AddressSpace(cidr('10.0.0.0/24'));
  const [, second] = take(space, 3);
  space.release(second ?? cidr('10.0.0.0/32'));
  expect(space.takeAddress()).toBe(second);
});

test('an IPv6 subnet gives addresses and /80s that never overlap', () => {
  const space = new AddressSpace(cidr('2001:db8::/64'));
  expect(space.takeAddress()).toBe('2001:db8::4/128');
  expect(space.takePrefix()).toBe('2001:db8:0:0:1::/80');
  expect(space.takePrefix(65535)).toBe('2001:db8:0:0:2::/80');
  expect(space.takeAddress(1)).toBe('2001:db8:0:0:3::/128');
});

test('everything taken and released leaves the subnet as it was', () => {
  const space = new AddressSpace(cidr('10.0.0.0/20'));
  const blocks = [...take(space, 700), space.takePrefix(), space.takePrefix(200)].filter(
    (block) => block !== undefined,
  );
  expect(new Set(blocks).size).toBe(702);
  for (const block of blocks) space.release(block);
  expect(space.freeCount).toBe(4091);
  let prefixes = 0;
  while (space.takePrefix() !== undefined) prefixes++;
  expect(prefixes).toBe(254);
});
