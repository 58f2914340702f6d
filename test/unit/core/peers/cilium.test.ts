/** Defects of Cilium's cloud IPAM and other clouds' plugins (docs/peers-defects.md names their sources), a story each. */
import type { EniId, SubnetId } from '../../../../src/core/brand.ts';
import type { Cidr } from '../../../../src/core/ip.ts';
import { eniFacts, SUBNET } from '../harness.ts';
import { FRAGMENTED, FULL, LOST, names, PeerNode, REFUSED, subnetFacts, THROTTLED } from './node.ts';

const RELAXED = { floor: 0, headroom: 0, ceiling: 1_000 };

test('cilium #13412 #20026: an address in use is never released, whatever goes back beside it', () => {
  const node = new PeerNode({ slots: 30, targets: { ...RELAXED, floor: 20 } })
    .up()
    .adds(...names(10))
    .retarget(RELAXED);
  for (const name of names(10).filter((_, n) => n % 2 === 0)) node.del(name);
  node.pass(300_000);
  const given = node.madeOf('unassign').flatMap(({ blocks }) => blocks);
  expect(given.length).toBeGreaterThan(0);
  const leased = Object.values(node.leased).flat();
  expect(leased).toHaveLength(5);
  expect(given.filter((block) => leased.some((ip) => block === `${ip}/32`))).toEqual([]);
  expect(leased.every((ip) => node.blocks.includes(`${ip}/32` as Cidr))).toBe(true);
});

test('cilium #15877 #8808: a throttled assign makes no ENI, however often it is throttled', () => {
  const node = new PeerNode({ slots: 20, enis: 8 }).up().add('a').settle();
  for (let n = 0; n < 5; n++) node.refuseNext('assign', THROTTLED);
  node.adds('b', 'c').pass(50_000);
  expect(node.madeOf('create')).toHaveLength(1);
  expect(node.served('b', 'c')).toEqual([true, true]);
});

test('cilium #15877: no refusal of an assign makes an ENI while that ENI has room, but a full subnet', () => {
  for (const failure of [THROTTLED, REFUSED, LOST]) {
    const node = new PeerNode({ slots: 20, enis: 8 }).up().add('a').settle().refuseNext('assign', failure).add('b');
    node.pass(40_000);
    expect([node.madeOf('create').length, ...node.served('b')]).toEqual([1, true]);
  }
});

test('cilium #9533: an instance that is gone is not attached to in a loop', () => {
  const node = new PeerNode({ enis: 8 }).up();
  for (let n = 0; n < 100; n++)
    node.refuseNext('create', { kind: 'nodeGone', code: 'IncorrectInstanceState', message: '' });
  for (let n = 0; n < 60; n++) node.add(`p${n}`).pass(1_000);
  expect(node.made.filter(({ action }) => action === 'create').length).toBeLessThanOrEqual(3);
});

test('cilium #46644 #29634: after one fragmented answer single addresses serve, and prefixes come back by themselves', () => {
  const node = new PeerNode({ pool: { prefixes: 'prefer' }, slots: 30 }).up();
  node.refuseNext('create', FRAGMENTED).add('a').settle();
  expect(node.served('a')).toEqual([true]);
  expect(node.blocks).toEqual([expect.stringMatching(/\/32$/)]);
  node.pass(65_000).add('b').settle();
  expect(node.blocks.some((block) => block.endsWith('/28'))).toBe(true);
});

test('cilium #48193: after the fallback more pods than one are served', () => {
  const node = new PeerNode({ pool: { prefixes: 'prefer' }, slots: 30 }).up();
  node
    .refuseNext('create', FRAGMENTED)
    .adds(...names(12))
    .settle()
    .pass(3_000);
  expect(node.served(...names(12))).toEqual(Array(12).fill(true));
});

test('cilium #48125: a prefix is given back whole, and only when nobody uses any of it', () => {
  const node = new PeerNode({ pool: { prefixes: 'prefer' }, slots: 30, targets: { ...RELAXED, floor: 32 } }).up();
  node.adds(...names(20)).retarget(RELAXED);
  const [first, second] = node.blocks;
  for (const name of names(20)) if (name !== 'p3') node.del(name);
  node.pass(400_000);
  const kept = node.addressOf('p3');
  expect(kept).toBeDefined();
  expect(node.blocks).toHaveLength(1);
  expect([first, second]).toContain(node.blocks[0]);
  expect(node.madeOf('unassign').flatMap(({ blocks }) => blocks)).toEqual([expect.stringMatching(/\/28$/)]);
});

