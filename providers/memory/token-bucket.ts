/** One action's request budget as EC2 keeps it: a bucket that refills steadily up to its burst. */
import type { Rate } from '../../src/core/cloud.ts';

export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #filledMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#filledMs = nowMs;
  }

  /** Takes a token; answers 0, or after how many ms there will be one. */
  take(nowMs: number): number {
    const refill = ((nowMs - this.#filledMs) / 1000) * this.#rate.perSecond;
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + refill);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return ((1 - this.#tokens) / this.#rate.perSecond) * 1000;
    this.#tokens -= 1;
    return 0;
  }
}
