/**
 * What must hold of the state after every step, whatever happened. A breach is a bug: the driver stops serving from
 * this state and rebuilds it from truth.
 *
 * Each check looks at one row and at those that it names, so that the rows a batch touched can be checked after every
 * step at a cost that does not grow with the node.
 */
import { isLeaving } from './eni.ts';
import { cidrContains, familyOf, type Ip } from './ip.ts';
import { isCeilingUsed, isPresent } from './pool.ts';
import type { AddressRow, BlockRow, EniRow, LeaseRow, OperationRow, Rows, Table, WaiterRow } from './rows.ts';
import type { State, TouchedRow } from './state.ts';

export interface Breach {
  readonly invariant: string;
  readonly detail: string;
  /** What it is about: in doubt, should it break again and again (quarantine.ts). */
  readonly addresses: readonly Ip[];
}

/** What is being looked at, and what was found not to hold. */
interface Look {
  readonly state: State;
  readonly nowMs: number;
  readonly found: Breach[];
}

type Checks = { readonly [T in Table]?: (look: Look, row: Rows[T]) => void };

const CHECKS: Checks = {
  lease: checkLease,
  address: checkAddress,
  block: checkBlock,
  eni: checkEni,
  operation: checkOperation,
  waiter: checkWaiter,
};

/** All rows. */
export function breaches(state: State, nowMs: number): readonly Breach[] {
  const look: Look = { state, nowMs, found: [] };
  for (const table of Object.keys(CHECKS) as (keyof Checks)[])
    for (const row of state.all(table)) checkRow(look, table, row);
  return look.found;
}

/** The rows that a batch touched, and those that lost one of them. */
export function touchedBreaches(state: State, touched: Iterable<TouchedRow>, nowMs: number): readonly Breach[] {
  const look: Look = { state, nowMs, found: [] };
  for (const { table, key, before } of touched) {
    const row = state.get(table, key);
    if (row !== undefined) checkRow(look, table, row);
    if (table === 'lease') checkLeaseChange(look, before as LeaseRow | undefined, row as LeaseRow | undefined);
    if (table === 'block' && before !== undefined)
      for (const address of state.addressesOf((before as BlockRow).id)) checkAddress(look, address);
  }
  return look.found;
}

function checkRow<T extends Table>(look: Look, table: T, row: Rows[T]): void {
  const check = CHECKS[table] as ((look: Look, row: Rows[T]) => void) | undefined;
  check?.(look, row);
}

function breach({ found }: Look, invariant: string, detail: string, ...addresses: readonly Ip[]): void {
  found.push({ invariant, detail, addresses });
}

/**
 * A lease is granted with one address of each family of its pool, and keeps them as long as it is there. Asked at the
 * grant only: the families may be configured anew while pods run, and an adopted pod has what its kernel state says.
 */
function checkLeaseChange(look: Look, before: LeaseRow | undefined, lease: LeaseRow | undefined): void {
  if (before !== undefined) checkLeftBehind(look, before);
  if (lease === undefined || isDoubted(look.state, lease)) return;
  if (before !== undefined && before.addresses.join() !== lease.addresses.join())
    breach(
      look,
      'a lease keeps its addresses',
      `${lease.key}: ${before.addresses} became ${lease.addresses}`,
      ...before.addresses,
      ...lease.addresses,
    );
  const pool = look.state.get('pool', lease.pool);
  if (before !== undefined || lease.state !== 'held' || pool === undefined) return;
  const families = lease.addresses.map(familyOf);
  if ([...families].sort().join() !== [...pool.families].sort().join())
    breach(
      look,
      'all families or none',
      `${lease.key} was granted ${lease.addresses} for families ${pool.families}`,
      ...lease.addresses,
    );
}

/** Addresses that a lease had before are held by a lease that is there, or not at all. */
function checkLeftBehind(look: Look, before: LeaseRow): void {
  for (const ip of before.addresses) {
    const address = look.state.get('address', ip);
    if (address !== undefined) checkAddress(look, address);
  }
}

/**
 * A lease holds all of its addresses, at most one a family, or is not there. An address row names one lease, so two live leases of one
 * address are found by that.
 */
function checkLease(look: Look, lease: LeaseRow): void {
  const { state } = look;
  if (isDoubted(state, lease)) return;
  if (state.leaseOf(lease.key)?.id !== lease.id)
    breach(look, 'one lease an attachment', `${lease.key} has two leases`, ...lease.addresses);
  if (hasFamilyTwice(lease.addresses)) breach(look, 'one address a family', lease.id, ...lease.addresses);
  for (const ip of lease.addresses) {
    const row = state.get('address', ip);
    if (row?.state === 'held' && row.lease === lease.id) continue;
    const owner = row?.state === 'held' ? `leased to ${state.get('lease', row.lease)?.key}` : (row?.state ?? 'free');
    breach(look, 'one live lease an address', `${ip} of ${lease.key} is ${owner}`, ip);
  }
}

