/**
 * Virtual time: timers fire in order of time, then of arming; between two of them every promise settles.
 */
import { Heap } from '../core/heap.ts';
import type { Clock } from '../ports/clock.ts';

/** Cancelled timers are swept out when there are more of them than of others, and than this. */
const CANCELLED_MAX = 64;

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly callback: () => void;
  cancelled: boolean;
}

export class VirtualClock implements Clock {
  private now = 1_000_000;
  private order = 0;
  /** By (atMs, order). */
  private readonly heap = new Heap<Timer>(earlier);
  private cancelledCount = 0;
  /** How far somebody has set the wall clock since; nothing may be decided by it. */
  private wallSetMs = 0;

  nowMs(): number {
    return this.now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.wallSetMs + this.now;
  }

  /** Somebody sets the wall clock, forth or back; monotonic time knows nothing of it. */
  setWall(byMs: number): void {
    this.wallSetMs += byMs;
  }

  timer(atMs: number, callback: () => void): () => void {
    const timer: Timer = { atMs: Math.max(atMs, this.now), order: this.order++, callback, cancelled: false };
    this.heap.push(timer);
    return () => {
      if (timer.cancelled) return;
      timer.cancelled = true;
      this.cancelledCount++;
      if (this.cancelledCount > CANCELLED_MAX && 2 * this.cancelledCount > this.heap.size) this.sweep();
    };
  }

  after(ms: number, callback: () => void): () => void {
    return this.timer(this.now + ms, callback);
  }

  /** Runs until `untilMs`, or until `stop` says so; timers armed meanwhile included. */
  async run(untilMs: number, stop: () => boolean = () => false): Promise<void> {
    for (;;) {
      await settled();
      const next = this.next();
      if (next === undefined || next.atMs > untilMs || stop()) break;
      this.heap.pop();
      // One that has fired cannot be cancelled any more.
      next.cancelled = true;
      this.now = next.atMs;
      next.callback();
    }
    if (!stop()) this.now = Math.max(this.now, untilMs);
  }

  /** The first timer that was not cancelled; it stays where it is. */
  private next(): Timer | undefined {
    return this.heap.top((timer) => {
      if (timer.cancelled) this.cancelledCount--;
      return !timer.cancelled;
    });
  }

  /** Every call of a cloud arms a time-out of seconds and cancels it soon: most of a heap would be these. */
  private sweep(): void {
    this.heap.rebuild(this.heap.all().filter((timer) => !timer.cancelled));
    this.cancelledCount = 0;
  }
}

const earlier = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);

/**
 * Lets every promise that can settle do so: what `nextTick` is given from a microtask runs when the queue of microtasks
 * is empty. An immediate would do the same by way of the event loop, which took a fifth of the simulator's time.
 */
const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
