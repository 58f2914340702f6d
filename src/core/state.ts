/**
 * The tables and the transaction that alone may change them.
 *
 * Invariants: a row is replaced, never mutated; every change goes through `Tx`, which keeps the undo and the touched
 * keys; journal rows are derived from the touched keys by the tables' durable columns, never listed by hand.
 */
import { type BoundRow, podName } from './bound.ts';
import type { AttachmentKey, EniKey, PoolId } from './brand.ts';
import { Census } from './census.ts';
import { isRead } from './cloud.ts';
import { CoolingQueue } from './cooling-queue.ts';
import { type Cidr, type Family, familyOf, type Ip } from './ip.ts';
import { indexInto, LeaseIndex } from './lease-index.ts';
import type {
  AddressRow,
  BlockRow,
  EniRow,
  LeaseRow,
  OperationRow,
  Rows,
  RuntimeRow,
  Table,
  WaiterRow,
} from './rows.ts';
import { sameText } from './same-text.ts';
import { type EniTally, Tallies } from './tally.ts';

const keyOf: { readonly [T in Table]: (row: Rows[T]) => string } = {
  node: () => 'node',
  runtime: () => 'runtime',
  pool: (row) => row.id,
  forecast: (row) => row.pool,
  subnet: (row) => row.id,
  unlisted: (row) => row.id,
  use: (row) => row.subnet,
  eni: (row) => row.key,
  block: (row) => row.id,
  address: (row) => row.ip,
  lease: (row) => row.id,
  bound: (row) => podName(row.pod),
  waiter: (row) => row.key,
  operation: (row) => row.id,
  sighting: (row) => row.eni,
  deadLink: (row) => row.name,
  look: (row) => row.lease,
  link: (row) => row.mac,
  failure: (row) => row.action,
  budget: (row) => row.action,
};

/** Every table, in the order in which people read them. */
export const TABLES = Object.keys(keyOf) as readonly Table[];

/**
 * The durable columns of a row; undefined where the row lives in memory only. What the kernel can be asked for
 * (whether a lease is wired) and what a restart may forget (waiters, budgets) is left out.
 */
const durable: { readonly [T in Table]?: (row: Rows[T]) => object | undefined } = {
  node: (row) => row,
  forecast: (row) => ({ ...row, sinceMs: 0, count: 0 }),
  subnet: ({ refused: _, exhaustedUntilMs: _exhausted, noPrefixUntilMs: _noPrefix, ...row }) => ({
    ...row,
    heardMs: 0,
    readAtMs: 0,
  }),
  eni: (row) => ({ ...row, sync: undefined, fullUntilMs: undefined }),
  block: ({ id, eni, state }) => ({ id, eni, state: state === 'releasing' || state === 'missing' ? state : 'ready' }),
  address: (row) => row,
  lease: ({ id, key, attachment, pool, addresses, netns, pod, bandwidth, linkIndex, sinceMs, state }) => ({
    id,
    key,
    attachment,
    pool,
    addresses,
    netns,
    pod,
    bandwidth,
    linkIndex,
    sinceMs,
    unwiring: state === 'unwiring',
  }),
  // A restart need not know of a read.
  operation: (row) => (isRead(row.call.action) ? undefined : row),
};

export interface JournalRow {
  readonly table: string;
  readonly key: string;
  readonly row: unknown;
}

/** A row as it was before the batch that touched it. */
export interface TouchedRow {
  readonly table: Table;
  readonly key: string;
  readonly before: Rows[Table] | undefined;
}

type TableMaps = { readonly [T in Table]: Map<string, Rows[T]> };

export class State {
  private readonly maps: TableMaps = {
    node: new Map(),
    runtime: new Map(),
    pool: new Map(),
    forecast: new Map(),
    subnet: new Map(),
    unlisted: new Map(),
    use: new Map(),
    eni: new Map(),
    block: new Map(),
    address: new Map(),
    lease: new Map(),
    bound: new Map(),
    waiter: new Map(),
    operation: new Map(),
    sighting: new Map(),
    deadLink: new Map(),
    look: new Map(),
    link: new Map(),
    failure: new Map(),
    budget: new Map(),
  };
  private readonly blocksOfEni = new Map<EniKey, Set<Cidr>>();
  /** Made when asked for; forgotten when a block comes or goes. */
  private readonly sortedBlocks = new Map<EniKey, readonly Cidr[]>();
  private readonly addressesOfBlock = new Map<Cidr, Set<string>>();
  private readonly operationOfEni = new Map<EniKey, string>();
  private readonly leases = new LeaseIndex();
  private readonly tallies = new Tallies((id) => this.maps.block.get(id));
  readonly census = new Census();
  readonly cooling = new CoolingQueue((ip) => this.maps.address.get(ip));

