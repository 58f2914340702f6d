/**
 * A journal in memory that outlives its process: commits survive a crash; a power loss drops a suffix of them.
 */
import type { Journal, JournalContents, RowChange } from '../ports/journal.ts';

export class MemoryJournal implements Journal {
  private readonly commits: (readonly RowChange[])[] = [];
  private begun = false;
  /** How many commits a power loss cannot take. */
  private synced = 0;
  /** While true every commit fails, as on a full disk. */
  full = false;

  load(): JournalContents {
    const rows = new Map<string, RowChange>();
    for (const commit of this.commits) {
      for (const change of commit) {
        const key = `${change.table} ${change.key}`;
        if (change.row === null) rows.delete(key);
        else rows.set(key, change);
      }
    }
    return { rows: structuredClone([...rows.values()]), origin: this.begun ? 'intact' : 'fresh' };
  }

  commit(changes: readonly RowChange[]): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    this.begun = true;
    // As text, so that no row in memory is shared with the process that wrote it.
    this.commits.push(JSON.parse(JSON.stringify(changes)));
  }

  checkpoint(): void {
    if (this.full) throw new Error('ENOSPC: no space left on device');
    this.synced = this.commits.length;
  }

  close(): void {}

  /** Power loss: the newest commits since the last checkpoint are gone. */
  loseSuffix(count: number): void {
    this.commits.splice(Math.max(1, this.synced, this.commits.length - count));
  }

  /** Somebody deletes the file. */
  wipe(): void {
    this.commits.length = 0;
    this.synced = 0;
    this.begun = false;
  }
}
