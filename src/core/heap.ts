/**
 * A binary heap whose entries may have gone stale: rows change under it, so whoever looks at the top says whether it
 * still holds. Pushing is O(log n), and a stale entry is dropped once, when it comes to the top.
 */
export class Heap<T> {
  private readonly entries: T[] = [];
  private readonly before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.before = before;
  }

  get size(): number {
    return this.entries.length;
  }

  push(entry: T): void {
    const { entries, before } = this;
    let at = entries.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = entries[parent] as T;
      if (!before(entry, above)) break;
      entries[at] = above;
      at = parent;
    }
    entries[at] = entry;
  }

  /** The first entry that still holds; those before it are dropped. */
  top(holds: (entry: T) => boolean): T | undefined {
    for (;;) {
      const first = this.entries[0];
      if (first === undefined || holds(first)) return first;
      this.pop();
    }
  }

  pop(): T | undefined {
    const { entries, before } = this;
    const first = entries[0];
    const last = entries.pop();
    if (last === undefined || entries.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && before(entries[child + 1] as T, entries[child] as T)) child++;
      if (!before(entries[child] as T, last)) break;
      entries[at] = entries[child] as T;
      at = child;
    }
    entries[at] = last;
    return first;
  }

  /** Keeps only these, so that stale entries deep inside do not add up. */
  rebuild(entries: Iterable<T>): void {
    this.entries.length = 0;
    for (const entry of entries) this.push(entry);
  }

  all(): readonly T[] {
    return this.entries;
  }
}
