/**
 * Root, or what stands in for it: a user namespace in which the caller is root, with network and mount namespaces of its
 * own and a tmpfs over /run. What is made in there is seen only in there, and goes with its last process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, readFileSync, readlinkSync } from 'node:fs';
import { SystemError } from '../kernel/errno.ts';
import { setNetworkNamespace, unmount } from '../kernel/libc.ts';
import { openNetworks } from '../kernel/networks.ts';
import { exitCodeOf } from '../program/interruption.ts';
import { mountTmpfs } from './mounts.ts';

/** Set for a process that was put into namespaces of its own, which has yet to settle there. */
const INSIDE_VARIABLE = 'UNDERWAY_LAB_INSIDE';
/** The state root for what runs in there: /run is not the outer one's. */
const STATE_ROOT_VARIABLE = 'UNDERWAY_LAB_STATE';
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;
const UNSHARE = ['unshare', '--user', '--map-root-user', '--net', '--mount'] as const;

export const NO_NAMESPACES =
  'It makes network namespaces. Run it as root (in a container: with CAP_SYS_ADMIN and CAP_NET_ADMIN), or allow user ' +
  'namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), kernel.apparmor_restrict_unprivileged_userns=0 ' +
  '(Ubuntu), user.max_user_namespaces above 0; and have unshare (Debian: util-linux).';

/**
 * This process may make namespaces and mounts where it is. Being uid 0 does not say so: a container's root lacks
 * capabilities, and that of `unshare --user` has them over none of the namespaces that it is in.
 */
export function isPrivileged(): boolean {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const capabilities = BigInt(`0x${line}`);
  const has = [CAP_NET_ADMIN, CAP_SYS_ADMIN].every((capability) => (capabilities >> capability) & 1n);
  return has && mayMount() && mayComeBack() && mayWriteRun();
}

/** Whoever may not is told so before that this place is no mount. */
function mayMount(): boolean {
  try {
    unmount('/proc/self/fd');
    return true;
  } catch (error) {
    return error instanceof SystemError && error.code !== 'EPERM';
  }
}

/** Out of another network namespace into its own. */
function mayComeBack(): boolean {
  const own = openSync('/proc/self/ns/net', 'r');
  try {
    setNetworkNamespace(own);
    return true;
  } catch {
    return false;
  } finally {
    closeSync(own);
  }
}

function mayWriteRun(): boolean {
  try {
    accessSync('/run', constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where labs keep their files: root's on /run; another's where both sides of its mount namespace see it. */
export function defaultStateRoot(): string {
  const own = isPrivileged() ? '/run/underway-lab' : `/tmp/underway-lab-${uidOutside()}`;
  return process.env[STATE_ROOT_VARIABLE] ?? own;
}

/** The user's number outside of this user namespace, where every one has a root of its own. */
function uidOutside(): number {
  const uid = process.getuid?.() ?? 0;
  for (const line of readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n')) {
    const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
    if (uid >= inside && uid < inside + count) return outside + uid - inside;
  }
  return uid;
}

/** By the map of user ids: outside of any, all of them are mapped to themselves. */
export const isInUserNamespace = (): boolean =>
  !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));

/** What to put before a command so that it may make namespaces; empty for who may already. Throws NO_NAMESPACES. */
export function privilegedPrefix(): readonly string[] {
  if (process.env[INSIDE_VARIABLE] === '1' || isPrivileged()) return [];
  const [program, ...flags] = UNSHARE;
  if (spawnSync(program, [...flags, 'true']).status !== 0) throw new Error(NO_NAMESPACES);
  return UNSHARE;
}

/** Of a process that is started with the prefix. */
export const privilegedEnv = () => ({ [INSIDE_VARIABLE]: '1', [STATE_ROOT_VARIABLE]: defaultStateRoot() });

/** Runs the command with the prefix: its exit code. */
export function runPrivileged(prefix: readonly string[], command: readonly string[]): Promise<number> {
  const [program = '', ...args] = [...prefix, ...command];
  return exitCodeOf(spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...privilegedEnv() } }));
}

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
export const joinPrefix = (pid: number): readonly string[] =>
  userNamespaceOf('self') === userNamespaceOf(pid) ? [] : [...enterPrefix(pid), `--wd=${process.cwd()}`, '--'];

export const enterPrefix = (pid: number): readonly string[] => [
  'nsenter',
  `--target=${pid}`,
  '--user',
  '--preserve-credentials',
  '--net',
  '--mount',
];

function userNamespaceOf(pid: number | 'self'): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/user`);
  } catch {
    throw new Error(
      `process ${pid} is out of reach from here: run this as the user, and from where, the lab was brought up`,
    );
  }
}
