/**
 * A journal in memory that outlives its process: commits survive a crash; a power loss drops a suffix of them.
 */
import type { Journal, JournalContents, RowChange } from '../ports/journal.ts';

export class MemoryJournal implements Journal {
  /** What no power loss can take, by table and key. */
  private readonly synced = new Map<string, RowChange>();
  /** Commits since the last checkpoint. The first of all is never lost: without it there was no journal. */
  private commits: (readonly RowChange[])[] = [];
  private begun = false;
  /** While true every commit fails, as on a full disk. */
  full = false;

  /** Rows are immutable and were read from text when they were committed, so none is shared with a process. */
  load(): JournalContents {
    const rows = new Map(this.synced);
    for (const commit of this.commits) apply(rows, commit);
    return { rows: [...rows.values()], origin: this.begun ? 'intact' : 'fresh' };
  }

  commit(changes: readonly RowChange[]): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    if (this.begun) this.commits.push(changes);
    else apply(this.synced, changes);
    this.begun = true;
  }

  checkpoint(): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    for (const commit of this.commits) apply(this.synced, commit);
    this.commits = [];
  }

  close(): void {}

  /** Power loss: the newest commits since the last checkpoint are gone. */
  loseSuffix(count: number): void {
    this.commits.splice(Math.max(0, this.commits.length - count));
  }

  /** Somebody deletes the file, or the daemon sets a damaged one aside. */
  wipe(): void {
    this.synced.clear();
    this.commits = [];
    this.begun = false;
  }
}

function apply(rows: Map<string, RowChange>, commit: readonly RowChange[]): void {
  for (const change of commit) {
    const key = `${change.table} ${change.key}`;
    if (change.row === null) rows.delete(key);
    else rows.set(key, change);
  }
}
