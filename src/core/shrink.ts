/**
 * Giving back: what has been free beyond the threshold for a minute (`surplusMs`) goes, from the emptiest ENI, a whole
 * ENI before single blocks. Where the subnet is running out, what is idle goes soon, the longest idle first: another node
 * may be waiting for it. Nothing leased, cooling or quarantined is ever given back, and never below the floor.
 */
import { freeOn, usedOn } from './eni.ts';
import { type Family, familyOf } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import { blocksOfFamily, demand, enisOf, holding, isCeilingUsed, prefixesOf, serves, waitersOf } from './pool.ts';
import { spareSingles } from './promote.ts';
import type { BlockRow, EniPresent, PoolRow } from './rows.ts';
import { type Pressure, pressureOf } from './subnet.ts';
import { blockSize, wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** Where the subnet runs out: a pod that is replaced finds its address still here, and what nobody wants goes soon. */
const IDLE_MS = { tight: 30_000, exhausted: 10_000 } as const;
const RELEASE_COUNT_MAX = 32;
const FAMILIES: readonly Family[] = [4, 6];

export function shrink(turn: Turn, pool: PoolRow): void {
  // One family's surplus is enough: its blocks go call by call, and the other's may have gone before.
  const hasSurplus = pool.families.some(
    (family) => surplusOf(turn, pool, family) > 0 || hasSpareSingles(turn, pool, family),
  );
  const isWaitedFor = waitersOf(turn.state, pool) > 0;
  if (!isWaitedFor || isCeilingUsed(turn.state, pool))
    for (const family of pool.families) giveUpExcess(turn, pool, family);
  if (isWaitedFor) return setSurplus(turn, pool, undefined);
  if (yieldToOthers(turn, pool)) return;
  if (!hasSurplus) return setSurplus(turn, pool, undefined);
  const sinceMs = pool.surplusSinceMs ?? turn.nowMs;
  setSurplus(turn, pool, sinceMs);
  if (!turn.due(sinceMs + turn.runtime.settings.surplusMs)) return;
  const headroom = headroomNow(turn, pool);
  if (drainOne(turn, pool, candidates(turn, pool), (eni, family) => canSpare(turn, pool, eni, family, headroom)))
    return;
  for (const family of pool.families) {
    // The ENI that one family's blocks go from is busy for the other's.
    const enis = candidates(turn, pool);
    const surplus = surplusOf(turn, pool, family);
    if (!releaseFrom(turn, enis, family, surplus)) releaseSingles(turn, pool, enis, family);
  }
}

/**
 * What is free beyond a ceiling that was lowered goes at once, also where pods are refused for it (step.ts). An IPv6 prefix
 * stays: it holds more than any ceiling, and nobody goes short of it.
 */
function giveUpExcess(turn: Turn, pool: PoolRow, family: Family): void {
  const { ceiling } = pool.targets;
  const totalOf = (counted: Family): number => holding(turn.state, pool, counted).total;
  const excess = totalOf(family) - ceiling;
  if (excess <= 0 || (family === 6 && prefixesOf(turn.state, pool, family) > 0)) return;
  const enis = candidates(turn, pool);
  const isBeyond: IsSpare = ({ key }, counted) => totalOf(counted) - turn.state.tally(key, counted).ready >= ceiling;
  if (drainOne(turn, pool, enis, isBeyond) || releaseFrom(turn, enis, family, excess)) return;
  // Only a prefix is idle, and larger than that: what the ceiling still allows is asked for singly.
  releaseFrom(turn, enis, family, largestBlock(turn, pool, family));
}

function setSurplus(turn: Turn, pool: PoolRow, sinceMs: number | undefined): void {
  if (pool.surplusSinceMs === sinceMs) return;
  const { surplusSinceMs: _, ...rest } = pool;
  turn.tx.put('pool', sinceMs === undefined ? rest : { ...rest, surplusSinceMs: sinceMs });
}

/**
 * Free addresses that may go, once more of them are free than headroom and hysteresis keep. Beside IPv4 a /80 goes with
 * its ENI: it costs the subnet nothing, and the ENI's pods would take their IPv6 address from another one.
 */
function surplusOf(turn: Turn, pool: PoolRow, family: Family): number {
  if (family === 6 && pool.families.length > 1 && prefixesOf(turn.state, pool, family) > 0) return 0;
  const { free } = holding(turn.state, pool, family);
  const headroom = headroomNow(turn, pool);
  if (free <= headroom + Math.max(largestBlock(turn, pool, family), Math.ceil(headroom / 2))) return 0;
  return spareBeyond(turn, pool, family, headroom);
}

/** Free addresses beyond `headroom` that floor and demand can do without. */
function spareBeyond(turn: Turn, pool: PoolRow, family: Family, headroom: number): number {
  const held = holding(turn.state, pool, family);
  const { floor } = pool.targets;
  const keep = Math.max(floor, demand(turn.state, pool) + headroom + held.cooling);
  return Math.min(held.free - headroom, held.total - held.quarantined + held.coming - keep);
}

function largestBlock(turn: Turn, pool: PoolRow, family: Family): number {
  // Not one that an ENI had which is gone, as long as pods that lost it name it.
  return prefixesOf(turn.state, pool, family) > 0
    ? wishSize(family, Math.min(...turn.capabilities.prefixLengths[family]))
    : 1;
}

/** Gives idle addresses back to subnets that run out; true while it does. */
function yieldToOthers(turn: Turn, pool: PoolRow): boolean {
  if (isNowhereTight(turn)) return false;
  const all = candidates(turn, pool);
  for (const pressure of ['exhausted', 'tight'] as const) {
    const enis = all.filter((eni) => pressureOn(turn, eni) === pressure);
    const headroom = headroomNow(turn, pool);
    // As few as the planner would not ask for again.
    const keep = pressure === 'exhausted' ? Math.ceil(headroom / 2) : headroom;
    const spare = enis.length === 0 ? 0 : spareBeyond(turn, pool, 4, keep);
    if (spare <= 0) continue;
    const isIdle = (block: BlockRow): boolean => turn.due(block.idleSinceMs + IDLE_MS[pressure]);
    const whole = enis.filter((eni) => turn.state.blocksOf(eni.key).every(isIdle));
    if (drainOne(turn, pool, whole, (eni, family) => canSpare(turn, pool, eni, family, keep))) return true;
    const idle = enis.flatMap((eni) => idleBlocks(turn, eni, 4).filter(isIdle)).sort(byIdleTime);
    const chosen = fitting(
      idle.filter((block) => block.eni === idle[0]?.eni),
      spare,
    );
    const eni = enis.find(({ key }) => key === chosen[0]?.eni);
    if (eni === undefined) continue;
    release(turn, eni, chosen);
    return true;
  }
  return false;
}

function isNowhereTight(turn: Turn): boolean {
  for (const subnet of turn.state.all('subnet')) if (pressureOf(subnet, turn.nowMs) !== 'normal') return false;
  return true;
}

function pressureOn(turn: Turn, eni: EniPresent): Pressure {
  const subnet = turn.state.get('subnet', eni.subnet);
  return subnet === undefined ? 'normal' : pressureOf(subnet, turn.nowMs);
}

type IsSpare = (eni: EniPresent, family: Family) => boolean;

/** ready -> draining for one ENI without pods, when the pool can spare all of it; what cools there has its time first. */
function drainOne(turn: Turn, pool: PoolRow, enis: readonly EniPresent[], isSpare: IsSpare): boolean {
  const spare = enis.find(
    (eni) =>
      eni.kind === 'secondary' &&
      isWithoutPods(turn, eni) &&
      freeOn(turn, eni) > 0 &&
      pool.families.every((family) => isSpare(eni, family)),
  );
  if (spare === undefined) return false;
  turn.tx.put('eni', { ...spare, state: 'draining', sinceMs: turn.nowMs });
  return true;
}

const isWithoutPods = (turn: Turn, { key }: EniPresent): boolean =>
  FAMILIES.every((family) => {
    const { taken, cooling } = turn.state.tally(key, family);
    return taken === cooling;
  });

/** What remains without the ENI is enough: what cools there is no need of the others'. */
function canSpare(turn: Turn, pool: PoolRow, { key }: EniPresent, family: Family, headroom: number): boolean {
  const { ready, cooling } = turn.state.tally(key, family);
  const held = holding(turn.state, pool, family);
  const keep = Math.max(pool.targets.floor, demand(turn.state, pool) + headroom + held.cooling - cooling);
  return ready - cooling <= held.free - headroom && ready <= held.total - held.quarantined + held.coming - keep;
}

/** Blocks of the first of these ENIs that has some to give; true when there is one. */
function releaseFrom(turn: Turn, enis: readonly EniPresent[], family: Family, spare: number): boolean {
  for (const eni of enis) {
    const chosen = fitting(idleBlocks(turn, eni, family), spare);
    if (chosen.length === 0) continue;
    release(turn, eni, chosen);
    return true;
  }
  return false;
}

/** Single addresses that a prefix has replaced (promote.ts). */
function releaseSingles(turn: Turn, pool: PoolRow, enis: readonly EniPresent[], family: Family): void {
  const spare = spareSingles(turn, pool, family);
  for (const eni of enis) {
    const singles = idleBlocks(turn, eni, family).filter((block) => blockSize(block) === 1);
    const chosen = fitting(singles, spare);
    if (chosen.length > 0) return release(turn, eni, chosen);
  }
}

const hasSpareSingles = (turn: Turn, pool: PoolRow, family: Family): boolean => spareSingles(turn, pool, family) > 0;

/** ready -> releasing */
function release(turn: Turn, eni: EniPresent, chosen: readonly BlockRow[]): void {
  const call = { action: 'unassign', eni: eni.id, blocks: chosen.map((block) => block.id) } as const;
  if (!startOperation(turn, call, 'release', eni.key)) return;
  for (const block of chosen) turn.tx.put('block', { ...block, state: 'releasing' });
}

/** Blocks with every address free. */
const idleBlocks = (turn: Turn, eni: EniPresent, family: Family): BlockRow[] =>
  blocksOfFamily(turn.state, eni, family).filter(
    (block) => block.state === 'ready' && turn.state.takenIn(block.id) === 0,
  );

/** Serving ENIs with nothing in flight, emptiest first. */
function candidates(turn: Turn, pool: PoolRow): EniPresent[] {
  return enisOf(turn.state, pool)
    .filter((eni): eni is EniPresent => serves(turn.state, eni, pool) && turn.state.operationOn(eni.key) === undefined)
    .sort((a, b) => usedOn(turn, a) - usedOn(turn, b) || (a.key < b.key ? 1 : -1));
}

/** Longest idle first, of one kind a call, at most what may go. */
function fitting(free: readonly BlockRow[], surplus: number): BlockRow[] {
  const chosen: BlockRow[] = [];
  let left = surplus;
  for (const block of [...free].sort(byIdleTime)) {
    const first = chosen[0];
    const alike =
      first === undefined || (familyOf(first.id) === familyOf(block.id) && blockSize(first) === blockSize(block));
    if (!alike || blockSize(block) > left || chosen.length >= RELEASE_COUNT_MAX) continue;
    chosen.push(block);
    left -= blockSize(block);
  }
  return chosen;
}

const byIdleTime = (a: BlockRow, b: BlockRow): number => a.idleSinceMs - b.idleSinceMs || (a.id < b.id ? -1 : 1);
