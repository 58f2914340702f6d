/**
 * A file put where another program looks for it: whole or not at all, and only where it is not there already.
 *
 * Invariants: the name is never without its file once it had one, and never has half of one, also after a power cut; a
 * program that runs is never opened for writing (ETXTBSY, or half a binary); nobody takes the draft for the thing, since
 * runtimes read names that end in .conf, .conflist and .json. The draft lies in the same folder: containerd hears of a
 * rename within it, and takes one from elsewhere for a mere Create, which it ignores.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface Placing {
  readonly path: string;
  readonly content: Uint8Array | string;
  readonly mode: number;
}

export interface Placed {
  readonly path: string;
  readonly outcome: 'written' | 'unchanged';
}

/** A draft that is older was left by a process that died. */
const DRAFT_AGE_MAX_MS = 600_000;

/** Throws Error with a sentence that names the file. */
export function placeFile({ path, content, mode }: Placing): Placed {
  const bytes = Buffer.from(content);
  try {
    if (isThere(path, bytes, mode)) return { path, outcome: 'unchanged' };
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    replace(path, bytes, mode);
    return { path, outcome: 'written' };
  } catch (error) {
    throw new Error(`${path} cannot be written: ${textOf(error)}`, { cause: error });
  }
}

function isThere(path: string, bytes: Buffer, mode: number): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isFile() !== true || stat.size !== bytes.length || (stat.mode & 0o7777) !== mode) return false;
  return bytes.equals(readFileSync(path));
}

const draftsOf = (path: string): string => `.${basename(path)}.`;

function replace(path: string, bytes: Buffer, mode: number): void {
  const folder = dirname(path);
  const draft = join(folder, `${draftsOf(path)}${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = openSync(draft, 'wx', 0o600);
    try {
      writeFileSync(file, bytes);
      // Not left to the umask of whoever calls.
      fchmodSync(file, mode);
      fsyncSync(file);
      removeDraftsBefore(path, fstatSync(file).mtimeMs - DRAFT_AGE_MAX_MS);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
  const opened = openSync(folder, 'r');
  try {
    fsyncSync(opened);
  } finally {
    closeSync(opened);
  }
}

function removeDraftsBefore(path: string, untilMs: number): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(draftsOf(path)) || !name.endsWith('.tmp')) continue;
    const draft = lstatSync(join(folder, name), { throwIfNoEntry: false });
    if (draft !== undefined && draft.mtimeMs < untilMs) rmSync(join(folder, name), { force: true });
  }
}

const textOf = (error: unknown): string => (Error.isError(error) ? error.message : String(error));
