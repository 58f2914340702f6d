/**
 * Virtual time: timers fire in order of time, then of arming; between two of them every promise settles.
 */
import type { Clock } from '../ports/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

export class VirtualClock implements Clock {
  private now = 1_000_000;
  private order = 0;
  /** A binary heap by (atMs, order). */
  private readonly heap: Timer[] = [];

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.now;
  }

  timer(atMs: number, callback: () => void): () => void {
    const timer: Timer = { atMs: Math.max(atMs, this.now), order: this.order++, callback, cancelled: false };
    this.push(timer);
    return () => {
      timer.cancelled = true;
    };
  }

  after(ms: number, callback: () => void): () => void {
    return this.timer(this.now + ms, callback);
  }

  /** Runs until `untilMs`, or until `stop` says so; timers armed meanwhile included. */
  async run(untilMs: number, stop: () => boolean = () => false): Promise<void> {
    for (;;) {
      await settled();
      const next = this.heap[0];
      if (next === undefined || next.atMs > untilMs || stop()) break;
      this.pop();
      if (next.cancelled) continue;
      this.now = next.atMs;
      next.callback();
    }
    if (!stop()) this.now = Math.max(this.now, untilMs);
  }

  private push(timer: Timer): void {
    const { heap } = this;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !earlier(timer, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && earlier(right, left)) child++;
      const smaller = heap[child] ?? left;
      if (!earlier(smaller, last)) break;
      heap[at] = smaller;
      at = child;
    }
    heap[at] = last;
  }
}

const earlier = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/** Lets every promise that can settle do so: the queue of microtasks is empty when a macrotask runs. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
