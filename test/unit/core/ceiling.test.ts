/** A ceiling that is lowered under what the pool holds. */
import { reasonText } from '../../../src/core/reasons.ts';
import type { PoolRow } from '../../../src/core/rows.ts';
import { Core, configured } from './harness.ts';
import { names, PeerNode } from './peers/node.ts';

const targets = (ceiling: number): PoolRow['targets'] => ({ floor: 0, headroom: 2, ceiling });

const withPods = (count: number, change: Partial<PoolRow> = {}): PeerNode =>
  new PeerNode({ pool: { primaryEni: 'skip', ...change }, slots: 10, targets: targets(100) })
    .up()
    .adds(...names(count))
    .settle();

const reasonOf = (node: PeerNode, name: string) => {
  const reply = node.replies.get(`add-${name}`);
  return reply?.kind === 'refused' ? reply.reason : reply?.kind;
};

test('under what pods use: what is free goes back at once, and what they leave goes back, not to the next pod', () => {
  const node = withPods(6).retarget(targets(3)).settle();
  expect(node.blocks).toHaveLength(6);
  node.add('x').settle();
  expect(reasonOf(node, 'x')).toMatchObject({ code: 'CEILING', ceiling: 3, leased: 6 });
  for (const [at, name] of names(3).entries()) {
    node.del(name).pass(40_000);
    expect(node.blocks).toHaveLength(5 - at);
    node.add(`y${at}`).settle();
    expect(reasonOf(node, `y${at}`)).toMatchObject({ code: 'CEILING', leased: 5 - at });
  }
  node.del('p3').add('z').settle().pass(6_000);
  expect(reasonOf(node, 'z')).toBe('added');
  expect(node.blocks).toHaveLength(3);
});

test('a whole ENI that the ceiling leaves no room for is given back, also while pods are refused', () => {
  const node = withPods(12);
  expect(new Set(names(12).map((name) => node.eniOf(name))).size).toBe(2);
  const [first] = names(1).map((name) => node.eniOf(name));
  const alone = names(12).filter((name) => node.eniOf(name) !== first);
  node.retarget(targets(2));
  for (const name of alone) node.del(name);
  for (let n = 0; n < 20; n++) node.add(`x${n}`).pass(10_000);
  expect(node.madeOf('delete')).toHaveLength(1);
  expect(node.blocks).toHaveLength(12 - alone.length);
});

test('prefixes: one goes where only whole ones are idle, and single addresses fill the rest', () => {
  const node = new PeerNode({
    pool: { primaryEni: 'skip', prefixes: 'prefer' },
    slots: 10,
    targets: { floor: 40, headroom: 2, ceiling: 100 },
  })
    .up()
    .settle();
  expect(node.blocks).toHaveLength(3);
  node.retarget({ floor: 20, headroom: 2, ceiling: 20 }).settle().pass(1_000);
  const sizes = node.blocks.map((block) => (block.endsWith('/28') ? 16 : 1));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(20);
});

test('an IPv6 prefix, which is more than any ceiling, stays and serves as many pods as the ceiling allows', () => {
  const node = withPods(2, { families: [6], prefixes: 'prefer' });
  const blocks = [...node.blocks];
  node.retarget(targets(3)).pass(5_000).add('a').settle().add('b').settle();
  expect(node.blocks).toEqual(blocks);
  expect([reasonOf(node, 'a'), reasonOf(node, 'b')]).toEqual(['added', expect.objectContaining({ code: 'CEILING' })]);
});

test('the sentence says how many pods have to end', () => {
  const ceiling = { code: 'CEILING', ceiling: 3, restMs: 5_000 } as const;
  expect(reasonText({ ...ceiling, leased: 3 })).toContain('served 5.0 s after one of the 3 that have an address ends');
  expect(reasonText({ ...ceiling, leased: 8 })).toContain(
    '8 pods have one, and the next is served 5.0 s after 6 of them',
  );
});

test('a pod that waits for one to leave, where the ceiling is used, keeps no ENI that is beyond it', () => {
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, slots: 3 }).serving();
  for (const [n, pair] of [
    ['a', 'b'],
    ['c', 'd'],
  ].entries()) {
    for (const name of pair) core.send({ kind: 'pod-bound', pod: { namespace: 'default', name, uid: name } });
    core.advance(1).bringUpEni(n + 1);
    core.answer('modify', { action: 'modify' });
    for (const name of pair) core.add(name);
  }
  core.advance(120_000);
  core.del('d').advance(35_000);
  core.del('c');
  core.send(configured({ targets: { floor: 0, headroom: 0, ceiling: 2 } }));
  core.held.add('unwire');
  core.del('a').add('x');
  expect([...core.state.all('eni')].map(({ state }) => state)).toEqual(['ready', 'ready', 'draining']);
  expect(core.replyOf('add-x')).toBe('waits');
});
