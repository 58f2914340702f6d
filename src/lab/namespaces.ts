/**
 * The lab's network namespaces as files, found again by their names alone: `<lab>-<what>` in /run/netns, where `ip`
 * and every other tool looks too.
 */
import { mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { shareFolder } from './mounts.ts';

export const NETNS_FOLDER = '/run/netns';

/** No hyphen: it ends the lab's name in those of its namespaces. Short, because paths of sockets are. */
const LAB_NAME = /^[a-z][a-z0-9]{0,15}$/;

export function checkLabName(name: string): string {
  if (LAB_NAME.test(name)) return name;
  throw new RangeError(`a lab's name is 1 to 16 lower-case letters and digits, and begins with a letter: ${name}`);
}

export function netnsPath(lab: string, what: string): string {
  mkdirSync(NETNS_FOLDER, { recursive: true });
  shareFolder(NETNS_FOLDER);
  return join(NETNS_FOLDER, `${lab}-${what}`);
}

/** All namespaces of the lab, pods that somebody made under its name included. */
export function namespacesOf(lab: string): string[] {
  try {
    return readdirSync(NETNS_FOLDER)
      .filter((file) => file.startsWith(`${lab}-`))
      .sort()
      .map((file) => join(NETNS_FOLDER, file));
  } catch {
    return [];
  }
}

/** `net:[4026532281]` of a process; undefined when it is gone or somebody else's. */
export function netnsOfProcess(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}
