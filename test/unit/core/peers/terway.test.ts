/** Defects of Terway (docs/peers-defects.md names their sources), each by a story in which it would show. */
import type { EniId, RequestId } from '../../../../src/core/brand.ts';
import type { Cidr } from '../../../../src/core/ip.ts';
import { judgeTargets } from '../../../../src/core/targets.ts';
import { CAPABILITIES, pod } from '../harness.ts';
import { FULL, LOST, names, PeerNode, REFUSED, THROTTLED } from './node.ts';

const RELAXED = { floor: 0, headroom: 0, ceiling: 1_000 };

test('terway, refill on a timer of 120 s: the step that takes the pool below its mark asks for more', () => {
  const node = new PeerNode({ targets: { floor: 0, headroom: 4, ceiling: 100 }, slots: 20 }).up();
  node.adds('a', 'b', 'c');
  expect(node.callOf('assign')).toBeDefined();
  expect(node.served('a', 'b', 'c')).toEqual([true, true, true]);
});

test('terway, no cooldown: a released address is not handed out at once, in a prefix neither', () => {
  for (const prefixes of ['never', 'prefer'] as const) {
    const node = new PeerNode({ pool: { prefixes } }).up().add('a').settle();
    const freed = node.addressOf('a');
    node.del('a').add('b').settle();
    expect(node.served('b')).toEqual([true]);
    expect(node.addressOf('b')).not.toBe(freed);
  }
});

test('terway, no FIFO: waiters are served in the order in which they came', () => {
  const node = new PeerNode({ targets: { ...RELAXED, ceiling: 3 } }).up().adds('a', 'b', 'c').settle();
  node.adds('d', 'e', 'f');
  // Nothing more may be held, so each is served by a pod that ends.
  expect(['d', 'e', 'f'].map((name) => node.replyOf(`add-${name}`))).toEqual(['CEILING', 'CEILING', 'CEILING']);
  node.del('a').adds('g', 'h', 'i').pass(6_000);
  expect(['g', 'h', 'i'].map((name) => node.replyOf(`add-${name}`))).toEqual(['added', 'CEILING', 'CEILING']);
});

test('terway, “pod is processing”: a second ADD of the same pod joins the first, and both are answered', () => {
  const node = new PeerNode().up().add('a');
  node.send({
    kind: 'add',
    request: 'again' as RequestId,
    attachment: pod('a'),
    netns: { path: '/ns/a', id: '4:a' },
    deadlineMs: node.nowMs + 60_000,
  });
  node.settle();
  expect([node.replyOf('add-a'), node.replyOf('again')]).toEqual(['added', 'added']);
  expect(node.state.count('lease')).toBe(1);
});

test('terway, 300 ms to batch and a limiter of 6 s: the call goes in the step of the ADD, the second as well', () => {
  const node = new PeerNode({ slots: 20 }).up().add('a').settle();
  node.add('b');
  expect(node.callOf('assign')).toBeDefined();
  node.settle().add('c');
  expect(node.callOf('assign')).toBeDefined();
});

test('terway, one ENI operation a reconcile: several ENIs are filled and made at a time', () => {
  const node = new PeerNode({ enis: 5, slots: 6 }).up();
  node.retarget({ floor: 20, headroom: 0, ceiling: 100 });
  expect(node.calls.map(({ call }) => call.action)).toEqual(Array(4).fill('create'));
  node.settle();
  expect(node.blocks).toHaveLength(20);
});

test('terway, IPv4 then IPv6: one create brings both', () => {
  const node = new PeerNode({ pool: { families: [4, 6] } }).up().add('a');
  expect(
    node.calls.map(({ call }) => (call.action === 'create' ? call.blocks.map(({ family }) => family) : [])),
  ).toEqual([[4, 6]]);
});

test('terway #100: a full subnet stops neither give-back nor the pods that need no new address, and is tried again', () => {
  const node = new PeerNode({ enis: 2, slots: 10, settings: { cooldownMs: 1_000 } }).up();
  node.adds('a', 'b', 'c', 'd').settle();
  node.refuseNext('assign', FULL).add('e').settle();
  expect(node.replyOf('add-e')).toBe('SUBNET_EXHAUSTED');
  node.del('a').pass(7_000).add('f').settle();
  expect(node.served('f')).toEqual([true]);
  for (const name of ['b', 'c', 'd']) node.del(name);
  node.pass(25_000).add('g').settle().add('h').settle();
  expect(node.served('g', 'h')).toEqual([true, true]);
  for (const name of ['f', 'g', 'h']) node.del(name);
  node.pass(200_000);
  expect(node.blocks.length).toBeLessThan(4);
});

test('terway #1030: a pod whose sandbox is made again and again, and one asked for twice, count once', () => {
  const node = new PeerNode({ enis: 8 }).up();
  node.withheld.add('create');
  for (let n = 0; n < 50; n++) {
    node.addAgain('a', `c${n}`).settle();
    node.send({ kind: 'del', request: `del-c${n}` as RequestId, attachment: pod(`c${n}`) });
  }
  node.addAgain('a', 'last').pass(1);
  expect(node.callOf('create')?.call).toMatchObject({ blocks: [{ count: 1 }] });
  expect(node.calls).toHaveLength(1);
});

// Known (reported): ENIs that are being made do not count as room for the next pod's address.
test('terway #1030: pods that come one after the other share the ENI that is being made', () => {
  const node = new PeerNode({ enis: 8, slots: 10 })
    .up()
    .adds(...names(9))
    .settle();
  expect(node.served(...names(9))).toEqual(Array(9).fill(true));
  expect(node.madeOf('create')).toHaveLength(1);
});

