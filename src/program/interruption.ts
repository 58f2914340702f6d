/** What ends a program before its time, and the exit code that tells of it. */
import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';

/** Ctrl-C, kill, and a terminal that closes. */
export const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Interruption {
  /** SIGPIPE: nobody reads any more what the program prints. */
  readonly signal: (typeof ENDING_SIGNALS)[number] | 'SIGPIPE';
  readonly code: number;
}

/** As a shell says it. */
export const signalCode = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** Resolves with the first of them. From now on none ends the process by itself: whoever awaits it does, in order. */
export function interruption(): Promise<Interruption> {
  return new Promise((resolve) => {
    for (const signal of ENDING_SIGNALS) process.on(signal, () => resolve({ signal, code: signalCode(signal) }));
    for (const output of [process.stdout, process.stderr])
      output.on('error', () => resolve({ signal: 'SIGPIPE', code: signalCode('SIGPIPE') }));
  });
}

/** Of a child that does this program's work: what would end this process is passed on to it, and it ends as it likes. */
export function exitCodeOf(child: ChildProcess): Promise<number> {
  for (const signal of ENDING_SIGNALS) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? signalCode(signal ?? 'SIGTERM')));
  });
}
