/**
 * Somebody may remove the daemon's socket, or put another in its place: pods then find nobody, however well the daemon
 * is. It is looked at again and again, and what cannot be put right is told.
 */
import type { Logger } from 'pino';
import type { Clock } from '../ports/clock.ts';
import { every } from './rhythm.ts';
import type { SocketListening } from './server.ts';

const WATCH_MS = 2_000;

export interface SocketWatchOptions {
  readonly socket: string;
  readonly listening: SocketListening;
  readonly clock: Clock;
  readonly log: Logger;
}

export class SocketWatch {
  private readonly options: SocketWatchOptions;
  private why: string | undefined;
  readonly end: () => void;

  constructor(options: SocketWatchOptions) {
    this.options = options;
    this.end = every(options.clock, WATCH_MS, () => this.look());
  }

  /** Why no pod finds the daemon; undefined where they do. */
  get unheard(): string | undefined {
    return this.why;
  }

  private async look(): Promise<void> {
    const { socket, listening, log } = this.options;
    try {
      if (await listening.restore()) log.warn({ socket }, 'the socket was gone, or not ours: listening there anew');
      this.why = undefined;
    } catch (error) {
      const why = Error.isError(error) ? error.message : String(error);
      if (why !== this.why) log.error({ socket, why }, 'the socket is gone and cannot be made anew: no pod is served');
      this.why = why;
    }
  }
}
