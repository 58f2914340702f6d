/**
 * Cooling addresses of each pool and family in the order in which their time comes: those whose connections were flushed, and
 * those that wait longer. An index of the address table, kept by State.
 */
import type { PoolId } from './brand.ts';
import { Heap } from './heap.ts';
import { type Family, familyOf, type Ip } from './ip.ts';
import type { AddressRow } from './rows.ts';

export type CoolingRow = AddressRow & { readonly state: 'cooling' };

interface Entry {
  readonly ip: Ip;
  readonly sinceMs: number;
}

const earlier = (a: Entry, b: Entry): boolean => a.sinceMs < b.sinceMs || (a.sinceMs === b.sinceMs && a.ip < b.ip);

/** `pool` is undefined for addresses whose block nobody knows. */
export interface Queues {
  readonly pool: PoolId | undefined;
  readonly family: Family;
  readonly flushed: Heap<Entry>;
  readonly others: Heap<Entry>;
}

export class CoolingQueue {
  private readonly rowOf: (ip: Ip) => AddressRow | undefined;
  private readonly byPool = new Map<string, Queues>();
  private readonly toFlush = new Set<Ip>();

  constructor(rowOf: (ip: Ip) => AddressRow | undefined) {
    this.rowOf = rowOf;
  }

  note(row: CoolingRow, pool: PoolId | undefined, add: boolean): void {
    if (!add) {
      this.toFlush.delete(row.ip);
      return;
    }
    if (row.flushed === 'no') this.toFlush.add(row.ip);
    const family = familyOf(row.ip);
    const key = `${family} ${pool ?? ''}`;
    let queues = this.byPool.get(key);
    if (queues === undefined) {
      queues = { pool, family, flushed: new Heap<Entry>(earlier), others: new Heap<Entry>(earlier) };
      this.byPool.set(key, queues);
    }
    (row.flushed === 'yes' ? queues.flushed : queues.others).push({ ip: row.ip, sinceMs: row.sinceMs });
  }

  queues(): IterableIterator<Queues> {
    return this.byPool.values();
  }

  /** The address that has cooled longest; `flushed` says of which of the two kinds. */
  oldest(queues: Queues, flushed: boolean): CoolingRow | undefined {
    const top = (flushed ? queues.flushed : queues.others).top(({ ip, sinceMs }) => {
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