  get<T extends Table>(table: T, key: string): Rows[T] | undefined {
    return this.maps[table].get(key);
  }

  /** Rows in order of insertion; never the base of a choice without a tie-break by id. */
  all<T extends Table>(table: T): IterableIterator<Rows[T]> {
    return this.maps[table].values();
  }

  count(table: Table): number {
    return this.maps[table].size;
  }

  leaseOf(key: AttachmentKey): LeaseRow | undefined {
    const id = this.leases.ofAttachment(key);
    return id === undefined ? undefined : this.maps.lease.get(id);
  }

  blocksOf(eni: EniKey): BlockRow[] {
    return rowsOf(this.blocksOfEni.get(eni), this.maps.block);
  }

  /** The ENI's blocks in order of their text: for the kernel's plan, which holds a thousand of them and changes by one. */
  blockIdsOf(eni: EniKey): readonly Cidr[] {
    const known = this.sortedBlocks.get(eni);
    if (known !== undefined) return known;
    const sorted = [...(this.blocksOfEni.get(eni) ?? [])].sort();
    this.sortedBlocks.set(eni, sorted);
    return sorted;
  }

  addressesOf(block: Cidr): AddressRow[] {
    return rowsOf(this.addressesOfBlock.get(block), this.maps.address);
  }

  /** How many addresses of the block are not free. */
  takenIn(block: Cidr): number {
    return this.tallies.takenIn(block);
  }

  coolingIn(block: Cidr): number {
    return this.tallies.coolingIn(block);
  }

  tally(eni: EniKey, family: Family): EniTally {
    return this.tallies.of(eni, family);
  }

  /** Addresses of both families in the ENI's blocks that the kernel is yet to be told of. */
  installingOn(eni: EniKey): number {
    return this.tally(eni, 4).installing + this.tally(eni, 6).installing;
  }

  /** The block that the next pod on this ENI gets its address from. */
  bestBlock(eni: EniKey, family: Family): BlockRow | undefined {
    return this.tallies.bestBlock(eni, family);
  }

  /** Index within the block of its lowest free address. */
  lowestFree(block: Cidr, addressAt: (index: number) => Ip): number {
    return this.tallies.lowestFree(block, (index) => this.maps.address.has(addressAt(index)));
  }

  /** Distinct pods that hold a lease, wait, or are expected. One whose fence is yet to come holds its address like any other. */
  podCount(pool: PoolId): number {
    return this.leases.podCount(pool);
  }

  /** Pods bound here that neither hold a lease nor wait. */
  expectedCount(pool: PoolId): number {
    return this.leases.expectedCount(pool);
  }

  /** When the newest of the pods bound here was. */
  get lastBoundMs(): number {
    return this.leases.lastBoundMs;
  }

  waiterCount(pool: PoolId): number {
    return this.leases.waiterCount(pool);
  }

  leasesIn(state: LeaseRow['state']): LeaseRow[] {
    return rowsOf(this.leases.inState(state), this.maps.lease);
  }

  leaseOfLinkName(name: string): LeaseRow | undefined {
    const id = this.leases.ofLink(name);
    return id === undefined ? undefined : this.maps.lease.get(id);
  }

  /** Leases whose pod is being wired now. */
  get wiringCount(): number {
    return this.leases.wiringCount;
  }

  /** The one mutation in flight on this ENI. */
  operationOn(eni: EniKey): OperationRow | undefined {
    const id = this.operationOfEni.get(eni);
    return id === undefined ? undefined : this.maps.operation.get(id);
  }

  waitersInOrder(): WaiterRow[] {
    return [...this.maps.waiter.values()].sort((a, b) => a.order - b.order);
  }

  get runtime(): RuntimeRow {
    const row = this.maps.runtime.get('runtime');
    if (row === undefined) throw new Error('the core was stepped before it was opened');
    return row;
  }

