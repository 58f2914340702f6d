/**
 * Pods' own namespaces. Where others changed one it is looked at a moment later, and what is missing of ours is put
 * back. What runs in a pod may have meant it (with CAP_NET_ADMIN it can): after a few repairs in a row the next waits
 * twice as long each time, so that nobody is fought for ever.
 *
 * Not put back: what has another in its place, which the datapath leaves alone; a pod's link, with which its lease ends.
 */
import type { LeaseId } from './brand.ts';
import type { PodLook } from './events.ts';
import { lookedAt, podPlan } from './lease.ts';
import type { PodPlan } from './plan.ts';
import type { LeaseRow } from './rows.ts';
import type { State } from './state.ts';
import type { Turn } from './turn.ts';

/** A pod in whose own namespace others changed something. */
export interface LookRow {
  readonly lease: LeaseId;
  /** When it is looked at; absent where nothing has changed since the last time. */
  readonly atMs?: number;
  /** How often in a row something was put back, and when that was last. */
  readonly count: number;
  readonly putBackMs: number;
}

/** Changes come in bursts, and a program that replaces what is ours takes it away first. */
const LOOK_DELAY_MS = 250;
/** A read takes about a millisecond; a DEL of one of these pods waits for all of them. */
const LOOK_COUNT_MAX = 32;
const RETRY_MS = 1_000;
/** So many repairs in a row are made as soon as there is need. */
export const AT_ONCE_COUNT_MAX = 3;
const PAUSE_MS = { first: 60_000, most: 3_600_000 } as const;
/** With nothing put back for so long, the next repair is the first of its row. */
const QUIET_MS = 3_600_000;

export function podChanged(turn: Turn, index: number): void {
  const lease = turn.state.leasesIn('ready').find(({ linkIndex }) => linkIndex === index);
  if (lease !== undefined) wantLook(turn, lease);
}

/** What was changed while nobody heard of it can be anything. */
export function lookAtAll(turn: Turn): void {
  for (const lease of turn.state.leasesIn('ready')) wantLook(turn, lease);
}

function wantLook(turn: Turn, lease: LeaseRow): void {
  // Of one that was adopted from its link alone nobody knows the namespace.
  if (lease.netns.path === '') return;
  const known = turn.state.get('look', lease.id) ?? { lease: lease.id, count: 0, putBackMs: 0 };
  if (known.atMs !== undefined) return;
  const row = turn.nowMs - known.putBackMs >= QUIET_MS ? { ...known, count: 0 } : known;
  turn.tx.put('look', { ...row, atMs: Math.max(turn.nowMs + LOOK_DELAY_MS, pausedUntilMs(row)) });
}

/** Since when the next repair may be made. */
function pausedUntilMs({ count, putBackMs }: LookRow): number {
  if (count < AT_ONCE_COUNT_MAX) return putBackMs;
  return putBackMs + Math.min(PAUSE_MS.most, PAUSE_MS.first * 2 ** (count - AT_ONCE_COUNT_MAX));
}

/** Some pod is being looked at, or will be in a moment. */
export function isLooking(state: State, nowMs: number): boolean {
  if (state.runtime.look.inFlight) return true;
  return [...state.all('look')].some(({ atMs }) => atMs !== undefined && atMs <= nowMs + LOOK_DELAY_MS);
}

export function planLook(turn: Turn): void {
  if (turn.state.count('look') === 0 || turn.runtime.look.inFlight) return;
  const pods: PodPlan[] = [];
  for (const row of [...turn.state.all('look')]) {
    const lease = turn.state.get('lease', row.lease);
    if (lease?.state !== 'ready') {
      turn.tx.remove('look', row.lease);
      continue;
    }
    // What is done about it now says so when it is done.
    if (pods.length === LOOK_COUNT_MAX || row.atMs === undefined || lease.busy !== undefined || !turn.due(row.atMs))
      continue;
    const { atMs: _, ...rest } = row;
    turn.tx.put('look', rest);
    turn.tx.put('lease', { ...lease, busy: 'look' });
    pods.push(podPlan(turn, lease));
  }
  if (pods.length === 0) return;
  turn.setRuntime({ look: { inFlight: true } });
  turn.emit({ kind: 'look', pods });
}

export function looked(turn: Turn, pods: readonly PodLook[]): void {
  turn.setRuntime({ look: { inFlight: false } });
  for (const pod of pods) {
    const row = turn.state.get('look', pod.lease);
    if (row !== undefined) noteLook(turn, row, pod);
    const lease = turn.state.get('lease', pod.lease);
    if (lease?.busy === 'look') lookedAt(turn, lease);
  }
}

function noteLook(turn: Turn, row: LookRow, { count, failure }: PodLook): void {
  if (count === 0 && failure === undefined) {
    if (row.count === 0 && row.atMs === undefined) turn.tx.remove('look', row.lease);
    return;
  }
  const put: LookRow = { ...row, count: row.count + 1, putBackMs: turn.nowMs };
  const retryMs = failure === undefined ? row.atMs : turn.nowMs + RETRY_MS;
  turn.tx.put('look', { ...put, ...(retryMs !== undefined && { atMs: Math.max(retryMs, pausedUntilMs(put)) }) });
}
