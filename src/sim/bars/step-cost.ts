/**
 * What one step of the core costs with ten addresses and with a thousand: the same mix of events, timed in turns in one
 * run.
 *
 * A step is timed in every pass over the recording and counts with its fastest pass: the core is deterministic, so a
 * step does the same work each time, while collections of garbage and the machine's other work strike other steps in
 * other passes. The first passes are not timed at all: the compiler is at work in them.
 */
import type { Event } from '../../core/events.ts';
import type { Bar } from './bar.ts';
import { quantile } from './measure.ts';
import { type Recording, Replay, record } from './step-record.ts';

const SIZES = [10, 1_000] as const;
const RATIO_MAX = 1.5;
const WARM_PASSES = 4;
const TIMED_PASSES = 12;
/** Steps of one size before it is the other's turn. */
const TURN = 50;

/** The fastest pass of every steady step, in microseconds. */
type Costs = readonly number[];

export const stepCost: Bar = {
  name: 'step',
  title: `one step of the core with ${SIZES.join(' and ')} addresses, half of them used: one pod comes and one goes each 10 s`,
  run: async () => {
    const [small, large] = await Promise.all([record(SIZES[0]), record(SIZES[1])]);
    const costs = timed([small, large]);
    const figures = costs.map(figuresOf);
    const [few = NOTHING, many = NOTHING] = figures;
    const ratio = { medianUs: many.medianUs / few.medianUs, p99Us: many.p99Us / few.p99Us };
    return {
      scenario: 'step',
      figures: {
        [`addresses${SIZES[0]}`]: rounded(few),
        [`addresses${SIZES[1]}`]: rounded(many),
        ratio: rounded(ratio),
      },
      bound: { ratioMax: RATIO_MAX },
      verdicts: [
        { what: 'median beside that with few addresses', value: ratio.medianUs, atMost: RATIO_MAX },
        { what: 'p99 beside that with few addresses', value: ratio.p99Us, atMost: RATIO_MAX },
      ],
      notes: notesOf([small, large], costs),
    };
  },
};

const NOTHING = { steps: 0, medianUs: 0, p99Us: 0, meanUs: 0 };

const figuresOf = (costs: Costs): typeof NOTHING => ({
  steps: costs.length,
  medianUs: quantile(costs, 0.5),
  p99Us: quantile(costs, 0.99),
  meanUs: costs.reduce((sum, cost) => sum + cost, 0) / costs.length,
});

const rounded = <T extends Readonly<Record<string, number>>>(figures: T): Record<string, number> =>
  Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 100) / 100]));

function timed(recordings: readonly Recording[]): readonly Costs[] {
  const best: number[][] = recordings.map(() => []);
  for (let pass = 0; pass < WARM_PASSES + TIMED_PASSES; pass++) {
    const isTimed = pass >= WARM_PASSES;
    const runs = recordings.map((recording, which) => new TimedReplay(recording, isTimed ? (best[which] ?? []) : []));
    for (let left = true; left; ) left = runs.map((run) => run.turn()).includes(true);
  }
  return best;
}

/** One pass: the steady steps in turns, each noted in `best` where it was faster than before. */
class TimedReplay {
  private readonly replay: Replay;
  private readonly best: number[];
  private at = 0;

  constructor(recording: Recording, best: number[]) {
    this.replay = new Replay(recording);
    this.replay.settle();
    this.best = best;
  }

  /** False when nothing is left. */
  turn(): boolean {
    for (let n = 0; n < TURN; n++) {
      const there = this.replay.next((step) => {
        const beganMs = performance.now();
        step();
        const us = (performance.now() - beganMs) * 1_000;
        this.best[this.at] = Math.min(this.best[this.at] ?? Number.POSITIVE_INFINITY, us);
      });
      if (!there) return false;
      this.at++;
    }
    return true;
  }
}

/** What each kind of event costs at the median; a list of all ENIs is as long as the pool is large. */
function notesOf(recordings: readonly Recording[], costs: readonly Costs[]): string[] {
  const kinds = recordings.map(({ events, steadyFrom }, which) => {
    const of = new Map<string, number[]>();
    for (const [at, { event }] of events.slice(steadyFrom).entries())
      of.set(kindOf(event), [...(of.get(kindOf(event)) ?? []), costs[which]?.[at] ?? 0]);
    return of;
  });
  return [...(kinds[0]?.keys() ?? [])].map((kind) => {
    const texts = kinds.map((of, which) => {
      const all = of.get(kind) ?? [];
      return `${quantile(all, 0.5).toFixed(1)} us at ${SIZES[which]} (${all.length})`;
    });
    return `${kind}: ${texts.join(', ')}`;
  });
}

const kindOf = (event: Event): string =>
  event.kind === 'cloud-answered' && event.answer.ok ? `${event.kind} ${event.answer.value.action}` : event.kind;
