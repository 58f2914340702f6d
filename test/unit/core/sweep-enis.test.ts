/**
 * The leak sweep: by tag, observed age and owner. What nobody's journal knows goes; what is anybody else's, or may still
 * be on its way to somebody, stays.
 */
import type { EniKey, InstanceId } from '../../../src/core/brand.ts';
import type { EniFacts, Tags } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import type { EniRow } from '../../../src/core/rows.ts';
import { Core, eniFacts, INSTANCE, primaryFacts } from './harness.ts';

const MINUTE_MS = 60_000;

const tags = (change: Tags = {}): Tags => ({
  'underway.dev/cluster': 'test',
  'underway.dev/node': 'n1',
  'underway.dev/instance': INSTANCE,
  'underway.dev/intent': 'e0-7',
  'underway.dev/created-at': '1',
  ...change,
});

const stray = (change: Partial<EniFacts> = {}): EniFacts => ({
  ...eniFacts(7, ['10.0.1.141/32' as Cidr], tags()),
  ...change,
});

const serving = (): Core => new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 } }).serving();

/** Time passes with every list answered; true as soon as the cloud is asked to delete or detach something. */
function givesBackWithin(core: Core, ms: number, enis: () => readonly EniFacts[]): boolean {
  for (const untilMs = core.nowMs + ms; core.nowMs < untilMs; core.advance(1_000)) {
    if (core.callOf('listEnis') !== undefined)
      core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts, ...enis()] });
    if (core.callOf('delete') !== undefined || core.callOf('detach') !== undefined) return true;
  }
  return false;
}

test('sweep: an ENI of ours that no row knows is deleted once it was seen unattached for ten minutes', () => {
  const core = serving();
  const beganMs = core.nowMs;
  expect(givesBackWithin(core, 25 * MINUTE_MS, () => [stray()])).toBe(true);
  expect(core.callOf('delete')?.call).toEqual({ action: 'delete', eni: stray().id });
  expect(core.nowMs - beganMs).toBeGreaterThanOrEqual(10 * MINUTE_MS);
  core.answer('delete', { action: 'delete' });
  expect([...core.state.all('eni')].map(({ kind }) => kind)).toEqual(['primary']);
});

test('sweep: the intent to delete it is in the journal before the call, so a crash in between is resumed', () => {
  const core = serving();
  givesBackWithin(core, 25 * MINUTE_MS, () => [stray()]);
  const rows = [...core.journal.values()].filter(({ table }) => table === 'operation' || table === 'eni');
  expect(rows.map(({ row }) => row)).toContainEqual(
    expect.objectContaining({ call: { action: 'delete', eni: stray().id } }),
  );
});

test('sweep: never a fresh one', () => {
  const core = serving();
  // First seen by the background read that is due within ten minutes; ten more have not passed since.
  let firstSeenMs = 0;
  const listed = (): readonly EniFacts[] => {
    if (firstSeenMs === 0) firstSeenMs = core.nowMs;
    return [stray()];
  };
  givesBackWithin(core, 10 * MINUTE_MS, listed);
  expect(firstSeenMs).toBeGreaterThan(0);
  expect(givesBackWithin(core, firstSeenMs + 10 * MINUTE_MS - core.nowMs - 1_000, listed)).toBe(false);
});

test('sweep: a restart begins the time anew, the age of another process proves nothing', () => {
  const first = serving();
  givesBackWithin(first, 9.5 * MINUTE_MS, () => [stray()]);
  const rows = [...first.journal.values()];
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, rows, epoch: 'e2', nowMs: first.nowMs });
  core.start();
  expect(givesBackWithin(core, 9.5 * MINUTE_MS, () => [stray()])).toBe(false);
  expect(givesBackWithin(core, 15 * MINUTE_MS, () => [stray()])).toBe(true);
});

test('sweep: one that changed meanwhile is somebody’s, the time begins anew', () => {
  const core = serving();
  const beganMs = core.nowMs;
  const other = stray({ blocks: ['10.0.1.141/32' as Cidr, '10.0.1.142/32' as Cidr] });
  const listed = (): readonly EniFacts[] => [core.nowMs - beganMs < 15 * MINUTE_MS ? stray() : other];
  expect(givesBackWithin(core, 24 * MINUTE_MS, listed)).toBe(false);
});

