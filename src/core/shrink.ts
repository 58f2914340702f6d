/**
 * Giving back: what has been free beyond the threshold for a minute goes, from the emptiest ENI, a whole ENI before
 * single blocks. Nothing leased, cooling or quarantined is ever given back, and never below the floor.
 */
import { freeOn, usedOn } from './eni.ts';
import { type Family, familyOf } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import { blocksOfFamily, demand, enisOf, holding, serves, waitersOf } from './pool.ts';
import type { BlockRow, EniPresent, PoolRow } from './rows.ts';
import { blockSize, wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

const SURPLUS_MS = 60_000;
const RELEASE_COUNT_MAX = 32;

export function shrink(turn: Turn, pool: PoolRow): void {
  // One family's surplus is enough: its blocks go call by call, and the other's may have gone before.
  const surpluses = pool.families.map((family) => surplusOf(turn, pool, family));
  if (Math.max(...surpluses) <= 0 || waitersOf(turn.state, pool) > 0) {
    if (pool.surplusSinceMs !== undefined) setSurplus(turn, pool, undefined);
    return;
  }
  if (pool.surplusSinceMs === undefined) setSurplus(turn, pool, turn.nowMs);
  if (!turn.due((pool.surplusSinceMs ?? turn.nowMs) + SURPLUS_MS)) return;
  if (!drainEmptiest(turn, pool, Math.min(...surpluses))) releaseBlocks(turn, pool);
}

function setSurplus(turn: Turn, pool: PoolRow, sinceMs: number | undefined): void {
  const { surplusSinceMs: _, ...rest } = pool;
  turn.tx.put('pool', sinceMs === undefined ? rest : { ...rest, surplusSinceMs: sinceMs });
}

/** Free addresses that may go, once more of them are free than headroom and hysteresis keep. */
function surplusOf(turn: Turn, pool: PoolRow, family: Family): number {
  const held = holding(turn.state, pool, family);
  const { floor } = pool.targets;
  const headroom = headroomNow(turn, pool);
  if (held.free <= headroom + Math.max(largestBlock(turn, pool, family), Math.ceil(headroom / 2))) return 0;
  const keep = Math.max(floor, demand(turn.state, pool) + headroom + held.cooling);
  return Math.min(held.free - headroom, held.total + held.coming - keep);
}

function largestBlock(turn: Turn, pool: PoolRow, family: Family): number {
  // Not one that an ENI had which is gone, as long as pods that lost it name it.
  const prefixes = enisOf(turn.state, pool).some(
    (eni) => serves(turn.state, eni, pool) && turn.state.tally(eni.key, family).prefixes > 0,
  );
  return prefixes ? wishSize(family, Math.min(...turn.capabilities.prefixLengths[family])) : 1;
}

/** ready -> draining for the ENI with nothing leased on it, when the pool can spare all of it. */
function drainEmptiest(turn: Turn, pool: PoolRow, surplus: number): boolean {
  const spare = candidates(turn, pool).find(
    (eni) =>
      eni.kind === 'secondary' &&
      usedOn(turn, eni) === 0 &&
      freeOn(turn, eni) > 0 &&
      freeOn(turn, eni) <= surplus * pool.families.length,
  );
  if (spare === undefined) return false;
  turn.tx.put('eni', { ...spare, state: 'draining', sinceMs: turn.nowMs });
  return true;
}

function releaseBlocks(turn: Turn, pool: PoolRow): void {
  for (const family of pool.families) {
    const surplus = surplusOf(turn, pool, family);
    for (const eni of candidates(turn, pool)) {
      const free = blocksOfFamily(turn.state, eni, family).filter(
        (block) => block.state === 'ready' && turn.state.takenIn(block.id) === 0,
      );
      const chosen = fitting(free, surplus);
      if (chosen.length === 0) continue;
      const call = { action: 'unassign', eni: eni.id, blocks: chosen.map((block) => block.id) } as const;
      if (!startOperation(turn, call, 'release', eni.key)) return;
      for (const block of chosen) turn.tx.put('block', { ...block, state: 'releasing' });
      break;
    }
  }
}

/** Serving ENIs with nothing in flight, emptiest first. */
function candidates(turn: Turn, pool: PoolRow): EniPresent[] {
  return enisOf(turn.state, pool)
    .filter((eni): eni is EniPresent => serves(turn.state, eni, pool) && turn.state.operationOn(eni.key) === undefined)
    .sort((a, b) => usedOn(turn, a) - usedOn(turn, b) || (a.key < b.key ? 1 : -1));
}

/** Oldest idle first, of one kind a call, at most what may go. */
function fitting(free: readonly BlockRow[], surplus: number): BlockRow[] {
  const oldest = [...free].sort((a, b) => a.idleSinceMs - b.idleSinceMs || (a.id < b.id ? -1 : 1));
  const chosen: BlockRow[] = [];
  let left = surplus;
  for (const block of oldest) {
    const first = chosen[0];
    const alike =
      first === undefined || (familyOf(first.id) === familyOf(block.id) && blockSize(first) === blockSize(block));
    if (!alike || blockSize(block) > left || chosen.length >= RELEASE_COUNT_MAX) continue;
    chosen.push(block);
    left -= blockSize(block);
  }
  return chosen;
}
