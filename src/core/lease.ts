/**
 * Leases and the requests that make and end them.
 *
 * Invariants: an attachment has at most one lease; at most one kernel effect a lease is in flight; an address starts
 * cooling only after the kernel confirmed the fence, and does without only where the kernel made nothing of its lease;
 * whoever asked is answered exactly once.
 */
import { coolAddress, freeAddress, holdAddress, type Place } from './address.ts';
import type { LeaseId, RequestId } from './brand.ts';
import type { Event, KernelFailure, Reply, WireFailure } from './events.ts';
import { familyOf, type Ip } from './ip.ts';
import { linkName } from './link-name.ts';
import { addressLost, enisOfLease, isTakenAway } from './lost.ts';
import type { PodPlan } from './plan.ts';
import { isPresent, primaryOf } from './pool.ts';
import type { Reason } from './reasons.ts';
import type { LeaseRow, WaiterRow } from './rows.ts';
import type { Turn } from './turn.ts';

const UNWIRE_RETRY_MS = 1_000;

export const refused = (reason: Reason): Reply => ({ kind: 'refused', reason });

export function answer(turn: Turn, requests: readonly RequestId[], reply: Reply): void {
  for (const request of requests) turn.emit({ kind: 'reply', request, reply });
}

/** (no lease) -> held: the waiter has its addresses; the kernel is told. */
export function grant(turn: Turn, waiter: WaiterRow, places: readonly Place[]): void {
  const id = turn.newId<LeaseId>();
  turn.tx.remove('waiter', waiter.key);
  for (const place of places) holdAddress(turn, place, id);
  const { key, attachment, pool, netns, pod, bandwidth, requests } = waiter;
  const lease: LeaseRow = {
    id,
    key,
    attachment,
    pool,
    netns,
    state: 'held',
    addresses: places.map((place) => place.ip),
    ...(pod && { pod }),
    linkIndex: newLinkIndex(turn),
    mtu: mtuFor(turn, places),
    ...(bandwidth && { bandwidth }),
    sinceMs: turn.nowMs,
    busy: undefined,
    notBeforeMs: 0,
    doomed: false,
    adds: requests,
    checks: [],
    dels: [],
  };
  wire(turn, lease, true);
}

/** What the links of its addresses' ENIs carry: more than that would leave the node in pieces, or not at all. */
function mtuFor(turn: Turn, places: readonly Place[]): number {
  const carried = places.flatMap(({ eni }) => {
    const row = turn.state.get('eni', eni);
    const link = row !== undefined && isPresent(row) ? turn.state.get('link', row.mac) : undefined;
    return link?.mtu ?? [];
  });
  return Math.min(turn.runtime.settings.mtu, ...carried);
}

/** An index no link of this boot had: a late "link gone" can then never mean another link. */
function newLinkIndex(turn: Turn): number {
  const { nextLinkIndex } = turn.runtime;
  turn.setRuntime({ nextLinkIndex: nextLinkIndex + 1 });
  return nextLinkIndex;
}

/** Tells the kernel to make, or to look at and mend, the pod's interface. */
export function wire(turn: Turn, lease: LeaseRow, fresh: boolean): void {
  turn.tx.put('lease', { ...lease, busy: 'wire' });
  const plan = podPlan(turn, fresh ? lease : { ...lease, linkIndex: newLinkIndex(turn) });
  // A dead link of this namespace holds the name inside; one of this attachment the name outside, and must not be
  // reaped under its new owner.
  const dead: string[] = [];
  for (const row of turn.state.all('deadLink'))
    if (row.netnsId === lease.netns.id || row.name === plan.link) dead.push(row.name);
  for (const name of dead) turn.tx.remove('deadLink', name);
  const deadLinks = dead.filter((name) => fresh || name !== plan.link);
  turn.emit({ kind: 'wire', plan, fresh, deadLinks });
}

export function verify(turn: Turn, lease: LeaseRow): void {
  turn.tx.put('lease', { ...lease, busy: 'verify' });
  turn.emit({ kind: 'verify', plan: podPlan(turn, lease) });
}

/** held, ready, lost -> unwiring: the kernel is told to fence; while an effect is in flight it waits for that. */
export function release(turn: Turn, lease: LeaseRow): void {
  if (lease.busy !== undefined) {
    turn.tx.put('lease', { ...lease, doomed: true });
    return;
  }
  turn.tx.put('lease', { ...lease, state: 'unwiring', busy: 'unwire', doomed: false });
  const { id, key, addresses, bandwidth } = lease;
  turn.emit({ kind: 'unwire', lease: id, link: linkName(key), addresses, ...(bandwidth && { bandwidth }) });
}

/** held -> ready, -> lost when the cloud took its block, or -> unwiring when the kernel refused or a DEL came. */
export function wired(turn: Turn, event: Extract<Event, { kind: 'wired' }>): void {
  const { lease: id, failure, unmade = false } = event;
  const lease = turn.state.get('lease', id);
  if (lease?.busy !== 'wire') return;
  const { unlinked, ...rest } = lease;
  const idle: LeaseRow = { ...rest, busy: undefined, adds: [], linkIndex: event.linkIndex ?? lease.linkIndex };
  if (failure !== undefined || lease.doomed) {
    answer(
      turn,
      lease.adds,
      refused(failure === undefined ? { code: 'DELETED_MEANWHILE' } : kernelReason(failure, lease)),
    );
    answer(turn, lease.checks, refused({ code: 'DELETED_MEANWHILE' }));
    // A pod that was serving stays as it is when only its repeated ADD failed; the runtime's DEL will come.
    if (failure !== undefined && !lease.doomed && lease.state !== 'held' && unlinked === undefined)
      return turn.tx.put('lease', { ...idle, checks: [] });
    return release(turn, { ...idle, checks: [], ...(unmade && { unmade }) });
  }
  const lost = lease.state === 'lost' || lease.addresses.some((ip) => isTakenAway(turn.state, ip));
  turn.tx.put('lease', { ...idle, state: lost ? 'lost' : 'ready' });
  answer(turn, lease.adds, lost ? refused(addressLost(turn.state, lease)) : added(turn, lease));
  const now = turn.state.get('lease', id);
  if (now !== undefined && now.checks.length > 0) verify(turn, now);
}

