/**
 * A failing seed made smaller: the horizon cut at the breach, fault classes left out one by one, fewer pods. What is
 * left still fails, and is told as one command.
 */
import { hasFailed } from './report.ts';
import { runSeed, type SeedReport } from './run.ts';
import { drawScenario, type FaultClass, type Overrides } from './scenario.ts';

/** Pods at once to try, fewest first. */
const PODS = [1, 2, 3, 4, 6, 8, 12, 16];
/** A minute more than the breach needed lets it happen also when something else is left out. */
const MARGIN_MS = 60_000;

export interface Shrunk {
  readonly overrides: Overrides;
  readonly report: SeedReport;
  readonly runs: number;
}

export async function shrink(seed: number, first: SeedReport, start: Overrides = {}): Promise<Shrunk> {
  let best: { overrides: Overrides; report: SeedReport } = { overrides: start, report: first };
  let runs = 0;
  /** Takes the change where the seed still fails with it. */
  const attempt = async (change: Overrides): Promise<boolean> => {
    const overrides = { ...best.overrides, ...change };
    const report = await runSeed(seed, overrides);
    runs++;
    if (!hasFailed(report)) return false;
    best = { overrides, report };
    return true;
  };
  const cut = async (): Promise<void> => {
    const unwellMs = Math.ceil((best.report.unwellMs + MARGIN_MS) / MARGIN_MS) * MARGIN_MS;
    if (unwellMs < (best.overrides.unwellMs ?? Number.POSITIVE_INFINITY)) await attempt({ unwellMs });
  };
  await cut();
  const without: FaultClass[] = [...(start.without ?? [])];
  for (const fault of drawScenario(seed, start).faults)
    if (await attempt({ without: [...without, fault] })) without.push(fault);
  const { podsAtOnceMax } = drawScenario(seed, best.overrides);
  for (const pods of PODS) if (pods < podsAtOnceMax && (await attempt({ podsAtOnceMax: pods }))) break;
  await cut();
  return { ...best, runs };
}

/** The one command that shows it again. */
export function commandOf(seed: number, { without = [], unwellMs, podsAtOnceMax }: Overrides): string {
  return [
    `npm run sim -- --seed ${seed}`,
    without.length > 0 ? `--without ${without.join(',')}` : undefined,
    unwellMs === undefined ? undefined : `--minutes ${unwellMs / 60_000}`,
    podsAtOnceMax === undefined ? undefined : `--pods ${podsAtOnceMax}`,
  ]
    .filter((part) => part !== undefined)
    .join(' ');
}
