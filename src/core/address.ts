/**
 * Addresses: free -> held -> cooling -> free (or held -> free), and which free one a pod gets.
 * Placement packs: fullest ENI, fullest block, longest idle, lowest address, so that whole prefixes and ENIs empty.
 */
import type { LeaseId, PoolId } from './brand.ts';
import type { CoolingRow } from './cooling-queue.ts';
import { isLeaving, leave, removeBlock } from './eni.ts';
import { type Cidr, cidrAddress, type Family, type Ip } from './ip.ts';
import { isPresent, servingOf } from './pool.ts';
import type { BlockRow, EniRow, PoolRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** How long flushing may be put off so that several addresses share one pass (5-29 ms each). */
const FLUSH_BATCH_MS = 1_000;
const FLUSH_COUNT_MAX = 256;

export interface Place {
  readonly ip: Ip;
  readonly block: Cidr;
  readonly eni: EniRow['key'];
}

/** One free address for each family of the pool, or undefined: all or none. The families share an ENI where they can. */
export function placeFor(turn: Turn, pool: PoolRow): readonly Place[] | undefined {
  const places: Place[] = [];
  for (const family of [...pool.families].sort()) {
    const place = bestPlace(turn, pool, family, places[0]?.eni);
    if (place === undefined) return undefined;
    places.push(place);
  }
  return places;
}

function bestPlace(turn: Turn, pool: PoolRow, family: Family, preferred: EniRow['key'] | undefined): Place | undefined {
  let best: { readonly eni: EniRow['key']; readonly used: number; readonly block: BlockRow } | undefined;
  for (const eni of servingOf(turn.state, pool, family)) {
    const { taken, ready, held, cooling, quarantined } = turn.state.tally(eni, family);
    if (ready <= held + cooling + quarantined) continue;
    const used = eni === preferred ? Number.POSITIVE_INFINITY : taken;
    const fuller = best === undefined || used > best.used || (used === best.used && eni < best.eni);
    const block = fuller ? turn.state.bestBlock(eni, family) : undefined;
    if (block !== undefined) best = { eni, used, block };
  }
  if (best === undefined) return undefined;
  const { id } = best.block;
  const index = turn.state.lowestFree(id, (at) => cidrAddress(id, at));
  return { ip: cidrAddress(id, index), block: id, eni: best.eni };
}

/** free -> held */
export function holdAddress(turn: Turn, place: Place, lease: LeaseId): void {
  const taken = turn.state.get('address', place.ip);
  if (taken !== undefined) throw new Error(`${place.ip} is ${taken.state}, it cannot be held`);
  turn.tx.put('address', { ip: place.ip, block: place.block, state: 'held', lease });
}

/**
 * held -> cooling, after the kernel confirmed the fence. Also where the cloud took its block away, or nobody knows it
 * yet: it may be on its way back, and whoever gets it then must not hear the last pod's peers. One that is set apart
 * stays so as long as it could be handed out.
 */
export function coolAddress(turn: Turn, ip: Ip): void {
  const row = turn.state.get('address', ip);
  if (row === undefined) return;
  const block = turn.state.get('block', row.block);
  if (row.state === 'quarantined' && block !== undefined && block.state !== 'missing') return;
  turn.tx.put('address', { ip, block: row.block, state: 'cooling', sinceMs: turn.nowMs, flushed: 'no' });
}

/** held -> free: it was free when its lease began, and the kernel made nothing of that. */
export function freeAddress(turn: Turn, ip: Ip): void {
  const row = turn.state.get('address', ip);
  if (row?.state === 'held') becomeFree(turn, row);
  else coolAddress(turn, ip);
}

function becomeFree(turn: Turn, { ip, block: id }: { readonly ip: Ip; readonly block: Cidr }): void {
  turn.tx.remove('address', ip);
  const block = turn.state.get('block', id);
  if (block?.state === 'missing' && turn.state.takenIn(id) === 0) removeBlock(turn, id);
  else if (block !== undefined) turn.tx.put('block', { ...block, idleSinceMs: turn.nowMs });
}

/** When the address may be handed out or given back again. */
function cooledAtMs(turn: Turn, row: CoolingRow, hurry: boolean): number {
  const { cooldownMs, cooldownUnflushedMs, cooldownUnderPressureMs } = turn.runtime.settings;
  // A SYN in flight lives 120 s in conntrack (nf_conntrack_tcp_timeout_syn_sent): without the flush that is the wait.
  if (row.flushed !== 'yes') return row.sinceMs + Math.max(cooldownMs, cooldownUnflushedMs);
  return row.sinceMs + (hurry ? Math.min(cooldownMs, cooldownUnderPressureMs) : cooldownMs);
}

/**
 * cooling -> free for every address whose time has come. `short` says that pods of the pool wait beyond the free addresses
 * of the family and nothing can be had for them: as many as they are rest less.
 */
export function endCooldowns(turn: Turn, short: (pool: PoolId, family: Family) => boolean): void {
  const { cooling } = turn.state;
  for (const queues of cooling.queues()) {
    const { pool, family } = queues;
    for (const flushed of [true, false]) {
      for (;;) {
        const row = cooling.oldest(queues, flushed);
        if (row === undefined) break;
        const hurry = flushed && pool !== undefined && short(pool, family);
        if (!turn.due(cooledAtMs(turn, row, hurry))) break;
        becomeFree(turn, row);
      }
    }
  }
}

/** Asks the kernel to flush the connections of cooling addresses and of ENIs that leave, several in one pass. */
export function planFlush(turn: Turn): void {
  if (turn.runtime.flush.inFlight) return;
  const addresses = turn.state.cooling.unflushed();
  const oldest = addresses.reduce((first, row) => Math.min(first, row.sinceMs), Number.POSITIVE_INFINITY);
  const marks = marksToFlush(turn);
  const batchDue = addresses.length > 0 && turn.due(oldest + FLUSH_BATCH_MS);
  if (!batchDue && marks.length === 0) return;
  const chosen = addresses.slice(0, FLUSH_COUNT_MAX);
  for (const row of chosen) turn.tx.put('address', { ...row, flushed: 'asked' });
  turn.setRuntime({ flush: { inFlight: true } });
  turn.emit({ kind: 'flush', addresses: chosen.map((row) => row.ip), marks, markMask: turn.runtime.settings.markMask });
}

/** Of ENIs that leave. */
function marksToFlush(turn: Turn): number[] {
  const marks: number[] = [];
  if (turn.state.census.inMotion === 0) return marks;
  for (const eni of turn.state.all('eni'))
    if (isPresent(eni) && isLeaving(eni) && !eni.flushed && eni.number !== undefined) marks.push(eni.number);
  return marks;
}

export function flushed(
  turn: Turn,
  event: { readonly addresses: readonly Ip[]; readonly marks: readonly number[]; readonly done: boolean },
): void {
  turn.setRuntime({ flush: { inFlight: false } });
  for (const ip of event.addresses) {
    const row = turn.state.get('address', ip);
    // An address that was freed and leased again meanwhile is none of this flush's business.
    if (row?.state === 'cooling' && row.flushed === 'asked')
      turn.tx.put('address', { ...row, flushed: event.done ? 'yes' : 'cannot' });
  }
  if (event.marks.length === 0) return;
  for (const eni of turn.state.all('eni')) {
    if (isPresent(eni) && isLeaving(eni) && eni.number !== undefined && event.marks.includes(eni.number))
      leave(turn, { ...eni, flushed: true });
  }
}
