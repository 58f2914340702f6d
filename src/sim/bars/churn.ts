/**
 * Churn inside the pool: one pod a second that lives a second. Cooling addresses decide here: a policy that counts them
 * as available asks for nothing and fails.
 */
import { DEFAULT_SETTINGS } from '../../core/boot.ts';
import { aws } from '../peers/aws.ts';
import { cilium } from '../peers/cilium.ts';
import { terway } from '../peers/terway.ts';
import type { Bar } from './bar.ts';
import type { PodSpec } from './kubelet.ts';
import { figuresOf, type Measured, measure, SPREAD } from './measure.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

const SECOND_MS = 1_000;
const LENGTH_MS = 300_000;
const SETTLE_MS = 300_000;
const FOREVER = Number.POSITIVE_INFINITY;

interface Churn {
  readonly instanceType: string;
  readonly steadyCount: number;
}

/** The steady pods are there half way through the settling; what they needed is warm again when the trace begins. */
function churn(policy: Policy, { instanceType, steadyCount }: Churn, seed: number): Promise<Measured> {
  const steady = Array.from({ length: steadyCount }, (): PodSpec => ({ atMs: -SETTLE_MS / 2, lifeMs: FOREVER }));
  const churning = Array.from(
    { length: LENGTH_MS / SECOND_MS },
    (_, n): PodSpec => ({ atMs: n * SECOND_MS, lifeMs: SECOND_MS }),
  );
  return measure({
    seed,
    policy,
    nodes: [{ name: 'node', instanceType, pods: [...steady, ...churning] }],
    lengthMs: LENGTH_MS,
    spread: SPREAD,
    settleMs: SETTLE_MS,
  });
}

const longest = (run: Measured, fromMs: number, toMs: number): number =>
  run.waits.reduce((max, { atMs, waitMs }) => (atMs >= fromMs && atMs < toMs ? Math.max(max, waitMs) : max), 0);

/** Everyone's floor and headroom are the same: 23 addresses at least, 4 of them free. */
const FLOOR = 23;
const HEADROOM = 4;
const FIRST_MS = 60_000;
/** 19 steady, one a second that is held for 1 s and cools for 30, the headroom and half of it again. */
const ADDRESSES_MAX = 56;

export const churnBar: Bar = {
  name: 'churn',
  title: '19 steady pods and one a second that lives a second, m5.xlarge, floor 23, headroom 4',
  run: async ({ seedFrom = 1 }) => {
    const shape = { instanceType: 'm5.xlarge', steadyCount: 19 };
    const targets = { floor: FLOOR, headroom: HEADROOM, ceiling: 1_000 };
    const own = await churn(underway({ targets }), shape, seedFrom);
    const figures = {
      underway: figuresOf([own]),
      aws: figuresOf([await churn(aws({ minimumIp: FLOOR, warmIp: HEADROOM }), shape, seedFrom)]),
      terway: figuresOf([await churn(terway({ minPool: HEADROOM, maxPool: FLOOR }), shape, seedFrom)]),
      cilium: figuresOf([await churn(cilium({ minAllocate: FLOOR }), shape, seedFrom)]),
    };
    return {
      scenario: 'churn',
      figures,
      bound: { addressCountMax: ADDRESSES_MAX },
      verdicts: [
        { what: 'failed ADDs', value: figures.underway.failed, atMost: 0 },
        { what: 'longest wait in the first 60 s, ms', value: longest(own, 0, FIRST_MS), atMost: 2_600 },
        { what: 'longest wait after them, ms', value: longest(own, FIRST_MS, LENGTH_MS), atMost: 0 },
        { what: 'addresses at most', value: own.addressCountMax, atMost: ADDRESSES_MAX },
      ],
      notes: [
        `failed ADDs by policy, of ${LENGTH_MS / SECOND_MS} pods that each ask until served: ${failures(figures)}`,
      ],
    };
  },
};

const failures = (figures: Readonly<Record<string, { readonly failed: number }>>): string =>
  Object.entries(figures)
    .map(([policy, { failed }]) => `${policy} ${failed}`)
    .join(', ');

/** 3 ENIs x 9 secondary addresses, 8 of which are free. Terway leaves the primary to the node, so it is full sooner. */
const tight = (eniCount: number): Churn => ({ instanceType: 'm5.large', steadyCount: eniCount * 9 - 8 });
const TIGHT = tight(3);

export const churnTight: Bar = {
  name: 'churn-tight',
  title: 'm5.large full but for 8 addresses, one pod a second that lives a second',
  run: async ({ seedFrom = 1 }) => {
    const targets = { floor: 0, headroom: HEADROOM, ceiling: 1_000 };
    const own = await churn(underway({ targets }), TIGHT, seedFrom);
    const figures = {
      underway: figuresOf([own]),
      aws: figuresOf([await churn(aws(), TIGHT, seedFrom)]),
      terway: figuresOf([await churn(terway(), tight(2), seedFrom)]),
      cilium: figuresOf([await churn(cilium(), TIGHT, seedFrom)]),
    };
    const reuseMs = DEFAULT_SETTINGS.cooldownUnderPressureMs;
    return {
      scenario: 'churn-tight',
      figures,
      bound: { reuseMs },
      verdicts: [
        { what: 'failed ADDs', value: figures.underway.failed, atMost: 0 },
        { what: 'cooling cut short by, ms', value: Math.max(0, reuseMs - own.reuseMinMs), atMost: 0 },
      ],
      notes: [`an address was used again after ${own.reuseMinMs.toFixed(0)} ms at the soonest`],
    };
  },
};
