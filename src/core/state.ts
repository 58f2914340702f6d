/**
 * The tables and the transaction that alone may change them.
 *
 * Invariants: a row is replaced, never mutated; every change goes through `Tx`, which keeps the undo and the touched
 * keys; journal rows are derived from the touched keys by the tables' durable columns, never listed by hand.
 */
import type { AttachmentKey, EniKey, LeaseId } from './brand.ts';
import type { Cidr } from './ip.ts';
import type { AddressRow, BlockRow, LeaseRow, OperationRow, Rows, RuntimeRow, Table, WaiterRow } from './rows.ts';

const keyOf: { readonly [T in Table]: (row: Rows[T]) => string } = {
  node: () => 'node',
  runtime: () => 'runtime',
  pool: (row) => row.id,
  subnet: (row) => row.id,
  eni: (row) => row.key,
  block: (row) => row.id,
  address: (row) => row.ip,
  lease: (row) => row.id,
  waiter: (row) => row.key,
  operation: (row) => row.id,
  sighting: (row) => row.eni,
  deadLink: (row) => row.name,
  link: (row) => row.mac,
  failure: (row) => row.action,
  budget: (row) => row.action,
};

/**
 * The durable columns of a row; undefined where the row lives in memory only. What the kernel can be asked for
 * (whether a lease is wired) and what a restart may forget (waiters, budgets) is left out.
 */
const durable: { readonly [T in Table]?: (row: Rows[T]) => unknown } = {
  node: (row) => row,
  subnet: (row) => ({ ...row, exhaustedUntilMs: 0, noPrefixUntilMs: 0 }),
  eni: (row) => ({ ...row, sync: undefined }),
  block: ({ id, eni, state }) => ({ id, eni, state: state === 'releasing' || state === 'missing' ? state : 'ready' }),
  address: (row) => row,
  lease: ({ id, key, attachment, pool, addresses, netns, pod, linkIndex, sinceMs, state }) => ({
    id,
    key,
    attachment,
    pool,
    addresses,
    netns,
    pod,
    linkIndex,
    sinceMs,
    unwiring: state === 'unwiring',
  }),
  operation: (row) => (isRead(row) ? undefined : row),
};

/** Reads change nothing, so a restart need not know of them. */
export const isRead = (row: OperationRow): boolean =>
  row.call.action === 'listEnis' || row.call.action === 'listSubnets' || row.call.action === 'describeNode';

export const durableTables = Object.keys(durable) as readonly (keyof typeof durable)[];

export interface JournalRow {
  readonly table: string;
  readonly key: string;
  readonly row: unknown;
}

interface Undo {
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
    subnet: new Map(),
    eni: new Map(),
    block: new Map(),
    address: new Map(),
    lease: new Map(),
    waiter: new Map(),
    operation: new Map(),
    sighting: new Map(),
    deadLink: new Map(),
    link: new Map(),
    failure: new Map(),
    budget: new Map(),
  };
  private readonly leaseOfAttachment = new Map<AttachmentKey, LeaseId>();
  private readonly blocksOfEni = new Map<EniKey, Set<Cidr>>();
  private readonly addressesOfBlock = new Map<Cidr, Set<string>>();
  private readonly operationOfEni = new Map<EniKey, string>();

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
    const id = this.leaseOfAttachment.get(key);
    return id === undefined ? undefined : this.maps.lease.get(id);
  }

  blocksOf(eni: EniKey): BlockRow[] {
    return [...(this.blocksOfEni.get(eni) ?? [])].flatMap((id) => this.maps.block.get(id) ?? []);
  }

  addressesOf(block: Cidr): AddressRow[] {
    return [...(this.addressesOfBlock.get(block) ?? [])].flatMap((ip) => this.maps.address.get(ip) ?? []);
  }

  /** How many addresses of the block are not free. */
  takenIn(block: Cidr): number {
    return this.addressesOfBlock.get(block)?.size ?? 0;
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
    if (before !== undefined) this.index(table, before, false);
    if (row === undefined) map.delete(key);
    else {
      map.set(key, row);
      this.index(table, row, true);
    }
    return before;
  }

  private index(table: Table, row: Rows[Table], add: boolean): void {
    if (table === 'lease') {
      const { key, id } = row as LeaseRow;
      if (add) this.leaseOfAttachment.set(key, id);
      else this.leaseOfAttachment.delete(key);
    } else if (table === 'block') {
      const { eni, id } = row as BlockRow;
      indexInto(this.blocksOfEni, eni, id, add);
    } else if (table === 'address') {
      const { block, ip } = row as AddressRow;
      indexInto(this.addressesOfBlock, block, ip, add);
    } else if (table === 'operation') {
      const { eni, id } = row as OperationRow;
      if (eni === undefined) return;
      if (add) this.operationOfEni.set(eni, id);
      else this.operationOfEni.delete(eni);
    }
  }
}

function indexInto<K, V>(index: Map<K, Set<V>>, key: K, value: V, add: boolean): void {
  const values = index.get(key);
  if (add) {
    if (values === undefined) index.set(key, new Set([value]));
    else values.add(value);
  } else if (values !== undefined) {
    values.delete(value);
    if (values.size === 0) index.delete(key);
  }
}

/** One batch of steps: all of its changes are committed together, or undone together. */
export class Tx {
  readonly state: State;
  private readonly undoLog: Undo[] = [];
  private readonly first = new Map<string, Undo>();

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
    const undo: Undo = { table, key, before };
    this.undoLog.push(undo);
    const mark = `${table} ${key}`;
    if (!this.first.has(mark)) this.first.set(mark, undo);
  }

  /** Rows touched so far, for the invariants. */
  touched(): IterableIterator<{ readonly table: Table; readonly key: string }> {
    return this.first.values();
  }

  /** What the journal must hold after this batch: only rows whose durable columns changed. */
  journalRows(): JournalRow[] {
    const rows: JournalRow[] = [];
    for (const { table, key, before } of this.first.values()) {
      const was = durableText(table, before);
      const is = durableText(table, this.state.get(table, key));
      if (was !== is) rows.push({ table, key, row: is === undefined ? null : JSON.parse(is) });
    }
    return rows;
  }

  /** Puts every row back as it was before the batch. */
  undo(): void {
    for (const { table, key, before } of this.undoLog.reverse()) this.state.replace(table, key, before);
    this.undoLog.length = 0;
    this.first.clear();
  }
}

function durableText(table: Table, row: Rows[Table] | undefined): string | undefined {
  const columns = durable[table] as ((row: Rows[Table]) => unknown) | undefined;
  if (row === undefined || columns === undefined) return undefined;
  const value = columns(row);
  return value === undefined ? undefined : JSON.stringify(value);
}
