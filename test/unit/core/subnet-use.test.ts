/** Dense placement: single addresses of a pool that prefers prefixes break no prefix that is whole. */
import type { CloudFailure } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { countUse, fragmentation } from '../../../src/core/subnet-use.ts';
import { SUBNET } from './harness.ts';
import { FRAGMENTED, names, PeerNode } from './peers/node.ts';

const CONFLICT: CloudFailure = { kind: 'conflict', code: 'InvalidIPAddress.InUse', message: '' };

/** The cloud's own addresses of 10.0.0.0/24, and what else is taken. */
const taken = (...more: readonly string[]): Cidr[] =>
  ['10.0.0.0/32', '10.0.0.1/32', '10.0.0.2/32', '10.0.0.3/32', '10.0.0.255/32', ...more] as Cidr[];

describe('the count', () => {
  const count = (...more: readonly string[]) => ({
    ...countUse('10.0.0.0/24' as Cidr, taken(...more), 28),
    wrongUntilMs: undefined,
  });

  test('an empty subnet has 14 whole prefixes, and two that the cloud’s own addresses break', () => {
    const { free, wholePrefixes, broken } = count();
    expect({ free, wholePrefixes, broken }).toEqual({
      free: 251,
      wholePrefixes: 14,
      broken: [
        { base: '10.0.0.0', taken: 0b1111 },
        { base: '10.0.0.240', taken: 0x8000 },
      ],
    });
  });

  test('a prefix that somebody has is neither free nor broken', () => {
    expect(count('10.0.0.32/28')).toMatchObject({ free: 235, wholePrefixes: 13, broken: [{}, {}] });
  });

  test('the figure is the share of the free addresses that no prefix can be made of', () => {
    const row = (...more: readonly string[]) => ({
      subnet: SUBNET,
      heardMs: 0,
      ...countUse('10.0.0.0/24' as Cidr, taken(...more), 28),
    });
    expect(fragmentation(row())).toBeCloseTo(1 - 224 / 251);
    const scattered = Array.from({ length: 14 }, (_, at) => `10.0.0.${16 + at * 16}/32`);
    expect(fragmentation(row(...scattered))).toBe(1);
    expect(fragmentation({ ...row(), free: 0, wholePrefixes: 0 })).toBe(0);
  });

  test('what is not of the subnet, or not IPv4, is not counted', () => {
    expect(count('10.0.1.5/32', '9.255.255.255/32', 'fd00::/80')).toMatchObject({ free: 251 });
  });
});

/** A node that has fallen back to single addresses, with two broken prefixes and the rest of the subnet whole. */
function fallenBack(): PeerNode {
  const node = new PeerNode({ enis: 2, slots: 12, pool: { prefixes: 'prefer' } });
  node.used = taken('10.0.0.64/32', '10.0.0.66/32');
  node.refuseNext('create', FRAGMENTED).up().add('a').settle();
  return node;
}

const asked = (node: PeerNode): Cidr[] => node.madeOf('assign').flatMap(({ blocks }) => blocks ?? []);

test('what is topped up is asked for by name, of prefixes that are broken already', () => {
  const node = fallenBack();
  node.retarget({ floor: 6, headroom: 0, ceiling: 100 }).settle();
  expect(asked(node)).toHaveLength(5);
  for (const block of asked(node)) {
    expect(block).toMatch(/^10\.0\.0\.([0-9]|1[0-5]|6[4-9]|7[0-9]|2[45][0-9])\/32$/);
    expect(node.used).not.toContain(block);
  }
  expect(node.blocks).toEqual(expect.arrayContaining(asked(node)));
});

test('a pod that waits does not wait for the reading: without a fresh one the cloud chooses', () => {
  const node = fallenBack().pass(61_000);
  node.withheld.add('listUse');
  node
    .refuseNext('assign', FRAGMENTED)
    .adds(...names(2, 5))
    .settle();
  expect(node.served(...names(2, 5))).toEqual([true, true]);
  expect(asked(node)).toEqual([]);
});

test('an address that somebody took meanwhile: the cloud chooses for a minute, and nothing is lost', () => {
  const node = fallenBack();
  node.refuseNext('assign', CONFLICT);
  node.retarget({ floor: 6, headroom: 0, ceiling: 100 }).settle();
  const assigns = node.madeOf('assign').slice(-2);
  expect(assigns.map(({ blocks, wish }) => [blocks?.length, wish.count])).toEqual([
    [5, 5],
    [undefined, 5],
  ]);
  expect(node.blocks).toHaveLength(6);
});

test('a pool that wants no prefixes reads nothing of the sort', () => {
  const node = new PeerNode({ targets: { floor: 4, headroom: 0, ceiling: 100 } }).up().pass(1_300_000);
  expect(node.madeOf('listUse')).toEqual([]);
});

test('the figure is read once in ten minutes where prefixes are wanted', () => {
  const node = new PeerNode({ pool: { prefixes: 'prefer' } }).up();
  const before = node.madeOf('listUse').length;
  node.pass(1_800_000);
  expect(node.madeOf('listUse').length - before).toBe(3);
  expect(node.state.get('use', SUBNET)?.wholePrefixes).toBe(16);
});
