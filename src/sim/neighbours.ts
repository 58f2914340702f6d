/**
 * Others in the same account: nodes that take the subnets' addresses, and somebody with a console who attaches an ENI
 * to our instance. Their calls count against the account's limits and are nobody's daemon's.
 */
import type { ApiAction, ApiRequest, ApiResult } from '../../providers/memory/api.ts';
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniId, InstanceId, SubnetId } from '../core/brand.ts';
import type { Tags } from '../core/cloud.ts';
import type { VirtualClock } from './clock.ts';

/** As many secondary addresses as an ENI of the largest type takes. */
const ADDRESSES_MAX = 49;
const RETRY_MS = 1_000;
const ATTEMPTS_MAX = 120;

export interface Brought {
  readonly subnet: SubnetId;
  readonly tags?: Tags;
  readonly instance?: InstanceId;
  readonly forMs: number;
}

export class Neighbours {
  private readonly cloud: MemoryCloud;
  private readonly clock: VirtualClock;
  /** ENIs of other nodes, to be given back. */
  private readonly crowd = new Set<EniId>();
  private crowding = false;
  /** Calls of theirs so far. */
  callCount = 0;
  /** ENIs that somebody attached here; true while whoever did it takes it away again. */
  private readonly foreign = new Map<EniId, boolean>();

  constructor(cloud: MemoryCloud, clock: VirtualClock) {
    this.cloud = cloud;
    this.clock = clock;
  }

  /** Somebody's ENI that nobody of them is taking away: only a bug of ours moves it. */
  isForeign(eni: EniId): boolean {
    return this.foreign.get(eni) === false;
  }

  /** Other nodes take addresses of the subnet until `leave` are free. */
  async take(subnet: SubnetId, leave: number): Promise<void> {
    this.crowding = true;
    for (let n = 0; n < 8 && this.crowding; n++) {
      // One is the ENI's own.
      const count = Math.min(ADDRESSES_MAX, this.cloud.truth.freeCount(subnet) - leave - 1);
      if (count < 1) return;
      const wishes = [{ family: 4, prefixLength: 32, count }] as const;
      const eni = await this.call('create-eni', newEni(subnet, wishes));
      if (eni !== undefined) this.crowd.add(eni.id);
    }
  }

  /** They end, and give it all back. */
  async leave(): Promise<void> {
    this.crowding = false;
    for (const eni of [...this.crowd]) {
      // Another one's leaving may have begun with it.
      if (!this.crowd.delete(eni)) continue;
      await this.call('delete-eni', { eni }, ATTEMPTS_MAX);
    }
  }

  /**
   * Somebody makes an ENI, with tags of their own, and takes it away after `forMs`. They attach it to the instance, where
   * one is named, at a device index of the cloud's choice.
   */
  async bring({ subnet, tags = {}, instance, forMs }: Brought): Promise<void> {
    const eni = await this.call('create-eni', { ...newEni(subnet, []), tags });
    if (eni === undefined) return;
    this.foreign.set(eni.id, false);
    const attached = instance === undefined || (await this.call('attach-eni', { eni: eni.id, instance })) !== undefined;
    if (!attached) return this.remove(eni.id);
    this.clock.after(forMs, () => {
      this.remove(eni.id);
    });
  }

  private async remove(eni: EniId): Promise<void> {
    this.foreign.set(eni, true);
    await this.call('detach-eni', { eni, force: true });
    await this.call('delete-eni', { eni }, ATTEMPTS_MAX);
  }

  /** Undefined when it was refused so often. */
  private call<A extends ApiAction>(
    action: A,
    request: ApiRequest<A>,
    attempts = 5,
  ): Promise<ApiResult<A> | undefined> {
    return new Promise((resolve) => {
      const attempt = (left: number): void => {
        this.callCount++;
        this.cloud.call(action, request, {
          respond: (outcome) => {
            if (outcome.kind === 'done') resolve(outcome.value);
            else if (left > 1) this.clock.after(RETRY_MS, () => attempt(left - 1));
            else resolve(undefined);
          },
        });
      };
      attempt(attempts);
    });
  }
}

const newEni = (subnet: SubnetId, wishes: ApiRequest<'create-eni'>['wishes']): ApiRequest<'create-eni'> => ({
  subnet,
  groups: [],
  tags: {},
  wishes,
  primary6: false,
  deleteWithInstance: false,
});
