/**
 * The journal on node:sqlite: one table of rows in a write-ahead log.
 *
 * Invariants: one process writes (`locking_mode=EXCLUSIVE`: the kernel frees the lock of a killed one); a commit that
 * returned survives the process's death, not necessarily a power cut (`synchronous=NORMAL`: only checkpoints fsync);
 * rows that do not add up are never served: the file is set aside.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { Clock } from '../ports/clock.ts';
import type { Journal, JournalContents, RowChange } from '../ports/journal.ts';
import { dropFirstName, inodeOf, logDamage, nameAside, readLog, setOrphanLogAside } from './journal-file.ts';

/** A log of this size is checkpointed although there is work to do. */
const LOG_BYTES_MAX = 8 * 1024 * 1024;
/** A commit writes few pages, so the log's size need not be asked for at each. */
const SIZE_ASKED_EVERY = 32;
const LOCK_POLL_MS = 100;

/** SQLite's result codes, the low byte: https://www.sqlite.org/rescode.html */
const BUSY = 5;
const CORRUPT = 11;
/** A schema that says something else than ours. */
const SQL_ERROR = 1;
const NOT_A_DATABASE = 26;

export interface JournalOptions {
  readonly path: string;
  readonly clock: Clock;
  /** How long another daemon's lock is waited for. */
  readonly lockWaitMs: number;
  /** Ends the wait. */
  readonly signal?: AbortSignal;
}

/** Another process has the journal and did not let go of it in time. */
export class JournalLockedError extends Error {
  override readonly name = 'JournalLockedError';
}

class DamagedError extends Error {
  override readonly name = 'DamagedError';
}

/**
 * Opens the journal and takes its lock. A damaged one is set aside and a new one begun. Throws JournalLockedError when
 * another process keeps it, any other Error when it cannot be opened or made.
 */
export async function openJournal(options: JournalOptions): Promise<SqliteJournal> {
  const { path, clock, lockWaitMs, signal } = options;
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const untilMs = clock.nowMs() + lockWaitMs;
  for (;;) {
    try {
      return openNow(path);
    } catch (error) {
      if (codeOf(error) !== BUSY) throw error;
      if (clock.nowMs() >= untilMs || signal?.aborted === true) {
        const text = `another daemon has the journal ${path} and did not end within ${lockWaitMs / 1000} s`;
        throw new JournalLockedError(text, { cause: error });
      }
    }
    await new Promise<void>((resolve) => clock.timer(clock.nowMs() + LOCK_POLL_MS, resolve));
  }
}

function openNow(path: string): SqliteJournal {
  setOrphanLogAside(path);
  try {
    return new SqliteJournal(open(path), path, { rows: [], origin: 'fresh' });
  } catch (error) {
    if (!(error instanceof SetAside)) throw error;
    const { aside, why } = error;
    const detail = `the journal was damaged (${why}) and is now ${aside}`;
    return new SqliteJournal(open(path), path, { rows: [], origin: 'set-aside', detail });
  }
}

class SetAside extends Error {
  readonly aside: string;
  readonly why: string;

  constructor(aside: string, why: string) {
    super(why);
    this.aside = aside;
    this.why = why;
  }
}

interface Opened {
  readonly database: DatabaseSync;
  readonly rows: readonly RowChange[];
  readonly begun: boolean;
}

/** Opens, locks, and reads all; a file that does not add up is out of the way when this throws SetAside. */
function open(path: string): Opened {
  const inode = inodeOf(path);
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    lock(database);
    const why = logDamage(readLog(path));
    if (why !== undefined) throw new DamagedError(why);
    checkPages(database);
    const begun = hasTable(database);
    database.exec(
      'CREATE TABLE IF NOT EXISTS rows (tbl TEXT NOT NULL, key TEXT NOT NULL, row TEXT NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (tbl, key)) STRICT, WITHOUT ROWID',
    );
    return { database, rows: readRows(database), begun };
  } catch (error) {
    const damaged = error instanceof DamagedError || [CORRUPT, NOT_A_DATABASE, SQL_ERROR].includes(codeOf(error));
    const aside = damaged && inodeOf(path) === inode ? nameAside(path, 'damaged') : undefined;
    database.close();
    if (aside === undefined) throw error;
    dropFirstName(path, aside);
    throw new SetAside(aside, messageOf(error));
  }
}

