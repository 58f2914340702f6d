/**
 * A pool's headroom where it is `auto`: what its forecast says now. The forecast learns from each new pod that asks and
 * from each refill; a pool whose headroom is a number learns nothing, and pays nothing for it.
 */
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
import type { PoolRow } from './rows.ts';
import type { Turn } from './turn.ts';

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

/** A new pod asks; not a repeat of the same ADD. */
export function learnArrival(turn: Turn, { id, targets }: PoolRow): void {
  if (targets.headroom !== 'auto') return;
  turn.tx.put('forecast', { ...afterArrival(forecastOf(turn, id), turn.nowMs), pool: id });
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
