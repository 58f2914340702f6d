/**
 * Growing a pool: one wish is sized for all of demand, ENIs that are there are filled first, new ones are created and
 * attached side by side up to the instance's limits. What waits for a token is planned anew each time, never queued.
 */

import type { EniKey } from './brand.ts';
import type { Priority } from './budget.ts';
import type { BlockWish } from './cloud.ts';
import { freeSlots, isLeaving, nodeRow, ownerTags, usedOn } from './eni.ts';
import { cidrLength, type Family, familyOf } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import {
  blocksOfFamily,
  demand,
  enisOf,
  expectedOf,
  type Holding,
  holding,
  isBeingSetUp,
  isCeilingUsed,
  isPresent,
  serves,
  waitersOf,
} from './pool.ts';
import type { EniPresent, EniRow, PoolRow, SubnetRow, Targets } from './rows.ts';
import { askable, closedUntilMs, hasRange, isOpen, isPoolExhausted, subnetFor, subnetsOf } from './subnet.ts';
import { placedIn } from './subnet-use.ts';
import { blockSize, wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** How often a block that the cloud took from running pods is asked for. */
const ASK_AGAIN_MS = 60_000;

/** `headroom` as it is now, and how much of it is asked for: all, or the half below which more is asked for. */
interface FullTargets extends Targets {
  readonly headroom: number;
  readonly spare: number;
}

/** Addresses of one family to ask for now, so that the pool reaches its target. */
export function shortfall(targets: FullTargets, pods: number, held: Holding): number {
  const { floor, headroom, spare, ceiling } = targets;
  const need = pods + Math.ceil(headroom / 2);
  const usable = held.total - held.cooling - held.quarantined + held.coming;
  if (usable >= Math.max(need, floor)) return 0;
  const wanted = Math.max(floor, pods + spare + held.cooling) - (held.total - held.quarantined + held.coming);
  return Math.max(0, Math.min(wanted, ceiling - held.total - held.coming));
}

/** What a family lacks: addresses to ask for, and how many the ceiling still allows. */
interface Lack {
  left: number;
  room: number;
}

export function grow(turn: Turn, pool: PoolRow): void {
  const priority = priorityFor(turn, pool);
  const lacks = new Map<Family, Lack>();
  for (const family of pool.families) {
    const { total, coming } = holding(turn.state, pool, family);
    const lack = { left: missingOf(turn, pool, family), room: pool.targets.ceiling - total - coming };
    if (lack.left > 0 && !isServable(turn, pool)) break;
    if (lack.left > 0) fill(turn, pool, family, lack, priority);
    if (lack.left > 0) lack.left -= roomComing(turn, pool, family);
    lacks.set(family, lack);
  }
  create(turn, pool, lacks, priority);
  askAgain(turn, pool);
}

/** A pod takes all families or none: where one can be had nowhere, addresses of the other are of no use to anybody. */
function isServable(turn: Turn, pool: PoolRow): boolean {
  const ids = new Set([...enisOf(turn.state, pool).map(({ subnet }) => subnet), ...subnetsOf(turn, pool)]);
  const subnets = [...ids].map((id) => turn.state.get('subnet', id));
  return pool.families.every((family) => subnets.some((row) => row === undefined || hasRange(row, family)));
}

/** A pod that was bound will ask; what `auto` learnt is a guess about pods; a number is an operator's wish. */
function priorityFor(turn: Turn, pool: PoolRow): Priority {
  if (waitersOf(turn.state, pool) > 0) return 'blocked-pod';
  return pool.targets.headroom === 'auto' || expectedOf(turn.state, pool) > 0 ? 'predicted' : 'top-up';
}

/** Addresses of the family that the pool lacks now. */
function missingOf(turn: Turn, pool: PoolRow, family: Family): number {
  const held = holding(turn.state, pool, family);
  // A pod counts once, and may hold the address of its last sandbox while its new one waits for another.
  const asked = held.leased + waitersOf(turn.state, pool);
  const pods = Math.max(demand(turn.state, pool), asked + expectedOf(turn.state, pool));
  const headroom = headroomNow(turn, pool);
  const spare = isPoolExhausted(turn, pool) ? Math.ceil(headroom / 2) : headroom;
  return shortfall({ ...pool.targets, headroom, spare }, pods, held);
}

/**
 * draining -> ready when demand returns: what is about to go is the nearest capacity, also for a pod that something else
 * is on its way for. True when an ENI was taken back.
 */
export function cancelDrains(turn: Turn, pool: PoolRow): boolean {
  let isCancelled = false;
  if (turn.state.census.inMotion === 0 || isCeilingUsed(turn.state, pool)) return isCancelled;
  for (const eni of enisOf(turn.state, pool).sort(byKey)) {
    if (eni.state !== 'draining' || turn.state.operationOn(eni.key) !== undefined) continue;
    const isMissed = pool.families.some((family) => missingOf(turn, pool, family) > 0);
    if (!isMissed && (isCancelled || !isWaitedFor(turn, pool))) break;
    turn.tx.put('eni', { ...eni, state: 'ready', sinceMs: turn.nowMs });
    isCancelled = true;
  }
  return isCancelled;
}

/** A pod waits for an address, and not for the end of its own last sandbox. */
function isWaitedFor(turn: Turn, pool: PoolRow): boolean {
  if (waitersOf(turn.state, pool) === 0) return false;
  return [...turn.state.all('waiter')].some(
    (waiter) => waiter.pool === pool.id && turn.state.leaseOf(waiter.key) === undefined,
  );
}

/** Blocks that the cloud took from running pods are asked for by name. */
function askAgain(turn: Turn, pool: PoolRow): void {
  if (turn.state.census.missingBlocks === 0) return;
  for (const eni of enisOf(turn.state, pool)) {
    const taken = turn.state.tally(eni.key, 4).missing + turn.state.tally(eni.key, 6).missing;
    if (taken === 0 || eni.state !== 'ready' || turn.state.operationOn(eni.key) !== undefined) continue;
    const missing = turn.state
      .blocksOf(eni.key)
      .filter(
        (block) =>
          block.state === 'missing' &&
          turn.state.takenIn(block.id) > turn.state.coolingIn(block.id) &&
          (block.askAgainMs === undefined || turn.due(block.askAgainMs)),
      );
    const first = missing[0];
    if (first === undefined) continue;
    // What came meanwhile has its place (a journal that lost its end): an idle address makes room, if there is one.
    const isFull = nodeRow(turn).limits !== undefined && freeSlots(turn, eni, familyOf(first.id)) < 0;
    if (isFull && giveUpSingle(turn, eni, familyOf(first.id))) continue;
    const alike = missing.filter(
      (block) => familyOf(block.id) === familyOf(first.id) && cidrLength(block.id) === cidrLength(first.id),
    );
    const wish: BlockWish = { family: familyOf(first.id), prefixLength: cidrLength(first.id), count: alike.length };
    const blocks = alike.map((block) => block.id);
    const call = { action: 'assign', eni: eni.id, wish, blocks, again: true } as const;
    if (!startOperation(turn, call, 'blocked-pod', eni.key)) continue;
    for (const block of alike) turn.tx.put('block', { ...block, askAgainMs: turn.nowMs + ASK_AGAIN_MS });
  }
}

/** ready -> releasing for one idle single address of the ENI; true when it goes. */
export function giveUpSingle(turn: Turn, eni: EniPresent, family: Family): boolean {
  if (turn.state.tally(eni.key, family).idleSingles === 0) return false;
  const single = blocksOfFamily(turn.state, eni, family).find(
    (block) => block.state === 'ready' && blockSize(block) === 1 && turn.state.takenIn(block.id) === 0,
  );
  if (single === undefined) return false;
  const call = { action: 'unassign', eni: eni.id, blocks: [single.id] } as const;
  if (!startOperation(turn, call, 'release', eni.key)) return false;
  turn.tx.put('block', { ...single, state: 'releasing' });
  return true;
}

/**
 * Fills free slots, fullest ENI first; what is left then is missing when every slot that can be asked for is. What one
 * call does not carry the next one does, sooner than a new ENI would be there.
 */
function fill(turn: Turn, pool: PoolRow, family: Family, lack: Lack, priority: Priority): void {
  const enis = enisOf(turn.state, pool)
    // One whose link is awaited takes addresses meanwhile: the cloud does not mind, and nobody waits twice.
    .filter(
      (eni): eni is EniPresent =>
        (eni.kind === 'secondary' && eni.state === 'linking') ||
        isBeingSetUp(eni, pool) ||
        serves(turn.state, eni, pool),
    )
    .sort((a, b) => usedOn(turn, b) - usedOn(turn, a) || byKey(a, b));
  let nextCalls = 0;
  for (const eni of enis) {
    if (lack.left <= 0) return;
    const subnet = turn.state.get('subnet', eni.subnet);
    const operation = turn.state.operationOn(eni.key);
    const asked =
      operation?.call.action === 'assign' && operation.call.wish.family === family ? operation.call.wish.count : 0;
    const slots = freeSlots(turn, eni, family) - asked;
    if (slots <= 0 || isHeldUp(turn, eni) || subnet === undefined || !isOpen(turn, subnet, family)) continue;
    const bounds = { ...lack, subnet, slots, askable: askable(turn, subnet, family) };
    const wish = wishFor(turn, pool, family, bounds);
    take(lack, wish);
    nextCalls += nextCallsOf(turn, bounds, wish);
    // Counted also when its token or the ENI's turn is yet to come: a slow assign is no reason to make an ENI.
    if (operation !== undefined || wish.count === 0) continue;
    const placed = placedIn(turn, pool, subnet, wish);
    if (placed === 'later') continue;
    startOperation(turn, { action: 'assign', eni: eni.id, wish, ...placed }, priority, eni.key);
  }
  lack.left -= nextCalls;
}

/** Addresses that calls after the wish's can bring into the slots it leaves: of its own length where it was cut, or single ones. */
function nextCallsOf(turn: Turn, { slots, askable }: Bounds, { family, prefixLength, count }: BlockWish): number {
  const size = wishSize(family, prefixLength);
  const isCut = count === turn.capabilities.maxBlocksPerCall;
  return Math.max(0, Math.min((slots - count) * (isCut ? size : 1), askable - count * size));
}

/** What the ENI is asked for waits for something, or is in doubt: its slots are nobody's for as long as that takes. */
export function isHeldUp(turn: Turn, eni: EniRow): boolean {
  const operation = turn.state.operationOn(eni.key);
  return operation !== undefined && operation.state !== 'flying' && operation.call.action !== 'assign';
}

interface Bounds extends Lack {
  readonly subnet: SubnetRow;
  readonly slots: number;
  readonly askable: number;
}

/** As much as is missing, and no more than the ENI, the call, the subnet and the ceiling allow. */
function wishFor(turn: Turn, pool: PoolRow, family: Family, { left, room, subnet, slots, askable }: Bounds): BlockWish {
  // Nobody goes short of the addresses of an IPv6 prefix that a node does not use.
  const most = family === 4 ? Math.max(0, Math.min(room, askable)) : Number.POSITIVE_INFINITY;
  const prefixLength = lengthFor(turn, pool, subnet, family, most);
  const size = wishSize(family, prefixLength);
  const count = Math.min(Math.ceil(left / size), slots, turn.capabilities.maxBlocksPerCall, Math.floor(most / size));
  return { family, prefixLength, count: Math.max(0, count) };
}

function take(lack: Lack, { family, prefixLength, count }: BlockWish): void {
  lack.left -= count * wishSize(family, prefixLength);
  lack.room -= count * wishSize(family, prefixLength);
}

/** Addresses that ENIs being made can take beyond what they bring: pods that come meanwhile share them. */
function roomComing(turn: Turn, pool: PoolRow, family: Family): number {
  let room = 0;
  for (const eni of enisOf(turn.state, pool)) {
    const subnet = turn.state.get('subnet', eni.subnet);
    if (subnet === undefined || closedUntilMs(turn, subnet, family) > 0) continue;
    const slots = slotsComing(turn, eni, family);
    room += Math.max(0, slots) * wishSize(family, lengthFor(turn, pool, subnet, family));
  }
  return room;
}

function slotsComing(turn: Turn, eni: EniRow, family: Family): number {
  if (eni.state === 'available' || eni.state === 'attaching') return freeSlots(turn, eni, family);
  const call = turn.state.operationOn(eni.key)?.call;
  if (eni.state !== 'creating' || call?.action !== 'create') return 0;
  const brought = call.blocks.reduce((sum, wish) => (wish.family === family ? sum + wish.count : sum), 0);
  return (nodeRow(turn).limits?.slotsPerEni[family] ?? 0) - 1 - brought;
}

/** A prefix where the pool prefers them, the subnet had one when last asked, and at most `most` addresses are enough for it. */
export function lengthFor(
  turn: Turn,
  pool: PoolRow,
  subnet: SubnetRow,
  family: Family,
  most = Number.POSITIVE_INFINITY,
) {
  const single = family === 4 ? 32 : 128;
  const lengths = turn.capabilities.prefixLengths[family];
  const prefix = lengths.find((length) => length !== single && wishSize(family, length) <= most);
  const wanted =
    pool.prefixes === 'prefer' &&
    nodeRow(turn).limits?.prefixes === true &&
    subnet.noPrefixUntilMs[family] <= turn.nowMs;
  return wanted && prefix !== undefined ? prefix : single;
}

function create(turn: Turn, pool: PoolRow, lacks: ReadonlyMap<Family, Lack>, priority: Priority): void {
  while ([...lacks.values()].some(({ left }) => left > 0)) {
    const subnet = subnetFor(turn, pool);
    if (subnet === undefined || roomForEnis(turn) <= 0) return;
    const blocks = createWish(turn, pool, subnet, lacks);
    if (blocks === undefined) return;
    const key = turn.newId<EniKey>();
    const call = {
      action: 'create',
      subnet: subnet.id,
      groups: groupsFor(turn, pool),
      blocks,
      tags: ownerTags(turn, key),
    } as const;
    if (!startOperation(turn, call, priority, key)) return;
    turn.tx.put('eni', {
      key,
      pool: pool.id,
      kind: 'secondary',
      subnet: subnet.id,
      decidedMs: turn.nowMs,
      sinceMs: turn.nowMs,
      writtenMs: turn.nowMs,
      state: 'creating',
    });
    for (const wish of blocks) {
      const lack = lacks.get(wish.family);
      if (lack !== undefined) take(lack, wish);
    }
  }
}

/**
 * What the new ENI carries from the start: as much as is missing, at most what it holds. Undefined where it would not
 * bring what it is made for: it would take an address for itself and give none.
 */
function createWish(
  turn: Turn,
  pool: PoolRow,
  subnet: SubnetRow,
  lacks: ReadonlyMap<Family, Lack>,
): BlockWish[] | undefined {
  const blocks: BlockWish[] = [];
  for (const [family, { left, room }] of lacks) {
    const wish = wishFor(turn, pool, family, {
      // A pod takes both families from one ENI where it can.
      left: Math.max(1, left),
      room,
      subnet,
      // One is the ENI's own: every provider gives it one of each family that is asked for, and it counts.
      slots: (nodeRow(turn).limits?.slotsPerEni[family] ?? 0) - 1,
      askable: askable(turn, subnet, family) - 1,
    });
    if (wish.count > 0) blocks.push(wish);
    else if (left > 0) return undefined;
  }
  return blocks;
}

/** ENIs the instance can still take; those being created count, those being deleted do not. */
export function roomForEnis(turn: Turn): number {
  const limit = nodeRow(turn).limits?.eniCountMax ?? 0;
  let attached = 0;
  for (const eni of turn.state.all('eni')) if (!isLeaving(eni)) attached++;
  return limit - attached;
}

function groupsFor(turn: Turn, pool: PoolRow) {
  if (pool.groups.length > 0) return pool.groups;
  const primary = [...turn.state.all('eni')].find((eni) => eni.kind === 'primary');
  return primary !== undefined && isPresent(primary) ? primary.groups : [];
}

const byKey = (a: EniRow, b: EniRow): number => (a.key < b.key ? -1 : 1);
