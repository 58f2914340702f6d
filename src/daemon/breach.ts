/**
 * A broken invariant: what is known is written down, and the process ends so that its supervisor starts it again from
 * journal, kernel and cloud.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Event } from '../core/events.ts';
import type { Breach } from '../core/invariants.ts';
import type { State } from '../core/state.ts';
import { stateJson } from './state-page.ts';

/** EX_SOFTWARE of sysexits.h: an error inside the program. */
export const EXIT_BREACH = 70;
/** A daemon that breaks again and again must not fill the disk. */
const FILES_MAX = 20;

/** Writes `breach-<n>.json`; answers its path, or undefined when there are enough of them or the disk is full. */
export function writeBreach(options: {
  readonly stateDir: string;
  readonly breach: Breach;
  readonly recent: readonly Event[];
  readonly state: State;
}): string | undefined {
  const { stateDir, breach, recent, state } = options;
  for (let n = 1; n <= FILES_MAX; n++) {
    const path = join(stateDir, `breach-${n}.json`);
    if (existsSync(path)) continue;
    try {
      writeFileSync(path, JSON.stringify({ breach, recent, state: stateJson(state) }), { mode: 0o600 });
      return path;
    } catch {
      return undefined;
    }
  }
  return undefined;
}
