/** What a container runtime leaves behind when it is killed, or when it lost track: found by the lab's name, and ended. */
import { existsSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { unmountUnder } from '../../src/lab/mounts.ts';
import { killProcesses, type ProcessRecord, processesIn, processRecord } from '../../src/lab/processes.ts';

const CGROUPS = '/sys/fs/cgroup';
/** libcni's, the same for every runtime of the machine. */
export const CNI_CACHE = '/var/lib/cni/results';
/** Version 1 has its shims' sockets here, whatever is configured. */
const SHIM_SOCKETS = '/run/containerd/s';

export interface SandboxPlace {
  /** Where the runtime and its shims are. */
  readonly netns: string;
  /** That all sandboxes are under. */
  readonly cgroup: string;
}

/**
 * Of a node whose containerd has ended. It forgets shims of its own (1.6 when a call is given up while one starts), so none
 * of this says anything about us. `ids` are the sandboxes that ever were.
 */
export async function endRemains(
  folder: string,
  { ids, ...place }: SandboxPlace & { readonly ids: readonly string[] },
) {
  await killSandboxes(place);
  unmountUnder(folder);
  for (const file of [...(await deadSockets()), ...cachesOf(ids)]) rmSync(file, { force: true });
}

/** Their processes, and the shims that watch them. */
export async function killSandboxes({ netns, cgroup }: SandboxPlace): Promise<void> {
  await killProcesses([...shimsIn(netns), ...processesOf(cgroup)]);
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

const cachesOf = (ids: readonly string[]): string[] =>
  filesIn(CNI_CACHE).filter((file) => ids.some((id) => file.includes(id)));

/** Sockets that nobody listens at. */
async function deadSockets(): Promise<string[]> {
  const found = filesIn(SHIM_SOCKETS).map(async (path) => ((await isRefused(path)) ? [path] : []));
  return (await Promise.all(found)).flat();
}

function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', (error) => resolve('code' in error && error.code === 'ECONNREFUSED'));
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
  });
}

const filesIn = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : [];

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
