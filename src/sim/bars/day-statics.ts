/**
 * Every static policy of the day: one setting for all nodes, each with its whole range as a ladder on which idle
 * addresses rise and waits fall. The cheapest one that is good enough is found by halving, not by trying all.
 */
import type { PolicyFigures } from './bar.ts';
import type { DaySetting } from './day-fleet.ts';

export interface Ladder {
  readonly name: string;
  readonly steps: readonly number[];
  readonly setting: (step: number) => DaySetting;
}

/** What an m5.4xlarge holds: nothing beyond it can be asked for. */
const CEILING = 232;
const STEPS = [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 48, 64, 96, 128, CEILING];

export const LADDERS: readonly Ladder[] = [
  {
    name: 'headroom',
    steps: STEPS,
    setting: (headroom) => ({ policy: 'underway', targets: { floor: 0, headroom, ceiling: 1_000 } }),
  },
  {
    name: 'floor',
    steps: STEPS,
    setting: (floor) => ({ policy: 'underway', targets: { floor, headroom: 0, ceiling: 1_000 } }),
  },
  {
    name: 'floor and headroom 8',
    steps: STEPS,
    setting: (floor) => ({ policy: 'underway', targets: { floor, headroom: 8, ceiling: 1_000 } }),
  },
  {
    name: 'aws WARM_IP_TARGET',
    steps: STEPS.slice(1),
    setting: (warmIp) => ({ policy: 'aws', settings: { warmIp } }),
  },
  {
    name: 'aws WARM_ENI_TARGET',
    steps: [1, 2, 3, 4, 6, 8],
    setting: (warmEni) => ({ policy: 'aws', settings: { warmEni } }),
  },
  {
    name: 'cilium pre-allocate',
    steps: [1, 2, 3, 4, 5, 6, 7, ...STEPS.filter((step) => step >= 8)],
    setting: (preAllocate) => ({ policy: 'cilium', settings: { preAllocate } }),
  },
  {
    name: 'cilium pre-allocate, releasing',
    steps: STEPS.slice(1),
    setting: (preAllocate) => ({ policy: 'cilium', settings: { preAllocate, release: true } }),
  },
  {
    name: 'terway min and max pool size',
    steps: STEPS,
    setting: (size) => ({ policy: 'terway', settings: { minPool: size, maxPool: size + 5 } }),
  },
];

export interface Point {
  readonly name: string;
  readonly seed: number;
  readonly figures: PolicyFigures;
}

/** The cheapest step whose p99 is no worse; undefined where even the highest is not good enough. */
export async function cheapest(
  ladder: Ladder,
  p99Ms: number,
  run: (name: string, setting: DaySetting) => Promise<Point>,
): Promise<Point | undefined> {
  const at = (index: number): Promise<Point> => {
    const step = ladder.steps[index] ?? 0;
    return run(`${ladder.name} ${step}`, ladder.setting(step));
  };
  const top = ladder.steps.length - 1;
  let low = -1;
  let high = 0;
  let best = await at(high);
  // Upwards in leaps that double: the highest steps hold thousands of addresses and take longest.
  while (best.figures.p99Ms > p99Ms) {
    if (high === top) return undefined;
    low = high;
    high = Math.min(top, 2 * high + 1);
    best = await at(high);
  }
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const point = await at(middle);
    if (point.figures.p99Ms > p99Ms) low = middle;
    else {
      high = middle;
      if (point.figures.idleIpHours < best.figures.idleIpHours) best = point;
    }
  }
  return best;
}
