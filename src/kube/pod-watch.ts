/**
 * The pods of one node, kept up to date: what there is, then what changes after it, over connections that break.
 *
 * Invariant: after a bookmark, what is known is what the server said last of each pod. Where a change may have been missed
 * (the server forgot it, or sent what is no event) it is asked for all there is again, and only what differs is told.
 * In memory is one PodRef a pod; who broke down waits longer each time, not all nodes the same.
 */
import type { PodRef } from '../core/rows.ts';
import type { Clock, Entropy } from '../ports/clock.ts';
import type { BoundPods, BoundPodsListener } from '../ports/pods.ts';
import { HelperError } from './exec-credential.ts';
import { type Change, type FeedOptions, followPods, type Hearing, LostError } from './pod-feed.ts';

/** A watch is ended by the server after one to two times this, so that those of a thousand nodes do not end together. */
const WATCH_SECONDS = 300;
const FIRST_PAUSE_MS = 1_000;
const PAUSE_MS_MAX = 30_000;
/** For the first byte of an answer, with the credential helper's run where the kubeconfig has one. */
const ANSWER_MS_MAX = 30_000;

export interface PodWatchOptions extends FeedOptions {
  readonly clock: Clock;
  readonly entropy: Entropy;
}

export const podWatch = (options: PodWatchOptions): BoundPods => ({
  watch: (listener) => {
    const following = new Following(options, listener);
    following.run();
    return () => following.end();
  },
});

class Following {
  private readonly options: PodWatchOptions;
  private readonly listener: BoundPodsListener;
  /** By uid. */
  private readonly bound = new Map<string, PodRef>();
  /** Up to where everything was heard; undefined when all there is has to be told first. */
  private version: string | undefined;
  private failures = 0;
  private said: string | undefined = 'nothing yet';
  private isEnded = false;
  private request = new AbortController();
  private cancelTimer = (): void => undefined;

  constructor(options: PodWatchOptions, listener: BoundPodsListener) {
    this.options = options;
    this.listener = listener;
  }

  async run(): Promise<void> {
    while (!this.isEnded) {
      try {
        await this.follow(this.version);
      } catch (error) {
        if (this.isEnded) return;
        if (error instanceof LostError) this.version = undefined;
        this.say(sentenceOf(error));
        this.failures++;
      }
      if (this.failures > 0) await this.pause();
    }
  }

  end(): void {
    this.isEnded = true;
    this.cancelTimer();
    this.request.abort();
  }

  private async follow(version: string | undefined): Promise<void> {
    const { clock, entropy } = this.options;
    const seconds = Math.ceil(WATCH_SECONDS * (1 + entropy.uniform()));
    const beganMs = clock.nowMs();
    /** The uids that were told of, while all there is is being told. */
    let stated = version === undefined ? new Set<string>() : undefined;
    const changed = (change: Change): void => {
      if (change.pod !== undefined) {
        this.tell(change.pod, change.isBound === true);
        stated?.add(change.pod.uid);
      } else if (stated !== undefined) {
        for (const known of this.bound.values()) if (!stated.has(known.uid)) this.tell(known, false);
        stated = undefined;
      }
      if (stated !== undefined) return;
      this.failures = 0;
      this.version = change.version;
    };
    await this.whileHeard((hearing) =>
      followPods(this.options, { version, seconds }, { ...hearing, opened: () => this.say(undefined), changed }),
    );
    // Ended as it should be; one that does so at once, again and again, is not worth a request each time.
    const isLong = clock.nowMs() - beganMs >= PAUSE_MS_MAX;
    this.failures = isLong || this.version !== version ? 0 : this.failures + 1;
  }

  private tell(pod: PodRef, isBound: boolean): void {
    if (this.isEnded || this.bound.has(pod.uid) === isBound) return;
    if (isBound) this.bound.set(pod.uid, pod);
    else this.bound.delete(pod.uid);
    this.listener[isBound ? 'bound' : 'gone'](pod);
  }

  private say(why: string | undefined): void {
    if (this.said !== why) this.listener.heard(why);
    this.said = why;
  }

  /** Throws what the deed throws, or that nothing was heard for as long as it was last given. */
  private async whileHeard<T>(deed: (hearing: Hearing) => Promise<T>): Promise<T> {
    const { clock } = this.options;
    const request = new AbortController();
    const heard = (limitMs: number): void => {
      this.cancelTimer();
      this.cancelTimer = clock.timer(clock.nowMs() + limitMs, () =>
        request.abort(new Error(`nothing was heard of the API server for ${limitMs / 1_000} s`)),
      );
    };
    this.request = request;
    heard(ANSWER_MS_MAX);
    try {
      return await deed({ signal: request.signal, heard });
    } catch (error) {
      throw request.signal.aborted && !(error instanceof HelperError) ? request.signal.reason : error;
    } finally {
      this.cancelTimer();
    }
  }

  /** Half of it is chance: what ended for a thousand nodes at once does not begin for all of them at once. */
  private pause(): Promise<void> {
    const { clock, entropy } = this.options;
    const most = Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** (this.failures - 1));
    return new Promise((resolve) => {
      this.cancelTimer = clock.timer(clock.nowMs() + most * (0.5 + entropy.uniform() / 2), resolve);
    });
  }
}

/** What Node says of a connection that was refused on each of a name's addresses has no message, only errors. */
function sentenceOf(error: unknown): string {
  if (!Error.isError(error)) return String(error);
  return error.message || ('code' in error ? String(error.code) : error.name);
}
