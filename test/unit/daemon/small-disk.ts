/**
 * A disk of a few hundred kB (tmpfs), to fill. Needs root, or a user namespace: `unshare --user --map-root-user --mount`
 * before the test command.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function mountDisk(at: string, size: string): void {
  mkdirSync(at, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'underway-test', at], { stdio: 'pipe' });
}

export const resizeDisk = (at: string, size: string): void => {
  execFileSync('mount', ['-o', `remount,size=${size}`, at]);
};

export const unmountDisk = (at: string): void => {
  execFileSync('umount', [at]);
};

export function canMount(): boolean {
  const at = mkdtempSync(join(tmpdir(), 'underway-mount-'));
  try {
    mountDisk(at, '64k');
    unmountDisk(at);
    return true;
  } catch {
    return false;
  } finally {
    rmSync(at, { recursive: true, force: true });
  }
}
