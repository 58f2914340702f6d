/** What a container runtime leaves behind when it is killed, or when it lost track: found by the lab's name, and ended. */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mountsUnder, unmountUnder } from '../../src/lab/mounts.ts';
import { killProcesses, type ProcessRecord, processesIn, processRecord } from '../../src/lab/processes.ts';
import type { Containerd } from './containerd.ts';

const CGROUPS = '/sys/fs/cgroup';
/** libcni's, the same for every runtime of the machine. */
export const CNI_CACHE = '/var/lib/cni/results';

/** By name: all empty where every sandbox was removed. */
export interface Remains {
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  readonly caches: readonly string[];
}

/** Of a node whose containerd has ended. `ids` are the sandboxes that ever were. */
export async function endRemains(
  containerd: Containerd,
  { netns, cgroup, ids }: { readonly netns: string; readonly cgroup: string; readonly ids: readonly string[] },
): Promise<Remains> {
  const { path } = containerd.folder;
  const processes = [...shimsIn(netns), ...processesOf(cgroup)];
  const mounts = mountsUnder(path).filter((mount) => mount !== path);
  const caches = cachesOf(ids);
  const remains = { processes: processes.map(commandOf), mounts, caches: caches.map((file) => file) };
  const sockets = containerd.shimSockets();
  await killProcesses(processes);
  unmountUnder(path);
  for (const file of [...sockets, ...caches]) rmSync(file, { force: true });
  return remains;
}

const shimsIn = (netns: string): ProcessRecord[] =>
  processesIn([netns]).filter((record) => commandOf(record).includes('containerd-shim'));

function processesOf(cgroup: string): ProcessRecord[] {
  const isInside = (pid: string) => read(`/proc/${pid}/cgroup`).includes(`:${cgroup}/`);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isInside(name))
    .flatMap((name) => processRecord(Number(name)) ?? []);
}

const commandOf = ({ pid }: ProcessRecord): string => read(`/proc/${pid}/cmdline`).split('\0').join(' ').trim();

function cachesOf(ids: readonly string[]): string[] {
  if (!existsSync(CNI_CACHE)) return [];
  return readdirSync(CNI_CACHE)
    .filter((file) => ids.some((id) => file.includes(id)))
    .map((file) => join(CNI_CACHE, file));
}

/** The group that the lab's sandboxes were under, of each controller where there are several trees. */
export function removeCgroups(cgroup: string): void {
  const trees = existsSync(join(CGROUPS, 'cgroup.controllers')) ? [''] : readdirSync(CGROUPS);
  for (const tree of trees) removeTree(join(CGROUPS, tree, cgroup));
}

/** A cgroup is removed as a folder whose files are none of anybody's business. */
function removeTree(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(path, entry.name));
  rmdirSync(path);
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
