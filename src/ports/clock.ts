/**
 * Time and chance as arguments. Only this file and the simulator's clock may touch the platform's timers.
 */
export interface Clock {
  /** Milliseconds since boot, monotonic, also through suspend. */
  nowMs(): number;
  /** Wall time for people and tags only. */
  wallMs(): number;
  /** Calls back once at or after `atMs` of `nowMs`; the returned function cancels. */
  timer(atMs: number, callback: () => void): () => void;
}

export interface Entropy {
  /** 64 random bits as 16 hex digits. */
  epoch(): string;
  /** Uniform in [0, 1). */
  uniform(): number;
}

export const systemClock: Clock = {
  // hrtime is CLOCK_MONOTONIC since boot on Linux; it stands still in suspend, which a server does not do.
  nowMs: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  wallMs: () => Date.now(),
  timer: (atMs, callback) => {
    const timer = setTimeout(callback, Math.max(0, Math.ceil(atMs - systemClock.nowMs())));
    return () => clearTimeout(timer);
  },
};

export const systemEntropy: Entropy = {
  epoch: () => Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex'),
  uniform: () => Math.random(),
};
