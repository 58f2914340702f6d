/**
 * What a pool holds and what it needs, counted from the rows. All figures are addresses of one family.
 */
import { cidrLength, type Family, familyOf } from './ip.ts';
import type { BlockRow, EniPresent, EniRow, PoolRow } from './rows.ts';
import type { State } from './state.ts';

export interface Holding {
  /** In ready blocks of serving ENIs. */
  readonly total: number;
  readonly leased: number;
  readonly cooling: number;
  readonly quarantined: number;
  /** Ready to hand out now. */
  readonly free: number;
  /** Asked for or on its way: blocks being installed, ENIs coming up, operations in flight. */
  readonly coming: number;
}

export const isPresent = (eni: EniRow): eni is EniPresent => eni.state !== 'creating';

/** The pool may hand out from this ENI now: it is set up, and its link is there. */
export const serves = (state: State, eni: EniRow, pool: PoolRow): eni is EniPresent =>
  eni.state === 'ready' &&
  eni.pool === pool.id &&
  eni.kind !== 'foreign' &&
  (eni.kind === 'secondary' || pool.primaryEni === 'use') &&
  state.get('link', eni.mac) !== undefined;

/** The ENI is on its way to serving. */
const comesUp = (eni: EniRow): boolean =>
  eni.kind === 'secondary' && (eni.state === 'available' || eni.state === 'attaching' || eni.state === 'linking');

export function enisOf(state: State, pool: PoolRow): EniRow[] {
  return [...state.all('eni')].filter((eni) => eni.pool === pool.id && eni.kind !== 'foreign');
}

export function blocksOfFamily(state: State, eni: EniRow, family: Family): BlockRow[] {
  return state.blocksOf(eni.key).filter((block) => familyOf(block.id) === family);
}

export function holding(state: State, pool: PoolRow, family: Family): Holding {
  const sum = { total: 0, leased: 0, cooling: 0, quarantined: 0, free: 0, coming: 0 };
  for (const eni of enisOf(state, pool)) {
    const operation = state.operationOn(eni.key);
    if (
      operation?.call.action === 'assign' &&
      operation.call.blocks === undefined &&
      operation.call.wish.family === family
    ) {
      sum.coming += operation.call.wish.count * wishSize(family, operation.call.wish.prefixLength);
    }
    if (operation?.call.action === 'create') {
      for (const wish of operation.call.blocks)
        if (wish.family === family) sum.coming += wish.count * wishSize(family, wish.prefixLength);
    }
    const serving = serves(state, eni, pool);
    if (!serving && !comesUp(eni)) continue;
    for (const block of blocksOfFamily(state, eni, family)) {
      // What the cloud took away is no capacity, whoever still uses it.
      if (block.state === 'releasing' || block.state === 'missing') continue;
      const size = blockSize(block);
      if (!serving || block.state === 'installing') sum.coming += size;
      else {
        sum.total += size;
        sum.free += size - state.takenIn(block.id);
        for (const address of state.addressesOf(block.id)) {
          if (address.state === 'held') sum.leased++;
          else if (address.state === 'cooling') sum.cooling++;
          else sum.quarantined++;
        }
      }
    }
  }
  return sum;
}

/** How many addresses one block of this length adds; a huge IPv6 block counts as what a node could ever use. */
export const wishSize = (family: Family, prefixLength: number): number =>
  2 ** Math.min(16, (family === 4 ? 32 : 128) - prefixLength);

/** Distinct pods that hold a lease or wait: the pod where it is named, else the attachment. */
export function demand(state: State, pool: PoolRow): number {
  const pods = new Set<string>();
  for (const lease of state.all('lease')) {
    // One whose fence is yet to come holds its address like any other.
    if (lease.pool === pool.id) pods.add(podKey(lease));
  }
  for (const waiter of state.all('waiter')) if (waiter.pool === pool.id) pods.add(podKey(waiter));
  return pods.size;
}

const podKey = (row: {
  readonly pod?: { readonly namespace: string; readonly name: string };
  readonly key: string;
}): string => (row.pod === undefined ? row.key : `${row.pod.namespace}/${row.pod.name}`);

export const blockSize = (block: BlockRow): number => wishSize(familyOf(block.id), cidrLength(block.id));

export function waitersOf(state: State, pool: PoolRow): number {
  let count = 0;
  for (const waiter of state.all('waiter')) if (waiter.pool === pool.id) count++;
  return count;
}
