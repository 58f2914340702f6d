/**
 * What a pool holds and what it needs, counted from the rows. All figures are addresses of one family.
 */
import type { EniKey } from './brand.ts';
import type { PoolCount } from './census.ts';
import { type Family, familyOf } from './ip.ts';
import type { BlockRow, EniPresent, EniRow, PoolRow } from './rows.ts';
import type { State } from './state.ts';
import { wishSize } from './tally.ts';

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

/** The pool may hand out from this ENI now: its link is there, and the kernel has what belongs to it. */
export const serves = (state: State, eni: EniRow, pool: PoolRow): eni is EniPresent =>
  isOfPool(eni, pool) && eni.sync === undefined && state.get('link', eni.mac) !== undefined;

const isOfPool = (eni: EniRow, pool: PoolRow): eni is EniPresent =>
  eni.state === 'ready' &&
  eni.pool === pool.id &&
  eni.kind !== 'foreign' &&
  (eni.kind === 'secondary' || pool.primaryEni === 'use');

/** Its link is there (again), and the kernel is being told. */
export const isBeingSetUp = (eni: EniRow, pool: PoolRow): eni is EniPresent =>
  isOfPool(eni, pool) && eni.sync !== undefined;

/** The ENI is on its way to serving. */
const comesUp = (eni: EniRow): boolean =>
  eni.kind === 'secondary' && (eni.state === 'available' || eni.state === 'attaching' || eni.state === 'linking');

export function primaryOf(state: State): EniRow | undefined {
  for (const eni of state.all('eni')) if (eni.kind === 'primary') return eni;
  return undefined;
}

export function enisOf(state: State, pool: PoolRow): EniRow[] {
  const enis: EniRow[] = [];
  for (const eni of state.all('eni')) if (eni.pool === pool.id && eni.kind !== 'foreign') enis.push(eni);
  return enis;
}

export function blocksOfFamily(state: State, eni: EniRow, family: Family): BlockRow[] {
  return state.blocksOf(eni.key).filter((block) => familyOf(block.id) === family);
}

export function holding(state: State, pool: PoolRow, family: Family): Holding {
  const { total, leased, cooling, quarantined, coming } = countOf(state, pool, family);
  return { total, leased, cooling, quarantined, free: total - leased - cooling - quarantined, coming };
}

/** As many pods have an address as the ceiling allows, though more may be free: it was lowered, and those go back. */
export const isCeilingUsed = (state: State, pool: PoolRow): boolean =>
  pool.families.some((family) => holding(state, pool, family).leased >= pool.targets.ceiling);

/** ENIs that serve the pool. */
export const servingOf = (state: State, pool: PoolRow, family: Family): ReadonlySet<EniKey> =>
  countOf(state, pool, family).serving;

/** Blocks of more than one address on ENIs that serve. */
export const prefixesOf = (state: State, pool: PoolRow, family: Family): number =>
  countOf(state, pool, family).prefixes;

/** Free addresses on ENIs that serve which are blocks of their own. */
export const idleSinglesOf = (state: State, pool: PoolRow, family: Family): number =>
  countOf(state, pool, family).idleSingles;

function countOf(state: State, pool: PoolRow, family: Family): PoolCount {
  const known = state.census.poolCount(pool.id, family);
  if (known !== undefined) return known;
  const count = counted(state, pool, family);
  state.census.keep(pool.id, family, count);
  return count;
}

function counted(state: State, pool: PoolRow, family: Family): PoolCount {
  const servingKeys = new Set<EniKey>();
  const sum = { total: 0, leased: 0, cooling: 0, quarantined: 0, coming: 0, prefixes: 0, idleSingles: 0 };
  for (const eni of state.all('eni')) {
    if (eni.pool !== pool.id || eni.kind === 'foreign') continue;
    sum.coming += asked(state, eni, family);
    const serving = serves(state, eni, pool);
    if (!serving && !comesUp(eni) && !isBeingSetUp(eni, pool)) continue;
    // What the cloud took away, or is asked to take back, is no capacity, whoever still uses it.
    const { ready, installing, held, cooling, quarantined, prefixes, idleSingles } = state.tally(eni.key, family);
    sum.coming += serving ? installing : installing + ready;
    if (!serving) continue;
    servingKeys.add(eni.key);
    sum.total += ready;
    sum.leased += held;
    sum.cooling += cooling;
    sum.quarantined += quarantined;
    sum.prefixes += prefixes;
    sum.idleSingles += idleSingles;
  }
  return { serving: servingKeys, ...sum };
}

/** Addresses that an operation on this ENI asks for. */
function asked(state: State, eni: EniRow, family: Family): number {
  const call = state.operationOn(eni.key)?.call;
  if (call?.action === 'assign' && call.again !== true && call.wish.family === family)
    return call.wish.count * wishSize(family, call.wish.prefixLength);
  if (call?.action !== 'create') return 0;
  let count = 0;
  for (const wish of call.blocks) if (wish.family === family) count += wish.count * wishSize(family, wish.prefixLength);
  return count;
}

/** Distinct pods that hold a lease, wait, or were bound here of late: the pod where it is named, else the attachment. */
export const demand = (state: State, pool: PoolRow): number => state.podCount(pool.id);

/** Pods bound here of late that have not asked yet. */
export const expectedOf = (state: State, pool: PoolRow): number => state.expectedCount(pool.id);

export const waitersOf = (state: State, pool: PoolRow): number => state.waiterCount(pool.id);
