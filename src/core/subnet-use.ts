/**
 * Single addresses where they break no prefix that is whole: a cloud that chooses them itself scatters them, and soon a
 * subnet with hundreds of free addresses has no free /28 (aws/amazon-vpc-cni-k8s, "InsufficientCidrBlocks").
 *
 * Only pools that prefer prefixes pay for it, and only where the cloud tells what is taken. What was read is a hint:
 * the cloud refuses an address that somebody took meanwhile, and chooses itself for a while after that.
 */
import { uniformOf } from './budget.ts';
import type { BlockWish, CloudCall } from './cloud.ts';
import { type Cidr, cidrAddress, cidrBase, cidrSize, familyOf, hostCidr, type Ip, ipValue } from './ip.ts';
import { isFlying, startOperation } from './operation.ts';
import { waitersOf } from './pool.ts';
import type { OperationRow, PoolRow, SubnetRow, UseRow } from './rows.ts';
import { subnetsOf } from './subnet.ts';
import type { Turn } from './turn.ts';

/** A choice by an older read meets too many addresses that others took. */
const FRESH_MS = 60_000;
const READ_MS = 600_000;
const WRONG_MS = 60_000;
/** How often an address that a pod lost is asked for while somebody has it, or its place. */
const TAKEN_RETRY_MS = 600_000;

/** Share of the free addresses that no prefix can be made of: 0 when every free address is in a whole one. */
export const fragmentation = ({ free, wholePrefixes }: UseRow, prefixSize = 16): number =>
  free === 0 ? 0 : 1 - (wholePrefixes * prefixSize) / free;

/**
 * The addresses to ask for by name, or nothing where the cloud may choose. `later` when it is to be read first: nobody
 * waits for what is only topped up.
 */
export function placedIn(
  turn: Turn,
  pool: PoolRow,
  subnet: SubnetRow,
  wish: BlockWish,
): { readonly blocks?: readonly Cidr[] } | 'later' {
  if (wish.family === 6 || wish.prefixLength !== 32 || !isTold(turn, pool) || subnet.cidr4 === undefined) return {};
  const use = turn.state.get('use', subnet.id);
  if (use?.wrongUntilMs !== undefined && use.wrongUntilMs > turn.nowMs) return {};
  if (use !== undefined && turn.nowMs - use.heardMs < FRESH_MS) {
    const blocks = chosen(turn, use, wish.count);
    return blocks.length === wish.count ? { blocks } : {};
  }
  if (waitersOf(turn.state, pool) > 0) return {};
  readUse(turn, subnet);
  return isFlying(turn, 'listUse') ? 'later' : {};
}

const isTold = (turn: Turn, pool: PoolRow): boolean => pool.prefixes === 'prefer' && turn.capabilities.listUse;

/** Reads what is taken, for the figure and for the next choice, from time to time. */
export function readUses(turn: Turn): void {
  for (const pool of turn.state.all('pool')) {
    if (!isTold(turn, pool)) continue;
    for (const id of subnetsOf(turn, pool)) {
      const subnet = turn.state.get('subnet', id);
      const heardMs = turn.state.get('use', id)?.heardMs;
      if (subnet !== undefined && (heardMs === undefined || turn.due(heardMs + READ_MS))) readUse(turn, subnet);
    }
  }
}

function readUse(turn: Turn, { id, cidr4 }: SubnetRow): void {
  if (cidr4 === undefined || isFlying(turn, 'listUse')) return;
  startOperation(turn, { action: 'listUse', subnet: id, cidr4 }, 'describe');
}

/** `used`: every address and prefix that somebody has, the cloud's own included. */
export function useObserved(turn: Turn, { call, startedMs }: OperationRow, used: readonly Cidr[]): void {
  if (call.action !== 'listUse') return;
  const prefixLength = Math.min(...turn.capabilities.prefixLengths[4]);
  const { wrongUntilMs } = turn.state.get('use', call.subnet) ?? {};
  const counted = countUse(call.cidr4, used, prefixLength);
  turn.tx.put('use', {
    subnet: call.subnet,
    heardMs: startedMs,
    ...counted,
    ...(wrongUntilMs !== undefined && { wrongUntilMs }),
  });
}

