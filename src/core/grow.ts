/**
 * Growing a pool: one wish is sized for all of demand, ENIs that are there are filled first, new ones are created and
 * attached side by side up to the instance's limits. What waits for a token is planned anew each time, never queued.
 */

import type { EniKey, SubnetId } from './brand.ts';
import type { Priority } from './budget.ts';
import type { BlockWish } from './cloud.ts';
import { freeSlots, isLeaving, nodeRow, ownerTags, usedOn } from './eni.ts';
import { cidrLength, type Family, familyOf } from './ip.ts';
import { headroomNow } from './learn.ts';
import { startOperation } from './operation.ts';
import { demand, enisOf, type Holding, holding, isPresent, serves, waitersOf } from './pool.ts';
import type { EniPresent, EniRow, PoolRow, SubnetRow, Targets } from './rows.ts';
import { wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** How often a block that the cloud took from running pods is asked for. */
const ASK_AGAIN_MS = 60_000;

/** Addresses of one family to ask for now, so that the pool reaches its target. */
export function shortfall(targets: Targets & { readonly headroom: number }, pods: number, held: Holding): number {
  const { floor, headroom, ceiling } = targets;
  const need = pods + Math.ceil(headroom / 2);
  const usable = held.total - held.cooling - held.quarantined + held.coming;
  if (usable >= Math.max(need, floor)) return 0;
  const wanted = Math.max(floor, pods + headroom + held.cooling) - (held.total - held.quarantined + held.coming);
  return Math.max(0, Math.min(wanted, ceiling - held.total - held.coming));
}

export function grow(turn: Turn, pool: PoolRow): void {
  const pods = demand(turn.state, pool);
  const waiting = waitersOf(turn.state, pool);
  const targets = { ...pool.targets, headroom: headroomNow(turn, pool) };
  const missing = new Map<Family, number>();
  for (const family of pool.families) {
    const held = holding(turn.state, pool, family);
    // A pod counts once, and may hold the address of its last sandbox while its new one waits for another.
    missing.set(family, shortfall(targets, Math.max(pods, held.leased + waiting), held));
  }
  const priority: Priority = waitersOf(turn.state, pool) > 0 ? 'blocked-pod' : 'top-up';
  askAgain(turn, pool);
  for (const family of pool.families) {
    const left = undrain(turn, pool, family, missing.get(family) ?? 0);
    missing.set(family, fill(turn, pool, family, left, priority) - roomComing(turn, pool, family));
  }
  create(turn, pool, missing, priority);
}

/** draining -> ready: what is about to go is the nearest capacity. */
function undrain(turn: Turn, pool: PoolRow, family: Family, missing: number): number {
  let left = missing;
  for (const eni of enisOf(turn.state, pool).sort(byKey)) {
    if (left <= 0) return 0;
    if (eni.state !== 'draining' || turn.state.operationOn(eni.key) !== undefined) continue;
    turn.tx.put('eni', { ...eni, state: 'ready', sinceMs: turn.nowMs });
    left -= turn.state.blocksOf(eni.key).filter((block) => familyOf(block.id) === family).length;
  }
  return left;
}

/** Blocks that the cloud took from running pods are asked for by name. */
function askAgain(turn: Turn, pool: PoolRow): void {
  for (const eni of enisOf(turn.state, pool)) {
    const taken = turn.state.tally(eni.key, 4).missing + turn.state.tally(eni.key, 6).missing;
    if (taken === 0 || eni.state !== 'ready' || turn.state.operationOn(eni.key) !== undefined) continue;
    const missing = turn.state
      .blocksOf(eni.key)
      .filter(
        (block) =>
          block.state === 'missing' &&
          turn.state.takenIn(block.id) > turn.state.coolingIn(block.id) &&
          (block.askedMs === undefined || turn.due(block.askedMs + ASK_AGAIN_MS)),
      );
    const first = missing[0];
    if (first === undefined) continue;
    const alike = missing.filter(
      (block) => familyOf(block.id) === familyOf(first.id) && cidrLength(block.id) === cidrLength(first.id),
    );
    const wish: BlockWish = { family: familyOf(first.id), prefixLength: cidrLength(first.id), count: alike.length };
    const call = { action: 'assign', eni: eni.id, wish, blocks: alike.map((block) => block.id) } as const;
    if (!startOperation(turn, call, 'blocked-pod', eni.key)) continue;
    for (const block of alike) turn.tx.put('block', { ...block, askedMs: turn.nowMs });
  }
}

/** Fills free slots, fullest ENI first; answers what is still missing when every slot that can be asked for is. */
function fill(turn: Turn, pool: PoolRow, family: Family, missing: number, priority: Priority): number {
  let left = missing;
  const enis = enisOf(turn.state, pool)
    // One whose link is awaited takes addresses meanwhile: the cloud does not mind, and nobody waits twice.
    .filter(
      (eni): eni is EniPresent =>
        (eni.kind === 'secondary' && eni.state === 'linking') || serves(turn.state, eni, pool),
    )
    .sort((a, b) => usedOn(turn, b) - usedOn(turn, a) || byKey(a, b));
  for (const eni of enis) {
    if (left <= 0) break;
    const subnet = turn.state.get('subnet', eni.subnet);
    const operation = turn.state.operationOn(eni.key);
    const asked =
      operation?.call.action === 'assign' && operation.call.wish.family === family ? operation.call.wish.count : 0;
    const slots = freeSlots(turn, eni, family) - asked;
    if (slots <= 0 || subnet === undefined || !turn.due(subnet.exhaustedUntilMs)) continue;
    const prefixLength = lengthFor(turn, pool, subnet, family);
    const size = wishSize(family, prefixLength);
    const count = Math.min(Math.ceil(left / size), slots, turn.capabilities.maxBlocksPerCall);
    left -= count * size;
    // Counted also when its token or the ENI's turn is yet to come: a slow assign is no reason to make an ENI.
    if (operation !== undefined) continue;
    startOperation(turn, { action: 'assign', eni: eni.id, wish: { family, prefixLength, count } }, priority, eni.key);
  }
  return left;
}

/** Addresses that ENIs being made can take beyond what they bring: pods that come meanwhile share them. */
function roomComing(turn: Turn, pool: PoolRow, family: Family): number {
  let room = 0;
  for (const eni of enisOf(turn.state, pool)) {
    const subnet = turn.state.get('subnet', eni.subnet);
    if (subnet === undefined || subnet.exhaustedUntilMs > turn.nowMs) continue;
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

function lengthFor(turn: Turn, pool: PoolRow, subnet: SubnetRow, family: Family): number {
  const single = family === 4 ? 32 : 128;
  const lengths = turn.capabilities.prefixLengths[family];
  const prefix = lengths.find((length) => length !== single);
  const wanted =
    pool.prefixes === 'prefer' && nodeRow(turn).limits?.prefixes === true && subnet.noPrefixUntilMs <= turn.nowMs;
  return wanted && prefix !== undefined ? prefix : single;
}

function create(turn: Turn, pool: PoolRow, missing: ReadonlyMap<Family, number>, priority: Priority): void {
  const left = new Map(missing);
  while ([...left.values()].some((count) => count > 0)) {
    const subnet = subnetFor(turn, pool);
    if (subnet === undefined || roomForEnis(turn) <= 0) return;
    const blocks = createWish(turn, pool, subnet, left);
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
    for (const wish of blocks)
      left.set(wish.family, (left.get(wish.family) ?? 0) - wish.count * wishSize(wish.family, wish.prefixLength));
  }
}

/** What the new ENI carries from the start: as much as is missing, at most what it holds. */
function createWish(turn: Turn, pool: PoolRow, subnet: SubnetRow, missing: ReadonlyMap<Family, number>): BlockWish[] {
  const slots = nodeRow(turn).limits?.slotsPerEni;
  return pool.families.flatMap((family): BlockWish[] => {
    const prefixLength = lengthFor(turn, pool, subnet, family);
    const count = Math.min(
      Math.ceil(Math.max(1, missing.get(family) ?? 0) / wishSize(family, prefixLength)),
      // One is the ENI's own: every provider gives it one of each family that is asked for, and it counts.
      (slots?.[family] ?? 0) - 1,
      turn.capabilities.maxBlocksPerCall,
    );
    return count > 0 ? [{ family, prefixLength, count }] : [];
  });
}

/** ENIs the instance can still take; those being created count, those being deleted do not. */
export function roomForEnis(turn: Turn): number {
  const limit = nodeRow(turn).limits?.eniCountMax ?? 0;
  let attached = 0;
  for (const eni of turn.state.all('eni')) if (!isLeaving(eni)) attached++;
  return limit - attached;
}

export function subnetsOf(turn: Turn, pool: PoolRow): readonly SubnetId[] {
  if (pool.subnets.length > 0) return pool.subnets;
  return [...turn.state.all('eni')].filter((eni) => eni.kind === 'primary').map((eni) => eni.subnet);
}

/** The pool's subnet of this zone with most free addresses, by what was last read; a full one is left alone for a while. */
export function subnetFor(turn: Turn, pool: PoolRow): SubnetRow | undefined {
  const { zone } = nodeRow(turn);
  const usable = subnetsOf(turn, pool)
    .flatMap((id) => turn.state.get('subnet', id) ?? [])
    .filter((subnet) => subnet.zone === zone && turn.due(subnet.exhaustedUntilMs));
  return usable.sort((a, b) => (b.freeCount4 ?? 0) - (a.freeCount4 ?? 0) || (a.id < b.id ? -1 : 1))[0];
}

function groupsFor(turn: Turn, pool: PoolRow) {
  if (pool.groups.length > 0) return pool.groups;
  const primary = [...turn.state.all('eni')].find((eni) => eni.kind === 'primary');
  return primary !== undefined && isPresent(primary) ? primary.groups : [];
}

const byKey = (a: EniRow, b: EniRow): number => (a.key < b.key ? -1 : 1);
