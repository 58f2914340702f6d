/**
 * What must hold of the state after every step, whatever happened. A breach is a bug: the driver stops serving from
 * this state and rebuilds it from truth.
 */
import { isLeaving } from './eni.ts';
import { cidrContains, familyOf } from './ip.ts';
import { isPresent } from './pool.ts';
import type { LeaseRow } from './rows.ts';
import type { State } from './state.ts';

export interface Breach {
  readonly invariant: string;
  readonly detail: string;
}

/** All rows: after every step in tests, every 1,000 events in production. */
export function breaches(state: State, nowMs: number): Breach[] {
  return [...leaseBreaches(state), ...addressBreaches(state), ...eniBreaches(state), ...waiterBreaches(state, nowMs)];
}

const breach = (invariant: string, detail: string): Breach => ({ invariant, detail });

/** An address has at most one live lease; a lease holds all of its addresses or is not there. */
function* leaseBreaches(state: State): Generator<Breach> {
  const owner = new Map<string, LeaseRow>();
  for (const lease of state.all('lease')) {
    if (state.leaseOf(lease.key)?.id !== lease.id)
      yield breach('one lease an attachment', `${lease.key} has two leases`);
    if (new Set(lease.addresses.map(familyOf)).size !== lease.addresses.length)
      yield breach('one address a family', lease.id);
    for (const ip of lease.addresses) {
      const other = owner.get(ip);
      if (other !== undefined)
        yield breach('one live lease an address', `${ip} is leased to ${other.key} and ${lease.key}`);
      owner.set(ip, lease);
      const row = state.get('address', ip);
      if (row?.state !== 'held' || row.lease !== lease.id)
        yield breach('a leased address is held', `${ip} of ${lease.key} is ${row?.state ?? 'free'}`);
    }
  }
  for (const address of state.all('address')) {
    if (address.state === 'held' && owner.get(address.ip)?.id !== address.lease)
      yield breach('a held address has its lease', address.ip);
  }
}

/** Nothing cooling, quarantined or leased is given back; every address is of a block of ours. */
function* addressBreaches(state: State): Generator<Breach> {
  for (const address of state.all('address')) {
    const block = state.get('block', address.block);
    const lease = address.state === 'held' ? state.get('lease', address.lease) : undefined;
    // A pod adopted from the kernel waits as `lost` for the cloud to say which block its address is of.
    if (block === undefined) {
      if (address.state === 'held' && lease?.state !== 'lost' && lease?.state !== 'unwiring')
        yield breach('an address is of a block', `${address.ip} of ${lease?.key} which is ${lease?.state}`);
      continue;
    }
    if (!cidrContains(block.id, address.ip))
      yield breach('an address is in its block', `${address.ip} is not in ${block.id}`);
    if (block.state === 'releasing')
      yield breach('nothing in use is given back', `${address.ip} is ${address.state} in ${block.id}`);
  }
}

/** Numbers and device indexes are nobody else's; nothing foreign or primary is ever changed. */
function* eniBreaches(state: State): Generator<Breach> {
  const numbers = new Set<number>();
  for (const eni of state.all('eni')) {
    if (!isPresent(eni)) continue;
    if (eni.number !== undefined && numbers.has(eni.number))
      yield breach('an ENI number is used once', `${eni.number}`);
    if (eni.number !== undefined) numbers.add(eni.number);
    if (eni.kind !== 'secondary' && eni.state !== 'ready')
      yield breach('only our own ENIs move', `${eni.id} is ${eni.kind} and ${eni.state}`);
    if (eni.kind === 'foreign' && state.blocksOf(eni.key).length > 0) yield breach('nothing foreign is used', eni.id);
    const leaving = eni.state === 'detaching' || isLeaving(eni);
    for (const block of state.blocksOf(eni.key)) {
      if (leaving && block.state !== 'missing' && state.takenIn(block.id) > 0)
        yield breach('no ENI in use is detached', `${eni.id} has ${block.id}`);
    }
  }
  for (const operation of state.all('operation')) {
    const eni = operation.eni && state.get('eni', operation.eni);
    if (operation.eni !== undefined && !eni) yield breach('an operation has its ENI', operation.id);
    if (eni && eni.kind !== 'secondary' && ['attach', 'detach', 'delete', 'modify'].includes(operation.call.action)) {
      yield breach('only our own ENIs move', `${operation.call.action} of ${eni.kind} ${operation.eni}`);
    }
  }
}

/** Waiters are served in order and answered by their deadline. */
function* waiterBreaches(state: State, nowMs: number): Generator<Breach> {
  for (const waiter of state.all('waiter')) {
    if (waiter.deadlineMs <= nowMs) yield breach('no waiter outlives its deadline', waiter.key);
    if (waiter.requests.length === 0) yield breach('a waiter has a caller', waiter.key);
  }
}