/** The lock is taken by the first access in exclusive mode, before WAL is entered: then there is no shared memory. */
function lock(database: DatabaseSync): void {
  database.exec('PRAGMA locking_mode=EXCLUSIVE');
  database.exec('PRAGMA journal_mode=WAL');
  database.exec('PRAGMA synchronous=NORMAL');
  database.exec('PRAGMA wal_autocheckpoint=0');
  database.exec('BEGIN IMMEDIATE');
  database.exec('COMMIT');
}

/** Finds torn and lost pages; what is wrong inside a row is found by its sum. 250 pods' rows take about 2 ms. */
function checkPages(database: DatabaseSync): void {
  const verdict = database.prepare('PRAGMA integrity_check(1)').get();
  const text = Object.values(verdict ?? {})[0];
  if (text !== 'ok') throw new DamagedError(String(text));
}

const hasTable = (database: DatabaseSync): boolean =>
  database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'rows'").get() !== undefined;

function readRows(database: DatabaseSync): RowChange[] {
  return database
    .prepare('SELECT tbl, key, row, sum FROM rows ORDER BY tbl, key')
    .all()
    .map(({ tbl, key, row, sum }) => {
      const [table, name, text] = [String(tbl), String(key), String(row)];
      if (sumOf(table, name, text) !== sum) throw new DamagedError(`row ${table} ${name} does not add up`);
      return { table, key: name, row: JSON.parse(text) };
    });
}

/** SQLite has no checksum over a page: a flipped digit in an address would be believed. */
const sumOf = (table: string, key: string, row: string): number => crc32(`${table}\0${key}\0${row}`);

export class SqliteJournal implements Journal {
  readonly path: string;
  private opened: Opened;
  private contents: JournalContents;
  private put: StatementSync;
  private remove: StatementSync;
  private commitCount = 0;
  private dirty = false;

  constructor(opened: Opened, path: string, contents: JournalContents) {
    this.opened = opened;
    this.path = path;
    this.contents = opened.begun ? { rows: opened.rows, origin: 'intact' } : contents;
    this.put = opened.database.prepare('INSERT OR REPLACE INTO rows (tbl, key, row, sum) VALUES (?, ?, ?, ?)');
    this.remove = opened.database.prepare('DELETE FROM rows WHERE tbl = ? AND key = ?');
  }

  /** As it was when the journal was opened. */
  load(): JournalContents {
    return this.contents;
  }

  commit(changes: readonly RowChange[]): void {
    const { database } = this.opened;
    database.exec('BEGIN IMMEDIATE');
    try {
      for (const { table, key, row } of changes) this.write(table, key, row);
      database.exec('COMMIT');
    } catch (error) {
      // A full disk ends the transaction by itself, most other failures do not.
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
    this.dirty = true;
    if (++this.commitCount % SIZE_ASKED_EVERY === 0 && this.logBytes() > LOG_BYTES_MAX) this.tidy();
  }

  private write(table: string, key: string, row: unknown): void {
    if (row === null) {
      this.remove.run(table, key);
      return;
    }
    const text = JSON.stringify(row);
    this.put.run(table, key, text, sumOf(table, key, text));
  }

  /** Truncates the log, so that whatever stands in it is of one generation. Throws when that was not done. */
  checkpoint(): void {
    if (!this.dirty) return;
    const result = this.opened.database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get();
    if (result?.busy !== 0) throw new Error('the checkpoint was not done: somebody else reads the journal');
    this.dirty = false;
  }

  /** A checkpoint that nobody waits for. A full disk leaves it for the next time: commits go on into the log. */
  tidy(): void {
    try {
      this.checkpoint();
    } catch {
      // The commit that finds no space in the log says so.
    }
  }

  /** Sets this journal aside for a reason of the caller's (one word) and begins a new one. Answers its new name. */
  setAside(reason: string): string {
    const aside = nameAside(this.path, reason);
    this.opened.database.close();
    dropFirstName(this.path, aside);
    const next = openNow(this.path);
    this.opened = next.opened;
    this.put = next.put;
    this.remove = next.remove;
    this.contents = { rows: [], origin: 'set-aside', detail: `the journal was set aside as ${aside}` };
    return aside;
  }

  close(): void {
    if (this.opened.database.isOpen) this.opened.database.close();
  }

  private logBytes(): number {
    return statSync(`${this.path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
  }
}

const messageOf = (error: unknown): string => (Error.isError(error) ? error.message : String(error));

const codeOf = (error: unknown): number =>
  Error.isError(error) && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : 0;
