/**
 * 200 pods go down to 20, drawn at random, and one of the 20 is replaced each minute for an hour, as nodes do: whether
 * whole prefixes come back is the placement's doing, since a pod cannot move.
 */
import { Streams } from '../../../providers/memory/random.ts';
import { aws } from '../peers/aws.ts';
import { cilium } from '../peers/cilium.ts';
import { terway } from '../peers/terway.ts';
import type { Bar } from './bar.ts';
import type { PodSpec } from './kubelet.ts';
import { figuresOf, type Measured, measure, quantile, SPREAD } from './measure.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

const POD_COUNT = 200;
const SURVIVOR_COUNT = 20;
const HEADROOM = 8;
const PREFIX_SIZE = 16;
const MINUTE_MS = 60_000;
/** Long enough for the slowest peer to have all 200 running. */
const FULL_MS = 10 * MINUTE_MS;
const SETTLE_MS = MINUTE_MS;
const REPLACED_COUNT = 60;
const SEEDS = 100;
const KEPT_MAX = 4;

function trace(seed: number): PodSpec[] {
  const streams = new Streams(seed);
  const pods = Array.from({ length: POD_COUNT }, () => ({ atMs: 0, endsAtMs: FULL_MS }));
  const live: { atMs: number; endsAtMs: number }[] = [];
  const left = [...pods];
  for (let n = 0; n < SURVIVOR_COUNT; n++) {
    const [survivor] = left.splice(streams.pick('survivor', left.length), 1);
    if (survivor === undefined) continue;
    survivor.endsAtMs = Number.POSITIVE_INFINITY;
    live.push(survivor);
  }
  for (let minute = 1; minute <= REPLACED_COUNT; minute++) {
    const atMs = FULL_MS + minute * MINUTE_MS;
    const at = streams.pick('replaced', live.length);
    const leaver = live[at];
    if (leaver !== undefined) leaver.endsAtMs = atMs;
    const comer = { atMs, endsAtMs: Number.POSITIVE_INFINITY };
    live[at] = comer;
    pods.push(comer);
  }
  return pods.map(({ atMs, endsAtMs }) => ({
    atMs,
    lifeMs: Number.POSITIVE_INFINITY,
    ...(Number.isFinite(endsAtMs) && { endsAtMs }),
  }));
}

const run = (policy: Policy, seed: number): Promise<Measured> =>
  measure({
    seed,
    policy,
    nodes: [{ name: 'node', instanceType: 'm5.4xlarge', pods: trace(seed) }],
    lengthMs: FULL_MS + (REPLACED_COUNT + 1) * MINUTE_MS,
    spread: SPREAD,
    settleMs: SETTLE_MS,
  });

export const giveBack: Bar = {
  name: 'give-back',
  title: `${POD_COUNT} pods down to ${SURVIVOR_COUNT} at random, one replaced a minute, prefixes, headroom ${HEADROOM}`,
  run: async ({ seeds = SEEDS, seedFrom = 1 }) => {
    const each = async (policy: Policy): Promise<Measured[]> => {
      const runs: Measured[] = [];
      for (let seed = seedFrom; seed < seedFrom + seeds; seed++) runs.push(await run(policy, seed));
      return runs;
    };
    const targets = { floor: 0, headroom: HEADROOM, ceiling: 1_000 };
    const runs = {
      underway: await each(underway({ targets, prefixes: 'prefer' })),
      aws: await each(aws({ prefixes: true, warmIp: HEADROOM })),
      terway: await each(terway({ maxPool: HEADROOM })),
      cilium: await each(cilium({ prefixes: true, release: true })),
    };
    const keptBy = (measured: readonly Measured[]): number =>
      quantile(
        measured.map(({ blockCountEnd }) => blockCountEnd),
        0.9,
      );
    const figures = {
      underway: figuresOf(runs.underway),
      aws: figuresOf(runs.aws),
      terway: figuresOf(runs.terway),
      cilium: figuresOf(runs.cilium),
    };
    return {
      scenario: 'give-back',
      figures,
      bound: { prefixCount: Math.ceil((SURVIVOR_COUNT + HEADROOM) / PREFIX_SIZE) },
      verdicts: [
        { what: 'prefixes kept, p90 of the seeds', value: keptBy(runs.underway), atMost: KEPT_MAX },
        { what: 'failed ADDs', value: figures.underway.failed, atMost: 0 },
      ],
      notes: [
        `prefixes kept, p90: aws ${keptBy(runs.aws)}, cilium ${keptBy(runs.cilium)} (terway has single addresses)`,
      ],
    };
  },
};