test('cilium #46598 #47910: what the cloud lists and the node forgot is found: no “exhausted” while addresses exist', () => {
  const node = new PeerNode({ enis: 2, slots: 8 }).up().adds('a', 'b', 'c').settle();
  const next = node.restarted({ lost: true }).pass(20_000);
  next.adds(...names(4)).pass(2_000);
  expect(next.served(...names(4))).toEqual(Array(4).fill(true));
  expect(next.blocks).toHaveLength(7);
});

test('cilium #39981: a release that is refused comes to an end; its addresses serve meanwhile', () => {
  const node = new PeerNode({ slots: 20, targets: { ...RELAXED, floor: 6 } }).up().add('a').retarget(RELAXED);
  for (let n = 0; n < 3; n++) node.refuseNext('unassign', REFUSED);
  node.pass(62_000);
  expect([...node.state.all('block')].filter(({ state }) => state === 'releasing')).toEqual([]);
  // Each try is a minute of surplus after the last.
  node.pass(200_000);
  expect(node.blocks).toHaveLength(1);
});

test('cilium #32531: an address that is on its way back is handed to nobody', () => {
  const node = new PeerNode({ slots: 20, targets: { ...RELAXED, floor: 6 } }).up().add('a').retarget(RELAXED);
  node.withheld.add('unassign');
  node.pass(65_000);
  const call = node.callOf('unassign')?.call;
  const leaving = call?.action === 'unassign' ? call.blocks : [];
  expect(leaving.length).toBeGreaterThan(0);
  node.adds(...names(6));
  const given = Object.values(node.leased).flat();
  expect(given.filter((ip) => leaving.includes(`${ip}/32` as Cidr))).toEqual([]);
});

test('cilium, release wins over allocation: a pod that waits is asked for while a release is in flight', () => {
  const node = new PeerNode({ enis: 4, slots: 10, targets: { ...RELAXED, floor: 18 } }).up();
  node.adds(...names(9)).retarget(RELAXED);
  node.withheld.add('unassign').add('detach');
  node.pass(65_000);
  expect(node.calls.length).toBeGreaterThan(0);
  node.adds(...names(9, 20)).settle();
  expect(node.served(...names(9, 20))).toEqual(Array(9).fill(true));
});

test('cilium, 1:1 top-up: twenty pods one by one cost at most one call in four', () => {
  const node = new PeerNode({ slots: 50, targets: { floor: 0, headroom: 8, ceiling: 100 } }).up();
  const before = node.madeOf('assign').length;
  for (const name of names(20)) node.add(name).settle();
  expect(node.served(...names(20))).toEqual(Array(20).fill(true));
  expect(node.madeOf('assign').length - before).toBeLessThanOrEqual(5);
});

test('cilium #32713: those that wait are part of the wish: one call is sized for all of them', () => {
  const node = new PeerNode({ slots: 50 }).up().add('first').settle();
  node.withheld.add('assign');
  node.adds(...names(30));
  node.release('assign');
  expect(node.callOf('assign')?.call).toMatchObject({ wish: { count: 29 } });
  node.withheld.clear();
  node.settle();
  expect(node.served(...names(30))).toEqual(Array(30).fill(true));
});

test('cilium #14802: limits that are not known leave no pod waiting without a word', () => {
  const node = new PeerNode().refuseNext('describeNode', {
    kind: 'misconfigured',
    code: 'InvalidInstanceType',
    message: 'x9.new',
  });
  node.start().settle().add('a', 2_000).pass(2_500);
  expect(node.replyOf('add-a')).toBe('CLOUD_MISCONFIGURED');
});

test('cilium, a device index that somebody else took: the next one is tried, and no ENI is thrown away', () => {
  const node = new PeerNode().up();
  node.refuseNext('attach', { kind: 'conflict', code: 'InvalidParameterValue', message: 'index in use' });
  node.add('a').settle().pass(5_000);
  expect(node.served('a')).toEqual([true]);
  const [first, second] = node.madeOf('attach').map(({ deviceIndex }) => deviceIndex);
  expect(second).not.toBe(first);
  expect(node.madeOf('create')).toHaveLength(1);
});