const added = (turn: Turn, lease: LeaseRow): Reply => ({
  kind: 'added',
  plan: podPlan(turn, lease),
  pool: lease.pool,
  enis: enisOfLease(turn.state, lease),
});

export function verified(turn: Turn, id: LeaseId, problems: readonly string[]): void {
  const lease = turn.state.get('lease', id);
  if (lease?.busy !== 'verify') return;
  answer(turn, lease.checks, problems.length === 0 ? { kind: 'done' } : refused({ code: 'NOT_AS_WIRED', problems }));
  lookedAt(turn, { ...lease, checks: [] });
}

/** Nothing is under way for a pod that runs: what came meanwhile has its turn. */
export function lookedAt(turn: Turn, lease: LeaseRow): void {
  const idle: LeaseRow = { ...lease, busy: undefined };
  turn.tx.put('lease', idle);
  if (lease.doomed) {
    answer(turn, [...lease.adds, ...lease.checks], refused({ code: 'DELETED_MEANWHILE' }));
    release(turn, { ...idle, adds: [], checks: [] });
  } else if (lease.adds.length > 0) wire(turn, idle, false);
  else if (lease.checks.length > 0) verify(turn, idle);
}

/**
 * unwiring -> gone: the fence stands, its addresses cool down, its link goes with the namespace. What was never made is
 * fenced all the same: a link that stands in its name, whose ever it is, is out of the next ADD's way.
 */
export function unwired(turn: Turn, id: LeaseId, failure: KernelFailure | undefined): void {
  const lease = turn.state.get('lease', id);
  if (lease?.busy !== 'unwire') return;
  if (failure !== undefined) {
    answer(turn, lease.dels, refused(kernelReason(failure, lease)));
    turn.tx.put('lease', { ...lease, busy: undefined, dels: [], notBeforeMs: turn.nowMs + UNWIRE_RETRY_MS });
    return;
  }
  for (const ip of lease.addresses) (lease.unmade ? freeAddress : coolAddress)(turn, ip);
  turn.tx.put('deadLink', { name: linkName(lease.key), netnsId: lease.netns.id, sinceMs: turn.nowMs });
  turn.tx.remove('lease', id);
  answer(turn, lease.dels, { kind: 'done' });
  answer(turn, lease.adds, refused({ code: 'DELETED_MEANWHILE' }));
  answer(turn, lease.checks, refused({ code: 'DELETED_MEANWHILE' }));
}

/** The pod's link went with its namespace: it ended without a DEL, or its DEL is yet to come. */
export function podLinkGone(turn: Turn, name: string, index: number): void {
  turn.tx.remove('deadLink', name);
  const lease = turn.state.leaseOfLinkName(name);
  if (lease?.linkIndex !== index || lease.state === 'unwiring') return;
  // While a CHECK is in flight, `release` remembers.
  if (lease.busy === 'wire') turn.tx.put('lease', { ...lease, unlinked: true });
  else release(turn, lease);
}

/** Fences that the kernel refused are asked for again, for ever: the address stays held until then. */
export function retryUnwiring(turn: Turn): void {
  for (const lease of turn.state.leasesIn('unwiring')) {
    if (lease.busy === undefined && turn.due(lease.notBeforeMs)) release(turn, lease);
  }
}

export function podPlan(turn: Turn, lease: LeaseRow): PodPlan {
  const primary = primaryOf(turn.state);
  const node = primary === undefined || primary.state === 'creating' ? [] : [primary.primary4, primary.primary6];
  const families = new Set(lease.addresses.map(familyOf));
  return {
    lease: lease.id,
    attachment: lease.attachment,
    link: linkName(lease.key),
    linkIndex: lease.linkIndex,
    netns: lease.netns.path,
    addresses: lease.addresses,
    podMac: podMac(lease.addresses),
    mtu: lease.mtu,
    ...(lease.bandwidth && { bandwidth: lease.bandwidth }),
    nodeAddresses: node.filter((ip): ip is Ip => ip !== undefined && families.has(familyOf(ip))),
  };
}

/** A locally administered MAC from the pod's first address: as unique as that, and the same after a restart. */
export function podMac(addresses: readonly Ip[]): PodPlan['podMac'] {
  const text = addresses[0] ?? '';
  // FNV-1a of 64 bits in two halves of 32: its prime is 2^40 + 0x1b3.
  let high = 0xcbf29ce4;
  let low = 0x84222325;
  for (let at = 0; at < text.length; at++) {
    low = (low ^ text.charCodeAt(at)) >>> 0;
    const product = low * 0x1b3;
    high = Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8);
    low = product >>> 0;
  }
  const hex = (byte: number): string => (byte & 0xff).toString(16).padStart(2, '0');
  return `02:${hex(low)}:${hex(low >>> 8)}:${hex(low >>> 16)}:${hex(low >>> 24)}:${hex(high)}` as PodPlan['podMac'];
}

function kernelReason(failure: WireFailure, { attachment, netns }: LeaseRow): Reason {
  if (failure.errno === 'ENONET') return { code: 'NETNS_GONE', netns: netns.path };
  if (failure.taken) return { code: 'IFNAME_TAKEN', ifname: attachment.ifname, netns: netns.path };
  return { code: 'KERNEL', step: failure.step, errno: failure.errno };
}
