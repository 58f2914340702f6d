/**
 * Subnets: how many addresses each has left, by what was last read and by our own writes since, and whether that is few.
 * A figure is another nodes' business too, so it ages: one that is old limits nothing, and only says where to look first.
 */
import type { SubnetId } from './brand.ts';
import { uniformOf } from './budget.ts';
import type { BlockWish, CloudCall, SubnetFacts } from './cloud.ts';
import { nodeRow } from './eni.ts';
import { type Cidr, cidrSize, type Family, familyOf } from './ip.ts';
import { primaryOf } from './pool.ts';
import type { PoolRow, SubnetRow } from './rows.ts';
import { wishSize } from './tally.ts';
import type { Turn } from './turn.ts';

/** How few addresses a subnet has: what is idle on one node is then missing on another. */
export type Pressure = 'normal' | 'tight' | 'exhausted';

/** Shares of the subnet's addresses that are free: tight below the first, normal again above the second. */
const TIGHT_BELOW = 0.1;
const NORMAL_ABOVE = 0.15;
/** Below this share a node looks more often: the others may be taking the rest. */
const SCARCE_BELOW = 0.25;
/** Or up to a quarter sooner: a thousand nodes are at most 2.2 and 11.1 of the 20 Describe calls a second of an account. */
const READ_MS = 600_000;
export const READ_SCARCE_MS = 120_000;
/** One that the cloud does not list, and that a node or a pod misses: nothing but a person or a replica's lag mends it. */
export const UNLISTED_RETRY_MS = 30_000;
/** A figure limits what is asked for only while it is as fresh as this. */
const FRESH_MS = 30_000;

/** Of a subnet that nothing was refused in. */
export const UNMARKED = { exhaustedUntilMs: { 4: 0, 6: 0 }, noPrefixUntilMs: { 4: 0, 6: 0 } } as const;

/** The row after a read that began at `readMs`. */
export function heard(turn: Turn, facts: SubnetFacts, readMs: number): SubnetRow {
  const known = turn.state.get('subnet', facts.id);
  const { refused, ...row } = withFree(
    { ...UNMARKED, tight: false, ...known, ...facts, heardMs: readMs, readAtMs: readMs },
    facts.freeCount4,
  );
  // Nodes that started together do not read together.
  const chance = uniformOf(`${nodeRow(turn).epoch}/${facts.id}/${Math.floor(readMs)}`);
  const isPressing = isScarce(row) || isRangeMissed(turn, row);
  const readAtMs = readMs + Math.ceil((isPressing ? READ_SCARCE_MS : READ_MS) * (0.75 + 0.25 * chance));
  // Fewer than were asked for are left, which explains the refusal: those may be asked for.
  const { freeCount4: free } = row;
  const isExplained = refused !== undefined && free !== undefined && free > 0 && free < refused;
  if (isExplained) return { ...row, readAtMs, exhaustedUntilMs: notExhausted4(row) };
  return { ...row, readAtMs, ...(refused !== undefined && { refused }) };
}

/** Only IPv4 is counted: what becomes free says nothing of IPv6. */
const notExhausted4 = ({ exhaustedUntilMs }: SubnetRow) => ({ ...exhaustedUntilMs, 4: 0 });

/** Addresses of the family can be had there at all. */
export const hasRange = ({ cidr4, cidr6 }: SubnetFacts, family: Family): boolean =>
  (family === 4 ? cidr4 : cidr6) !== undefined;

/** A pool wants a family that the subnet has no range of: somebody may give it one. */
function isRangeMissed(turn: Turn, subnet: SubnetRow): boolean {
  for (const pool of turn.state.all('pool')) if (lacksRange(turn, pool, subnet)) return true;
  return false;
}

const lacksRange = (turn: Turn, pool: PoolRow, subnet: SubnetRow): boolean =>
  subnetsOf(turn, pool).includes(subnet.id) && pool.families.some((family) => !hasRange(subnet, family));

function withFree(row: SubnetRow, count: number | undefined): SubnetRow {
  if (count === undefined) return row;
  const changed = { ...row, freeCount4: Math.max(0, count) };
  const share = shareOf(changed);
  return { ...changed, tight: row.tight ? share < NORMAL_ABOVE : share < TIGHT_BELOW };
}

