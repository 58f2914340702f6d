/**
 * Network namespaces by path: entering one for a moment, making one, deleting one.
 * Invariant: outside `inNamespace` this thread is in the namespace that the process started in.
 */
import { closeSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { ENONET, SystemError } from './errno.ts';
import { bindMount, exitProcess, newNetworkNamespace, setNetworkNamespace, unmount } from './libc.ts';

/** EX_OSERR of sysexits.h. */
const EXIT_LOST_IN_NAMESPACE = 71;

const home = openSync('/proc/thread-self/ns/net', 'r');

/** ENOENT, ENOTDIR and EINVAL: the file is away, or is no namespace (any more). */
const NO_NAMESPACE = new Set(['ENOENT', 'ENOTDIR', 'EINVAL']);

/** ENONET: the path is no network namespace. */
export class NoNamespaceError extends SystemError {
  constructor(path: string) {
    super(`${path} is no network namespace`, ENONET);
  }
}

/**
 * Runs `deed`, which must not wait for anything, with this thread in the namespace at `path`; undefined is the
 * process's own. Sockets it opens, and files under /proc/sys/net, belong there. Throws NoNamespaceError.
 * A thread that cannot come back would do the host's work in a pod, so then the process ends.
 */
export function inNamespace<T>(path: string | undefined, deed: () => T): T {
  if (path === undefined) return deed();
  const fd = openNamespace(path);
  try {
    enter(path, fd);
    try {
      return deed();
    } finally {
      comeHome();
    }
  } finally {
    closeSync(fd);
  }
}

/** A descriptor of the namespace, for IFLA_NET_NS_FD; the caller closes it. Throws NoNamespaceError. */
export function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (NO_NAMESPACE.has(codeOf(error))) throw new NoNamespaceError(path);
    throw error;
  }
}

/** Makes a namespace that lives as long as the file that it is mounted on. EEXIST when the file is there. */
export function createNamespace(path: string): void {
  closeSync(openSync(path, 'wx'));
  try {
    newNetworkNamespace();
    try {
      bindMount('/proc/thread-self/ns/net', path);
    } finally {
      comeHome();
    }
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  }
}

/** Absent is success. The namespace itself goes when its last process and socket go. */
export function deleteNamespace(path: string): void {
  try {
    unmount(path);
  } catch (error) {
    // EINVAL: a file on which nothing is mounted, left by a create that was cut short.
    if (!NO_NAMESPACE.has(codeOf(error))) throw error;
  }
  rmSync(path, { force: true });
}

/** A value of this thread's namespace under /proc/sys/net. */
export const readSysctl = (path: string): string | undefined => {
  try {
    return readFileSync(`/proc/sys/${path}`, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** Which file is at the path: `dev:inode`. Whether it is a namespace shows when it is entered. */
export function fileIdentity(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

function enter(path: string, fd: number): void {
  try {
    setNetworkNamespace(fd);
  } catch (error) {
    if (NO_NAMESPACE.has(codeOf(error))) throw new NoNamespaceError(path);
    throw error;
  }
}

function comeHome(): void {
  try {
    setNetworkNamespace(home);
  } catch {
    exitProcess(EXIT_LOST_IN_NAMESPACE);
  }
}

export const codeOf = (error: unknown): string =>
  Error.isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : '';
