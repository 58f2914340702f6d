import { Streams } from '../../../providers/memory/random.ts';

test('a seed replays, another seed does not', () => {
  const draws = (seed: number) => {
    const streams = new Streams(seed);
    return Array.from({ length: 20 }, () => streams.bits('latency'));
  };
  expect(draws(1)).toEqual(draws(1));
  expect(draws(1)).not.toEqual(draws(2));
});

test('draws for one purpose leave those for another as they were', () => {
  const quiet = new Streams(3);
  const busy = new Streams(3);
  for (let n = 0; n < 100; n++) busy.uniform('fault/throttle/i-1');
  expect(busy.bits('latency/assign/i-1')).toBe(quiet.bits('latency/assign/i-1'));
});

test('uniform draws fill [0, 1) evenly', () => {
  const streams = new Streams(9);
  const tenths = new Array<number>(10).fill(0);
  for (let n = 0; n < 10_000; n++) {
    const at = Math.floor(streams.uniform('u') * 10);
    tenths[at] = (tenths[at] ?? 0) + 1;
  }
  // Standard deviation of each is 30.
  for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

test('spread draws keep their mean and are never below zero', () => {
  const streams = new Streams(4);
  const draws = Array.from({ length: 20_000 }, () => streams.around('latency', 200, 0.3));
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length;
  expect(Math.abs(mean - 200)).toBeLessThan(3);
  expect(Math.min(...draws)).toBeGreaterThan(30);
  expect(Math.max(...draws)).toBeGreaterThan(300);
  expect(streams.around('latency', 200, 0)).toBe(200);
});
