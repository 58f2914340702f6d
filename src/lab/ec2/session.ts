/**
 * One request as its handler sees it: who asks, the model to ask, the truth beside it, and the wall clock.
 */
import type { ApiAction, ApiRequest, ApiResult } from '../../../providers/memory/api.ts';
import type { MemoryCloud, Truth } from '../../../providers/memory/cloud.ts';
import type { InstanceId } from '../../core/brand.ts';
import type { Clock } from '../../ports/clock.ts';
import { NoAnswer } from './ec2-error.ts';
import type { Pages } from './pages.ts';
import { deniedError, errorOf } from './refusals.ts';

export interface SessionOptions {
  readonly cloud: MemoryCloud;
  readonly clock: Pick<Clock, 'nowMs' | 'wallMs'>;
  readonly region: string;
  readonly pages: Pages;
  /** The instance whose role signed the request; nobody's when a person did. */
  readonly caller: InstanceId | undefined;
}

export class Session {
  readonly region: string;
  readonly pages: Pages;
  readonly #options: SessionOptions;

  constructor(options: SessionOptions) {
    this.region = options.region;
    this.pages = options.pages;
    this.#options = options;
  }

  /** For what the model has no call for: names of things that do not change, and what only the truth knows. */
  get truth(): Truth {
    return this.#options.cloud.truth;
  }

  /** Rejects with the refusal as EC2's error, or with `NoAnswer`. */
  call<A extends ApiAction>(action: A, request: ApiRequest<A>): Promise<ApiResult<A>> {
    const { cloud, caller } = this.#options;
    return new Promise((resolve, reject) => {
      cloud.call(action, request, {
        caller,
        respond(outcome) {
          if (outcome.kind === 'done') resolve(outcome.value);
          else if (outcome.kind === 'refused') reject(errorOf(outcome.refusal, action));
          // The socket is open already, so a cloud out of reach can only hang up on it.
          else reject(new NoAnswer(outcome.kind === 'lost' && outcome.silent));
        },
      });
    });
  }

  /** Throws when the caller may not do this. The model has no dry run, so its faults are asked. */
  mustBeAllowed(action: ApiAction): void {
    const { cloud, caller } = this.#options;
    if (cloud.faults.strike(action, caller).deny !== undefined) throw deniedError();
  }

  /** When this moment of the cloud's clock was. */
  wallTime(atMs: number): Date {
    const { clock } = this.#options;
    return new Date(clock.wallMs() - (clock.nowMs() - atMs));
  }
}
