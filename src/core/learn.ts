/**
 * A pool's headroom where it is `auto`: what its forecast says now. The forecast learns from each new pod that asks and
 * from each refill; a pool whose headroom is a number learns nothing, and pays nothing for it.
 */
import { podName } from './bound.ts';
import type { PoolId } from './brand.ts';
import { nodeRow } from './eni.ts';
import {
  afterArrival,
  afterRefill,
  explainHeadroom,
  type Forecast,
  type HeadroomExplained,
  headroomOf,
  NOTHING_LEARNT,
  nextChangeMs,
} from './forecast.ts';
import type { PodRef, PoolRow, WaiterRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** The kubelet makes a refused pod's next sandbox after seconds, and after 5 minutes at most. */
const ASKS_AGAIN_MS = 600_000;

/** Addresses kept free beyond demand; a wake is armed for when that falls by itself. */
export function headroomNow(turn: Turn, { id, targets }: PoolRow): number {
  if (targets.headroom !== 'auto') return targets.headroom;
  const forecast = forecastOf(turn, id);
  const changeMs = nextChangeMs(forecast, turn.nowMs);
  if (changeMs !== undefined) turn.wakeAt(changeMs);
  return headroomOf(forecast, { nowMs: turn.nowMs, cap: capOf(turn, targets.ceiling) });
}

/** Why `auto` is what it is now; undefined where the headroom is a number. */
export function headroomExplained(
  turn: Turn,
  { id, targets }: Pick<PoolRow, 'id' | 'targets'>,
): HeadroomExplained | undefined {
  if (targets.headroom !== 'auto') return undefined;
  return explainHeadroom(forecastOf(turn, id), { nowMs: turn.nowMs, cap: capOf(turn, targets.ceiling) });
}

/** A new pod asks; neither a repeat of the same ADD, nor the next sandbox of a pod that was refused. */
export function learnArrival(turn: Turn, { id, targets }: PoolRow, pod: PodRef | undefined): void {
  if (targets.headroom !== 'auto' || (pod !== undefined && wasRefused(turn, pod))) return;
  turn.tx.put('forecast', { ...afterArrival(forecastOf(turn, id), turn.nowMs), pool: id });
}

const wasRefused = (turn: Turn, pod: PodRef): boolean =>
  turn.runtime.refused.some((row) => row.pod === podName(pod) && turn.nowMs - row.atMs < ASKS_AGAIN_MS);

/** They ask again, each with a new sandbox. */
export function noteRefused(turn: Turn, waiters: readonly WaiterRow[]): void {
  const pods = new Set(
    waiters.flatMap(({ pool, pod }) =>
      pod !== undefined && turn.state.get('pool', pool)?.targets.headroom === 'auto' ? [podName(pod)] : [],
    ),
  );
  if (pods.size === 0) return;
  const { nowMs } = turn;
  const others = turn.runtime.refused.filter(({ pod, atMs }) => !pods.has(pod) && nowMs - atMs < ASKS_AGAIN_MS);
  turn.setRuntime({ refused: [...others, ...[...pods].map((pod) => ({ pod, atMs: nowMs }))] });
}

/** What was decided at `sinceMs` is in the node's hands now. */
export function learnRefill(turn: Turn, pool: PoolId, sinceMs: number): void {
  if (turn.state.get('pool', pool)?.targets.headroom !== 'auto') return;
  turn.tx.put('forecast', { ...afterRefill(forecastOf(turn, pool), turn.nowMs - sinceMs), pool });
}

export const forecastOf = (turn: Turn, pool: PoolId): Forecast => turn.state.get('forecast', pool) ?? NOTHING_LEARNT;

/** No more than the instance could hold: single addresses in every slot but each ENI's own. */
export function capOf(turn: Turn, ceiling: number): number {
  const limits = nodeRow(turn).limits;
  if (limits === undefined) return 0;
  const perEni = Math.max(limits.slotsPerEni[4], limits.slotsPerEni[6]) - 1;
  return Math.min(ceiling, Math.max(0, limits.eniCountMax * perEni));
}
