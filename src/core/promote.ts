/**
 * Prefixes again where single addresses had to do: a pool that prefers them falls back when its subnet has no whole
 * prefix free. Once it has one, a prefix is asked for in the place of idle single addresses, and those are given back;
 * else a node would keep what it was given in bad times, and fill its slots with it.
 *
 * Invariant: singles go only when prefixes hold what the pool needs, so neither step undoes the other; but for the one
 * that makes the slot for the first prefix.
 */
import { freeSlots } from './eni.ts';
import { giveUpSingle, lengthFor } from './grow.ts';
import type { Family } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import { demand, enisOf, holding, idleSinglesOf, serves, waitersOf } from './pool.ts';
import type { EniPresent, EniRow, PoolRow, SubnetRow } from './rows.ts';
import { askable, isOpen } from './subnet.ts';
import { wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** How long a subnet that had no prefix is left alone by those who can do without: many nodes ask the same subnet. */
const PROMOTE_AFTER_MS = 600_000;

/** Asks for one prefix when idle single addresses could then go; where no slot is free, one of those goes first. */
export function promote(turn: Turn, pool: PoolRow): void {
  if (pool.prefixes !== 'prefer' || waitersOf(turn.state, pool) > 0) return;
  for (const family of pool.families) {
    const idle = idleSinglesOf(turn.state, pool, family);
    if (idle === 0 || spareSingles(turn, pool, family) > 0) continue;
    const enis = enisOf(turn.state, pool).filter((eni): eni is EniPresent => mayTakePrefix(turn, pool, family, eni));
    const roomy = enis.find((eni) => freeSlots(turn, eni, family) > 0);
    if (roomy !== undefined) askForPrefix(turn, pool, family, roomy);
    // The other is there for the next pod meanwhile.
    else if (idle > 1) {
      const eni = enis.find(({ key }) => turn.state.tally(key, family).idleSingles > 0);
      if (eni !== undefined) giveUpSingle(turn, eni, family);
    }
  }
}

function mayTakePrefix(turn: Turn, pool: PoolRow, family: Family, eni: EniRow): boolean {
  const subnet = turn.state.get('subnet', eni.subnet);
  if (!serves(turn.state, eni, pool) || subnet === undefined || turn.state.operationOn(eni.key) !== undefined)
    return false;
  return (
    wishSize(family, prefixLengthFor(turn, pool, family, subnet)) > 1 &&
    isOpen(turn, subnet, family) &&
    turn.due(subnet.noPrefixUntilMs[family] + PROMOTE_AFTER_MS)
  );
}

function prefixLengthFor(turn: Turn, pool: PoolRow, family: Family, subnet: SubnetRow): number {
  const { total, coming } = holding(turn.state, pool, family);
  const room = family === 4 ? pool.targets.ceiling - total - coming : Number.POSITIVE_INFINITY;
  return lengthFor(turn, pool, subnet, family, Math.min(room, askable(turn, subnet, family)));
}

function askForPrefix(turn: Turn, pool: PoolRow, family: Family, eni: EniPresent): void {
  const subnet = turn.state.get('subnet', eni.subnet);
  if (subnet === undefined) return;
  const wish = { family, prefixLength: prefixLengthFor(turn, pool, family, subnet), count: 1 };
  startOperation(turn, { action: 'assign', eni: eni.id, wish }, 'release', eni.key);
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
