/**
 * The lab's files: where they are, and who runs it. Everything that `down` must find after a kill -9 is here or has the
 * lab's name in /run/netns.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessRecord } from './processes.ts';

/** Set for the lab's inner process where user namespaces stand in for root: /run is not the outer one's there. */
const STATE_ROOT_VARIABLE = 'UNDERWAY_LAB_STATE';

/** Root's is on /run; another user's where both sides of its mount namespace see it. */
export function defaultStateRoot(): string {
  const uid = process.getuid?.() ?? 0;
  return process.env[STATE_ROOT_VARIABLE] ?? (uid === 0 ? '/run/underway-lab' : `/tmp/underway-lab-${uid}`);
}

export const stateRootEnv = (root: string) => ({ [STATE_ROOT_VARIABLE]: root });

/** Who holds the lab up. */
export interface LabRecord extends ProcessRecord {
  /** Its namespaces are in a user namespace of their own. */
  readonly userNamespace: boolean;
}

export interface LabFolder {
  readonly path: string;
  readonly record: string;
  readonly status: string;
  readonly control: string;
  /** Beside the folder: it is written before the lab begins. */
  readonly log: string;
}

export function labFolder(root: string, name: string): LabFolder {
  const path = join(root, name);
  return {
    path,
    record: join(path, 'lab.json'),
    status: join(path, 'status.json'),
    control: join(path, 'control.sock'),
    log: join(root, `${name}.log`),
  };
}

export interface NodeFolder {
  readonly path: string;
  readonly config: string;
  readonly log: string;
  readonly pid: string;
  readonly bootId: string;
  readonly socket: string;
  /** On a file system of its own, so that it can be full. */
  readonly state: string;
  readonly cniBin: string;
  readonly cniConf: string;
}

export function nodeFolder(lab: LabFolder, node: string): NodeFolder {
  const path = join(lab.path, node);
  return {
    path,
    config: join(path, 'underwayd.json'),
    log: join(path, 'underwayd.log'),
    pid: join(path, 'underwayd.pid.json'),
    bootId: join(path, 'boot-id'),
    socket: join(path, 'cni.sock'),
    state: join(path, 'state'),
    cniBin: join(path, 'bin'),
    cniConf: join(path, 'net.d'),
  };
}

/** Complete or not there at all. */
export function writeJson(path: string, value: unknown): void {
  writeFileSync(`${path}.draft`, `${JSON.stringify(value, null, 2)}\n`);
  renameSync(`${path}.draft`, path);
}

export function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined;
  }
}

export function makeFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
}

/** The daemons that ran when the lab was last seen. */
export function recordedDaemons(lab: LabFolder): ProcessRecord[] {
  try {
    return readdirSync(lab.path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap((entry) => readJson<ProcessRecord>(nodeFolder(lab, entry.name).pid) ?? []);
  } catch {
    return [];
  }
}
