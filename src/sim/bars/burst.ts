/**
 * 200 pods bound at once on a node of 8 ENIs x 30 (m5.4xlarge) that has only its primary ENI and no secondary address;
 * latencies are constant, so the bound is exact.
 */
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import type { Bar, BarReport, Verdict } from './bar.ts';
import { figuresOf, type Measured, measure, timeline } from './measure.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

const POD_COUNT = 200;
const INSTANCE_TYPE = 'm5.4xlarge';
const ALLOWED = 1.3;
const SETTLE_MS = 60_000;
const LENGTH_MS = 600_000;
const NO_TARGETS = { floor: 0, headroom: 0, ceiling: 1_000 };

const burst = (policy: Policy, seed: number, spread: number): Promise<Measured> =>
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

export const burstAddresses: Bar = {
  name: 'burst-addresses',
  title: `${POD_COUNT} pods at once on an idle ${INSTANCE_TYPE}, single addresses`,
  run: async () => {
    const { create, attach } = AWS_2026.latencyMs;
    const boundMs = create + attach + AWS_2026.linkSeenMs;
    const run = await burst(underway({ targets: NO_TARGETS }), 1, 0);
    const figures = figuresOf([run]);
    const verdicts: Verdict[] = [
      { what: 'p99Ms', value: figures.p99Ms, atMost: Math.floor(boundMs * ALLOWED) },
      { what: 'writes before the last pod is served', value: run.writesBeforeLast, atMost: 13 },
      { what: 'failed ADDs', value: figures.failed, atMost: 0 },
    ];
    const report: BarReport = {
      scenario: 'burst-addresses',
      figures: { underway: figures, aws: figures, terway: figures, cilium: figures },
      bound: { boundMs },
      verdicts,
      notes: timeline(run.calls, 10_000),
    };
    return report;
  },
};