test('sweep: one that is attached here within the time is adopted instead', () => {
  const core = serving();
  givesBackWithin(core, 11 * MINUTE_MS, () => [stray()]);
  const attached = stray({ attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' } });
  givesBackWithin(core, 10 * MINUTE_MS, () => [attached]);
  expect(core.state.get('eni', 'e0-7')).toMatchObject({ kind: 'secondary', id: stray().id });
  expect(core.callOf('delete')).toBeUndefined();
});

const ELSEWHERE = { instance: 'i-2' as InstanceId, deviceIndex: 1, state: 'attached' } as const;

test.each<[string, EniFacts]>([
  ["another instance's", stray({ tags: tags({ 'underway.dev/instance': 'i-2' }) })],
  ["another cluster's", stray({ tags: tags({ 'underway.dev/cluster': 'other' }) })],
  ['without tags', stray({ tags: {} })],
  ['with our node’s name alone', stray({ tags: { 'underway.dev/node': 'n1' } })],
  ['of ours that another instance has', stray({ attachment: ELSEWHERE })],
  [
    'of ours that another instance was launched with',
    stray({ attachment: { ...ELSEWHERE, deviceIndex: 0 }, primary: true }),
  ],
])('sweep: never one %s, however long it is seen', (_, eni) => {
  const core = serving();
  expect(givesBackWithin(core, 120 * MINUTE_MS, () => [eni])).toBe(false);
  expect([...core.state.all('eni')].map(({ kind }) => kind)).toEqual(['primary']);
});

test("sweep: another node's ENI attached here is foreign, and stays", () => {
  const core = serving();
  const attachment = { instance: INSTANCE, deviceIndex: 3, state: 'attached' } as const;
  const moved = stray({ tags: tags({ 'underway.dev/instance': 'i-2' }), attachment });
  expect(givesBackWithin(core, 60 * MINUTE_MS, () => [moved])).toBe(false);
  expect([...core.state.all('eni')].map(({ kind }) => kind)).toEqual(['primary', 'foreign']);
});

test('an ENI of ours that somebody gave to another instance is neither detached nor deleted there', () => {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  const facts = core.bringUpEni(1);
  core.answer('modify', { action: 'modify' }).add('a');
  const moved = { ...facts, attachment: ELSEWHERE };
  const key = [...core.state.all('eni')].find(({ kind }) => kind === 'secondary')?.key as EniKey;
  expect(givesBackWithin(core, 60 * MINUTE_MS, () => [moved])).toBe(false);
  // Its pod is told, and the row is kept as long as the pod names its address.
  expect(core.state.get('eni', key)?.state).toBe('gone');
  expect([...core.state.all('lease')].map(({ state }) => state)).toEqual(['lost']);
});

test('an ENI whose attach a power loss forgot, and that is no more, is kept as long as a pod names its address', () => {
  const first = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  first.bringUpEni(1);
  first.answer('modify', { action: 'modify' }).add('a');
  const rows = [...first.journal.values()].map((row) =>
    row.table === 'eni' && (row.row as EniRow).kind === 'secondary'
      ? { ...row, row: { ...(row.row as EniRow), state: 'attaching' } }
      : row,
  );
  const targets = { floor: 0, headroom: 0, ceiling: 100 };
  const core = new Core({ targets, rows, epoch: 'e2', bootId: 'boot-2', nowMs: 8_000 }).start();
  const key = [...core.state.all('eni')].find(({ kind }) => kind === 'secondary')?.key as EniKey;
  const states: unknown[] = [];
  for (let n = 0; n < 60; n++) {
    const state = core.state.get('eni', key)?.state;
    if (states.at(-1) !== state) states.push(state);
    givesBackWithin(core, 1_000, () => [primaryFacts]);
  }
  expect(states).toEqual(['attaching', 'gone', undefined]);
});

test('a copy of our tags does not take the row of the ENI that they were copied from', () => {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  const facts = core.bringUpEni(1);
  core.add('a');
  const real: EniFacts = { ...facts, attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' } };
  const copy = stray({ tags: facts.tags, attachment: { instance: INSTANCE, deviceIndex: 2, state: 'attached' } });
  givesBackWithin(core, 11 * MINUTE_MS, () => [real, copy]);
  const intent = facts.tags['underway.dev/intent'] ?? '';
  expect(core.state.get('eni', intent)).toMatchObject({ id: real.id, state: 'ready' });
  expect(core.addressOf('a')).toBe('10.0.1.21');
});

test('a delete that is refused because the ENI was attached late detaches it first', () => {
  const core = serving();
  givesBackWithin(core, 25 * MINUTE_MS, () => [stray()]);
  core.fail('delete', { kind: 'conflict', code: 'InvalidNetworkInterface.InUse', message: '' });
  const attached = stray({ attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' } });
  for (let seconds = 0; seconds < 120 && core.callOf('detach') === undefined; seconds++) {
    core.advance(1_000);
    if (core.callOf('listEnis') !== undefined)
      core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts, attached] });
    if (core.callOf('delete') !== undefined)
      core.fail('delete', { kind: 'conflict', code: 'InvalidNetworkInterface.InUse', message: '' });
  }
  expect(core.callOf('detach')?.call).toEqual({ action: 'detach', eni: stray().id, force: false });
});
