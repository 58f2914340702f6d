/** Syncs that the kernel refuses. */
import type { RequestId } from '../../../src/core/brand.ts';
import { type Effect, NO_REPAIR } from '../../../src/core/events.ts';
import { Core, eniFacts, nic } from './harness.ts';

const FAILURE = { step: 'put route eth1', errno: 'ENODEV' } as const;
const { mac } = eniFacts(1, [], {});

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
  core.send({
    kind: 'synced',
    sync: last(core).sync,
    changed: { ...NO_REPAIR, count: 3 },
    damaged: [],
    failure: FAILURE,
  });

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

test('a refused plan is tried again after a second; another one, that what came since asks for, at once', () => {
  const core = withEni();
  core.send({ kind: 'link-seen', mac, name: 'ens6', index: nic(mac, 1).index, mtu: 9_001 });
  const first = last(core);
  expect(last(refuse(core).advance(900))).toBe(first);
  expect(last(core.advance(100))).not.toBe(first);

  core.send({ kind: 'link-seen', mac, name: 'ens7', index: nic(mac, 1).index, mtu: 9_001 });
  refuse(core);
  expect(last(core).plan.enis.map(({ link }) => link)).toEqual(['eth0', 'ens7']);
});

describe('while the host side of pods is put back', () => {
  function mending(): Core {
    const core = withEni().add('a');
    core.send({ kind: 'kernel-changed' }).advance(150);
    expect(last(core).pods).toHaveLength(1);
    return core;
  }
  const kinds = (core: Core, from: number) => core.effects.slice(from).map(({ kind }) => kind);

  test('a DEL waits for that, and is fenced then: what was read before would undo the fence', () => {
    const core = mending();
    const before = core.effects.length;
    core.del('a');
    expect([kinds(core, before), core.replyOf('del-a')]).toEqual([[], 'waits']);
    core.finish(last(core));
    expect(kinds(core, before)).toContain('unwire');
    expect([core.replyOf('del-a'), core.state.count('lease')]).toEqual(['done', 0]);
  });

  test('a repeated ADD and a CHECK wait for it too', () => {
    const core = mending();
    core.replies.clear();
    core.add('a').check('a');
    expect([core.replyOf('add-a'), core.replyOf('check-a')]).toEqual(['waits', 'waits']);
    core.finish(last(core));
    expect([core.replyOf('add-a'), core.replyOf('check-a')]).toEqual(['added', 'done']);
  });

  test('a pod that was damaged is not wired anew', () => {
    const core = mending();
    const before = core.effects.length;
    const damaged = last(core).pods.map(({ lease }) => ({ ...NO_REPAIR, count: 1, lease }));
    core.send({ kind: 'synced', sync: last(core).sync, changed: NO_REPAIR, damaged });
    expect(kinds(core, before)).toEqual([]);
  });
});
