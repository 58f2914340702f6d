/**
 * Root, or what stands in for it: a user namespace in which the caller is root, with network and mount namespaces of its
 * own and a tmpfs over /run. What is made in there is seen only in there, and goes with its last process.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { openNetworks } from '../kernel/networks.ts';
import { mountTmpfs } from './mounts.ts';
import { stateRootEnv } from './state-folder.ts';

const INSIDE_VARIABLE = 'UNDERWAY_LAB_INSIDE';
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const UNSHARE = ['unshare', '--user', '--map-root-user', '--net', '--mount'] as const;

export const NO_NAMESPACES =
  'It makes network namespaces. Run it as root, or allow user namespaces: ' +
  'sysctl kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), ' +
  'user.max_user_namespaces above 0; and have unshare (Debian: util-linux).';

/** This process may make namespaces and mounts. */
export function isPrivileged(): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const capabilities = BigInt(`0x${line}`);
  return [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((capability) => (capabilities >> capability) & 1n);
}

/** By the map of user ids: outside of any, all of them are mapped to themselves. */
export const isInUserNamespace = (): boolean =>
  !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));

/** What to put before a command so that it may make namespaces; empty for who may already. Throws NO_NAMESPACES. */
export function privilegedPrefix(): readonly string[] {
  if (isPrivileged()) return [];
  const [program, ...flags] = UNSHARE;
  if (spawnSync(program, [...flags, 'true']).status !== 0) throw new Error(NO_NAMESPACES);
  return UNSHARE;
}

/** Of a process that is started with the prefix. */
export const privilegedEnv = (stateRoot: string) => ({ [INSIDE_VARIABLE]: '1', ...stateRootEnv(stateRoot) });

/** The first thing such a process does: nothing of the machine's /run may be written to, and its loopback is down. */
export async function settleInside(): Promise<void> {
  if (process.env[INSIDE_VARIABLE] !== '1') return;
  delete process.env[INSIDE_VARIABLE];
  mountTmpfs('/run', 'mode=0755');
  const networks = openNetworks();
  const own = { netns: '/proc/self/ns/net' };
  await networks.apply([{ do: 'set-link', at: 'host', link: { name: 'lo', up: true } }], own);
  await networks.close();
}

/** How to come into the namespaces of a lab that has a user namespace: what to put before a command. */
export function joinPrefix(pid: number): readonly string[] {
  const isSame = readlinkSync('/proc/self/ns/user') === readlinkSync(`/proc/${pid}/ns/user`);
  return isSame
    ? []
    : [
        'nsenter',
        `--target=${pid}`,
        '--user',
        '--preserve-credentials',
        '--net',
        '--mount',
        `--wd=${process.cwd()}`,
        '--',
      ];
}
