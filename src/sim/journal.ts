/**
 * A journal in memory that outlives its process: commits survive a crash; a power loss drops a suffix of them.
 */
import type { Journal, JournalContents, RowChange } from '../ports/journal.ts';

/** A row as it is on the disk: text, so that a process shares nothing with the one that wrote it. */
interface Written {
  /** Table and key. */
  readonly id: string;
  readonly table: string;
  readonly key: string;
  readonly text: string | null;
}

export class MemoryJournal implements Journal {
  /** What no power loss can take. */
  private readonly synced = new Map<string, Written>();
  /** With every commit. */
  private rows = new Map<string, Written>();
  /** Commits since the last checkpoint. The first of all is never lost: without it there was no journal. */
  private commits: (readonly Written[])[] = [];
  private begun = false;
  /** While true every commit fails, as on a full disk. */
  full = false;

  load(): JournalContents {
    const rows: RowChange[] = [];
    for (const { table, key, text } of this.rows.values()) rows.push({ table, key, row: JSON.parse(text ?? 'null') });
    return { rows, origin: this.begun ? 'intact' : 'fresh' };
  }

  commit(changes: readonly RowChange[]): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    const commit = changes.map(written);
    apply(this.rows, commit);
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
    this.rows = new Map(this.synced);
    for (const commit of this.commits) apply(this.rows, commit);
  }

  /** Somebody deletes the file, or the daemon sets a damaged one aside. */
  wipe(): void {
    this.synced.clear();
    this.rows.clear();
    this.commits = [];
    this.begun = false;
  }
}

const written = ({ table, key, row }: RowChange): Written => ({
  id: `${table} ${key}`,
  table,
  key,
  text: row === null ? null : JSON.stringify(row),
});

function apply(rows: Map<string, Written>, commit: readonly Written[]): void {
  for (const change of commit) {
    if (change.text === null) rows.delete(change.id);
    else rows.set(change.id, change);
  }
}
