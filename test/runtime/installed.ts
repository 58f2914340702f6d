/**
 * The container runtimes of this machine: whatever containerd is on PATH, and one of version 2 that was built from its Go
 * module (go.mod beside this file pins it) into the user's cache, where it stays for the next run.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { arch, homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { goLack } from '../go.ts';

const run = promisify(execFile);

const MODULE_FOLDER = join(import.meta.dirname, 'containerd');
const MODULE = 'github.com/containerd/containerd/v2';
const PROGRAMS = ['containerd', 'containerd-shim-runc-v2'];
/** Some minutes on two cores; the modules come first. */
const BUILD_TIMEOUT_MS = 20 * 60_000;
/** What 1.6 wants beside our own, and what is chained behind it. Debian's folder, and the one of the specification. */
export const REFERENCE_PLUGINS = ['loopback', 'portmap', 'bandwidth', 'firewall', 'tuning'];
const PLUGIN_FOLDERS = ['/usr/lib/cni', '/opt/cni/bin'];

export interface Runtime {
  /** Such as `containerd 1.6.20`. */
  readonly name: string;
  readonly major: number;
  /** Path of the program; its shim lies beside it or on PATH. */
  readonly program: string;
}

/** Those that are there now, one of each major version: the first on PATH, else the one that was built. */
export async function installedRuntimes(): Promise<readonly Runtime[]> {
  const programs = [...onPath('containerd'), builtProgram()].filter((program) => existsSync(program));
  const asked = await Promise.all(programs.map(ask));
  const first = new Map<number, Runtime>();
  for (const runtime of asked)
    if (runtime !== undefined && !first.has(runtime.major)) first.set(runtime.major, runtime);
  return [...first.values()].toSorted((one, other) => one.major - other.major);
}

async function ask(program: string): Promise<Runtime | undefined> {
  // `containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3`
  const { stdout } = await run(program, ['--version']).catch(() => ({ stdout: '' }));
  const version = / v?((\d+)\.\d+\.\d+)/.exec(stdout);
  return version === null ? undefined : { name: `containerd ${version[1]}`, major: Number(version[2]), program };
}

/** Builds version 2 where none is there yet. What that needs, as the end of a sentence, when it cannot be built. */
export async function buildRuntime(): Promise<string | undefined> {
  if (existsSync(builtProgram())) return undefined;
  const folder = dirname(builtProgram());
  const draft = `${folder}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    const packages = PROGRAMS.map((program) => `${MODULE}/cmd/${program}`);
    const flags = ['-trimpath', '-ldflags', `-s -w -X ${MODULE}/version.Version=${pinnedVersion()}`];
    const args = [...flags, '-o', `${draft}/`, ...packages];
    const lack = await goLack({ folder: MODULE_FOLDER, args, timeoutMs: BUILD_TIMEOUT_MS });
    if (lack === undefined && !existsSync(folder)) renameSync(draft, folder);
    return lack;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function builtProgram(): string {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  return join(cache, 'underway', `containerd-${pinnedVersion()}-${arch()}`, 'containerd');
}

function pinnedVersion(): string {
  const text = readFileSync(join(MODULE_FOLDER, 'go.mod'), 'utf8');
  return new RegExp(`${MODULE} (v\\S+)`).exec(text)?.[1] ?? 'unknown';
}

/** Everything on PATH with this name. */
export function onPath(program: string): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).filter(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where a reference plugin is; undefined where it is not. */
export const referencePlugin = (name: string): string | undefined =>
  PLUGIN_FOLDERS.map((folder) => join(folder, name)).find(isProgram);
