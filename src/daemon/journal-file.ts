/**
 * The journal's files as bytes: whether a write-ahead log was damaged, and setting a journal aside.
 *
 * SQLite ends a log at the first frame whose checksum is wrong and says nothing: to it that is a torn write. What a
 * dead process leaves is torn only at the very end, so whole frames behind the end are commits that something ate.
 * Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
 *
 * Invariant: nothing is ever deleted; what cannot be used gets another name.
 */
import { existsSync, linkSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** SQLite takes a shorter file for an empty database. */
const DATABASE_BYTES_MIN = 512;
/** The lowest bit says whether checksums read the log in big-endian words. */
const MAGIC = 0x377f0682;
/** Names tried for one that is set aside, before somebody has to tidy up. */
const ASIDE_COUNT_MAX = 1_000;

type Sum = readonly [number, number];

/** A sentence about what is wrong with the log; undefined when it is whole, or torn as a crash tears it. */
export function logDamage(log: Buffer): string | undefined {
  if (log.length < HEADER_BYTES || isZero(log.subarray(0, HEADER_BYTES))) return undefined;
  const magic = log.readUInt32BE(0);
  const bigEndian = (magic & 1) === 1;
  let sum = checksum([0, 0], log.subarray(0, 24), bigEndian);
  if ((magic & ~1) >>> 0 !== MAGIC || !endsWith(sum, log, 24)) return 'the header of its log does not add up';
  const frameBytes = FRAME_HEADER_BYTES + pageBytes(log);
  let whole = true;
  for (let at = HEADER_BYTES; at + frameBytes <= log.length; at += frameBytes) {
    const frame = log.subarray(at, at + frameBytes);
    sum = checksum(checksum(sum, frame.subarray(0, 8), bigEndian), frame.subarray(FRAME_HEADER_BYTES), bigEndian);
    whole = whole && saltsAgree(frame, log) === 2 && endsWith(sum, frame, 16);
    // A commit that failed half way (full disk) may leave frames too, but never the one that closes it.
    if (!whole && closesCommit(frame) && saltsAgree(frame, log) > 0)
      return `a commit in its log does not add up (byte ${at})`;
  }
  return undefined;
}

const pageBytes = (log: Buffer): number => log.readUInt32BE(8);

/** The frame that ends a commit carries the database's size. */
const closesCommit = (frame: Buffer): boolean => frame.readUInt32BE(4) !== 0;

/** How many of the two salts are those of the log's header: none, in what an earlier log left. */
const saltsAgree = (frame: Buffer, log: Buffer): number =>
  Number(frame.readUInt32BE(8) === log.readUInt32BE(16)) + Number(frame.readUInt32BE(12) === log.readUInt32BE(20));

const endsWith = ([first, second]: Sum, bytes: Buffer, at: number): boolean =>
  first === bytes.readUInt32BE(at) && second === bytes.readUInt32BE(at + 4);

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

function checksum([first, second]: Sum, bytes: Buffer, bigEndian: boolean): Sum {
  let [one, two] = [first, second];
  for (let at = 0; at < bytes.length; at += 8) {
    one = (one + (bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)) + two) >>> 0;
    two = (two + (bigEndian ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4)) + one) >>> 0;
  }
  return [one, two];
}

/** The log's bytes; empty when there is none. Opening it leaves the database's locks alone: they are on another file. */
export const readLog = (path: string): Buffer =>
  existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`) : Buffer.alloc(0);

/** The file's identity, to tell it from another one that took its name. */
export const inodeOf = (path: string): number | undefined => statSync(path, { throwIfNoEntry: false })?.ino;

/**
 * A second name for the database and its log, `<path>.<reason>-<n>`, before it is closed: SQLite merges the log into
 * the database and unlinks it on close, and both stay readable under the second name. Answers the name.
 */
export function nameAside(path: string, reason: string): string {
  for (let n = 1; n <= ASIDE_COUNT_MAX; n++) {
    const aside = `${path}.${reason}-${n}`;
    if (existsSync(aside) || existsSync(`${aside}-wal`)) continue;
    linkSync(path, aside);
    if (existsSync(`${path}-wal`)) linkSync(`${path}-wal`, `${aside}-wal`);
    return aside;
  }
  throw new Error(`${ASIDE_COUNT_MAX} journals were set aside beside ${path}: move them elsewhere`);
}

/** Takes the first name away, unless another process put a journal of its own there meanwhile. */
export function dropFirstName(path: string, aside: string): void {
  for (const end of ['', '-wal']) {
    const inode = inodeOf(`${aside}${end}`);
    if (inode !== undefined && inodeOf(`${path}${end}`) === inode) unlinkSync(`${path}${end}`);
  }
}

/**
 * A log without its database would be replayed into the next one that is made there; one beside an empty database is
 * deleted by SQLite.
 */
export function setOrphanLogAside(path: string): void {
  if (!existsSync(`${path}-wal`) || (statSync(path, { throwIfNoEntry: false })?.size ?? 0) >= DATABASE_BYTES_MIN)
    return;
  for (let n = 1; ; n++) {
    const aside = `${path}.orphan-${n}-wal`;
    if (existsSync(aside)) continue;
    renameSync(`${path}-wal`, aside);
    return;
  }
}