/** Counts a subnet by prefixes of that length, at most 32 addresses each. */
export function countUse(
  cidr4: Cidr,
  used: readonly Cidr[],
  prefixLength: number,
): Pick<UseRow, 'free' | 'wholePrefixes' | 'broken'> {
  const size = 2 ** (32 - prefixLength);
  const first = ipValue(cidrBase(cidr4));
  const taken = new Map<number, number>();
  for (const block of used) {
    if (familyOf(block) === 6) continue;
    const offset = Number(ipValue(cidrBase(block)) - first);
    if (offset < 0 || offset >= cidrSize(cidr4)) continue;
    const length = Math.min(size, cidrSize(block));
    const mask = (2 ** length - 1) * 2 ** (offset % size);
    const at = Math.floor(offset / size);
    taken.set(at, ((taken.get(at) ?? 0) | mask) >>> 0);
  }
  let free = cidrSize(cidr4);
  const broken: { base: Ip; taken: number }[] = [];
  for (const [at, mask] of [...taken].sort(([a], [b]) => a - b)) {
    const count = bitCount(mask);
    free -= count;
    if (count < size) broken.push({ base: cidrAddress(cidr4, at * size), taken: mask });
  }
  return { free, wholePrefixes: Math.floor(cidrSize(cidr4) / size) - taken.size, broken };
}

function bitCount(mask: number): number {
  let count = 0;
  for (let left = mask; left !== 0; left = (left & (left - 1)) >>> 0) count++;
  return count;
}

/** Free addresses of broken prefixes. A node starts where chance says, so that many do not all ask for the same ones. */
function chosen(turn: Turn, { broken }: UseRow, count: number): Cidr[] {
  const length = Math.min(...turn.capabilities.prefixLengths[4]);
  const asked = new Set<Cidr>();
  for (const { call } of turn.state.all('operation'))
    if (call.action === 'assign') for (const block of call.blocks ?? []) asked.add(block);
  const isOurs = (block: Cidr): boolean => asked.has(block) || turn.state.get('block', block) !== undefined;
  const start = Math.floor(uniformOf(`${turn.state.get('node', 'node')?.epoch}/place`) * broken.length);
  const found: Cidr[] = [];
  for (let step = 0; step < broken.length && found.length < count; step++) {
    const prefix = broken[(start + step) % broken.length];
    if (prefix === undefined) continue;
    for (let n = 0; n < 2 ** (32 - length) && found.length < count; n++) {
      const block = hostCidr(cidrAddress(`${prefix.base}/${length}` as Cidr, n));
      if ((prefix.taken & (2 ** n)) === 0 && !isOurs(block)) found.push(block);
    }
  }
  return found;
}

/** Somebody has an address that was asked for by name. */
export function addressesTaken(turn: Turn, { call, eni }: OperationRow): void {
  if (call.action !== 'assign' || call.blocks === undefined) return;
  if (call.again === true) return leaveToOthers(turn, call);
  const id = eni === undefined ? undefined : turn.state.get('eni', eni)?.subnet;
  const use = id && turn.state.get('use', id);
  if (use) turn.tx.put('use', { ...use, wrongUntilMs: turn.nowMs + WRONG_MS });
}

/** A pod lost its address, and somebody has it, or its place on the ENI: it comes back only when they let go of it. */
export function leaveToOthers(turn: Turn, call: CloudCall): void {
  if (call.action !== 'assign' || call.again !== true) return;
  for (const id of call.blocks ?? []) {
    const block = turn.state.get('block', id);
    if (block?.state === 'missing') turn.tx.put('block', { ...block, askAgainMs: turn.nowMs + TAKEN_RETRY_MS });
  }
}