test('terway, the database is lost: addresses of live pods are found in the kernel, and given to nobody', () => {
  const node = new PeerNode().up().adds('a', 'b').settle();
  const next = node.restarted({ lost: true }).pass(20_000).adds('c', 'd', 'e').pass(5_000);
  const addresses = Object.values(next.leased).flat();
  expect(new Set(addresses).size).toBe(addresses.length);
  expect(next.leased).toMatchObject(node.leased);
});

test('terway, a throttled attach throws the ENI away: it is attached later, and no other is made', () => {
  const node = new PeerNode().up();
  for (let n = 0; n < 100; n++) node.refuseNext('attach', THROTTLED);
  node.add('a').pass(180_000);
  expect(node.replyOf('add-a')).toBe('THROTTLED');
  node.refusals.length = 0;
  node.add('b').pass(50_000);
  expect(node.served('b')).toEqual([true]);
  expect(node.madeOf('create')).toHaveLength(1);
  expect(node.madeOf('delete')).toEqual([]);
});

test('terway, a crash between create and attach leaks the ENI: the next process attaches it', () => {
  const node = new PeerNode().up();
  node.withheld.add('attach');
  node.add('a').settle();
  const next = node.restarted().pass(20_000);
  expect(next.madeOf('create')).toEqual([]);
  expect(next.truth.get('eni-1' as EniId)?.attachment).toBeDefined();
});

test('terway, the token is lost with the process: the intent’s token is the operation’s, over a restart', () => {
  const node = new PeerNode().up().add('a');
  const next = node.restarted();
  expect(next.effects.find((effect) => effect.kind === 'cloud' && effect.call.action === 'create')).toMatchObject({
    operation: node.callOf('create')?.id,
  });
});

test('terway, DEL that reports success and frees nothing: it is refused while the fence cannot stand, and the address is kept', () => {
  const node = new PeerNode().up().add('a').settle();
  node.held.add('unwire');
  node.del('a');
  const [lease] = node.state.all('lease');
  if (lease === undefined) throw new Error('no lease');
  node.send({ kind: 'unwired', lease: lease.id, failure: { step: 'fence', errno: 'ENOBUFS' } as never });
  expect(node.replyOf('del-a')).toBe('KERNEL');
  expect(node.state.get('address', lease.addresses[0] ?? '')?.state).toBe('held');
  node.held.clear();
  node.pass(3_000);
  expect(node.state.get('address', lease.addresses[0] ?? '')?.state).toBe('cooling');
});

test('terway, DEL without a namespace frees nothing: it frees like any other', () => {
  // The event names the attachment alone; a namespace that is gone is not asked for.
  const node = new PeerNode().up().add('a').settle().del('a');
  expect([node.replyOf('del-a'), node.state.count('lease')]).toEqual(['done', 0]);
});

test('terway, GC stops the world: an ADD beside it is served in the same step', () => {
  const node = new PeerNode({ targets: { ...RELAXED, floor: 4 } }).up().adds('a').settle().pass(61_000);
  node.held.add('unwire');
  node.send({ kind: 'gc', request: 'gc' as RequestId, network: 'underway', valid: [] }).add('b');
  expect(node.served('b')).toEqual([true]);
  expect(node.replyOf('gc')).toBe('done');
});

test('terway, unknown addresses are neither used nor freed: what the cloud lists on our ENI is adopted and used', () => {
  const node = new PeerNode({ enis: 2, slots: 3 }).up().add('a').settle();
  const eni = node.truth.get('eni-1' as EniId);
  if (eni === undefined) throw new Error('no ENI');
  node.truth.set(eni.id, { ...eni, blocks: [...eni.blocks, '10.0.77.7/32' as Cidr] });
  // The assign was done and its answer lost: the same seen from here.
  node.refuseNext('assign', LOST).add('b').settle().pass(30_000);
  expect(node.addressOf('b')).toBe('10.0.77.7');
});

test('terway, IPv6 is switched off without a word: targets that need it are refused with a sentence', () => {
  const verdict = judgeTargets({
    pool: { families: [4, 6], prefixes: 'never', primaryEni: 'use', targets: { floor: 1, headroom: 1, ceiling: 10 } },
    limits: { instanceType: 'ecs.g6', eniCountMax: 3, slotsPerEni: { 4: 10, 6: 0 }, prefixes: true },
    capabilities: CAPABILITIES,
  });
  expect(verdict).toMatchObject({ accepted: false, sentence: expect.stringContaining('no IPv6') });
});

test('terway, deletes hold up assigns: an unassign that is refused again and again holds up no pod', () => {
  const node = new PeerNode({ slots: 20, targets: { ...RELAXED, floor: 8 } }).up().adds('a', 'b', 'c').settle();
  node.retarget(RELAXED);
  for (let n = 0; n < 20; n++) node.refuseNext('unassign', REFUSED);
  node.pass(70_000);
  expect(node.madeOf('unassign').length).toBeGreaterThan(0);
  node.adds(...names(8)).pass(2_000);
  expect(node.served(...names(8))).toEqual(Array(8).fill(true));
});

test('terway, released by whoever names the pod: a late DEL of an old sandbox leaves the new one alone', () => {
  const node = new PeerNode().up().addAgain('a', 'old').pass(1).settle().addAgain('a', 'new').pass(1).settle();
  node.send({ kind: 'del', request: 'late' as RequestId, attachment: pod('old') });
  node.send({ kind: 'del', request: 'later' as RequestId, attachment: pod('old') });
  expect([node.replyOf('late'), node.replyOf('later'), Object.keys(node.leased)]).toEqual(['done', 'done', ['new']]);
});
