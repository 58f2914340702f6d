/**
 * Binds pods to the node: each asks when its volumes are there, and the node is told of it meanwhile, before or after
 * that. One that is misheard is told never, twice, or in the wrong order, and there are pods that never come.
 */
import type { Streams } from '../../providers/memory/random.ts';
import type { Event } from '../core/events.ts';
import type { PodRef } from '../core/rows.ts';
import type { VirtualClock } from './clock.ts';
import { exponential } from './exponential.ts';
import { type Pod, podRef } from './pods.ts';

/** From being bound to the ADD, and to being told of; in mean. */
const ASKS_MS = 1_500;
const TOLD_MS = 400;
const MISHEARD_MS = 10_000;
const LOST_RATE = 0.1;
const TWICE_RATE = 0.1;
/** Pods that never come: how often some are bound, how many at most, and how long one of them stays. */
const GHOSTS_MS = 120_000;
const GHOST_COUNT_MAX = 6;
const GHOST_MS = 90_000;

export interface SchedulerOptions {
  readonly clock: VirtualClock;
  readonly streams: Streams;
  readonly misheard: boolean;
  readonly send: (event: Event) => void;
}

export class Scheduler {
  private readonly options: SchedulerOptions;
  private readonly bound = new Map<string, PodRef>();
  /** When the last of what is heard in order is told. */
  private toldMs = 0;
  private ghostCount = 0;
  private isEnded = false;

  constructor(options: SchedulerOptions) {
    this.options = options;
    if (options.misheard) this.nextGhosts();
  }

  bind(pod: Pod, ask: () => void): void {
    this.options.clock.after(this.draw('asks', ASKS_MS), ask);
    this.begin(podRef(pod));
  }

  ended(pod: Pod): void {
    this.finish(podRef(pod));
  }

  /** A process begins to listen: it is told all that are bound. */
  listed(): void {
    for (const pod of this.bound.values()) this.tell('pod-bound', pod);
  }

  /** Nobody is bound any more who does not come, and what is said is heard. */
  end(): void {
    this.isEnded = true;
  }

  private begin(pod: PodRef): void {
    this.bound.set(pod.uid, pod);
    this.tell('pod-bound', pod);
  }

  private finish(pod: PodRef): void {
    if (this.bound.delete(pod.uid)) this.tell('pod-gone', pod);
  }

  private tell(kind: 'pod-bound' | 'pod-gone', pod: PodRef): void {
    const { clock, misheard, send } = this.options;
    const event: Event = { kind, pod };
    if (!misheard || this.isEnded) {
      this.toldMs = Math.max(this.toldMs, clock.nowMs() + this.draw('told', TOLD_MS));
      clock.timer(this.toldMs, () => send(event));
      return;
    }
    const fate = this.options.streams.uniform('watch/fate');
    if (fate < LOST_RATE) return;
    for (let times = fate < LOST_RATE + TWICE_RATE ? 2 : 1; times > 0; times--)
      clock.after(this.draw('misheard', MISHEARD_MS), () => send(event));
  }

  private nextGhosts(): void {
    const { clock, streams } = this.options;
    clock.after(this.draw('ghosts', GHOSTS_MS), () => {
      if (this.isEnded) return;
      for (let left = 1 + streams.pick('watch/ghost-count', GHOST_COUNT_MAX); left > 0; left--) {
        const name = `ghost-${this.ghostCount++}`;
        const ghost = { namespace: 'default', name, uid: name };
        this.begin(ghost);
        clock.after(this.draw('ghost', GHOST_MS), () => this.finish(ghost));
      }
      this.nextGhosts();
    });
  }

  private draw(what: string, meanMs: number): number {
    return exponential(this.options.streams.uniform(`watch/${what}`), meanMs);
  }
}
