/** What is in doubt, or is refused, on one ENI: neither believed too soon, nor a reason to keep pods from the others. */

import type { CloudFailure } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import type { EniPresent } from '../../../src/core/rows.ts';
import { CAPABILITIES, Core, primaryFacts } from './harness.ts';

const LOST: CloudFailure = { kind: 'ambiguous', code: 'reset', message: '' };
const DENIED: CloudFailure = { kind: 'denied', code: 'UnauthorizedOperation', message: '' };
const NOT_FOUND: CloudFailure = { kind: 'notFound', code: 'InvalidNetworkInterfaceID.NotFound', message: '' };
const CONFLICT: CloudFailure = { kind: 'conflict', code: 'InvalidNetworkInterface.InUse', message: '' };
const LANDED_MS = Math.max(CAPABILITIES.callDeadlineMs, CAPABILITIES.listLagMs);

const TARGETS = { floor: 0, headroom: 0, ceiling: 1_000 };
const onPrimary = (enis: number): Core =>
  new Core({ pool: { primaryEni: 'use' }, targets: TARGETS, enis, slots: 10 }).serving();

const singles = (count: number, from: number): Cidr[] =>
  Array.from({ length: count }, (_, at) => `10.0.1.${from + at}/32` as Cidr);

const actions = (core: Core): string[] => core.calls.map(({ call }) => call.action);

const eniOf = (core: Core, id: string): EniPresent =>
  [...core.state.all('eni')].find((eni): eni is EniPresent => eni.state !== 'creating' && eni.id === id) as EniPresent;

/** Six pods on the primary, of which three ended: their addresses are being given back. */
function givingBack(enis = 3): Core {
  const core = onPrimary(enis);
  for (let n = 0; n < 6; n++) core.add(`p${n}`);
  for (let from = 20; core.callOf('assign') !== undefined; from += 10) {
    const call = core.callOf('assign')?.call;
    if (call?.action === 'assign') core.answer('assign', { action: 'assign', blocks: singles(call.wish.count, from) });
  }
  for (const name of ['p0', 'p1', 'p2']) core.del(name);
  core.advance(95_000);
  expect(actions(core)).toEqual(['unassign']);
  return core;
}

test('an unassign whose answer was lost is sent again only when it cannot land any more', () => {
  const core = givingBack();
  core.fail('unassign', LOST);
  core.advance(LANDED_MS - 1);
  expect(actions(core)).toEqual([]);
  core.advance(1);
  expect(actions(core)).toEqual(['unassign']);
  core.answer('unassign', { action: 'unassign' });
  expect(core.state.count('block')).toBe(3);
});

test('a process that died with an unassign in flight leaves it to land, too', () => {
  const before = givingBack();
  const core = new Core({
    pool: { primaryEni: 'use' },
    targets: TARGETS,
    rows: [...before.journal.values()],
    epoch: 'e2',
    nowMs: before.nowMs + 1_000,
  });
  core.start([...before.state.all('lease')].map(({ id }) => id));
  core.advance(LANDED_MS - 1);
  expect(actions(core)).not.toContain('unassign');
  core.advance(1);
  expect(actions(core)).toContain('unassign');
});

test('a pod gets a new ENI while what is asked of the full one waits', () => {
  const core = givingBack();
  core.fail('unassign', LOST);
  core.add('late');
  expect(actions(core)).toEqual(['create']);
});

test('where a new ENI needs an old one to go, and deleting is denied, the pod is told so', () => {
  const core = new Core({ targets: TARGETS, enis: 2, slots: 10 }).serving();
  for (const name of ['a', 'a2', 'a3']) core.add(name);
  core.bringUpEni(1);
  core.advance(10);
  if (core.callOf('assign') !== undefined) core.answer('assign', { action: 'assign', blocks: singles(2, 50) });
  core.answer('modify', { action: 'modify' });
  for (const name of ['a', 'a2', 'a3']) core.del(name);
  core.advance(200_000);
  core.answer('detach', { action: 'detach' });
  core.send({ kind: 'link-gone', mac: eniOf(core, 'eni-1').mac, name: 'eth1', index: 3 });
  core.advance(6_000);
  core.fail('delete', DENIED);
  core.add('b');
  expect(core.replies.get('add-b')).toMatchObject({ kind: 'refused', reason: { code: 'DENIED', action: 'delete' } });
});

test("an operator's address on the primary stays the operator's after an assign in doubt", () => {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: { ...TARGETS, headroom: 4 } }).serving();
  core.fail('assign', LOST);
  for (let n = 0; n < 20; n++) {
    core.advance(1_000);
    if (core.callOf('listEnis') !== undefined)
      core.answer('listEnis', { action: 'listEnis', enis: [{ ...primaryFacts, blocks: singles(1, 77) }] });
  }
  expect(core.state.count('block')).toBe(0);
  expect(eniOf(core, primaryFacts.id).foreignBlocks).toEqual(['10.0.1.77/32']);
});

test('an ENI that takes no more is left alone; others are filled and made meanwhile', () => {
  const core = onPrimary(3);
  core.add('a');
  core.fail('assign', { kind: 'exhausted', scope: 'eni', code: 'PrivateIpAddressLimitExceeded', message: '' });
  expect(actions(core)).toEqual(['listEnis', 'create']);
  expect(core.replyOf('add-a')).toBe('waits');
  const alone = onPrimary(1).add('a');
  alone.fail('assign', { kind: 'exhausted', scope: 'eni', code: 'PrivateIpAddressLimitExceeded', message: '' });
  expect(alone.replyOf('add-a')).toBe('ADDRESS_LIMIT');
});

test.each([NOT_FOUND, CONFLICT])(
  'an ENI that two calls found wrong ($kind) is asked nothing until reads have told',
  (wrong) => {
    const core = onPrimary(3);
    core.add('a');
    core.fail('assign', wrong);
    core.advance(30_000);
    expect(actions(core)).toContain('assign');
    core.fail('assign', wrong);
    core.advance(LANDED_MS - 1);
    expect(actions(core)).not.toContain('assign');
  },
);
