/**
 * 200 pods bound at once on a node of 8 ENIs x 30 (m5.4xlarge) that has only its primary ENI and no secondary address,
 * targets 0. Constant latencies make the bound exact; with jitter it is computed from the very draws of the run.
 * Peers have what their defaults keep warm: their own advantage.
 */
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { Streams } from '../../../providers/memory/random.ts';
import type { PoolRow } from '../../core/rows.ts';
import { aws } from '../peers/aws.ts';
import { cilium } from '../peers/cilium.ts';
import { terway } from '../peers/terway.ts';
import type { Bar } from './bar.ts';
import { figuresOf, type Measured, measure, quantile, SPREAD, timeline } from './measure.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

const POD_COUNT = 200;
const INSTANCE_TYPE = 'm5.4xlarge';
/** What the bars allow of the bound. */
const ALLOWED = 1.3;
const SETTLE_MS = 60_000;
const LENGTH_MS = 600_000;
const JITTER_SEEDS = 20;
const NO_TARGETS = { floor: 0, headroom: 0, ceiling: 1_000 };
const PREFIX_SIZE = 16;

const { create, attach, assign } = AWS_2026.latencyMs;
const LIMITS = AWS_2026.instanceTypes.get(INSTANCE_TYPE);
/** An ENI's own address takes a slot. */
const PER_ENI = (LIMITS?.slotsPerEni[4] ?? 0) - 1;

const burst = (policy: Policy, seed = 1, spread = 0): Promise<Measured> =>
  measure({
    seed,
    policy,
    nodes: [
      {
        name: 'node',
        instanceType: INSTANCE_TYPE,
        pods: Array.from({ length: POD_COUNT }, () => ({ atMs: 0, lifeMs: Number.POSITIVE_INFINITY })),
      },
    ],
    lengthMs: LENGTH_MS,
    spread,
    settleMs: SETTLE_MS,
  });

interface Burst {
  readonly name: string;
  readonly what: string;
  readonly ours: Pick<PoolRow, 'prefixes' | 'primaryEni'>;
  readonly boundMs: number;
  /** Writes before the last pod is served. */
  readonly writes: number;
}

const prefixCount = Math.ceil(POD_COUNT / PREFIX_SIZE);
const newEniCount = Math.ceil((POD_COUNT - PER_ENI) / PER_ENI);
const newEniMs = create + attach + AWS_2026.linkSeenMs;

/** Constant latencies. Terway has no prefixes that follow demand (research/terway.md section 1): single ones here too. */
const exact = ({ name, what, ours, boundMs, writes }: Burst): Bar => ({
  name,
  title: `${POD_COUNT} pods at once on an idle ${INSTANCE_TYPE}, ${what}`,
  run: async () => {
    const prefixes = ours.prefixes === 'prefer';
    const skipsPrimary = ours.primaryEni === 'skip';
    const own = await burst(underway({ targets: NO_TARGETS, ...ours }));
    const figures = {
      underway: figuresOf([own]),
      aws: figuresOf([await burst(aws({ prefixes, customNetworking: skipsPrimary }))]),
      terway: figuresOf([await burst(terway())]),
      cilium: figuresOf([await burst(cilium({ prefixes, firstInterface: skipsPrimary ? 1 : 0 }))]),
    };
    return {
      scenario: name,
      figures,
      bound: { boundMs, writes },
      verdicts: [
        { what: 'p99Ms', value: figures.underway.p99Ms, atMost: Math.floor(boundMs * ALLOWED) },
        { what: 'writes before the last pod is served', value: own.writesBeforeLast, atMost: writes },
        { what: 'failed ADDs', value: figures.underway.failed, atMost: 0 },
      ],
      notes: timeline(own.calls, figures.underway.maxMs),
    };
  },
});

export const burstAddresses = exact({
  name: 'burst-addresses',
  what: 'single addresses',
  ours: { prefixes: 'never', primaryEni: 'use' },
  boundMs: newEniMs,
  writes: 1 + 2 * newEniCount,
});

