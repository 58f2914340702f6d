/** What the demo prints and writes: progress lines, a table, checks with their proof, and the figures as JSON. */
import { writeFigures } from '../../program/figures.ts';
import type { CrashCount } from './count.ts';
import type { Leftovers } from './leftovers.ts';

export interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface PodRow {
  readonly name: string;
  readonly node: string;
  readonly eni: string;
  readonly address: string;
  readonly addMs: number;
}

export interface Burst {
  readonly pods: number;
  readonly waitP50Ms: number;
  readonly waitP99Ms: number;
  /** The least that the cloud's latencies allow for the last pod. */
  readonly boundMs: number;
}

export interface Figures {
  ok: boolean;
  pods: readonly PodRow[];
  checks: Check[];
  burst: Burst | undefined;
  crash: Omit<CrashCount, 'details'> | undefined;
  left: (Leftovers & { readonly namespaces: number; readonly files: number }) | undefined;
}

export class Report {
  readonly figures: Figures = { ok: false, pods: [], checks: [], burst: undefined, crash: undefined, left: undefined };
  private readonly beganMs = performance.now();
  private isMuted = false;

  /** From now on whoever has something to say fails, so that what is being done ends at its next word. */
  mute(): void {
    this.isMuted = true;
  }

  /** A step begins: what, and how far in. */
  step(text: string): void {
    this.print(`\n[${((performance.now() - this.beganMs) / 1000).toFixed(1).padStart(5)} s] ${text}`);
  }

  say(text: string): void {
    this.print(`          ${text}`);
  }

  check(name: string, ok: boolean, detail: string): void {
    this.figures.checks.push({ name, ok, detail });
    this.print(`          ${ok ? 'ok  ' : 'FAIL'} ${name.padEnd(46)} ${detail}`);
  }

  /** Some rows of `all`, and where the others are. */
  table(rows: readonly PodRow[], all: { readonly count: number; readonly file: string | undefined }): void {
    const line = (cells: readonly string[]) =>
      this.say(
        `${cells[0]?.padEnd(9)}${cells[1]?.padEnd(9)}${cells[2]?.padEnd(24)}${cells[3]?.padEnd(15)}${cells[4]?.padStart(9)}`,
      );
    line(['POD', 'NODE', 'ENI', 'ADDRESS', 'ADD ms']);
    for (const row of rows) line([row.name, row.node, row.eni, row.address, row.addMs.toFixed(1)]);
    this.say(`${rows.length} of ${all.count} shown; all of them in ${all.file ?? 'the file of --json FILE'}`);
  }

  private print(text: string): void {
    if (this.isMuted) throw new Error('the demo was interrupted');
    console.log(text);
  }

  /** True when every check held and nothing is lost, doubled, leaked or left. */
  finish(file: string | undefined): boolean {
    const { figures } = this;
    const counts = { ...figures.crash, ...figures.left };
    figures.ok =
      figures.checks.length > 0 &&
      figures.checks.every(({ ok }) => ok) &&
      Object.values(counts).every((count) => count === 0);
    if (file !== undefined) writeFigures(file, figures);
    const seconds = ((performance.now() - this.beganMs) / 1000).toFixed(0);
    const failed = figures.checks.filter(({ ok }) => !ok).length;
    this.print(
      `\n${figures.ok ? 'All of it held' : `${failed} of ${figures.checks.length} checks FAILED`}: ${figures.checks.length} checks in ${seconds} s.`,
    );
    return figures.ok;
  }
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
