/**
 * A broken invariant: what is known is written down, and the process ends so that its supervisor starts it again from
 * journal, kernel and cloud.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Event } from '../core/events.ts';
import type { Breach } from '../core/invariants.ts';
import { type Ip, parseIp } from '../core/ip.ts';
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

/** Breaches that starting anew did not help against: so many in so long. */
const REPEATED = 3;
const REPEATED_WITHIN_MS = 600_000;

/** A moment of one boot: `nowMs` begins anew with each. */
export interface Moment {
  readonly bootId: string;
  readonly nowMs: number;
}

interface NotedBreach extends Moment {
  readonly addresses: readonly Ip[];
}

/** The last few breaches, over restarts: the state of a process that broke is not written to its journal. */
export class BreachHistory {
  private readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, 'breaches.json');
  }

  note({ addresses }: Pick<Breach, 'addresses'>, { bootId, nowMs }: Moment): void {
    const noted: readonly NotedBreach[] = [...this.read(), { bootId, nowMs, addresses }];
    try {
      writeFileSync(`${this.path}.new`, JSON.stringify(noted.slice(-REPEATED)), { mode: 0o600 });
      renameSync(`${this.path}.new`, this.path);
    } catch {
      // A full disk: the process starts anew all the same, and this breach does not count.
    }
  }

  /** What the last three breaches named, where they came within ten minutes; none where they did not. */
  doubted({ bootId, nowMs }: Moment): readonly Ip[] {
    const recent = this.read().filter((one) => one.bootId === bootId && nowMs - one.nowMs < REPEATED_WITHIN_MS);
    return recent.length < REPEATED ? [] : [...new Set(recent.flatMap(({ addresses }) => addresses))];
  }

  private read(): readonly NotedBreach[] {
    try {
      const parsed: unknown = JSON.parse(readFileSync(this.path, 'utf8'));
      return Array.isArray(parsed) ? parsed.flatMap(notedIn) : [];
    } catch {
      return [];
    }
  }
}

function notedIn(value: unknown): NotedBreach[] {
  const { bootId, nowMs, addresses } = (value ?? {}) as Partial<Record<keyof NotedBreach, unknown>>;
  if (typeof bootId !== 'string' || typeof nowMs !== 'number' || !Array.isArray(addresses)) return [];
  return [{ bootId, nowMs, addresses: addresses.flatMap((text) => parseIp(String(text)) ?? []) }];
}