export const burstPrefixes = exact({
  name: 'burst-prefixes',
  what: 'prefixes on the primary',
  ours: { prefixes: 'prefer', primaryEni: 'use' },
  boundMs: assign,
  writes: Math.ceil(prefixCount / PER_ENI),
});

export const burstPrefixesSecondary = exact({
  name: 'burst-prefixes-secondary',
  what: 'prefixes, the primary excluded',
  ours: { prefixes: 'prefer', primaryEni: 'skip' },
  boundMs: newEniMs,
  writes: 2 * Math.ceil(prefixCount / PER_ENI),
});

/** The p99 that this seed's draws allow: one assign for the primary, and the new ENIs each create, attach and link. */
export function jitterBoundMs(seed: number, instance: string): number {
  const streams = new Streams(seed);
  const draw = (stream: string, mean: number): number => streams.around(stream, mean, SPREAD);
  const created = Array.from({ length: newEniCount }, () => draw(`latency/create-eni/${instance}`, create));
  // Attaches and links are drawn in the order in which they go out: as their creates are answered, and as they are.
  const attached = created
    .toSorted((a, b) => a - b)
    .map((atMs) => {
      const tookMs = draw(`latency/attach-eni/${instance}`, attach);
      // The moment of the effect is drawn within the call; the link's delay in the order of the effects.
      const effectMs = tookMs * (0.1 + 0.8 * streams.uniform(`effect/attach-eni/${instance}`));
      return { effectAtMs: atMs + effectMs, answeredMs: atMs + tookMs };
    });
  const linked = attached
    .toSorted((a, b) => a.effectAtMs - b.effectAtMs)
    .map(({ answeredMs }) => answeredMs + draw(`link/${instance}`, AWS_2026.linkSeenMs))
    .toSorted((a, b) => a - b);
  const ready = [draw(`latency/assign/${instance}`, assign), ...linked];
  return quantile(ready.flatMap((atMs) => Array.from({ length: PER_ENI }, () => atMs)).slice(0, POD_COUNT), 0.99);
}

export const burstJitter: Bar = {
  name: 'burst-jitter',
  title: `${POD_COUNT} pods at once on an idle ${INSTANCE_TYPE}, single addresses, log-normal latencies`,
  run: async ({ seeds = JITTER_SEEDS, seedFrom = 1 }) => {
    const numbers = Array.from({ length: seeds }, (_, n) => seedFrom + n);
    const each = async (policy: Policy): Promise<Measured[]> => {
      const runs: Measured[] = [];
      for (const seed of numbers) runs.push(await burst(policy, seed, SPREAD));
      return runs;
    };
    const own = await each(underway({ targets: NO_TARGETS }));
    const pairs = own.map(({ waits, calls }, at) => {
      const caller = calls[0]?.caller ?? '';
      const boundMs = jitterBoundMs(numbers[at] ?? 0, caller);
      const p99Ms = quantile(
        waits.map(({ waitMs }) => waitMs),
        0.99,
      );
      return { boundMs, ratio: p99Ms / boundMs };
    });
    const figures = {
      underway: figuresOf(own),
      aws: figuresOf(await each(aws())),
      terway: figuresOf(await each(terway())),
      cilium: figuresOf(await each(cilium())),
    };
    const ratios = pairs.map(({ ratio }) => ratio);
    return {
      scenario: 'burst-jitter',
      figures,
      bound: {
        p50OfSeedsMs: quantile(
          pairs.map(({ boundMs }) => boundMs),
          0.5,
        ),
        p50Ratio: quantile(ratios, 0.5),
      },
      verdicts: [
        { what: 'p99 over the bound of its own draws, the worst seed', value: quantile(ratios, 1), atMost: ALLOWED },
        { what: 'failed ADDs', value: figures.underway.failed, atMost: 0 },
      ],
      notes: [],
    };
  },
};