/** A subnet without IPv4 has no end, and one that was not counted is taken for empty. */
const shareOf = ({ cidr4, freeCount4 }: SubnetRow): number =>
  cidr4 === undefined || freeCount4 === undefined ? 1 : freeCount4 / cidrSize(cidr4);

const isScarce = (row: SubnetRow): boolean => shareOf(row) < SCARCE_BELOW;

/** A write of ours took addresses from the subnet, or gave them back (`by` > 0). */
export function countFree(turn: Turn, id: SubnetId, by: number): void {
  const subnet = turn.state.get('subnet', id);
  if (subnet === undefined || by === 0) return;
  const { freeCount4: free } = subnet;
  const { refused, ...counted } = withFree(subnet, free === undefined ? undefined : free + by);
  const soonMs = isScarce(counted) ? turn.nowMs + READ_SCARCE_MS : counted.readAtMs;
  const row = { ...counted, readAtMs: Math.min(counted.readAtMs, soonMs) };
  // What we gave back ourselves may be asked for again, by whoever comes first.
  const given = { ...row, exhaustedUntilMs: notExhausted4(row), ...(refused !== undefined && { refused }) };
  turn.tx.put('subnet', by > 0 ? given : row);
}

/** IPv4 addresses in these blocks. */
export const size4 = (blocks: readonly Cidr[]): number =>
  blocks.reduce((sum, id) => sum + (familyOf(id) === 4 ? cidrSize(id) : 0), 0);

/** IPv4 addresses that a call takes from its subnet when it is served. */
export function askedOf(call: CloudCall): number {
  if (call.action === 'assign') return sizeOf(call.wish);
  return call.action === 'create' ? call.blocks.reduce((sum, wish) => sum + sizeOf(wish), 1) : 0;
}

const sizeOf = ({ family, prefixLength, count }: BlockWish): number =>
  family === 4 ? count * wishSize(4, prefixLength) : 0;

export function pressureOf(subnet: SubnetRow, nowMs: number): Pressure {
  if (nowMs < subnet.exhaustedUntilMs[4] || (subnet.cidr4 !== undefined && subnet.freeCount4 === 0)) return 'exhausted';
  return subnet.tight ? 'tight' : 'normal';
}

/** Addresses of the family that may be asked for: what is free less what calls in flight ask for already. */
export function askable(turn: Turn, subnet: SubnetRow, family: Family): number {
  const isFresh = subnet.freeCount4 !== undefined && turn.nowMs - subnet.heardMs < FRESH_MS;
  return family === 6 || !isFresh ? Number.POSITIVE_INFINITY : Math.max(0, unreserved(turn, subnet));
}

/** Until when nothing of the family is asked for here: 0 when it may be asked for now. */
export function closedUntilMs(turn: Turn, subnet: SubnetRow, family: Family): number {
  if (!hasRange(subnet, family)) return Number.POSITIVE_INFINITY;
  const untilMs = subnet.exhaustedUntilMs[family];
  const closed = Math.max(untilMs, askable(turn, subnet, family) > 0 ? 0 : subnet.heardMs + FRESH_MS);
  return closed > turn.nowMs ? closed : 0;
}

/**
 * The last read found nothing left, and no pod waits: the next one tells when there is something, and costs others less
 * than a call that is refused and read after (a node that filled its own subnet asked every 30 s for ever).
 */
const isEmptyInVain = (turn: Turn, { freeCount4 }: SubnetRow, family: Family): boolean =>
  family === 4 && freeCount4 === 0 && turn.state.count('waiter') === 0;

/** True when the family may be asked for here; otherwise arms the wake for when it may. */
export function isOpen(turn: Turn, subnet: SubnetRow, family: Family): boolean {
  if (isEmptyInVain(turn, subnet, family)) return false;
  const closedMs = closedUntilMs(turn, subnet, family);
  // Where there is no range the next read of the subnet tells of one.
  return closedMs === 0 || (Number.isFinite(closedMs) && turn.due(closedMs));
}

/** Free addresses less those that calls in flight ask for; without end where there is no IPv4. */
function unreserved(turn: Turn, subnet: SubnetRow): number {
  if (subnet.cidr4 === undefined) return Number.POSITIVE_INFINITY;
  let reserved = 0;
  for (const { call, eni } of turn.state.all('operation')) {
    const at = call.action === 'create' ? call.subnet : turn.state.get('eni', eni ?? '')?.subnet;
    if (at === subnet.id) reserved += askedOf(call);
  }
  return (subnet.freeCount4 ?? 0) - reserved;
}

