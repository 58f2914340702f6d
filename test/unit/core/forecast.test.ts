import {
  afterArrival,
  afterBoot,
  afterRefill,
  explainHeadroom,
  type Forecast,
  headroomOf,
  NOTHING_LEARNT,
  nextChangeMs,
} from '../../../src/core/forecast.ts';

const HOUR_MS = 3_600_000;

const burst = (forecast: Forecast, count: number, nowMs: number): Forecast => {
  let next = forecast;
  for (let n = 0; n < count; n++) next = afterArrival(next, nowMs + n);
  return next;
};

test('a node that saw no pod keeps nothing ready, and will not change its mind by itself', () => {
  expect(headroomOf(NOTHING_LEARNT, { nowMs: 5_000, cap: 100 })).toBe(0);
  expect(nextChangeMs(NOTHING_LEARNT, 5_000)).toBeUndefined();
});

test('bursts of twelve each few minutes keep twelve ready, and not more than the cap', () => {
  let forecast = NOTHING_LEARNT;
  for (let n = 0; n < 20; n++) forecast = burst(forecast, 12, n * 240_000);
  const nowMs = 20 * 240_000;
  expect(headroomOf(forecast, { nowMs, cap: 100 })).toBe(12);
  expect(headroomOf(forecast, { nowMs, cap: 7 })).toBe(7);
  expect(explainHeadroom(forecast, { nowMs, cap: 100 }).sentence).toContain('12');
});

test('between arrivals the value only falls, exactly when it was said to, to nothing', () => {
  let forecast = NOTHING_LEARNT;
  for (let n = 0; n < 200; n++) forecast = burst(forecast, 1 + ((n * 7) % 50), n * 240_000);
  let nowMs = 200 * 240_000;
  let value = headroomOf(forecast, { nowMs, cap: 1_000 });
  let changes = 0;
  for (;;) {
    const changeMs = nextChangeMs(forecast, nowMs);
    if (changeMs === undefined) break;
    expect(headroomOf(forecast, { nowMs: changeMs - 10, cap: 1_000 })).toBe(value);
    nowMs = changeMs;
    const lower = headroomOf(forecast, { nowMs, cap: 1_000 });
    expect(lower).toBeLessThan(value);
    value = lower;
    changes++;
  }
  expect(value).toBe(0);
  expect(changes).toBeLessThan(64);
  expect(nowMs).toBeLessThan(200 * 240_000 + 12 * HOUR_MS);
});

test('a reboot keeps what was learnt and starts its time anew', () => {
  const forecast = burst(NOTHING_LEARNT, 9, 90 * HOUR_MS);
  const rebooted = afterBoot(forecast, 1_000);
  expect(headroomOf(rebooted, { nowMs: 1_000, cap: 100 })).toBe(9);
  expect(headroomOf(rebooted, { nowMs: 20 * HOUR_MS, cap: 100 })).toBe(0);
});

test('a refill that took long counts at once, one that was quick bit by bit', () => {
  const slow = afterRefill(NOTHING_LEARNT, 9_000);
  expect(slow.leadMs).toBe(9_000);
  const quick = afterRefill(slow, 300);
  expect(quick.leadMs).toBeLessThan(9_000);
  expect(quick.leadMs).toBeGreaterThan(8_000);
});

test('it stays small and plain whatever comes', () => {
  let forecast = NOTHING_LEARNT;
  for (let n = 1; n < 2_000; n++) forecast = burst(forecast, n % 700, n * 20_000);
  const text = JSON.stringify(forecast);
  expect(text.length).toBeLessThan(4_000);
  const read = JSON.parse(text);
  expect(headroomOf(read, { nowMs: 4e7, cap: 1_000 })).toBe(headroomOf(forecast, { nowMs: 4e7, cap: 1_000 }));
});

test('a refill that waited for a cloud that was down teaches no more than an ADD can wait', () => {
  expect(afterRefill(NOTHING_LEARNT, 2 * HOUR_MS).leadMs).toBe(60_000);
});

test('a lone pod now and then leaves nothing ready once its hour is over', () => {
  let forecast = NOTHING_LEARNT;
  for (let n = 0; n < 12; n++) forecast = afterArrival(forecast, n * 2 * HOUR_MS);
  expect(headroomOf(forecast, { nowMs: 22 * HOUR_MS + 1_000, cap: 100 })).toBe(1);
  expect(headroomOf(forecast, { nowMs: 23.9 * HOUR_MS, cap: 100 })).toBe(0);
});
