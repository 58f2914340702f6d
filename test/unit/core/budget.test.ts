import { TokenBucket } from '../../../providers/memory/token-bucket.ts';
import { bucketOf, type Priority, readyAtMs, tokensAt, uniformOf } from '../../../src/core/budget.ts';
import type { CloudFailure } from '../../../src/core/cloud.ts';
import type { BudgetRow } from '../../../src/core/rows.ts';
import { Core } from './harness.ts';

const rate = { burst: 100, perSecond: 5 };
const bucket = (change: Partial<BudgetRow> = {}): BudgetRow => ({
  action: 'assign',
  tokens: 0,
  atMs: 0,
  share: 1,
  notBeforeMs: 0,
  ...change,
});
const THROTTLED: CloudFailure = { kind: 'throttled', code: 'RequestLimitExceeded', message: '' };

describe('a bucket', () => {
  test('tokens grow with time up to the burst', () => {
    expect(tokensAt(bucket(), rate, 1_000)).toBe(5);
    expect(tokensAt(bucket(), rate, 60_000)).toBe(100);
    expect(tokensAt(bucket({ share: 0.5 }), rate, 1_000)).toBe(2.5);
  });

  test('a blocked pod waits for one token, a release for the reserve too', () => {
    expect(readyAtMs(bucket(), rate, 'blocked-pod', 0)).toBe(200);
    expect(readyAtMs(bucket({ tokens: 20 }), rate, 'blocked-pod', 0)).toBe(0);
    expect(readyAtMs(bucket({ tokens: 20 }), rate, 'release', 0)).toBe(Math.ceil(((1 + 0.3 * 99 - 20) / 5) * 1000));
  });

  test('a pod that waits goes before predicted ones, those before top-ups, those before releases and reads', () => {
    const order: Priority[] = ['blocked-pod', 'predicted', 'top-up', 'release', 'describe'];
    const times = order.map((priority) => readyAtMs(bucket(), rate, priority, 0));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(new Set(times.slice(0, 4)).size).toBe(4);
  });

  test('a throttled action waits as long as the cloud said', () => {
    expect(readyAtMs(bucket({ tokens: 50, notBeforeMs: 3_000 }), rate, 'blocked-pod', 0)).toBe(3_000);
  });

  test('a limit by window is kept in every window, wherever it starts', () => {
    const limit = { windowMs: 60_000, max: 90 };
    const calls: number[] = [];
    let row = bucket({ tokens: bucketOf(limit).burst });
    // As fast as it goes, after the bucket stood full for a while.
    for (let nowMs = 300_000; nowMs < 600_000; ) {
      nowMs = readyAtMs(row, limit, 'blocked-pod', nowMs);
      row = { ...row, tokens: tokensAt(row, limit, nowMs) - 1, atMs: nowMs };
      calls.push(nowMs);
    }
    const most = Math.max(...calls.map((from) => calls.filter((at) => at >= from && at < from + 60_000).length));
    expect(most).toBeLessThanOrEqual(90);
    expect(calls.length).toBeGreaterThan(4 * 45);
  });

  test('jitter depends on the text alone, spreads evenly, and differs between ids that differ in a digit', () => {
    expect(uniformOf('e1-7')).toBe(uniformOf('e1-7'));
    const values = Array.from({ length: 1_000 }, (_, at) => uniformOf(`n${at}e1-1/place`));
    const tenths = Array.from({ length: 10 }, (_, tenth) => values.filter((v) => Math.floor(v * 10) === tenth).length);
    expect(Math.min(...tenths)).toBeGreaterThan(70);
    expect(Math.max(...tenths)).toBeLessThan(130);
  });
});

/** A pool without an address and with small ENIs, so that pods need several calls. */
const empty = (epoch = 'e1'): Core =>
  new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, slots: 4, enis: 8, epoch }).serving();
const creates = (core: Core): number => core.calls.filter(({ call }) => call.action === 'create').length;
/** How long until the action is called again, in steps of 100 ms. */
function waitFor(core: Core, isCalled: () => boolean, atMostMs: number): number {
  const fromMs = core.nowMs;
  while (!isCalled() && core.nowMs - fromMs < atMostMs) core.advance(100);
  return core.nowMs - fromMs;
}

