/** What GC ends and what it spares, what a repeated DEL costs, and what a pod that is ending means to the next one. */
import { type Attachment, attachmentKey, type LeaseId, type RequestId } from '../../../src/core/brand.ts';
import type { Effect } from '../../../src/core/events.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { Core, pod } from './harness.ts';

const OLD_MS = 60_000;

/** A node whose pods a and b run. */
function running(): Core {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: { floor: 0, headroom: 3, ceiling: 4 } }).serving();
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32', '10.0.1.21/32', '10.0.1.22/32'] as Cidr[] });
  return core.advance(5_000).add('a').add('b');
}

/** The runtime's list; who is left then. */
function gc(core: Core, valid: readonly Attachment[], network = 'underway'): readonly string[] {
  core.replies.clear();
  core.send({ kind: 'gc', request: 'gc' as RequestId, network, valid });
  expect(core.replyOf('gc')).toBe('done');
  return [...core.state.all('lease')].map(({ attachment }) => attachment.containerId);
}

const lastOf = (core: Core, kind: Effect['kind']): Effect => {
  const effect = core.effects.findLast((one) => one.kind === kind);
  if (effect === undefined) throw new Error(`no ${kind} was sent`);
  return effect;
};

test('what the list does not name ends, once it is a minute old', () => {
  const core = running().advance(OLD_MS - 1);
  expect(gc(core, [pod('b')])).toEqual(['a', 'b']);
  core.advance(1);
  expect(gc(core, [pod('b')])).toEqual(['b']);
  expect(core.state.get('address', '10.0.1.20')?.state).toBe('cooling');
});

test('an ADD that is repeated makes it new again', () => {
  const core = running().advance(OLD_MS).add('a');
  expect(gc(core, [])).toEqual(['a']);
});

test('another network’s list ends nothing', () => {
  expect(gc(running().advance(OLD_MS), [], 'other')).toEqual(['a', 'b']);
});

test('a pod that waits for its address is not ended by a list that was made before', () => {
  const core = running().advance(OLD_MS);
  core.add('c').add('d');
  expect(gc(core, [pod('a'), pod('b')])).toEqual(['a', 'b', 'c']);
  expect(core.state.get('waiter', attachmentKey(pod('d')))?.requests).toEqual(['add-d']);
  expect(core.replyOf('add-d')).toBe('waits');
});

test('a pod whose CHECK is in flight is left to the next list', () => {
  const core = running().advance(OLD_MS);
  core.held.add('verify');
  core.check('a', 'check');
  expect(gc(core, [pod('b')])).toEqual(['a', 'b']);
  core.finish(lastOf(core, 'verify'));
  expect(core.replyOf('check')).toBe('done');
  expect(gc(core, [pod('b')])).toEqual(['b']);
});

test('a pod whose wiring takes longer than a minute is left to the next list', () => {
  const core = running();
  core.held.add('wire');
  core.add('c').advance(OLD_MS - 1_000);
  const wire = lastOf(core, 'wire');
  core.nowMs += 1_000;
  expect(gc(core, [pod('a'), pod('b')])).toEqual(['a', 'b', 'c']);
  core.finish(wire);
  expect(core.replyOf('add-c')).not.toBe('DELETED_MEANWHILE');
});

test('a pod that comes while the last one’s fence is put up waits for its address, and hears why not where there is none', () => {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: { floor: 0, headroom: 1, ceiling: 1 } }).serving();
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32'] as Cidr[] });
  core.advance(5_000).add('a');
  core.held.add('unwire');
  core.del('a').add('b');
  expect(core.replyOf('add-b')).toBe('waits');
  core.finish(lastOf(core, 'unwire'));
  core.held.clear();
  core.advance(130_000);
  expect(core.replyOf('add-b')).not.toBe('CEILING');
  expect(core.addressOf('b')).toBe('10.0.1.20');
  core.held.add('unwire');
  core.del('b').add('c').add('d');
  const lease = [...core.state.all('lease')][0]?.id;
  core.send({ kind: 'unwired', lease: lease as LeaseId, failure: { step: 'set-link', errno: 'ENOMEM' } });
  expect([core.replyOf('add-c'), core.replyOf('add-d')]).toEqual(['CEILING', 'CEILING']);
});

test('a repeated DEL asks neither the kernel nor the journal for anything', () => {
  const core = running().del('a');
  const journal = JSON.stringify([...core.journal]);
  const before = core.effects.length;
  core.replies.clear();
  core.del('a').del('never-added');
  expect(core.effects.slice(before).map(({ kind }) => kind)).toEqual(['reply', 'reply']);
  expect([core.replyOf('del-a'), core.replyOf('del-never-added')]).toEqual(['done', 'done']);
  expect(JSON.stringify([...core.journal])).toBe(journal);
});