const hasFamilyTwice = (addresses: readonly Ip[]): boolean =>
  addresses.length > 1 && new Set(addresses.map(familyOf)).size !== addresses.length;

/** What is known of it is known to be wrong, and it is set apart for that. */
const isDoubted = (state: State, lease: LeaseRow): boolean =>
  lease.addresses.some((ip) => state.get('address', ip)?.state === 'quarantined');

/** Nothing cooling or leased is given back; every address is of a block of ours. */
function checkAddress(look: Look, address: AddressRow): void {
  if (address.state === 'quarantined') return;
  const { state } = look;
  const lease = address.state === 'held' ? state.get('lease', address.lease) : undefined;
  if (address.state === 'held' && lease?.addresses.includes(address.ip) !== true)
    breach(look, 'a held address has its lease', address.ip, address.ip);
  const block = state.get('block', address.block);
  // A pod adopted from the kernel waits as `lost` for the cloud to say which block its address is of.
  if (block === undefined) {
    if (address.state === 'held' && lease?.state !== 'lost' && lease?.state !== 'unwiring')
      breach(look, 'an address is of a block', `${address.ip} of ${lease?.key} which is ${lease?.state}`, address.ip);
    return;
  }
  if (!cidrContains(block.id, address.ip))
    breach(look, 'an address is in its block', `${address.ip} is not in ${block.id}`, address.ip);
  checkBlock(look, block);
}

function checkBlock(look: Look, block: BlockRow): void {
  const { state } = look;
  if (state.takenIn(block.id) === 0) return;
  const eni = state.get('eni', block.eni);
  const isLeft = eni !== undefined && (eni.state === 'detaching' || isLeaving(eni)) && block.state !== 'missing';
  if (block.state !== 'releasing' && !isLeft) return;
  const taken = state.addressesOf(block.id).filter((address) => address.state !== 'quarantined');
  const ips = taken.map(({ ip }) => ip);
  if (ips.length === 0) return;
  if (block.state === 'releasing')
    breach(look, 'nothing in use is given back', `${block.id} has ${ips.length} addresses that are not free`, ...ips);
  if (isLeft) breach(look, 'no ENI in use is detached', `${eni.key} has ${block.id}`, ...ips);
}

/** Numbers are nobody else's; nothing foreign or primary is ever changed. */
function checkEni(look: Look, eni: EniRow): void {
  const { state } = look;
  if (!isPresent(eni)) return;
  for (const other of state.all('eni'))
    if (other.key !== eni.key && isPresent(other) && eni.number !== undefined && other.number === eni.number)
      breach(look, 'an ENI number is used once', `${eni.number} of ${eni.id} and ${other.id}`);
  if (eni.kind !== 'secondary' && eni.state !== 'ready')
    breach(look, 'only our own ENIs move', `${eni.id} is ${eni.kind} and ${eni.state}`);
  if (eni.kind === 'foreign' && state.blocksOf(eni.key).length > 0) breach(look, 'nothing foreign is used', eni.id);
  if (eni.state === 'detaching' || isLeaving(eni)) for (const block of state.blocksOf(eni.key)) checkBlock(look, block);
}

function checkOperation(look: Look, { id, eni: key, call }: OperationRow): void {
  const eni = key === undefined ? undefined : look.state.get('eni', key);
  if (key !== undefined && eni === undefined) breach(look, 'an operation has its ENI', id);
  if (key !== undefined && look.state.operationOn(key)?.id !== id)
    breach(look, 'one mutation in flight an ENI', `${call.action} beside another on ${key}`);
  if (eni !== undefined && eni.kind !== 'secondary' && ['attach', 'detach', 'delete', 'modify'].includes(call.action))
    breach(look, 'only our own ENIs move', `${call.action} of ${eni.kind} ${key}`);
  if (eni?.kind === 'foreign') breach(look, 'nothing foreign is touched', `${call.action} of ${key}`);
}

/** Waiters are answered by their deadline, and none waits for what an ENI has that drains, unless the ceiling keeps it from that. */
function checkWaiter(look: Look, waiter: WaiterRow): void {
  const { state } = look;
  const { phase, journal } = state.runtime;
  const pool = state.get('pool', waiter.pool);
  const isCapped = pool !== undefined && isCeilingUsed(state, pool);
  if (phase === 'serving' && journal === 'up' && !isCapped && state.leaseOf(waiter.key) === undefined)
    for (const eni of state.all('eni'))
      if (eni.state === 'draining' && eni.pool === waiter.pool && state.operationOn(eni.key) === undefined)
        breach(look, 'a drain ends when demand returns', `${waiter.key} waits, and ${eni.id} is draining`);
  if (waiter.deadlineMs <= look.nowMs) breach(look, 'no waiter outlives its deadline', waiter.key);
  if (waiter.requests.length === 0) breach(look, 'a waiter has a caller', waiter.key);
}
