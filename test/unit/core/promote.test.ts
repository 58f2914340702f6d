/** A pool that prefers prefixes: single addresses when there is none, and prefixes again when there is. */
import { FRAGMENTED, names, PeerNode } from './peers/node.ts';

const TEN_MINUTES = 600_000;

/** Three pods on single addresses: the subnet had no whole prefix. */
function fallenBack(ceiling = 100): PeerNode {
  const node = new PeerNode({
    enis: 2,
    slots: 12,
    pool: { prefixes: 'prefer' },
    targets: { floor: 0, headroom: 2, ceiling },
  });
  node
    .refuseNext('create', FRAGMENTED)
    .up()
    .adds(...names(3))
    .settle();
  expect(node.blocks.map((block) => block.split('/')[1])).toEqual(Array(node.blocks.length).fill('32'));
  return node;
}

const prefixes = (node: PeerNode): string[] => node.blocks.filter((block) => block.endsWith('/28'));
const singles = (node: PeerNode): string[] => node.blocks.filter((block) => block.endsWith('/32'));

test('ten minutes after the refusal a prefix is asked for, and the idle single addresses go', () => {
  const node = fallenBack();
  node.pass(TEN_MINUTES);
  expect(prefixes(node)).toEqual([]);
  node.pass(3 * 60_000);
  expect(prefixes(node)).toHaveLength(1);
  expect(singles(node).sort()).toEqual(
    names(3)
      .map((name) => `${node.leased[name]?.[0]}/32`)
      .sort(),
  );
});

test('the last single address goes when its pod does, and nothing is asked for again', () => {
  const node = fallenBack().pass(TEN_MINUTES + 180_000);
  const assigns = node.madeOf('assign').length;
  for (const name of names(3)) node.del(name).pass(180_000);
  expect(singles(node)).toEqual([]);
  node.pass(TEN_MINUTES * 2);
  expect(node.madeOf('assign')).toHaveLength(assigns);
  expect(prefixes(node)).toHaveLength(1);
});

test('a subnet that still has none is asked once in ten minutes, and nothing is given back', () => {
  const node = fallenBack();
  const before = node.blocks.length;
  for (let n = 0; n < 3; n++) node.refuseNext('assign', FRAGMENTED);
  node.pass(3 * (TEN_MINUTES + 60_000));
  expect(node.madeOf('assign').length).toBeGreaterThanOrEqual(2);
  expect(node.madeOf('assign').length).toBeLessThanOrEqual(4);
  expect(singles(node)).toHaveLength(before);
});

test('an ENI whose slots are full of single addresses gives one up for the prefix', () => {
  const node = new PeerNode({
    enis: 1,
    slots: 5,
    pool: { prefixes: 'prefer', primaryEni: 'use' },
    targets: { floor: 0, headroom: 2, ceiling: 100 },
  });
  node
    .refuseNext('assign', FRAGMENTED)
    .up()
    .adds(...names(2))
    .settle();
  expect(singles(node)).toHaveLength(4);
  node.pass(TEN_MINUTES + 180_000);
  expect(prefixes(node)).toHaveLength(1);
  expect(singles(node).sort()).toEqual(
    names(2)
      .map((name) => `${node.leased[name]?.[0]}/32`)
      .sort(),
  );
});

test('a pool that may not hold sixteen more keeps its single addresses', () => {
  const node = fallenBack(12).pass(2 * TEN_MINUTES);
  expect(prefixes(node)).toEqual([]);
  expect(singles(node).length).toBeGreaterThanOrEqual(3);
});
