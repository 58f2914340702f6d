/** Pods that were bound here are demand before they ask; nothing else follows from them. */
import { attachmentKey } from '../../../src/core/brand.ts';
import { linkName } from '../../../src/core/link-name.ts';
import type { PodRef } from '../../../src/core/rows.ts';
import { Core, pod } from './harness.ts';

const ref = (name: string, uid = name): PodRef => ({ namespace: 'default', name, uid });

/** Serves with an ENI of its own, which has ten addresses: one of them free, nothing beyond demand is wanted. */
function serving(ready = 1): Core {
  const targets = { floor: ready, headroom: 0, ceiling: 100 };
  const core = new Core({ targets, slots: 30 }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  return core;
}

const bind = (core: Core, ...names: readonly string[]): void => {
  for (const name of names) core.send({ kind: 'pod-bound', pod: ref(name) });
};
const asked = (core: Core): number =>
  core.calls.reduce((sum, { call }) => sum + (call.action === 'assign' ? call.wish.count : 0), 0);
const demandOf = (core: Core): number => {
  const [pool] = core.state.all('pool');
  return pool === undefined ? 0 : core.state.podCount(pool.id);
};

test('what is bound within a millisecond is asked for with one call, before any pod asks', () => {
  const core = serving(1);
  bind(core, 'a', 'b', 'c', 'd', 'e');
  expect(core.calls).toEqual([]);
  core.advance(1);
  expect(core.calls.map(({ call }) => call.action)).toEqual(['assign']);
  expect(asked(core)).toBe(4);
  core.answer('assign', {
    action: 'assign',
    blocks: ['10.0.1.50/32', '10.0.1.51/32', '10.0.1.52/32', '10.0.1.53/32'] as never,
  });
  for (const name of ['a', 'b', 'c', 'd', 'e']) {
    core.add(name);
    expect(core.replyOf(`add-${name}`)).toBe('added');
  }
  expect(core.calls).toEqual([]);
});

test('a pod that is bound, waits or holds a lease counts once', () => {
  const core = serving(1);
  bind(core, 'a', 'b');
  expect(demandOf(core)).toBe(2);
  core.add('a');
  core.add('c');
  expect([core.replyOf('add-a'), core.replyOf('add-c')]).toEqual(['added', 'waits']);
  expect(demandOf(core)).toBe(3);
  bind(core, 'c');
  expect(demandOf(core)).toBe(3);
  core.del('a');
  // Its sandbox ended; it is still bound, and its next one will ask.
  expect(demandOf(core)).toBe(3);
  core.send({ kind: 'pod-gone', pod: ref('a') });
  expect(demandOf(core)).toBe(2);
});

test('one that never comes is waited for for two minutes, also when it is told again', () => {
  const core = serving(1);
  bind(core, 'a', 'b');
  core.advance(60_000);
  bind(core, 'a', 'c');
  core.advance(59_999);
  expect(demandOf(core)).toBe(3);
  core.advance(1);
  expect(demandOf(core)).toBe(1);
  core.advance(60_000);
  expect([demandOf(core), core.state.count('bound')]).toEqual([0, 0]);
});

test('of two pods of one name the newer is meant; who was never told of is not missed', () => {
  const core = serving(1);
  bind(core, 'web-0');
  core.advance(1_000);
  core.send({ kind: 'pod-bound', pod: ref('web-0', 'second') });
  core.send({ kind: 'pod-gone', pod: ref('web-0') });
  core.send({ kind: 'pod-gone', pod: ref('nobody') });
  expect(demandOf(core)).toBe(1);
  core.advance(119_999);
  expect(demandOf(core)).toBe(1);
  core.advance(1);
  expect(demandOf(core)).toBe(0);
});

test('what the pool grew by for pods that never came goes back', () => {
  const core = serving(1);
  bind(core, 'a', 'b', 'c');
  core.advance(1);
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.50/32', '10.0.1.51/32'] as never });
  core.advance(100_000);
  expect(core.callOf('unassign')).toBeUndefined();
  core.advance(81_000);
  const call = core.callOf('unassign')?.call;
  expect(call?.action === 'unassign' && call.blocks.length).toBe(2);
});

test('a pod that was adopted from its link, which names none, is one of those that are bound', () => {
  const first = serving(1).add('a');
  const lease = first.state.leaseOf(attachmentKey(pod('a')));
  if (lease === undefined) throw new Error('a has no lease');
  const { id, attachment, addresses, linkIndex: index } = lease;
  const link = { name: linkName(lease.key), index, fenced: false, lease: { id, attachment }, addresses, mtu: 9_001 };
  const core = new Core({ links: [link] }).start();
  expect([core.state.leaseOf(lease.key)?.pod, demandOf(core)]).toEqual([undefined, 1]);
  bind(core, 'a');
  expect(demandOf(core)).toBe(1);
  bind(core, 'b');
  expect(demandOf(core)).toBe(2);
});