describe('throttled by the cloud', () => {
  test('several calls that were out together are one lesson: the share is halved once', () => {
    const core = empty();
    for (let n = 0; n < 12; n++) core.add(`p${n}`);
    const count = creates(core);
    expect(count).toBeGreaterThan(2);
    for (let n = 0; n < count; n++) core.fail('create', THROTTLED);
    expect(core.state.get('budget', 'create')?.share).toBe(0.5);
  });

  test('each success gives a little of the share back', () => {
    const core = empty();
    core.add('a');
    core.fail('create', THROTTLED);
    waitFor(core, () => creates(core) > 0, 10_000);
    core.bringUpEni(1);
    expect(core.state.get('budget', 'create')?.share).toBeCloseTo(0.55);
  });

  test('the cloud is not called before the time it named, and nodes that were told the same time differ', () => {
    const waits = ['e1', 'e2', 'e3', 'e4', 'e5'].map((epoch) => {
      const core = empty(epoch);
      core.add('a');
      core.fail('create', { ...THROTTLED, retryAfterMs: 4_000 });
      return waitFor(core, () => creates(core) > 0, 20_000);
    });
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(4_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(5_100);
    expect(new Set(waits).size).toBeGreaterThan(2);
  });

  test('waits double with each throttling in a row, up to half a minute', () => {
    const core = empty();
    core.add('a');
    core.send({ kind: 'wake' });
    const waits: number[] = [];
    for (let n = 0; n < 9; n++) {
      core.fail('create', THROTTLED);
      waits.push((core.state.get('budget', 'create')?.notBeforeMs ?? 0) - core.nowMs);
      waitFor(core, () => creates(core) > 0 || core.replyOf('add-a') !== 'waits', 60_000);
      if (creates(core) === 0) core.add('a');
      waitFor(core, () => creates(core) > 0, 60_000);
    }
    waits.forEach((wait, n) => {
      expect(wait).toBeLessThanOrEqual(Math.min(30_000, 1_000 * 2 ** n));
    });
    expect(Math.max(...waits)).toBeGreaterThan(4_000);
  });

  test('what nobody waits for queues up in the crowd; a pod that comes to wait goes at once', () => {
    const core = new Core({ targets: { floor: 4, headroom: 0, ceiling: 100 }, slots: 10 }).serving();
    core.fail('create', THROTTLED);
    // The crowd's window on an empty bucket of 100 at 5/s is from 10 s to 190 s.
    core.advance(9_900);
    expect(creates(core)).toBe(0);
    const placeMs = waitFor(core, () => creates(core) > 0, 190_000) + 9_900;
    expect(placeMs).toBeLessThanOrEqual(190_100);

    const other = new Core({ targets: { floor: 4, headroom: 0, ceiling: 100 }, slots: 10 }).serving();
    other.fail('create', THROTTLED);
    other.add('a');
    expect(waitFor(other, () => creates(other) > 0, 190_000)).toBeLessThanOrEqual(1_500);
  });

  test('a crowd met at one action is expected at the next', () => {
    const core = new Core({ targets: { floor: 4, headroom: 0, ceiling: 100 } }).start();
    core.fail('describeNode', THROTTLED);
    waitFor(core, () => core.callOf('describeNode') !== undefined, 60_000);
    core.answerDescribe();
    const { crowd } = core.state.get('budget', 'describeNode') ?? {};
    core.send({ kind: 'wake' });
    expect(crowd).toBeDefined();
    expect(core.state.get('budget', 'listEnis')?.crowd).toEqual(crowd);
  });
});

test('a thousand nodes that are throttled at once come back no faster than the bucket fills', () => {
  const refill = new TokenBucket(rate, 0);
  for (let n = 0; n < 100; n++) refill.take(0);
  const places = Array.from({ length: 900 }, (_, n) => {
    const core = new Core({ targets: { floor: 4, headroom: 0, ceiling: 100 }, epoch: `node${n}` });
    core.start();
    core.fail('describeNode', THROTTLED);
    const { crowd } = core.state.get('budget', 'describeNode') ?? {};
    return (crowd?.place ?? 0) * 20_000;
  }).sort((a, b) => a - b);
  const again = places.filter((atMs) => refill.take(atMs) > 0).length;
  expect(again).toBeLessThanOrEqual(9);
});
