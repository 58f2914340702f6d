/**
 * A pod's short deed that is alone is done on the thread that asks for it: to wake the worker and be woken by it takes 0.36 ms,
 * as long as half of a pod's wiring. Several at once are the worker's, beside which this thread takes the next requests.
 *
 * RTNL may be held by others for some 20 ms, and this thread then waits for it, as the one request does that asked; while
 * the worker is at anything (a sync, a reap, the rest of a burst) nothing is done here.
 */
import { isLinkName } from '../core/link-name.ts';
import type { Step } from '../datapath/kernel-state.ts';
import type { Deeds } from './deeds.ts';
import type { Failpoint } from './failpoint.ts';
import { Hands } from './hands.ts';
import { isNft } from './nftables/transaction.ts';
import type { WorkerClient } from './worker-client.ts';

/** As many as a pod of two families takes, and some of what may be asked of it. */
const STEPS_MAX = 32;

export type ShortDeed = 'apply' | 'readPod';

interface Asked {
  readonly deed: ShortDeed;
  readonly request: unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class LoneDeeds {
  private readonly client: WorkerClient;
  private readonly hands: Hands;
  private asked: Asked[] = [];

  constructor(client: WorkerClient, failpoint: Failpoint | undefined) {
    this.client = client;
    this.hands = new Hands(failpoint);
  }

  /** As WorkerClient's. What else is asked for in this turn of the loop makes it one of several. */
  call<D extends ShortDeed>(deed: D, request: Parameters<Deeds[D]>[0]): Promise<ReturnType<Deeds[D]>> {
    return new Promise((resolve, reject) => {
      if (this.asked.length === 0) queueMicrotask(() => this.begin());
      // The one who does it pairs each deed with its request.
      this.asked.push({ deed, request, resolve: (value) => resolve(value as ReturnType<Deeds[D]>), reject });
    });
  }

  close(): void {
    this.hands.close();
  }

  private begin(): void {
    const { asked } = this;
    this.asked = [];
    const isAlone = asked.length === 1 && this.client.isIdle;
    for (const { deed, request, resolve, reject } of asked) {
      if (isAlone) Promise.try(() => this.do(deed, request)).then(resolve, reject);
      else this.client.call(deed, request as never).then(resolve, reject);
    }
  }

  private do(deed: ShortDeed, request: unknown): unknown {
    return (this.hands[deed] as (request: unknown) => unknown).call(this.hands, request);
  }
}

/**
 * Of a pod alone: a NIC's driver works under RTNL, deleting a link waits for an RCU barrier (20 ms), and a table of
 * nf_tables has one owner, the worker's socket; but policers' has none.
 */
export const isShort = (steps: readonly Step[]): boolean => steps.length <= STEPS_MAX && steps.every(isOfPod);

function isOfPod(step: Step): boolean {
  switch (step.do) {
    case 'create-veth':
      return true;
    case 'set-link':
      return step.at === 'pod' || isLinkName(step.link.name);
    case 'put':
    case 'remove': {
      const { object, at } = step;
      if ((isNft(object) && object.kind !== 'policer') || object.kind === 'sysctl') return false;
      return at === 'pod' || ('link' in object && object.link !== undefined && isLinkName(object.link));
    }
    default:
      return false;
  }
}
