/**
 * `<stateDir>/heartbeat`: a file whose age says that a daemon could serve a moment ago; one that no longer can takes it
 * away. STATUS is answered by it (up to 60 s) while none listens, which the shim does, and while one starts, so that a
 * restart does not make the node NotReady.
 */
import { rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { uptime } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../ports/clock.ts';

/** src/cni/state.h: HEARTBEAT_AGE_MAX_S. */
const AGE_MAX_S = 60;

export class Heartbeat {
  private readonly path: string;
  private readonly clock: Clock;
  private silent = true;

  constructor({ stateDir, clock }: { readonly stateDir: string; readonly clock: Clock }) {
    this.path = join(stateDir, 'heartbeat');
    this.clock = clock;
  }

  /** This process has not beaten yet, or not since it could serve again. */
  get isSilent(): boolean {
    return this.silent;
  }

  /** A daemon of this boot could serve less than a minute ago. As src/cni/state.h judges it. */
  get isFresh(): boolean {
    const beaten = statSync(this.path, { throwIfNoEntry: false });
    if (beaten === undefined) return false;
    const ageS = (this.clock.wallMs() - beaten.mtimeMs) / 1_000;
    return ageS >= -1 && ageS < AGE_MAX_S && ageS <= uptime();
  }

  /** A file that is there is touched without a byte of disk; one that cannot be made is tried again at the next beat. */
  beat(): void {
    this.silent = false;
    const now = this.clock.wallMs() / 1_000;
    try {
      utimesSync(this.path, now, now);
    } catch {
      try {
        writeFileSync(this.path, '', { mode: 0o600 });
      } catch {
        // A full disk. The shim then says that nobody serves only while nobody listens either.
      }
    }
  }

  /** A predecessor's stays: a restart takes its time. */
  end(): void {
    if (this.silent) return;
    this.silent = true;
    try {
      rmSync(this.path, { force: true });
    } catch {
      // A sick disk: it grows old by itself.
    }
  }
}
