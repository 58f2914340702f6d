/** The cloud in memory, and a list of every call it was sent: what a timeline or a count of calls is made of. */
import type { ApiAction, ApiRequest, ApiResult } from '../../../providers/memory/api.ts';
import { type CloudOptions, MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { Outcome } from '../../../providers/memory/refusal.ts';
import type { InstanceId } from '../../core/brand.ts';

export interface RecordedCall {
  readonly atMs: number;
  readonly action: ApiAction;
  readonly caller: InstanceId | undefined;
  /** Addresses or prefixes that it asks for. */
  readonly count: number;
  /** Until the answer; undefined while there is none. */
  tookMs: number | undefined;
  /** `done`, or the kind of refusal. */
  outcome: string;
}

export const isRead = (action: ApiAction): boolean => action.startsWith('describe-');

export class RecordedCloud extends MemoryCloud {
  readonly calls: RecordedCall[] = [];
  readonly #clock: CloudOptions['clock'];

  constructor(options: CloudOptions) {
    super(options);
    this.#clock = options.clock;
  }

  override call<A extends ApiAction>(
    action: A,
    request: ApiRequest<A>,
    options: {
      readonly caller?: InstanceId | undefined;
      readonly respond: (outcome: Outcome<ApiResult<A>>) => void;
    },
  ): void {
    const atMs = this.#clock.nowMs();
    const wishes = 'wishes' in request ? request.wishes : [];
    const call: RecordedCall = {
      atMs,
      action,
      caller: options.caller,
      count: wishes.reduce((sum, { count }) => sum + count, 0),
      tookMs: undefined,
      outcome: 'unanswered',
    };
    this.calls.push(call);
    super.call(action, request, {
      caller: options.caller,
      respond: (outcome) => {
        call.tookMs = this.#clock.nowMs() - atMs;
        call.outcome = outcome.kind === 'refused' ? outcome.refusal.kind : outcome.kind;
        options.respond(outcome);
      },
    });
  }
}
