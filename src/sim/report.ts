/**
 * Many seeds as figures: what `--json` writes, what is printed, and what of transitions.ts none of them has shown.
 */
import type { SeedReport } from './run.ts';
import { DECLARED, SELDOM } from './transitions.ts';

/** A report as it comes from a worker: plain, and without the trace. */
export type SeedFigures = Omit<SeedReport, 'trace'> & {
  /** What the seed took of one core. */
  readonly cpuMs: number;
};

const RARE_MAX = 3;
/** What three seeds saw once is not rare. */
const RARE_FROM_SEEDS = 100;

export interface Figures {
  readonly seeds: number;
  /** Seeds in which an invariant broke. */
  readonly breaches: number;
  /** Seeds whose healed world did not agree in time. */
  readonly unconverged: number;
  readonly events: number;
  /** Of one core, with all checks on. */
  readonly eventsPerSecond: number;
  readonly eventsPerSeed: { readonly p10: number; readonly p50: number };
  readonly faultsFired: Readonly<Record<string, number>>;
  readonly transitions: { readonly seen: number; readonly declared: number };
}

export class Report {
  private readonly reports: SeedFigures[] = [];
  /** What was seen, and in which seeds. */
  private readonly seen = new Map<string, number[]>();

  add(report: SeedFigures): void {
    this.reports.push(report);
    for (const what of report.seen) this.seen.set(what, [...(this.seen.get(what) ?? []), report.seed]);
  }

  get count(): number {
    return this.reports.length;
  }

  get failed(): readonly SeedFigures[] {
    return this.reports.filter(hasFailed);
  }

  /** Declared and never seen, by name. */
  get missing(): readonly string[] {
    return DECLARED.filter((what) => !this.seen.has(what));
  }

  /** Seen although nobody declared it: the declaration is wrong, or the core is. */
  get undeclared(): readonly string[] {
    return [...this.seen.keys()].filter((what) => !DECLARED.includes(what) && !SELDOM.includes(what)).sort();
  }

  /** Declared and seen in few seeds, and which these are: what a fixed set may name besides its range. */
  get rare(): readonly string[] {
    const few = [...this.seen].filter(([what, seeds]) => seeds.length <= RARE_MAX && DECLARED.includes(what));
    return few.map(([what, seeds]) => `${what} (${seeds.toSorted((a, b) => a - b)})`).sort();
  }

  figures(): Figures {
    const { reports } = this;
    const events = sum(reports.map((report) => report.events));
    const perSeed = reports.map((report) => report.events).sort((a, b) => a - b);
    const at = (share: number): number => perSeed[Math.floor(perSeed.length * share)] ?? 0;
    return {
      seeds: reports.length,
      breaches: reports.filter(({ breaches }) => breaches.length > 0).length,
      unconverged: reports.filter(({ unconverged }) => unconverged.length > 0).length,
      events,
      eventsPerSecond: Math.round((1000 * events) / Math.max(1, sum(reports.map((report) => report.cpuMs)))),
      eventsPerSeed: { p10: at(0.1), p50: at(0.5) },
      faultsFired: Object.fromEntries(total(reports.map(({ faultsFired }) => faultsFired))),
      transitions: { seen: DECLARED.length - this.missing.length, declared: DECLARED.length },
    };
  }

  lines(): string[] {
    const { seeds, breaches, unconverged, events, eventsPerSecond, transitions } = this.figures();
    const pods = sum(this.reports.map((report) => report.pods));
    const tellsRare = seeds >= RARE_FROM_SEEDS && this.rare.length > 0;
    return [
      `${seeds} seeds, ${breaches} broken, ${unconverged} not converged, ${pods} pods, ${events} events (${eventsPerSecond} a second a core)`,
      `faults: ${countsText(total(this.reports.map(({ faultsFired }) => faultsFired)))}`,
      `refused requests: ${countsText(total(this.reports.map(({ refusals }) => refusals)))}`,
      `transitions, failures, reasons and verdicts: ${transitions.seen} of ${transitions.declared} seen`,
      ...(tellsRare ? [`seen in few seeds: ${this.rare.join('; ')}`] : []),
      ...(this.missing.length > 0 ? [`never seen: ${this.missing.join('; ')}`] : []),
      ...(this.undeclared.length > 0 ? [`seen and not declared: ${this.undeclared.join('; ')}`] : []),
    ];
  }
}

export const hasFailed = ({ breaches, unconverged }: Pick<SeedReport, 'breaches' | 'unconverged'>): boolean =>
  breaches.length + unconverged.length > 0;

export const countsText = (counts: ReadonlyMap<string, number>): string =>
  [...counts]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ') || 'none';

const sum = (values: readonly number[]): number => values.reduce((before, value) => before + value, 0);

function total(all: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const some of all) for (const [name, count] of some) counts.set(name, (counts.get(name) ?? 0) + count);
  return counts;
}
