/** `npm run sim -- --scenario NAME --json FILE`: one bar as a table for people and as JSON for programs. */
import { checkWritable, writeFigures } from '../../program/figures.ts';
import { UsageError } from '../../program/flags.ts';
import { type BarOptions, type BarReport, isMet } from './bar.ts';
import { BARS } from './registry.ts';

export const BAR_NAMES: readonly string[] = BARS.map(({ name }) => name);

export interface RunBarOptions extends BarOptions {
  /** Where `{scenario, figures, bound, verdicts}` is written. */
  readonly json?: string | undefined;
}

/** The exit code: 0 when the bar is met, 1 when it is not. Throws UsageError when there is no such bar. */
export async function runBar(name: string, { json, ...options }: RunBarOptions = {}): Promise<number> {
  const bar = BARS.find((candidate) => candidate.name === name);
  if (bar === undefined) throw new UsageError(`no scenario is named ${name}: there are ${BAR_NAMES.join(', ')}`);
  if (json !== undefined) checkWritable('json', json);
  const report = await bar.run(options);
  console.log(`${bar.name}: ${bar.title}\n`);
  for (const line of tableOf(report)) console.log(line);
  if (json !== undefined) writeFigures(json, jsonOf(report));
  return report.verdicts.every(isMet) ? 0 : 1;
}

const jsonOf = ({ scenario, figures, bound, verdicts, notes }: BarReport) => ({
  scenario,
  figures,
  bound,
  verdicts: verdicts.map((verdict) => ({ ...verdict, met: isMet(verdict) })),
  notes,
});

const UNBOUNDED = 'none';

export function tableOf({ figures, bound, verdicts, notes }: BarReport): string[] {
  const columns = [...new Set(Object.values(figures).flatMap((figure) => Object.keys(figure)))];
  const rows = [
    ['', ...columns],
    ...Object.entries(figures).map(([name, figure]: [string, Readonly<Record<string, number>>]) => [
      name,
      ...columns.map((column) => (figure[column] === undefined ? '' : text(figure[column]))),
    ]),
  ];
  const widths = ['', ...columns].map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) => row.map((cell, at) => padded(cell, widths[at] ?? 0, at === 0)).join('  '));
  const bounds = Object.entries(bound).map(([name, value]) => `${name} ${text(value)}`);
  return [
    ...lines,
    '',
    `bound: ${bounds.join(', ') || UNBOUNDED}`,
    ...verdicts.map((verdict) => {
      const { what, value, atMost } = verdict;
      return `${isMet(verdict) ? 'met   ' : 'MISSED'} ${what}: ${text(value)}, at most ${text(atMost)}`;
    }),
    ...notes,
  ];
}

const padded = (cell: string, width: number, left: boolean): string =>
  left ? cell.padEnd(width) : cell.padStart(width);

const text = (value: number): string =>
  Number.isInteger(value) ? value.toLocaleString('en') : value.toLocaleString('en', { maximumFractionDigits: 2 });
