/**
 * What must hold of the state after every step, whatever happened. A breach is a bug: the driver stops serving from
 * this state and rebuilds it from truth.
 *
 * Each check looks at one row and at those that it names, so that the rows a batch touched can be checked after every
 * step at a cost that does not grow with the node.
 */
import { isLeaving } from './eni.ts';
import { cidrContains, familyOf } from './ip.ts';
import { isPresent } from './pool.ts';
import type { AddressRow, BlockRow, EniRow, LeaseRow, OperationRow, Rows, Table, WaiterRow } from './rows.ts';
import type { State, TouchedRow } from './state.ts';

export interface Breach {
  readonly invariant: string;
  readonly detail: string;
}

const breach = (invariant: string, detail: string): Breach => ({ invariant, detail });

type Checks = { readonly [T in Table]?: (state: State, row: Rows[T], nowMs: number) => Iterable<Breach> };

const CHECKS: Checks = {
  lease: leaseBreaches,
  address: addressBreaches,
  block: blockBreaches,
  eni: eniBreaches,
  operation: operationBreaches,
  waiter: waiterBreaches,
};

/** All rows. */
export function breaches(state: State, nowMs: number): Breach[] {
  const found: Breach[] = [];
  for (const table of Object.keys(CHECKS) as (keyof Checks)[])
    for (const row of state.all(table)) found.push(...checkRow(state, table, row, nowMs));
  return found;
}

/** The rows that a batch touched, and those that lost one of them. */
export function touchedBreaches(state: State, touched: Iterable<TouchedRow>, nowMs: number): Breach[] {
  const found: Breach[] = [];
  for (const { table, key, before } of touched) {
    const row = state.get(table, key);
    if (row !== undefined) found.push(...checkRow(state, table, row, nowMs));
    if (table === 'lease')
      found.push(...leaseChange(state, before as LeaseRow | undefined, row as LeaseRow | undefined));
    if (table === 'block' && before !== undefined)
      for (const address of state.addressesOf((before as BlockRow).id)) found.push(...addressBreaches(state, address));
  }
  return found;
}

function checkRow<T extends Table>(state: State, table: T, row: Rows[T], nowMs: number): Iterable<Breach> {
  const check = CHECKS[table] as ((state: State, row: Rows[T], nowMs: number) => Iterable<Breach>) | undefined;
  return check === undefined ? [] : check(state, row, nowMs);
}

/**
 * A lease is granted with one address of each family of its pool, and keeps them as long as it is there. Asked at the
 * grant only: the families may be configured anew while pods run, and an adopted pod has what its kernel state says.
 */
function* leaseChange(state: State, before: LeaseRow | undefined, lease: LeaseRow | undefined): Generator<Breach> {
  if (before !== undefined) yield* leftBehind(state, before);
  if (lease === undefined) return;
  if (before !== undefined && before.addresses.join() !== lease.addresses.join())
    yield breach('a lease keeps its addresses', `${lease.key}: ${before.addresses} became ${lease.addresses}`);
  const pool = state.get('pool', lease.pool);
  if (before !== undefined || lease.state !== 'held' || pool === undefined) return;
  const families = lease.addresses.map(familyOf);
  if ([...families].sort().join() !== [...pool.families].sort().join())
    yield breach('all families or none', `${lease.key} was granted ${lease.addresses} for families ${pool.families}`);
}

/** Addresses that a lease had before are held by a lease that is there, or not at all. */
function* leftBehind(state: State, before: LeaseRow): Generator<Breach> {
  for (const ip of before.addresses) {
    const address = state.get('address', ip);
    if (address !== undefined) yield* addressBreaches(state, address);
  }
}

/**
 * A lease holds all of its addresses, at most one a family, or is not there. An address row names one lease, so two live leases of one
 * address are found by that.
 */
