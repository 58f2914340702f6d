/** Mounts that the lab needs, without the mount program. */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { unmount } from '../kernel/libc.ts';

const mount = koffi
  .load(null)
  .func('int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)');

/** Throws Error with the errno's number when the kernel refuses: no CAP_SYS_ADMIN here. */
export function mountTmpfs(path: string, options: string): void {
  if (mount('underway-lab', path, 'tmpfs', 0, options) === 0) return;
  throw new Error(`cannot mount a tmpfs on ${path} (errno ${koffi.errno()})`);
}

const MS_BIND = 0x1000;
const MS_REC = 0x4000;
const MS_SHARED = 0x10_0000;

/**
 * Makes the folder a shared mount of its own, as `ip netns add` does with /run/netns at its first use. Done later, with
 * namespaces there, it covers their mounts with copies, and the files below are busy for ever.
 */
export function shareFolder(path: string): void {
  const share = (): boolean => mount('', path, '', MS_SHARED | MS_REC, '') === 0;
  // Only what is mounted can be shared.
  if (share() || (mount(path, path, '', MS_BIND | MS_REC, '') === 0 && share())) return;
  throw new Error(`cannot make ${path} a shared mount (errno ${koffi.errno()})`);
}

/** Whatever is mounted under the folder, the deepest first; the last mounted of one place first. */
export function mountsUnder(folder: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .reverse();
}

export function unmountUnder(folder: string): void {
  for (const path of mountsUnder(folder)) unmount(path);
}
