/** Defects of amazon-vpc-cni-k8s (docs/peers-defects.md names their sources), each by a story in which it would show. */

import type { EniId, RequestId, SubnetId } from '../../../../src/core/brand.ts';
import { attachmentKey } from '../../../../src/core/brand.ts';
import type { CloudCall } from '../../../../src/core/cloud.ts';
import { NO_REPAIR } from '../../../../src/core/events.ts';
import type { Ip } from '../../../../src/core/ip.ts';
import { linkName } from '../../../../src/core/link-name.ts';
import { holding } from '../../../../src/core/pool.ts';
import { eniFacts, INSTANCE, nic, pod, SUBNET } from '../harness.ts';
import { FULL, names, PeerNode, REFUSED, subnetFacts } from './node.ts';

const mutations = (made: readonly CloudCall[]) =>
  made
    .filter(({ action }) => !['listEnis', 'listSubnets', 'describeNode'].includes(action))
    .map(({ action }) => action);

const held = (node: PeerNode) => {
  const [row] = node.state.all('pool');
  if (row === undefined) throw new Error('no pool');
  return holding(node.state, row, 4);
};

const RELAXED = { floor: 0, headroom: 0, ceiling: 1_000 };

test('aws, no wait: a pod that finds no address waits, wakes the planner, and is served when the address lands', () => {
  const node = new PeerNode().up().add('a');
  expect(node.replyOf('add-a')).toBe('waits');
  expect(node.callOf('create')).toBeDefined();
  expect(node.settle().served('a')).toEqual([true]);
});

test('aws, one action a tick: ENIs for a burst are made side by side, in the step of the burst', () => {
  const node = new PeerNode({ enis: 8, slots: 10 }).up();
  node.adds(...names(60));
  expect(new Set(node.calls.map(({ call }) => call.action))).toEqual(new Set(['create']));
  expect(node.calls.length).toBeGreaterThan(1);
  expect(node.settle().served(...names(60))).toEqual(Array(60).fill(true));
});

test('aws, shrink blocks grow: a burst while an ENI is detached and its delete is refused is served at once', () => {
  const node = new PeerNode({ enis: 8 })
    .up()
    .adds(...names(9))
    .settle();
  for (const name of names(9)) node.del(name);
  node.withheld.add('detach');
  node.pass(200_000);
  expect(node.callOf('detach')).toBeDefined();
  node.withheld.clear();
  for (let n = 0; n < 5; n++) node.refuseNext('delete', REFUSED);
  node.release('detach');
  node.adds(...names(5, 20)).settle();
  expect(node.served(...names(5, 20))).toEqual(Array(5).fill(true));
});

test('aws #1700 #2896: cooling addresses are not counted as free: the pool is refilled while they rest', () => {
  const node = new PeerNode({ targets: { floor: 0, headroom: 2, ceiling: 100 }, slots: 20 }).up();
  node.adds('a', 'b').settle();
  for (const name of ['a', 'b']) node.del(name);
  node.settle();
  const { cooling, free } = held(node);
  expect([cooling, free >= 2]).toEqual([2, true]);
  expect(node.adds('c', 'd').served('c', 'd')).toEqual([true, true]);
});

test('aws, cooldown and release: no cooling address is ever given back', () => {
  const node = new PeerNode({ settings: { cooldownMs: 600_000 } })
    .up()
    .adds(...names(6))
    .settle();
  for (const name of names(6)) node.del(name);
  node.pass(300_000);
  expect(node.madeOf('unassign')).toEqual([]);
  expect(node.madeOf('detach')).toEqual([]);
  expect(held(node).cooling).toBe(6);
});

test('aws, cooldown and restart: what cooled still cools', () => {
  const node = new PeerNode({ settings: { cooldownMs: 60_000 } }).up().add('a').settle();
  const [ip] = node.leased.a ?? [];
  node.del('a').pass(1_000);
  const next = node.restarted();
  expect(next.state.get('address', ip ?? '')?.state).toBe('cooling');
  next.add('b').settle();
  expect(next.leased.b).not.toEqual([ip]);
});

