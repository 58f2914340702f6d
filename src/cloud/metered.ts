/**
 * Tells how long each call took and how it ended. Time is the caller's clock.
 */
import type { CloudAction, CloudFailure } from '../core/cloud.ts';
import type { Provider } from '../ports/provider.ts';
import { decorate } from './decorate.ts';

export interface CallSeen {
  readonly action: CloudAction;
  readonly ms: number;
  /** Absent when it was done. */
  readonly failure?: CloudFailure;
}

export function metered(
  provider: Provider,
  options: { readonly nowMs: () => number; readonly seen: (call: CallSeen) => void },
): Provider {
  return decorate(provider, async (action, call) => {
    const beganMs = options.nowMs();
    const answer = await call();
    const ms = options.nowMs() - beganMs;
    options.seen(answer.ok ? { action, ms } : { action, ms, failure: answer.failure });
    return answer;
  });
}