/** Empty in the pool: the primary ENI's. */
export function subnetsOf(turn: Turn, pool: PoolRow): readonly SubnetId[] {
  if (pool.subnets.length > 0) return pool.subnets;
  const primary = primaryOf(turn.state);
  return primary === undefined ? [] : [primary.subnet];
}

/** Its facts are missing; between several the free addresses decide, which metadata did not tell. */
export function isUnknown(turn: Turn, id: SubnetId, { length }: readonly SubnetId[]): boolean {
  const known = turn.state.get('subnet', id);
  return known === undefined || (length > 1 && known.freeCount4 === undefined);
}

/** A subnet of the pool was never asked for: that read is on its way, and says where a new ENI is to go. */
export const isUnheard = (turn: Turn, { subnets }: PoolRow): boolean =>
  subnets.some((id) => isUnknown(turn, id, subnets) && turn.state.get('unlisted', id) === undefined);

/** The pool's subnets in this zone that the instance can have ENIs in. */
export const nearSubnets = (turn: Turn, pool: PoolRow): SubnetRow[] =>
  subnetsOf(turn, pool)
    .flatMap((id) => turn.state.get('subnet', id) ?? [])
    .filter((subnet) => subnet.zone === nodeRow(turn).zone);

/** Those of them that pods can have all their families from. */
export const servingSubnets = (turn: Turn, pool: PoolRow): SubnetRow[] =>
  nearSubnets(turn, pool).filter((subnet) => pool.families.every((family) => hasRange(subnet, family)));

/** The one with most that may be asked for; one that is full is left alone for a while. A new ENI takes one for itself. */
export function subnetFor(turn: Turn, pool: PoolRow): SubnetRow | undefined {
  if (isUnheard(turn, pool)) return undefined;
  const open = servingSubnets(turn, pool).filter(
    (subnet) =>
      familiesOfEni(subnet, pool).every((family) => isOpen(turn, subnet, family)) &&
      (askable(turn, subnet, 4) > 1 || turn.due(subnet.heardMs + FRESH_MS)),
  );
  const free = new Map(open.map((subnet) => [subnet.id, unreserved(turn, subnet)]));
  return open.sort((a, b) => (free.get(b.id) ?? 0) - (free.get(a.id) ?? 0) || (a.id < b.id ? -1 : 1))[0];
}

/** An ENI has an IPv4 address of its own wherever there are any, also where its pods have none. */
const familiesOfEni = ({ cidr4 }: SubnetRow, { families }: PoolRow): readonly Family[] =>
  cidr4 === undefined || families.includes(4) ? families : [4, ...families];

/** When a new ENI can be asked for here; 0 when now. */
export const openForEniMs = (turn: Turn, pool: PoolRow, subnet: SubnetRow): number =>
  Math.max(...familiesOfEni(subnet, pool).map((family) => closedUntilMs(turn, subnet, family)));

/** Nowhere is anything left: the pool then makes do with half of its headroom. */
export function isPoolExhausted(turn: Turn, pool: PoolRow): boolean {
  const { zone } = nodeRow(turn);
  for (const id of subnetsOf(turn, pool)) {
    const subnet = turn.state.get('subnet', id);
    if (subnet?.zone === zone && pressureOf(subnet, turn.nowMs) !== 'exhausted') return false;
  }
  return true;
}

/** Subnets to read again, all in one call as soon as one is due; a wake is armed for that. */
export function subnetsDue(turn: Turn): SubnetId[] {
  let soonestMs = Number.POSITIVE_INFINITY;
  let isWanted = false;
  const ids: SubnetId[] = [];
  for (const { id, readAtMs, refused } of turn.state.all('subnet')) {
    ids.push(id);
    soonestMs = Math.min(soonestMs, readAtMs);
    isWanted ||= refused !== undefined;
  }
  // A restart reads nothing at once: the journal's figures do, and a fleet restarts together.
  const dueMs = Math.max(soonestMs, turn.runtime.startedMs + READ_SCARCE_MS);
  return ids.length > 0 && turn.due(isWanted ? soonestMs : dueMs) ? ids.sort() : [];
}
