/**
 * Pods that the scheduler bound to this node: they are demand before their ADD, so that its address is on its way when it
 * comes. What the control plane tells may be late, lost or wrong; nothing but the pool's size hangs on it, and that for
 * two minutes at most.
 */
import type { PoolId } from './brand.ts';
import type { PodRef } from './rows.ts';
import type { Turn } from './turn.ts';

/** A pod that was bound to this node of late; whether it has asked yet, leases and waiters tell. */
export interface BoundRow {
  readonly pod: PodRef;
  readonly pool: PoolId;
  readonly sinceMs: number;
}

/** A pod that has not come by then (it lacks an image's secret, a volume, a node that lives) is waited for no more. */
const EXPECTED_MS = 120_000;

/** The same pod may be told twice, by an API server that is behind: that does not prolong it. */
export function podBound(turn: Turn, pod: PodRef): void {
  const [pool] = turn.state.all('pool');
  const key = podName(pod);
  if (pool === undefined || turn.state.get('bound', key)?.pod.uid === pod.uid) return;
  // Another pod of that name gives way; the rows stay in order of their ends.
  turn.tx.remove('bound', key);
  turn.tx.put('bound', { pod, pool: pool.id, sinceMs: turn.nowMs });
}

export function podGone(turn: Turn, pod: PodRef): void {
  const key = podName(pod);
  if (turn.state.get('bound', key)?.pod.uid === pod.uid) turn.tx.remove('bound', key);
}

export function endExpectations(turn: Turn): void {
  for (const { pod, sinceMs } of turn.state.all('bound')) {
    if (!turn.due(sinceMs + EXPECTED_MS)) return;
    turn.tx.remove('bound', podName(pod));
  }
}

export const podName = ({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>): string => `${namespace}/${name}`;
