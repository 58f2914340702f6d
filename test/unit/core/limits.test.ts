/** What a pod may send and receive, from its ADD over restarts and lost journals to the kernel's plan. */
import { attachmentKey, type RequestId } from '../../../src/core/brand.ts';
import type { Effect } from '../../../src/core/events.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import type { Bandwidth } from '../../../src/core/plan.ts';
import { Core, pod, type Setup } from './harness.ts';

const BOTH: Bandwidth = { ingress: { bitsPerSecond: 10e6 }, egress: { bitsPerSecond: 20e6 } };
const SETUP: Setup = { pool: { primaryEni: 'use' }, targets: { floor: 0, headroom: 2, ceiling: 2 } };

function serving(): Core {
  const core = new Core(SETUP).serving();
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32', '10.0.1.21/32'] as Cidr[] });
  return core.advance(5_000);
}

function add(core: Core, bandwidth?: Bandwidth): Core {
  const netns = { path: '/ns/a', id: '4:a' };
  const wishes = { attachment: pod('a'), netns, ...(bandwidth && { bandwidth }) };
  core.send({
    kind: 'add',
    request: `add-${core.effects.length}` as RequestId,
    deadlineMs: core.nowMs + 60_000,
    ...wishes,
  });
  return core.advance(1);
}

const check = (core: Core): Core => core.check('a', `check-${core.effects.length}`);

/** Of the last thing that the kernel was asked about the pod. */
const planned = (core: Core): Bandwidth | undefined =>
  core.effects.flatMap((effect: Effect) => ('plan' in effect && 'lease' in effect.plan ? [effect.plan] : [])).at(-1)
    ?.bandwidth;

function restarted(core: Core, { lost = false } = {}): Core {
  const lease = core.state.leaseOf(attachmentKey(pod('a')));
  if (lease === undefined) throw new Error('a has no lease');
  const { id, attachment, linkIndex: index, addresses, mtu } = lease;
  const link = { name: linkName(lease.key), index, fenced: false, lease: { id, attachment }, addresses, mtu };
  const limits = { bandwidth: { ingress: { bitsPerSecond: 10e6 } } };
  const rows = lost ? [] : [...core.journal.values()];
  const next = new Core({ ...SETUP, rows, epoch: 'e2', nowMs: core.nowMs, links: [{ ...link, ...limits }] });
  return next.start([id]);
}

test('the kernel is told what an ADD asked for, and CHECK compares with that, after a restart too', () => {
  const core = check(add(serving(), BOTH));
  expect(planned(core)).toEqual(BOTH);
  expect(planned(check(restarted(core)))).toEqual(BOTH);
});

test('a pod without limits has none in its plan nor in its row', () => {
  const core = add(serving());
  expect(planned(core)).toBeUndefined();
  expect(JSON.stringify([...core.journal.values()])).not.toContain('bandwidth');
});

test('a repeated ADD changes the limits that it names, and takes none away: the kernel has the others still', () => {
  const core = add(add(serving(), BOTH));
  expect(planned(core)).toEqual(BOTH);
  const egress = { bitsPerSecond: 5e6 };
  expect(planned(check(add(core, { egress })))).toEqual({ ...BOTH, egress });
  expect(planned(check(restarted(core)))).toEqual({ ...BOTH, egress });
});

test('of ADDs that wait together the last one’s word on each limit counts', () => {
  const core = new Core(SETUP).serving();
  add(core, { ...BOTH, egress: { bitsPerSecond: 1e6 } });
  add(core, { egress: { bitsPerSecond: 20e6 } });
  add(core);
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32', '10.0.1.21/32'] as Cidr[] }).advance(5_000);
  expect(planned(core)).toEqual(BOTH);
});

test('with the journal lost the link tells what the pod may receive', () => {
  const core = restarted(add(serving(), BOTH), { lost: true });
  const adopted = core.state.leaseOf(attachmentKey(pod('a')));
  expect(adopted?.bandwidth).toEqual({ ingress: { bitsPerSecond: 10e6 } });
});