test('cilium #28273: failures are answered with longer and longer pauses', () => {
  const node = new PeerNode({ slots: 20 }).up().add('a').settle();
  for (let n = 0; n < 200; n++) node.refuseNext('assign', REFUSED);
  node.send({ kind: 'wake' }).add('b', 600_000).pass(120_000);
  expect(node.madeOf('assign').length).toBeLessThan(30);
});

test('cilium, a Describe after every write: what a call answers is used', () => {
  const node = new PeerNode({ slots: 20 }).up().pass(10_000);
  const before = node.madeOf('listEnis').length;
  node.adds('a').settle().adds('b', 'c').settle();
  expect(node.served('a', 'b', 'c')).toEqual([true, true, true]);
  expect(node.madeOf('listEnis').length).toBe(before);
});

test('cilium, a maximum that only warns: the ceiling holds', () => {
  const node = new PeerNode({ slots: 20, targets: { floor: 0, headroom: 10, ceiling: 5 } })
    .up()
    .adds(...names(9))
    .settle();
  expect(node.blocks).toHaveLength(5);
});

test('cilium, DeleteOnTermination on the way of the pod: when it fails, pod and ENI stay', () => {
  const node = new PeerNode().up();
  for (let n = 0; n < 5; n++) node.refuseNext('modify', REFUSED);
  node.add('a').settle().pass(30_000);
  expect(node.served('a')).toEqual([true]);
  expect(node.madeOf('delete')).toEqual([]);
  expect(node.madeOf('modify').length).toBeGreaterThan(1);
});

test('cilium #21747: an ENI that cannot be attached is deleted, not left behind', () => {
  const node = new PeerNode().up();
  node.refuseNext('attach', { kind: 'exhausted', scope: 'instance', code: 'AttachmentLimitExceeded', message: '' });
  node.add('a').settle().pass(5_000);
  expect(node.madeOf('delete')).toHaveLength(1);
});

test('cilium, clusters without a name collect each other’s ENIs: another cluster’s is foreign', () => {
  const node = new PeerNode();
  const tags = { 'underway.dev/cluster': 'other', 'underway.dev/instance': 'i-1', 'underway.dev/intent': 'e1-3' };
  node.truth.set('eni-7' as EniId, eniFacts(7, [], tags));
  node.up().add('a').settle().pass(900_000);
  expect(node.made.flatMap((call) => ('eni' in call && call.eni === 'eni-7' ? [call] : []))).toEqual([]);
});

test('cilium, the emptier subnet first whatever its size: the one with most free addresses, and the other when it is full', () => {
  const node = new PeerNode({ enis: 4, slots: 3, pool: { subnets: [SUBNET, 'subnet-b' as SubnetId] } });
  node.subnets = [subnetFacts(SUBNET, 20), subnetFacts('subnet-b' as SubnetId, 100)];
  node.up().add('a').settle();
  expect(node.madeOf('create').map(({ subnet }) => subnet)).toEqual(['subnet-b']);
  node.refuseNext('assign', FULL).refuseNext('create', FULL).adds('b', 'c').settle();
  expect(node.served('b', 'c')).toEqual([true, true]);
  expect(node.madeOf('create').at(-1)?.subnet).toBe(SUBNET);
});

test('cello, one worker that sleeps its back-off: a release that fails delays no assign', () => {
  const node = new PeerNode({ slots: 20, targets: { ...RELAXED, floor: 6 } }).up().add('a').retarget(RELAXED);
  node.refuseNext('unassign', REFUSED).pass(61_000);
  node.adds(...names(7)).settle();
  expect(node.served(...names(7))).toEqual(Array(7).fill(true));
});

test('azure #2999, “waiting to allocate more” again and again: each of 36 pods is asked for once and answered once', () => {
  const node = new PeerNode({ enis: 8, slots: 15 })
    .up()
    .adds(...names(36))
    .settle();
  expect(node.served(...names(36))).toEqual(Array(36).fill(true));
  expect(node.effects.filter(({ kind }) => kind === 'reply')).toHaveLength(36);
});
