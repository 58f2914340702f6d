/**
 * Where durable rows live. Rows are the core's own, as JSON values; the journal neither reads nor changes them.
 */
export interface RowChange {
  readonly table: string;
  readonly key: string;
  /** The durable columns; null removes the row. */
  readonly row: unknown;
}

export interface JournalContents {
  /** Rows by table and key, as last committed. */
  readonly rows: readonly RowChange[];
  /** `fresh` when there was no journal; `set-aside` when it was damaged or another instance's and was renamed. */
  readonly origin: 'intact' | 'fresh' | 'set-aside';
  readonly detail?: string;
}

export interface Journal {
  load(): JournalContents;
  /** All rows or none. Throws (any Error) when nothing was written: full disk, damaged file, read-only. */
  commit(changes: readonly RowChange[]): void;
  /** What was committed so far survives a power loss from here on; also shortens the log. Throws when it cannot say so. */
  checkpoint(): void;
  close(): void;
}
