/** Mounting small file systems in memory, without the mount program. */
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
