/** What a call's handler gets besides the truth and its request, and the table of handlers by action. */
import type { EniId, InstanceId } from '../../src/core/brand.ts';
import type { ApiAction, ApiRequest, ApiResult } from './api.ts';
import type { Strikes } from './faults.ts';
import type { EniRecord } from './records.ts';
import { type Done, done, type Refused, refuse } from './refusal.ts';
import type { World } from './world.ts';

export class CallMoment {
  readonly nowMs: number;
  /** When the answer reaches the client. */
  readonly answerMs: number;
  /** How far replicas may stay behind what this call writes. */
  readonly lagMs: number;
  readonly strikes: Strikes;
  /** Whose call it is, for the streams' names; empty when nobody's. */
  readonly caller: InstanceId | '';
  readonly #world: World;

  constructor(
    world: World,
    options: {
      readonly nowMs: number;
      readonly answerMs: number;
      readonly strikes: Strikes;
      readonly caller: InstanceId | undefined;
    },
  ) {
    this.#world = world;
    this.nowMs = options.nowMs;
    this.answerMs = options.answerMs;
    this.strikes = options.strikes;
    this.caller = options.caller ?? '';
    this.lagMs = options.strikes['stale-reads']?.lagMs ?? world.figures.listLagMs;
  }

  /** The ENI a call names: calls are checked by servers that may not know a new one yet. */
  find(id: EniId): Done<EniRecord> | Refused {
    const eni = this.#world.enis.get(id);
    const knownFromMs = this.#world.knownFromMs.get(id) ?? 0;
    if (knownFromMs <= this.nowMs) this.#world.knownFromMs.delete(id);
    if (eni === undefined || knownFromMs > this.nowMs) return refuse({ kind: 'not-found', what: 'eni', id });
    return done(eni);
  }
}

/** One synchronous function an action: it decides and changes the truth, or refuses and changes nothing. */
export type Calls = {
  readonly [A in ApiAction]: (world: World, request: ApiRequest<A>, moment: CallMoment) => Done<ApiResult<A>> | Refused;
};