test('aws #712 #1204: what the runtime no longer has is collected, by GC and by the link’s going', () => {
  const node = new PeerNode().up().adds('a', 'b').settle().pass(61_000);
  node.send({ kind: 'gc', request: 'gc' as RequestId, network: 'underway', valid: [pod('b')] });
  expect(Object.keys(node.leased)).toEqual(['b']);
  const [lease] = node.state.all('lease');
  node.send({
    kind: 'link-gone',
    mac: '02:00:00:00:00:99' as never,
    name: linkName(attachmentKey(pod('b'))),
    index: lease?.linkIndex ?? 0,
  });
  expect(node.leased).toEqual({});
  expect(held(node).cooling).toBe(2);
});

test('aws #712: a DEL that comes while the daemon starts is done, not forgotten', () => {
  const node = new PeerNode().up().add('a').settle();
  const rows = [...node.journal.values()];
  const next = new PeerNode({ rows, epoch: 'e2', nowMs: node.nowMs });
  next.send({ kind: 'del', request: 'del-a' as RequestId, attachment: pod('a') });
  next.start().settle();
  expect([next.replyOf('del-a'), next.state.count('lease')]).toEqual(['done', 0]);
});

test('aws, ADD that fails after its assignment: the address is taken back, the pod is told, nothing is held', () => {
  const node = new PeerNode().up();
  node.held.add('wire');
  node.add('a').settle();
  const [lease] = node.state.all('lease');
  if (lease === undefined) throw new Error('no lease');
  node.send({ kind: 'wired', lease: lease.id, linkIndex: 0, failure: { step: 'put link', errno: 'ENOMEM' } as never });
  expect([node.replyOf('add-a'), node.state.count('lease')]).toEqual(['KERNEL', 0]);
  expect(held(node).cooling).toBe(1);
});

test('aws, random placement: pods share the fullest ENI, and the empty one goes back whole', () => {
  const node = new PeerNode({ enis: 4, slots: 10, targets: { ...RELAXED, floor: 18 } }).up();
  node.adds(...names(18)).retarget(RELAXED);
  expect(node.truth.size).toBe(3);
  const byEni = Map.groupBy(names(18), (name) => node.eniOf(name));
  const [kept = [], emptied = []] = [...byEni.values()];
  for (const name of emptied) node.del(name);
  for (const name of kept.slice(0, 4)) node.del(name);
  node.pass(40_000).adds('x', 'y').settle();
  expect(new Set(['x', 'y'].map((name) => node.eniOf(name)))).toEqual(new Set([node.eniOf(kept[5] ?? '')]));
  node.pass(120_000);
  expect(node.truth.size).toBe(2);
});

test('aws, single addresses are never given back: what is beyond the targets for a minute is', () => {
  const node = new PeerNode({ slots: 20 })
    .up()
    .adds(...names(10))
    .settle();
  for (const name of names(8)) node.del(name);
  node.pass(200_000);
  expect(node.madeOf('unassign').length).toBeGreaterThan(0);
  expect(node.blocks.length).toBeLessThanOrEqual(3);
  expect(Object.keys(node.leased)).toEqual(['p8', 'p9']);
});

test('aws #3582 #3615: both families, all or none', () => {
  const node = new PeerNode({ pool: { families: [4, 6] }, slots: 3 }).up().add('a').settle();
  expect(node.leased.a?.map((ip) => ip.includes(':'))).toEqual([false, true]);
  const short = new PeerNode({ pool: { families: [4, 6] } }).up();
  short.withheld.add('assign');
  short.add('a').settle();
  const v6 = short.truth.get('eni-1' as EniId)?.blocks.filter((block) => block.includes(':')) ?? [];
  expect(v6).toHaveLength(1);
  expect(short.leased.a).toHaveLength(2);
});

test('aws, six calls a new ENI: the pod is served after two', () => {
  const node = new PeerNode().up();
  node.withheld.add('modify');
  const before = node.made.length;
  node.add('a').settle();
  expect(node.served('a')).toEqual([true]);
  expect(node.made.slice(before).map(({ action }) => action)).toEqual(['create', 'attach']);
});

