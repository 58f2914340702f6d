/**
 * Cooling addresses of each pool in the order in which their time comes: those whose connections were flushed, and
 * those that wait longer. An index of the address table, kept by State.
 */
import type { PoolId } from './brand.ts';
import { Heap } from './heap.ts';
import type { Ip } from './ip.ts';
import type { AddressRow } from './rows.ts';

export type CoolingRow = AddressRow & { readonly state: 'cooling' };

interface Entry {
  readonly ip: Ip;
  readonly sinceMs: number;
}

const earlier = (a: Entry, b: Entry): boolean => a.sinceMs < b.sinceMs || (a.sinceMs === b.sinceMs && a.ip < b.ip);

interface Queues {
  readonly flushed: Heap<Entry>;
  readonly others: Heap<Entry>;
}

export class CoolingQueue {
  private readonly rowOf: (ip: Ip) => AddressRow | undefined;
  private readonly queues = new Map<PoolId | undefined, Queues>();
  private readonly toFlush = new Set<Ip>();

  constructor(rowOf: (ip: Ip) => AddressRow | undefined) {
    this.rowOf = rowOf;
  }

  /** `pool` is undefined for an address whose block nobody knows. */
  note(row: CoolingRow, pool: PoolId | undefined, add: boolean): void {
    if (!add) {
      this.toFlush.delete(row.ip);
      return;
    }
    if (row.flushed === 'no') this.toFlush.add(row.ip);
    let queues = this.queues.get(pool);
    if (queues === undefined) {
      queues = { flushed: new Heap<Entry>(earlier), others: new Heap<Entry>(earlier) };
      this.queues.set(pool, queues);
    }
    (row.flushed === 'yes' ? queues.flushed : queues.others).push({ ip: row.ip, sinceMs: row.sinceMs });
  }

  pools(): IterableIterator<PoolId | undefined> {
    return this.queues.keys();
  }

  /** The pool's address that has cooled longest; `flushed` says which of the two kinds. */
  oldest(pool: PoolId | undefined, flushed: boolean): CoolingRow | undefined {
    const heap = this.queues.get(pool)?.[flushed ? 'flushed' : 'others'];
    const top = heap?.top(({ ip, sinceMs }) => {
      const row = this.rowOf(ip);
      return row?.state === 'cooling' && (row.flushed === 'yes') === flushed && row.sinceMs === sinceMs;
    });
    const row = top && this.rowOf(top.ip);
    return row?.state === 'cooling' ? row : undefined;
  }

  /** Those whose connections nobody has been asked to flush. */
  unflushed(): CoolingRow[] {
    const rows: CoolingRow[] = [];
    for (const ip of this.toFlush) {
      const row = this.rowOf(ip);
      if (row?.state === 'cooling') rows.push(row);
    }
    return rows;
  }
}