  /** Called by Tx alone: replaces one row and keeps the indexes right. */
  replace(table: Table, key: string, row: Rows[Table] | undefined): Rows[Table] | undefined {
    const map = this.maps[table] as Map<string, Rows[Table]>;
    const before = map.get(key);
    this.census.replaced(table, before, row);
    if (table === 'lease') this.leases.replaced(before as LeaseRow | undefined, row as LeaseRow | undefined);
    if (table === 'block') this.forgetSorted(before as BlockRow | undefined, row as BlockRow | undefined);
    if (before !== undefined) this.index(table, before, false);
    if (row === undefined) map.delete(key);
    else {
      map.set(key, row);
      this.index(table, row, true);
    }
    return before;
  }

  private index(table: Table, row: Rows[Table], add: boolean): void {
    if (table === 'waiter') this.leases.waiter(row as WaiterRow, add);
    else if (table === 'bound') this.leases.bound(row as BoundRow, add);
    else if (table === 'block') {
      const block = row as BlockRow;
      indexInto(this.blocksOfEni, block.eni, block.id, add);
      this.tallies.block(block, add);
      this.census.block(block, add);
    } else if (table === 'address') {
      const address = row as AddressRow;
      indexInto(this.addressesOfBlock, address.block, address.ip, add);
      this.tallies.address(address, add);
      const block = this.maps.block.get(address.block);
      if (block !== undefined) this.census.address(address, { block, family: familyOf(block.id), add });
      if (address.state === 'cooling') this.cooling.note(address, this.poolOfBlock(address.block), add);
    } else if (table === 'eni') this.census.eni(row as EniRow, add);
    else if (table === 'operation') {
      const { eni, id } = row as OperationRow;
      if (eni === undefined) return;
      if (add) this.operationOfEni.set(eni, id);
      else this.operationOfEni.delete(eni);
    }
  }

  private forgetSorted(before: BlockRow | undefined, after: BlockRow | undefined): void {
    if (before?.eni === after?.eni) return;
    for (const block of [before, after]) if (block !== undefined) this.sortedBlocks.delete(block.eni);
  }

  private poolOfBlock(id: Cidr): PoolId | undefined {
    const block = this.maps.block.get(id);
    return block && this.maps.eni.get(block.eni)?.pool;
  }
}

function rowsOf<R>(keys: ReadonlySet<string> | undefined, rows: ReadonlyMap<string, R>): R[] {
  const found: R[] = [];
  if (keys === undefined) return found;
  for (const key of keys) {
    const row = rows.get(key);
    if (row !== undefined) found.push(row);
  }
  return found;
}

/** One batch of steps: all of its changes are committed together, or undone together. */
export class Tx {
  readonly state: State;
  private readonly undoLog: TouchedRow[] = [];
  /** The first change of each row, in order. */
  private readonly first: TouchedRow[] = [];
  private readonly keys = new Map<Table, Set<string>>();

  constructor(state: State) {
    this.state = state;
  }

  put<T extends Table>(table: T, row: Rows[T]): void {
    this.change(table, keyOf[table](row), row);
  }

  remove(table: Table, key: string): void {
    this.change(table, key, undefined);
  }

  private change(table: Table, key: string, row: Rows[Table] | undefined): void {
    const before = this.state.replace(table, key, row);
    if (before === undefined && row === undefined) return;
    const undo: TouchedRow = { table, key, before };
    this.undoLog.push(undo);
    const keys = this.keys.get(table);
    if (keys?.has(key)) return;
    if (keys === undefined) this.keys.set(table, new Set([key]));
    else keys.add(key);
    this.first.push(undo);
  }

  /** Rows touched so far, for the invariants. */
  touched(): readonly TouchedRow[] {
    return this.first;
  }

  /** What the journal must hold after this batch: only rows whose durable columns changed. */
  journalRows(): JournalRow[] {
    const rows: JournalRow[] = [];
    for (const { table, key, before } of this.first) {
      if (durable[table] === undefined) continue;
      const was = durableColumns(table, before);
      const is = durableColumns(table, this.state.get(table, key));
      if (!sameText(was, is)) rows.push({ table, key, row: is ?? null });
    }
    return rows;
  }

  /** Puts every row back as it was before the batch. */
  undo(): void {
    for (const { table, key, before } of this.undoLog.reverse()) this.state.replace(table, key, before);
    this.undoLog.length = 0;
    this.first.length = 0;
    this.keys.clear();
  }
}

function durableColumns(table: Table, row: Rows[Table] | undefined): object | undefined {
  const columns = durable[table] as ((row: Rows[Table]) => object | undefined) | undefined;
  return row === undefined || columns === undefined ? undefined : columns(row);
}
