/**
 * Prefixes again where single addresses had to do: a pool that prefers them falls back when its subnet has no whole
 * prefix free. Once it has one, a prefix is asked for in the place of idle single addresses, and those are given back;
 * else a node would keep what it was given in bad times, and fill its slots with it.
 *
 * Invariant: singles go only when prefixes hold what the pool needs, so neither step undoes the other.
 */
import { freeSlots } from './eni.ts';
import { lengthFor } from './grow.ts';
import type { Family } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import { demand, enisOf, holding, idleSinglesOf, serves, waitersOf } from './pool.ts';
import type { PoolRow } from './rows.ts';
import { askable, isOpen } from './subnet.ts';
import { wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** How long a subnet that had no prefix is left alone by those who can do without: many nodes ask the same subnet. */
const PROMOTE_AFTER_MS = 600_000;

/** Asks for one prefix when idle single addresses could then go. */
export function promote(turn: Turn, pool: PoolRow): void {
  if (pool.prefixes !== 'prefer' || waitersOf(turn.state, pool) > 0) return;
  for (const family of pool.families) {
    if (idleSinglesOf(turn.state, pool, family) === 0 || spareSingles(turn, pool, family) > 0) continue;
    const { total, coming } = holding(turn.state, pool, family);
    for (const eni of enisOf(turn.state, pool)) {
      const subnet = turn.state.get('subnet', eni.subnet);
      if (!serves(turn.state, eni, pool) || subnet === undefined || turn.state.operationOn(eni.key) !== undefined)
        continue;
      const room = family === 4 ? pool.targets.ceiling - total - coming : Number.POSITIVE_INFINITY;
      const most = Math.min(room, askable(turn, subnet, family));
      const prefixLength = lengthFor(turn, pool, subnet, family, most);
      if (wishSize(family, prefixLength) === 1 || freeSlots(turn, eni, family) <= 0) continue;
      if (!isOpen(turn, subnet, family) || !turn.due(subnet.noPrefixUntilMs + PROMOTE_AFTER_MS)) continue;
      const wish = { family, prefixLength, count: 1 };
      if (startOperation(turn, { action: 'assign', eni: eni.id, wish }, 'release', eni.key)) return;
    }
  }
}

/** Idle single addresses that the pool can do without, by what is free in its prefixes; 0 in a pool without them. */
export function spareSingles(turn: Turn, pool: PoolRow, family: Family): number {
  if (pool.prefixes !== 'prefer') return 0;
  const singles = idleSinglesOf(turn.state, pool, family);
  if (singles === 0) return 0;
  const { free, total, cooling } = holding(turn.state, pool, family);
  const headroom = headroomNow(turn, pool);
  if (free - singles < Math.max(1, headroom)) return 0;
  const keep = Math.max(pool.targets.floor, demand(turn.state, pool) + headroom + cooling);
  return Math.max(0, Math.min(singles, total - keep));
}
