/** A clock whose timers end with it, so that a cloud with calls under way holds no process up. */
import type { Clock } from '../ports/clock.ts';

export class EndingClock implements Clock {
  readonly #clock: Clock;
  readonly #cancels = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  wallMs(): number {
    return this.#clock.wallMs();
  }

  timer(atMs: number, callback: () => void): () => void {
    const stop = this.#clock.timer(atMs, () => {
      this.#cancels.delete(cancel);
      callback();
    });
    const cancel = () => {
      this.#cancels.delete(cancel);
      stop();
    };
    this.#cancels.add(cancel);
    return cancel;
  }

  /** Nothing that was asked for calls back any more. */
  end(): void {
    for (const cancel of this.#cancels) cancel();
  }
}
