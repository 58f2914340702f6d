/**
 * Virtual time for tests of the memory cloud: timers fire in order of time, then of arming, and time only moves
 * when a test moves it.
 */
import type { Clock } from '../../../src/ports/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  readonly #timers: Timer[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs;
  }

  timer(atMs: number, callback: () => void): () => void {
    const timer = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, callback };
    const at = this.#timers.findLastIndex((other) => other.atMs <= timer.atMs);
    this.#timers.splice(at + 1, 0, timer);
    return () => {
      const index = this.#timers.indexOf(timer);
      if (index >= 0) this.#timers.splice(index, 1);
    };
  }

  /** Fires the next timer; false when none is armed. */
  step(): boolean {
    const next = this.#timers.shift();
    if (next === undefined) return false;
    this.#nowMs = next.atMs;
    next.callback();
    return true;
  }

  /** Fires everything due within the next `ms`, then stands at its end. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let next = this.#timers[0]; next !== undefined && next.atMs <= endMs; next = this.#timers[0]) this.step();
    this.#nowMs = endMs;
  }
}
