/**
 * A journal in memory that outlives its process: commits survive a crash; a power loss drops a suffix of them.
 */
import type { Journal, JournalContents, RowChange } from '../ports/journal.ts';

/** A row as it is on the disk: text, so that a process shares nothing with the one that wrote it. */
interface Written {
  readonly table: string;
  readonly key: string;
  readonly text: string | null;
}

export class MemoryJournal implements Journal {
  /** What no power loss can take, by table and key. */
  private readonly synced = new Map<string, Written>();
  /** Commits since the last checkpoint. The first of all is never lost: without it there was no journal. */
  private commits: (readonly Written[])[] = [];
  private begun = false;
  /** While true every commit fails, as on a full disk. */
  full = false;

  load(): JournalContents {
    const written = new Map(this.synced);
    for (const commit of this.commits) apply(written, commit);
    const rows = [...written.values()].map(({ table, key, text }) => ({ table, key, row: JSON.parse(text ?? 'null') }));
    return { rows, origin: this.begun ? 'intact' : 'fresh' };
  }

  commit(changes: readonly RowChange[]): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    const commit = changes.map(({ table, key, row }) => ({
      table,
      key,
      text: row === null ? null : JSON.stringify(row),
    }));
    if (this.begun) this.commits.push(commit);
    else apply(this.synced, commit);
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

function apply(rows: Map<string, Written>, commit: readonly Written[]): void {
  for (const change of commit) {
    const key = `${change.table} ${change.key}`;
    if (change.text === null) rows.delete(key);
    else rows.set(key, change);
  }
}
