/**
 * The end of a lab, whoever made it and however its process ended: everything is found by the lab's name and folder.
 *
 * Invariant: nothing is touched that does not carry the lab's name, or lives in a namespace that does.
 */
import { existsSync, rmSync } from 'node:fs';
import { deleteNamespace } from '../kernel/namespace.ts';
import { askControl } from './control.ts';
import { mountsUnder, unmountUnder } from './mounts.ts';
import { namespacesOf } from './namespaces.ts';
import { isAlive, killProcesses, processesIn, waitUntilGone } from './processes.ts';
import { type LabFolder, type LabRecord, readJson, recordedDaemons } from './state-folder.ts';

/** What is still there: all zero after a good end. */
export interface Left {
  readonly processes: number;
  readonly namespaces: number;
  readonly mounts: number;
  readonly files: number;
}

/** Its daemons have 10 s to stop in order. */
const SHUTDOWN_LIMIT_MS = 15_000;

interface Named {
  readonly name: string;
  readonly folder: LabFolder;
}

/**
 * Asks the lab's process to end, and ends it if it does not; then removes what is left. Who may not unmount has a lab
 * in a user namespace, whose namespaces and mounts went with its last process.
 */
export async function downLab(lab: Named, { privileged }: { readonly privileged: boolean }): Promise<Left> {
  const record = readJson<LabRecord>(lab.folder.record);
  if (record !== undefined && isAlive(record)) {
    await askControl(lab.folder, { method: 'POST', path: '/shutdown' }).catch(() => undefined);
    await killProcesses(await waitUntilGone([record], SHUTDOWN_LIMIT_MS));
  }
  rmSync(lab.folder.log, { force: true });
  return removeLab(lab, { privileged });
}

/** Of a lab whose process has ended, or is this one and has closed everything. */
export async function removeLab({ name, folder }: Named, { privileged = true } = {}): Promise<Left> {
  const namespaces = privileged ? namespacesOf(name) : [];
  const survivors = await killProcesses([...recordedDaemons(folder), ...processesIn(namespaces)]);
  for (const path of namespaces) deleteNamespace(path);
  if (privileged) unmountUnder(folder.path);
  rmSync(folder.path, { recursive: true, force: true });
  return {
    processes: survivors.length,
    namespaces: privileged ? namespacesOf(name).length : 0,
    mounts: mountsUnder(folder.path).length,
    files: existsSync(folder.path) ? 1 : 0,
  };
}

export const isNothing = (left: Left): boolean => Object.values(left).every((count) => count === 0);

export const leftText = (left: Left): string => {
  const total = Object.values(left).reduce((sum, count) => sum + count, 0);
  const parts = Object.entries(left).map(([what, count]) => `${what} ${count}`);
  return `left behind: ${total} (${parts.join(', ')})`;
};

/** Of what was ended before its time. */
export const interruptedText = (left: Left): string =>
  `interrupted; ${isNothing(left) ? 'nothing left behind' : leftText(left)}`;
