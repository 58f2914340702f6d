/** Syncs that the kernel refuses. */
import type { RequestId } from '../../../src/core/brand.ts';
import type { Effect } from '../../../src/core/events.ts';
import { Core } from './harness.ts';

const FAILURE = { step: 'put route eth1', errno: 'ENODEV' } as const;

/** An ENI serves; from now on the test answers what the kernel is asked for. */
function withEni(): Core {
  const core = new Core({ targets: { floor: 1, headroom: 0, ceiling: 5 } }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' }).advance(1_000);
  core.held.add('sync');
  return core;
}

type Sync = Extract<Effect, { kind: 'sync' }>;

function last(core: Core): Sync {
  const sync = core.effects.findLast((effect): effect is Sync => effect.kind === 'sync');
  if (sync === undefined) throw new Error('no sync');
  return sync;
}

const refuse = (core: Core): Core =>
  core.send({ kind: 'synced', sync: last(core).sync, changed: 3, damaged: [], failure: FAILURE });

function status(core: Core): string {
  core.replies.delete('status');
  return core.send({ kind: 'status', request: 'status' as RequestId }).replyOf('status');
}

test('one refusal is no trouble of the node; one that lasts for 2 s is, until the kernel takes it', () => {
  const core = withEni();
  refuse(core.send({ kind: 'kernel-changed' }).advance(150));
  expect(status(core)).toBe('done');
  core.finish(last(core.advance(1_000)));
  expect(status(core)).toBe('done');

  refuse(core.send({ kind: 'kernel-changed' }).advance(150));
  const said = [1, 2].map(() => {
    refuse(core.advance(1_000));
    return status(core);
  });
  expect(said).toEqual(['done', 'KERNEL']);
  core.finish(last(core.advance(1_000)));
  expect(status(core)).toBe('done');
});
