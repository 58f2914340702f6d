/**
 * `<stateDir>/heartbeat`: a file whose age says that a daemon could serve a moment ago; one that no longer can takes it
 * away. While none listens, the shim
 * answers STATUS by it (up to 60 s), so that a restart does not make the node NotReady.
 */
import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../ports/clock.ts';

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
