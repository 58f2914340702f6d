/**
 * A peer's SDK client over the cloud in memory: promises, and the SDK's own retries where it has them. And the sleeps
 * of a peer's loop, on virtual time.
 */
import type { ApiAction, ApiRequest, ApiResult } from '../../../providers/memory/api.ts';
import type { CloudRefusal, Outcome } from '../../../providers/memory/refusal.ts';
import type { InstanceId } from '../../core/brand.ts';
import type { Host } from '../bars/policy.ts';

export type CallResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly why: CloudRefusal['kind'] | 'lost' | 'unreachable' };

export interface Retry {
  /** Tries in all. */
  readonly attempts: number;
  /** How long to sleep after the n-th failed try, from 1. */
  readonly sleepMs: (failed: number) => number;
}

export const NO_RETRY: Retry = { attempts: 1, sleepMs: () => 0 };

/** `caller` is whose node it is; an operator that calls for many has none. */
export class Client {
  private readonly world: Pick<Host, 'clock' | 'cloud'>;
  private readonly caller: InstanceId | undefined;

  constructor(world: Pick<Host, 'clock' | 'cloud'>, caller: InstanceId | undefined) {
    this.world = world;
    this.caller = caller;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.world.clock.after(ms, resolve);
    });
  }

  /** Throttling is tried again, as SDKs do; any other refusal is the caller's to judge. */
  async call<A extends ApiAction>(
    action: A,
    request: ApiRequest<A>,
    { attempts, sleepMs }: Retry = NO_RETRY,
  ): Promise<CallResult<ApiResult<A>>> {
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.once(action, request);
      if (outcome.kind === 'done') return { ok: true, value: outcome.value };
      const why = outcome.kind === 'refused' ? outcome.refusal.kind : outcome.kind;
      if (why !== 'throttled' || attempt >= attempts) return { ok: false, why };
      await this.sleep(sleepMs(attempt));
    }
  }

  private once<A extends ApiAction>(action: A, request: ApiRequest<A>): Promise<Outcome<ApiResult<A>>> {
    return new Promise((resolve) => {
      this.world.cloud.call(action, request, { caller: this.caller, respond: resolve });
    });
  }
}