test('aws, one full subnet stops growth for two minutes: the next subnet is used in the same second', () => {
  const node = new PeerNode({ pool: { subnets: [SUBNET, 'subnet-b' as SubnetId] } });
  node.subnets = [subnetFacts(SUBNET, 200), subnetFacts('subnet-b' as SubnetId, 100)];
  node.up().refuseNext('create', FULL).add('a').settle();
  expect(node.served('a')).toEqual([true]);
  expect(node.madeOf('create').map(({ subnet }) => subnet)).toEqual([SUBNET, 'subnet-b']);
});

test('aws #2482 #2650 #3685: no targets leave a pod waiting with nothing under way', () => {
  for (const floor of [0, 1, 5])
    for (const headroom of [0, 1, 5])
      for (const ceiling of [5, 7, 100]) {
        const node = new PeerNode({ targets: { floor, headroom, ceiling } }).up();
        node.adds(...names(7)).settle();
        const answers = names(7).map((name) => node.replyOf(`add-${name}`));
        expect(answers).toEqual(answers.map((_, n) => (n < ceiling ? 'added' : 'CEILING')));
      }
});

test('aws, forgotten before it is detached: a draining ENI takes its pods back when demand returns', () => {
  const node = new PeerNode({ settings: { cooldownMs: 1_000 }, targets: { ...RELAXED, floor: 5 } }).up();
  node.adds(...names(5)).retarget(RELAXED);
  for (const name of names(5)) node.del(name);
  node.pass(59_000);
  node.withheld.add('detach').add('unassign');
  node.adds(...names(3, 10)).settle();
  expect(node.served(...names(3, 10))).toEqual([true, true, true]);
  expect(node.madeOf('create')).toHaveLength(1);
});

test('aws #3019: one stale read that leaves out an ENI, or its addresses, takes nothing from a pod', () => {
  const node = new PeerNode().up().adds('a', 'b').settle().pass(10_000);
  const facts = node.truth.get('eni-1' as EniId);
  if (facts === undefined) throw new Error('no ENI');
  for (const stale of [undefined, { ...facts, blocks: [] }]) {
    node.withheld.add('listEnis');
    node.refuseNext('assign', REFUSED).add(`x${stale === undefined}`);
    node.send({ kind: 'link-gone', ...nic(facts.mac, 1) }).send({ kind: 'link-seen', ...nic(facts.mac, 1) });
    node.advance(5_000);
    const list = [...node.truth.values()].flatMap((eni) => (eni.id === 'eni-1' ? (stale ?? []) : eni));
    node.answer('listEnis', { action: 'listEnis', enis: list });
    expect([...node.state.all('lease')].filter((lease) => lease.state === 'lost')).toEqual([]);
    node.withheld.clear();
    node.settle().pass(5_000);
    expect(Object.keys(node.leased)).toEqual(expect.arrayContaining(['a', 'b']));
  }
  expect(node.madeOf('unassign')).toEqual([]);
});

test('aws #1099: another node’s fresh ENI, and one without our tags, are never touched', () => {
  const node = new PeerNode();
  const tags = {
    'underway.dev/cluster': 'test',
    'underway.dev/node': 'n2',
    'underway.dev/instance': 'i-2',
    'underway.dev/intent': 'e9-1',
  };
  node.truth.set('eni-7' as EniId, eniFacts(7, [], tags));
  node.truth.set('eni-8' as EniId, {
    ...eniFacts(8, [], {}),
    attachment: { instance: INSTANCE, deviceIndex: 3, state: 'attached' },
  });
  node
    .up()
    .adds(...names(4))
    .settle();
  for (const name of names(4)) node.del(name);
  node.pass(900_000);
  const touched = node.made.flatMap((call) => ('eni' in call ? [call.eni] : []));
  expect(touched.filter((eni) => eni === 'eni-7' || eni === 'eni-8')).toEqual([]);
  expect([...node.truth.keys()]).toEqual(expect.arrayContaining(['eni-7', 'eni-8']));
});

test('aws, counts that drift: after churn, losses and give-back the counts are those of the rows', () => {
  const node = new PeerNode({ enis: 4 })
    .up()
    .adds(...names(12))
    .settle();
  node.truth.delete('eni-1' as EniId);
  node.send({ kind: 'link-gone', ...nic(eniFacts(1, [], {}).mac, 1) }).pass(20_000);
  for (const name of names(12)) node.del(name);
  node.pass(300_000);
  const { total, leased, cooling, free, coming } = held(node);
  expect([leased, cooling, coming]).toEqual([0, 0, 0]);
  expect(total).toBe(node.blocks.length);
  expect(free).toBe(total);
});

