/**
 * Every static policy of the day: one setting for all nodes, each with its whole range as a ladder on which idle
 * addresses rise and waits fall. The cheapest one that is good enough is found by halving, not by trying all.
 */
import type { PolicyFigures } from './bar.ts';
import type { DayLimits, DayOutcome, DaySetting } from './day-fleet.ts';

export interface Ladder {
  readonly name: string;
  readonly steps: readonly number[];
  readonly setting: (step: number) => DaySetting;
}

/** What an m5.4xlarge holds: nothing beyond it can be asked for. */
const CEILING = 232;
const STEPS = [0, 1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 48, 64, 96, 128, CEILING];

/** The first is mostly the one that the others then have to be cheaper than. */
export const LADDERS: readonly Ladder[] = [
  {
    name: 'cilium pre-allocate',
    steps: [1, 2, 3, 4, 5, 6, 7, ...STEPS.filter((step) => step >= 8)],
    setting: (preAllocate) => ({ policy: 'cilium', settings: { preAllocate } }),
  },
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

/**
 * The cheapest step that is no slower than the limit and cheaper than `idleIpHours`; undefined where there is none.
 * Waits fall and idle addresses rise with each step, so one that is slow rules out those below it, one that is dear those
 * above.
 */
export async function cheapest(
  ladder: Ladder,
  limits: DayLimits,
  run: (name: string, setting: DaySetting, limits: DayLimits) => Promise<DayOutcome>,
): Promise<PolicyFigures | undefined> {
  let best: PolicyFigures | undefined;
  let low = -1;
  let high = ladder.steps.length;
  // Upwards in leaps that double: the highest steps hold thousands of addresses and take longest.
  while (high - low > 1) {
    const isTopKnown = high < ladder.steps.length;
    const at = isTopKnown ? (low + high) >> 1 : Math.min(high - 1, Math.max(0, 2 * low + 1));
    const step = ladder.steps[at] ?? 0;
    const idleIpHours = best?.idleIpHours ?? limits.idleIpHours;
    const outcome = await run(`${ladder.name} ${step}`, ladder.setting(step), { ...limits, idleIpHours });
    if (outcome.kind === 'slow') low = at;
    else high = at;
    if (outcome.kind === 'measured') best = outcome.figures;
  }
  return best;
}
