/** What is done again and again while the daemon lives, on the one clock. */
import type { Clock } from '../ports/clock.ts';

/** Runs the deed every `ms`, the first time after `ms`; the returned function ends that. */
export function every(clock: Clock, ms: number, deed: () => void): () => void {
  let cancel = (): void => undefined;
  const arm = (): void => {
    cancel = clock.timer(clock.nowMs() + ms, () => {
      arm();
      deed();
    });
  };
  arm();
  return () => cancel();
}

export const pause = (clock: Clock, ms: number): Promise<void> =>
  new Promise((resolve) => clock.timer(clock.nowMs() + ms, resolve));
