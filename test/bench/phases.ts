/**
 * Where a verb's time goes, one at a time: means of one batch, since these add up; of the batch that took a middling time.
 * The daemon's share is what its own metrics grew by meanwhile; the shares outside of it are differences.
 */
import type { LabNode } from '../../src/lab/node/node.ts';
import type { Verb } from './contenders.ts';

/** In ms: sums since the daemon began, or what each of a batch took of them. */
export interface DaemonTimes {
  /** From the whole request to its answer. */
  readonly request: number;
  readonly step: number;
  readonly journal: number;
  readonly kernel: number;
}

export interface BatchCost {
  readonly wholeMs: number;
  readonly daemon: DaemonTimes;
}

export interface PhaseRow {
  readonly verb: Verb;
  /** Exec and exit of a program that does nothing. */
  readonly exec: number;
  /** The shim's own work, the socket both ways, and what the daemon does before the request is whole. */
  readonly socket: number;
  readonly step: number;
  readonly journal: number;
  /** Also the way to the thread that speaks netlink, and back. */
  readonly kernel: number;
  /** The rest of what the daemon does: reading the request, looking at the namespace, writing the answer. */
  readonly reply: number;
}

export const PHASES = ['exec', 'socket', 'step', 'journal', 'kernel', 'reply'] as const;

export async function daemonTimes({ daemon }: LabNode, verb: Verb): Promise<DaemonTimes> {
  const text = (await daemon.get('/metrics'))?.body ?? '';
  const sum = (name: string, label = ''): number =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`underway_${name}_duration_seconds_sum`) && line.includes(label))
      .reduce((total, line) => total + 1_000 * Number(line.slice(line.lastIndexOf(' '))), 0);
  return {
    request: sum('cni_request', `command="${verb}"`),
    step: sum('core_step'),
    journal: sum('journal_commit'),
    kernel: sum('kernel'),
  };
}

export function spent(before: DaemonTimes, after: DaemonTimes, count: number): DaemonTimes {
  const each = (part: keyof DaemonTimes) => (after[part] - before[part]) / count;
  return { request: each('request'), step: each('step'), journal: each('journal'), kernel: each('kernel') };
}

export function phaseRow(verb: Verb, { wholeMs, execMs, daemon }: BatchCost & { readonly execMs: number }): PhaseRow {
  const { request, step, journal, kernel } = daemon;
  return {
    verb,
    exec: execMs,
    socket: wholeMs - execMs - request,
    step,
    journal,
    kernel,
    reply: request - step - journal - kernel,
  };
}
