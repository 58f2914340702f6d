/**
 * `node stopwatch.ts`: starts the programs that its standard input names, one JSON line each, and answers with a line
 * each. A small process of its own, as a runtime's is: making a child of a test runner's costs several times as much as
 * what is measured.
 */
import { spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Run {
  readonly binary: string;
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
}

export interface Timed {
  /** Exec to exit. */
  readonly ms: number;
  readonly code: number | null;
  readonly said: string;
}

function timed({ binary, env, input }: Run): Timed {
  const beganMs = performance.now();
  const { status, stdout, stderr } = spawnSync(binary, { env, input });
  return { ms: performance.now() - beganMs, code: status, said: `${stdout}${stderr}` };
}

createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(timed(JSON.parse(line)))}\n`);
});