function* leaseBreaches(state: State, lease: LeaseRow): Generator<Breach> {
  if (state.leaseOf(lease.key)?.id !== lease.id) yield breach('one lease an attachment', `${lease.key} has two leases`);
  if (new Set(lease.addresses.map(familyOf)).size !== lease.addresses.length)
    yield breach('one address a family', lease.id);
  for (const ip of lease.addresses) {
    const row = state.get('address', ip);
    if (row?.state === 'held' && row.lease === lease.id) continue;
    const owner = row?.state === 'held' ? `leased to ${state.get('lease', row.lease)?.key}` : (row?.state ?? 'free');
    yield breach('one live lease an address', `${ip} of ${lease.key} is ${owner}`);
  }
}

/** Nothing cooling, quarantined or leased is given back; every address is of a block of ours. */
function* addressBreaches(state: State, address: AddressRow): Generator<Breach> {
  const lease = address.state === 'held' ? state.get('lease', address.lease) : undefined;
  if (address.state === 'held' && lease?.addresses.includes(address.ip) !== true)
    yield breach('a held address has its lease', address.ip);
  const block = state.get('block', address.block);
  // A pod adopted from the kernel waits as `lost` for the cloud to say which block its address is of.
  if (block === undefined) {
    if (address.state === 'held' && lease?.state !== 'lost' && lease?.state !== 'unwiring')
      yield breach('an address is of a block', `${address.ip} of ${lease?.key} which is ${lease?.state}`);
    return;
  }
  if (!cidrContains(block.id, address.ip))
    yield breach('an address is in its block', `${address.ip} is not in ${block.id}`);
  yield* blockBreaches(state, block);
}

function* blockBreaches(state: State, block: BlockRow): Generator<Breach> {
  const taken = state.takenIn(block.id);
  if (taken === 0) return;
  if (block.state === 'releasing')
    yield breach('nothing in use is given back', `${block.id} has ${taken} addresses that are not free`);
  const eni = state.get('eni', block.eni);
  const leaving = eni !== undefined && (eni.state === 'detaching' || isLeaving(eni));
  if (leaving && block.state !== 'missing') yield breach('no ENI in use is detached', `${eni.key} has ${block.id}`);
}

/** Numbers are nobody else's; nothing foreign or primary is ever changed. */
function* eniBreaches(state: State, eni: EniRow): Generator<Breach> {
  if (!isPresent(eni)) return;
  for (const other of state.all('eni'))
    if (other.key !== eni.key && isPresent(other) && eni.number !== undefined && other.number === eni.number)
      yield breach('an ENI number is used once', `${eni.number} of ${eni.id} and ${other.id}`);
  if (eni.kind !== 'secondary' && eni.state !== 'ready')
    yield breach('only our own ENIs move', `${eni.id} is ${eni.kind} and ${eni.state}`);
  if (eni.kind === 'foreign' && state.blocksOf(eni.key).length > 0) yield breach('nothing foreign is used', eni.id);
  if (eni.state === 'detaching' || isLeaving(eni))
    for (const block of state.blocksOf(eni.key)) yield* blockBreaches(state, block);
}

function* operationBreaches(state: State, { id, eni: key, call }: OperationRow): Generator<Breach> {
  const eni = key === undefined ? undefined : state.get('eni', key);
  if (key !== undefined && eni === undefined) yield breach('an operation has its ENI', id);
  if (eni !== undefined && eni.kind !== 'secondary' && ['attach', 'detach', 'delete', 'modify'].includes(call.action))
    yield breach('only our own ENIs move', `${call.action} of ${eni.kind} ${key}`);
  if (eni?.kind === 'foreign') yield breach('nothing foreign is touched', `${call.action} of ${key}`);
}

/** Waiters are answered by their deadline, and none waits for what an ENI has that drains. */
function* waiterBreaches(state: State, waiter: WaiterRow, nowMs: number): Generator<Breach> {
  const { phase, journal } = state.runtime;
  if (phase === 'serving' && journal === 'up' && state.leaseOf(waiter.key) === undefined)
    for (const eni of state.all('eni'))
      if (eni.state === 'draining' && eni.pool === waiter.pool && state.operationOn(eni.key) === undefined)
        yield breach('a drain ends when demand returns', `${waiter.key} waits, and ${eni.id} is draining`);
  if (waiter.deadlineMs <= nowMs) yield breach('no waiter outlives its deadline', waiter.key);
  if (waiter.requests.length === 0) yield breach('a waiter has a caller', waiter.key);
}