test('aws #601 #711 #1091: after a restart, also without its journal, no address is handed out twice', () => {
  for (const lost of [false, true]) {
    const node = new PeerNode().up().adds('a', 'b').settle();
    const next = node.restarted({ lost }).pass(20_000);
    next.adds(...names(6)).pass(5_000);
    const addresses = Object.values(next.leased).flat();
    expect(addresses).toHaveLength(8);
    expect(new Set(addresses).size).toBe(8);
    expect(addresses).toEqual(expect.arrayContaining(Object.values(node.leased).flat()));
  }
});

test('aws, rules taken away and put back at each restart: a restart wires, unwires and calls nothing', () => {
  const next = new PeerNode().up().adds('a', 'b').settle().restarted();
  expect(next.effects.filter(({ kind }) => kind === 'wire' || kind === 'unwire')).toEqual([]);
  expect(mutations(next.made)).toEqual([]);
});

test('aws, no intent and no token: a create whose answer was lost is sent again as the same one, once', () => {
  const node = new PeerNode().up().add('a');
  const first = node.callOf('create');
  const next = node.restarted();
  expect(first?.call.action).toBe('create');
  expect(next.madeOf('create')).toEqual([first?.call]);
});

test('aws #887 #3719: an idle node reads its ENIs every five to six minutes and its subnets in ten, and does nothing else', () => {
  const node = new PeerNode({ targets: { floor: 4, headroom: 2, ceiling: 100 } }).up().adds('a', 'b').settle();
  node.pass(120_000);
  const before = node.made.length;
  node.pass(3_600_000);
  const made = node.made.slice(before).map(({ action }) => action);
  const enis = made.filter((action) => action === 'listEnis').length;
  expect(enis).toBeGreaterThanOrEqual(10);
  expect(enis).toBeLessThanOrEqual(12);
  const subnets = made.filter((action) => action === 'listSubnets').length;
  expect(subnets).toBeLessThanOrEqual(8);
  expect(made).toHaveLength(enis + subnets);
});

test('aws, a failed update of rules is not retried: kernel state that could not be brought is brought again', () => {
  const node = new PeerNode().up();
  node.held.add('sync');
  node.add('a').settle();
  const last = () => node.effects.findLast((effect) => effect.kind === 'sync');
  const failed = last();
  if (failed === undefined) throw new Error('no sync');
  node.held.clear();
  node.send({
    kind: 'synced',
    sync: failed.sync,
    changed: NO_REPAIR,
    damaged: [],
    failure: { step: 'put rule', errno: 'EBUSY' } as never,
  });
  node.pass(5_000);
  expect(last()).not.toBe(failed);
  expect(node.served('a')).toEqual([true]);
});

test('aws, settings only at start: targets change while it runs', () => {
  const node = new PeerNode().up();
  node.retarget({ floor: 6, headroom: 0, ceiling: 100 }).settle();
  expect(node.blocks).toHaveLength(6);
});

test('aws, links up to 18 s late: the ENI serves when its link is seen, and is not thrown away before', () => {
  const node = new PeerNode().up();
  node.withheld.add('attach');
  node.add('a').settle();
  node.answer('attach', { action: 'attach' }).advance(18_000);
  expect(node.madeOf('detach')).toEqual([]);
  node.send({ kind: 'link-seen', ...nic(eniFacts(1, [], {}).mac, 1) }).settle();
  expect(node.served('a')).toEqual([true]);
});

test('aws, lowest address again at once: the address that has rested longest is the next', () => {
  const node = new PeerNode({ targets: { floor: 6, headroom: 0, ceiling: 6 }, settings: { cooldownMs: 1_000 } }).up();
  const seen: (Ip | undefined)[] = [];
  for (let n = 0; n < 6; n++) {
    node.add(`p${n}`);
    seen.push(node.addressOf(`p${n}`));
    node.del(`p${n}`).pass(3_000);
  }
  expect(new Set(seen).size).toBe(6);
});
