/**
 * The lab's files: where they are, and who runs it. Everything that `down` must find after a kill -9 is here or has the
 * lab's name in /run/netns.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isAlive, type ProcessRecord } from './processes.ts';

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

/** The names of the other labs that are up in the same place. */
export function labsBeside({ path }: LabFolder): readonly string[] {
  const root = dirname(path);
  return foldersIn(root).filter((name) => {
    const record = name === basename(path) ? undefined : readJson<LabRecord>(labFolder(root, name).record);
    return record !== undefined && isAlive(record);
  });
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
export const recordedDaemons = (lab: LabFolder): ProcessRecord[] =>
  foldersIn(lab.path).flatMap((name) => readJson<ProcessRecord>(nodeFolder(lab, name).pid) ?? []);

function foldersIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}
