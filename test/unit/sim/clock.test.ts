/** Virtual time: order, promises between timers, cancelled timers. */
import { VirtualClock } from '../../../src/sim/clock.ts';

test('timers fire in order of time, then of arming; one that was cancelled never does', async () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.after(20, () => fired.push('c'));
  clock.after(10, () => fired.push('a'));
  const cancel = clock.after(10, () => fired.push('cancelled'));
  clock.after(10, () => fired.push('b'));
  cancel();
  await clock.run(clock.nowMs() + 30);
  expect(fired).toEqual(['a', 'b', 'c']);
});

test('every promise settles before the next timer fires', async () => {
  const clock = new VirtualClock();
  const seen: string[] = [];
  clock.after(1, async () => {
    for (let n = 0; n < 50; n++) await undefined;
    seen.push('the first is done');
  });
  clock.after(1, () => seen.push('the second'));
  await clock.run(clock.nowMs() + 2);
  expect(seen).toEqual(['the first is done', 'the second']);
});

test('timers that are armed and cancelled by the thousand leave the others in order', async () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  for (let n = 0; n < 2_000; n++) {
    const cancel = clock.after(10_000 + n, () => fired.push(-1));
    if (n % 100 === 0) clock.after(2_000 - n, () => fired.push(n));
    cancel();
  }
  await clock.run(clock.nowMs() + 20_000);
  expect(fired).toEqual(Array.from({ length: 20 }, (_, n) => 1_900 - 100 * n));
});

test('setting the wall clock leaves monotonic time alone', async () => {
  const clock = new VirtualClock();
  const [now, wall] = [clock.nowMs(), clock.wallMs()];
  clock.setWall(-3_600_000);
  expect(clock.nowMs()).toBe(now);
  expect(clock.wallMs()).toBe(wall - 3_600_000);
});
