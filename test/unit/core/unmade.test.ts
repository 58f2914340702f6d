/** An ADD that the kernel refused: its address rests where a packet may have left with it, and nowhere else. */
import type { KernelFailure } from '../../../src/core/events.ts';
import { Core } from './harness.ts';

/** A node with one address and no more. */
function oneAddress(): Core {
  const core = new Core({ targets: { floor: 0, headroom: 1, ceiling: 1 } }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  core.held.add('wire');
  return core;
}

function refuse(core: Core, failure: KernelFailure, unmade: boolean): void {
  const effect = core.effects.findLast(({ kind }) => kind === 'wire');
  if (effect?.kind !== 'wire') throw new Error('nothing is being wired');
  core.send({ kind: 'wired', lease: effect.plan.lease, linkIndex: effect.plan.linkIndex, failure, unmade });
}

const TAKEN: KernelFailure = { step: 'create-veth', errno: 'EEXIST' };
const states = (core: Core) => [...core.state.all('address')].map(({ state }) => state);

test('a link of its name is in the pod: the address is free at once, for the next ADD', () => {
  const core = oneAddress().add('a');
  const address = core.addressOf('a');
  refuse(core, TAKEN, true);
  expect([core.replyOf('add-a'), states(core), core.state.count('lease')]).toEqual(['KERNEL', [], 0]);
  core.held.delete('wire');
  core.add('b');
  expect([core.replyOf('add-b'), core.addressOf('b')]).toEqual(['added', address]);
});

test('whatever stands in its name on the host is fenced first', () => {
  const core = oneAddress().add('a');
  core.held.add('unwire');
  refuse(core, TAKEN, true);
  expect(states(core)).toEqual(['held']);
  const [fence] = core.effects.filter(({ kind }) => kind === 'unwire');
  if (fence !== undefined) core.finish(fence);
  expect([states(core), core.state.count('deadLink')]).toEqual([[], 1]);
});

test('a step after the link’s was refused: the pod may have sent, so the address cools', () => {
  const core = oneAddress().add('a');
  refuse(core, { step: 'put route', errno: 'ENOMEM' }, false);
  expect([core.replyOf('add-a'), states(core)]).toEqual(['KERNEL', ['cooling']]);
});

test('a DEL that crossed the refused ADD is answered, and the address is free', () => {
  const core = oneAddress().add('a').del('a');
  expect(core.replyOf('del-a')).toBe('waits');
  refuse(core, TAKEN, true);
  expect([core.replyOf('add-a'), core.replyOf('del-a'), states(core)]).toEqual(['KERNEL', 'done', []]);
});

test('a process that dies before the fence leaves it to the next one, which lets the address cool', () => {
  const core = oneAddress().add('a');
  const [lease] = core.state.all('lease');
  core.held.add('unwire');
  refuse(core, TAKEN, true);
  const next = new Core({ rows: [...core.journal.values()], epoch: 'e2', nowMs: core.nowMs });
  next.start([lease?.id ?? '']);
  expect(states(next)).toEqual(['cooling']);
});
