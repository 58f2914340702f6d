/**
 * Processes that outlive their starter are found again by number and start time, so that another with the same number
 * is never taken for one of the lab's; and those in a namespace of the lab by that namespace.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { netnsOfProcess } from './namespaces.ts';

export interface ProcessRecord {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/<pid>/stat. */
  readonly startTime: string;
}

const KILL_WAIT_MS = 5_000;
const POLL_MS = 10;

/** Undefined when there is no such process (a zombie is none any more). */
export function processRecord(pid: number): ProcessRecord | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold spaces and brackets itself.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return state === 'Z' || state === 'X' || startTime === undefined ? undefined : { pid, startTime };
  } catch {
    return undefined;
  }
}

export const isAlive = ({ pid, startTime }: ProcessRecord): boolean => processRecord(pid)?.startTime === startTime;

/** All processes whose network is one of these namespaces; never this one. */
export function processesIn(namespaces: readonly string[]): ProcessRecord[] {
  const inodes = new Set(namespaces.flatMap((path) => namespaceName(path) ?? []));
  const own = netnsOfProcess('self');
  if (own !== undefined) inodes.delete(own);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && inodes.has(netnsOfProcess(Number(name)) ?? ''))
    .flatMap((name) => processRecord(Number(name)) ?? []);
}

/** Ends them at once and waits until they are gone; those that are left after 5 s are the answer. */
export async function killProcesses(records: readonly ProcessRecord[]): Promise<readonly ProcessRecord[]> {
  for (const record of records) signalProcess(record, 'SIGKILL');
  return waitUntilGone(records, KILL_WAIT_MS);
}

export async function waitUntilGone(records: readonly ProcessRecord[], limitMs: number) {
  let left = records.filter(isAlive);
  for (let waitedMs = 0; left.length > 0 && waitedMs < limitMs; waitedMs += POLL_MS) {
    await sleep(POLL_MS);
    left = left.filter(isAlive);
  }
  return left;
}

export function signalProcess(record: ProcessRecord, signal: NodeJS.Signals): void {
  if (!isAlive(record)) return;
  try {
    process.kill(record.pid, signal);
  } catch {
    // Gone since.
  }
}

function namespaceName(path: string): string | undefined {
  try {
    return `net:[${statSync(path).ino}]`;
  } catch {
    return undefined;
  }
}
