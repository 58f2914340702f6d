/**
 * A day of thirty nodes that differ: what `headroom: auto` keeps idle, beside the cheapest setting that makes no pod
 * wait longer and is the same on all of them (docs/design/003-headroom-auto.md).
 */
import type { Bar, PolicyFigures, Verdict } from './bar.ts';
import { DayWorkers } from './day-fleet.ts';
import { cheapest, LADDERS, type Point } from './day-statics.ts';
import { quantile } from './measure.ts';

const SEEDS = 5;
const SHARE_MAX = 0.6;
const P99_MAX_MS = 2_600;
const AUTO = { policy: 'underway', targets: { floor: 0, headroom: 'auto', ceiling: 1_000 } } as const;
const DEFAULTS = {
  aws: { policy: 'aws', settings: {} },
  terway: { policy: 'terway', settings: {} },
  cilium: { policy: 'cilium', settings: {} },
} as const;

export const day: Bar = {
  name: 'day',
  title: '20 quiet, 8 web and 2 CI nodes for 24 h; headroom: auto beside the cheapest static setting as good',
  run: async ({ seeds = SEEDS, seedFrom = 1 }) => {
    const workers = new DayWorkers();
    const points: Point[] = [];
    const run = async (seed: number, name: string, setting: Parameters<DayWorkers['fleet']>[1]): Promise<Point> => {
      const point = { name, seed, figures: await workers.fleet(seed, setting) };
      points.push(point);
      process.stderr.write(`${lineOf(point)}\n`);
      return point;
    };
    const autos: Point[] = [];
    const shares: number[] = [];
    const statics: Point[] = [];
    for (let seed = seedFrom; seed < seedFrom + seeds; seed++) {
      const auto = await run(seed, 'auto', AUTO);
      autos.push(auto);
      const found: Point[] = [];
      for (const ladder of LADDERS) {
        const point = await cheapest(ladder, auto.figures.p99Ms, (name, setting) => run(seed, name, setting));
        if (point !== undefined) found.push(point);
      }
      const [best] = found.sort((a, b) => a.figures.idleIpHours - b.figures.idleIpHours);
      if (best === undefined) continue;
      statics.push(best);
      shares.push(auto.figures.idleIpHours / best.figures.idleIpHours);
    }
    const aws = await run(seedFrom, 'aws', DEFAULTS.aws);
    const terway = await run(seedFrom, 'terway', DEFAULTS.terway);
    const cilium = await run(seedFrom, 'cilium', DEFAULTS.cilium);
    const peers = { aws: aws.figures, terway: terway.figures, cilium: cilium.figures };
    await workers.close();
    const verdicts: Verdict[] = [
      // Without any static as good there is nothing to compare with, and nothing is claimed.
      {
        what: 'idle beside the cheapest static, median',
        value: shares.length === 0 ? 1 : quantile(shares, 0.5),
        atMost: SHARE_MAX,
      },
      {
        what: 'p99Ms of the worst seed',
        value: Math.max(...autos.map(({ figures }) => figures.p99Ms)),
        atMost: P99_MAX_MS,
      },
    ];
    return {
      scenario: 'day',
      figures: { underway: median(autos), 'best static': median(statics), ...peers },
      bound: { idleShareMax: SHARE_MAX, p99MaxMs: P99_MAX_MS },
      verdicts,
      notes: points.sort((a, b) => a.seed - b.seed || a.figures.idleIpHours - b.figures.idleIpHours).map(lineOf),
    };
  },
};

const lineOf = ({ name, seed, figures }: Point): string =>
  `seed ${seed}  ${name.padEnd(36)} idle ${(figures.idleIpHours / 24).toFixed(0).padStart(5)} addresses, p99 ${String(figures.p99Ms).padStart(6)} ms, failed ${figures.failed}, calls ${figures.cloudCalls}`;

/** Each figure's own median. */
function median(points: readonly Point[]): PolicyFigures {
  const of = (value: (figures: PolicyFigures) => number): number =>
    quantile(
      points.map(({ figures }) => value(figures)),
      0.5,
    );
  return {
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    maxMs: of(({ maxMs }) => maxMs),
    failed: of(({ failed }) => failed),
    cloudCalls: of(({ cloudCalls }) => cloudCalls),
    idleIpHours: of(({ idleIpHours }) => idleIpHours),
  };
}
