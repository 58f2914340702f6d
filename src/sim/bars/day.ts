/**
 * A day of thirty nodes that differ: what `headroom: auto` keeps idle, beside the cheapest setting that makes no pod
 * wait longer and is the same on all of them (docs/design/003-headroom-auto.md).
 */
import type { Bar, PolicyFigures, Verdict } from './bar.ts';
import { type DayOutcome, type DaySetting, DayWorkers } from './day-fleet.ts';
import { cheapest, LADDERS } from './day-statics.ts';
import { quantile } from './measure.ts';

const SEEDS = 5;
export const SHARE_MAX = 0.6;
export const P99_MAX_MS = 2_600;
export const AUTO = { policy: 'underway', targets: { floor: 0, headroom: 'auto', ceiling: 1_000 } } as const;
const DEFAULTS = {
  aws: { policy: 'aws', settings: {} },
  terway: { policy: 'terway', settings: {} },
  cilium: { policy: 'cilium', settings: {} },
} as const;

export const day: Bar = {
  name: 'day',
  title: '20 quiet, 8 web and 2 CI nodes for 24 h; headroom: auto beside the cheapest static setting as good',
  run: async ({ seeds = SEEDS, seedFrom = 1 }) => {
    const contest = new Contest();
    const autos: PolicyFigures[] = [];
    const statics: PolicyFigures[] = [];
    const shares: number[] = [];
    for (let seed = seedFrom; seed < seedFrom + seeds; seed++) {
      const auto = await contest.measured(seed, 'auto', AUTO);
      autos.push(auto);
      const best = await contest.bestStatic(seed, auto.p99Ms);
      if (best === undefined) continue;
      statics.push(best);
      shares.push(auto.idleIpHours / best.idleIpHours);
    }
    const aws = await contest.measured(seedFrom, 'aws', DEFAULTS.aws);
    const terway = await contest.measured(seedFrom, 'terway', DEFAULTS.terway);
    const cilium = await contest.measured(seedFrom, 'cilium', DEFAULTS.cilium);
    await contest.close();
    return {
      scenario: 'day',
      figures: { underway: median(autos), 'best static': median(statics), aws, terway, cilium },
      bound: { idleShareMax: SHARE_MAX, p99MaxMs: P99_MAX_MS },
      verdicts: verdictsOf(shares, autos),
      notes: contest.lines,
    };
  },
};

function verdictsOf(shares: readonly number[], autos: readonly PolicyFigures[]): Verdict[] {
  return [
    // Without any static as good there is nothing to compare with, and nothing is claimed.
    {
      what: 'idle beside the cheapest static, median',
      value: shares.length === 0 ? 1 : quantile(shares, 0.5),
      atMost: SHARE_MAX,
    },
    { what: 'p99Ms of the worst seed', value: Math.max(...autos.map(({ p99Ms }) => p99Ms)), atMost: P99_MAX_MS },
  ];
}

/** Runs settings, and tells of each as soon as it is known: a day takes seconds, all of them minutes. */
class Contest {
  readonly lines: string[] = [];
  private readonly workers = new DayWorkers();

  async measured(seed: number, name: string, setting: DaySetting): Promise<PolicyFigures> {
    const figures = await this.workers.fleet(seed, setting);
    this.tell(seed, name, { kind: 'measured', figures });
    return figures;
  }

  /** The cheapest static setting of every policy whose p99 is no worse. */
  async bestStatic(seed: number, p99Ms: number): Promise<PolicyFigures | undefined> {
    let best: PolicyFigures | undefined;
    for (const ladder of LADDERS) {
      const limits = { p99Ms, idleIpHours: best?.idleIpHours ?? Number.POSITIVE_INFINITY };
      const found = await cheapest(ladder, limits, async (name, setting, within) => {
        const outcome = await this.workers.within(seed, setting, within);
        this.tell(seed, name, outcome);
        return outcome;
      });
      best = found ?? best;
    }
    return best;
  }

  close(): Promise<void> {
    return this.workers.close();
  }

  private tell(seed: number, name: string, outcome: DayOutcome): void {
    const line = `seed ${seed}  ${name.padEnd(36)} ${textOf(outcome)}`;
    this.lines.push(line);
    process.stderr.write(`${line}\n`);
  }
}

function textOf(outcome: DayOutcome): string {
  if (outcome.kind !== 'measured')
    return outcome.kind === 'slow' ? 'slower than auto at the 99th percentile' : 'keeps more idle than one as good';
  const { idleIpHours, p99Ms, failed, cloudCalls } = outcome.figures;
  const idle = (idleIpHours / 24).toFixed(0);
  return `idle ${idle.padStart(5)} addresses, p99 ${String(p99Ms).padStart(6)} ms, failed ADDs ${failed}, calls ${cloudCalls}`;
}

/** Each figure's own median. */
function median(points: readonly PolicyFigures[]): PolicyFigures {
  const of = (value: (figures: PolicyFigures) => number): number => quantile(points.map(value), 0.5);
  return {
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    maxMs: of(({ maxMs }) => maxMs),
    failed: of(({ failed }) => failed),
    cloudCalls: of(({ cloudCalls }) => cloudCalls),
    idleIpHours: of(({ idleIpHours }) => idleIpHours),
  };
}
