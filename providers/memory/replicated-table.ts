/**
 * A table read through replicas that each lag behind the truth by their own, changing amount.
 *
 * Invariants: per row a replica never goes backwards; every replica shows a write at most its `lagMs` after it;
 * two reads through different replicas may well go backwards. Rows are immutable.
 */

/** Share of the worst lag that each replica may fall behind: one is nearly fresh, one is the worst. */
const REPLICA_LAG = [0.1, 0.5, 1] as const;
export const REPLICA_COUNT = REPLICA_LAG.length;

interface Version<Row> {
  /** Absent: the row was removed. */
  readonly row: Row | undefined;
  /** When each replica shows it. */
  readonly visibleMs: readonly number[];
}

export interface WriteMoment {
  readonly nowMs: number;
  readonly lagMs: number;
  /** One draw in [0, 1) a replica. */
  readonly draw: () => number;
}

export class ReplicatedTable<Id extends string, Row> {
  readonly #truth = new Map<Id, Row>();
  /** Oldest first; only rows some replica does not show as they are have an entry. */
  readonly #history = new Map<Id, Version<Row>[]>();

  get(id: Id): Row | undefined {
    return this.#truth.get(id);
  }

  get size(): number {
    return this.#truth.size;
  }

  /** The truth, in order of creation. */
  values(): IterableIterator<Row> {
    return this.#truth.values();
  }

  put(id: Id, row: Row, moment: WriteMoment): void {
    this.#record(id, row, moment);
    this.#truth.set(id, row);
  }

  remove(id: Id, moment: WriteMoment): void {
    this.#record(id, undefined, moment);
    this.#truth.delete(id);
  }

  /** All rows as the replica shows them. */
  read(replica: number, nowMs: number): Row[] {
    const rows: Row[] = [];
    for (const [id, row] of this.#truth) {
      const seen = this.#history.has(id) ? this.#seen(id, replica, nowMs) : row;
      if (seen !== undefined) rows.push(seen);
    }
    for (const id of this.#history.keys()) {
      if (this.#truth.has(id)) continue;
      const seen = this.#seen(id, replica, nowMs);
      if (seen !== undefined) rows.push(seen);
    }
    return rows;
  }

  /** One row as the replica shows it. */
  readOne(id: Id, replica: number, nowMs: number): Row | undefined {
    return this.#history.has(id) ? this.#seen(id, replica, nowMs) : this.#truth.get(id);
  }

  #record(id: Id, row: Row | undefined, { nowMs, lagMs, draw }: WriteMoment): void {
    const kept = this.#settle(id, nowMs) ?? [{ row: this.#truth.get(id), visibleMs: REPLICA_LAG.map(() => nowMs) }];
    kept.push({ row, visibleMs: REPLICA_LAG.map((share) => nowMs + share * lagMs * draw()) });
    this.#history.set(id, kept);
  }

  #seen(id: Id, replica: number, nowMs: number): Row | undefined {
    const versions = this.#settle(id, nowMs);
    if (versions === undefined) return this.#truth.get(id);
    // The newest one there is: a write that overtook an older one on its way is not undone by it.
    return versions.findLast((version) => (version.visibleMs[replica] ?? 0) <= nowMs)?.row;
  }

  /** Forgets versions that no replica shows any more; undefined when all replicas show the truth. */
  #settle(id: Id, nowMs: number): Version<Row>[] | undefined {
    const versions = this.#history.get(id);
    if (versions === undefined) return undefined;
    const settled = versions.findLastIndex((version) => version.visibleMs.every((at) => at <= nowMs));
    if (settled > 0) versions.splice(0, settled);
    if (settled < 0 || versions.length > 1) return versions;
    this.#history.delete(id);
    return undefined;
  }
}
