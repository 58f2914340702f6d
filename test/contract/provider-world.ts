/**
 * The world that the Provider contract runs in: one small VPC in the memory cloud, and a provider of any kind over it,
 * in the same process (providers/memory) or through HTTP (an adapter with its SDK against a lab endpoint).
 * The cloud is in reach for faults and for its truth, so every case asserts what really happened.
 */

import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniRecord } from '../../providers/memory/records.ts';
import type { EniId, GroupId, InstanceId, OperationId, SubnetId } from '../../src/core/brand.ts';
import { type Answer, type BlockWish, type CloudFailure, type EniFacts, OWNER_TAGS } from '../../src/core/cloud.ts';
import { type Cidr, type Family, parseCidr } from '../../src/core/ip.ts';
import type { CallOptions, Provider } from '../../src/ports/provider.ts';

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
};

export const GROUP = 'sg-0123456789abcdef0' as GroupId;

export interface Populated {
  /** An m5.large, 3 ENIs of 10 slots, whose provider is under test. */
  readonly instance: InstanceId;
  /** Another one in the same subnet, never to be touched. */
  readonly neighbour: InstanceId;
  /** A /24 with an IPv6 /64, tagged `role=pods`. */
  readonly subnet: SubnetId;
  /** A /28 in the same zone: 11 free addresses and never a whole prefix. */
  readonly small: SubnetId;
  /** An IPv6 /64 without IPv4. */
  readonly only6: SubnetId;
}

/** Builds the contract's VPC; every world calls it on its own cloud. */
export function populate(cloud: MemoryCloud): Populated {
  const vpc = cloud.addVpc({ cidrs4: [cidr('10.0.0.0/16')], cidrs6: [cidr('2001:db8:7::/56')] });
  const subnet = cloud.addSubnet({
    vpc: vpc.id,
    zone: 'us-east-1a',
    cidr4: cidr('10.0.1.0/24'),
    cidr6: cidr('2001:db8:7::/64'),
    tags: { role: 'pods' },
  });
  const small = cloud.addSubnet({ vpc: vpc.id, zone: 'us-east-1a', cidr4: cidr('10.0.2.0/28') });
  const only6 = cloud.addSubnet({ vpc: vpc.id, zone: 'us-east-1a', cidr6: cidr('2001:db8:7:6::/64') });
  const machine = { instanceType: 'm5.large', subnet: subnet.id, groups: [GROUP] };
  const instance = cloud.launch(machine);
  const neighbour = cloud.launch(machine);
  return { instance: instance.id, neighbour: neighbour.id, subnet: subnet.id, small: small.id, only6: only6.id };
}

export interface ContractWorld extends Populated {
  readonly provider: Provider;
  readonly cloud: MemoryCloud;
  /** Resolves as the promise does: moves virtual time until then, or just waits. */
  run<T>(promise: Promise<T>): Promise<T>;
  /** Lets this much of the cloud's time pass. */
  wait(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** Lets every promise that can go on do so. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Resolves as the promise does; `step` is called each time that nothing else goes on. */
export async function stepping<T>(promise: Promise<T>, step: () => void): Promise<T> {
  let settled = false;
  const end = () => {
    settled = true;
  };
  promise.then(end, end);
  for (await turn(); !settled; await turn()) step();
  return promise;
}

/** A world of its own for each case. */
export type MakeWorld = () => Promise<ContractWorld>;

/** What cases say with: calls that must succeed or must fail, on a world made for the case. */
export class Scene {
  readonly world: ContractWorld;
  #tokens = 0;

  constructor(world: ContractWorld) {
    this.world = world;
  }

  get provider(): Provider {
    return this.world.provider;
  }

  options(timeoutMs = 10_000): CallOptions {
    return { signal: new AbortController().signal, timeoutMs };
  }

  token(): OperationId {
    return `00000000000000aa-${++this.#tokens}` as OperationId;
  }

  async value<T>(call: Promise<Answer<T>>): Promise<T> {
    const answer = await this.world.run(call);
    if (!answer.ok) throw new Error(`refused: ${JSON.stringify(answer.failure)}`);
    return answer.value;
  }

  async failure(call: Promise<Answer<unknown>>): Promise<CloudFailure> {
    const answer = await this.world.run(call);
    if (answer.ok) throw new Error(`succeeded: ${JSON.stringify(answer.value)}`);
    return answer.failure;
  }

  createWish(change: { readonly blocks?: readonly BlockWish[]; readonly subnet?: SubnetId; token?: OperationId } = {}) {
    return {
      subnet: this.world.subnet,
      groups: [GROUP],
      blocks: [],
      tags: { [OWNER_TAGS.instance]: this.world.instance, [OWNER_TAGS.intent]: 'contract' },
      token: this.token(),
      ...change,
    };
  }

  create(change: Parameters<Scene['createWish']>[0] = {}): Promise<EniFacts> {
    return this.value(this.provider.createEni(this.createWish(change), this.options()));
  }

  /** Time enough for every replica and every server to know what was written. */
  settle(): Promise<void> {
    return this.world.wait(this.provider.capabilities.listLagMs + 1);
  }

  /** A created ENI that calls may name. */
  async settledEni(change: Parameters<Scene['createWish']>[0] = {}): Promise<EniFacts> {
    const eni = await this.create(change);
    await this.settle();
    return eni;
  }

  attach(eni: EniId, deviceIndex: number): Promise<Answer<void>> {
    const wish = this.provider.capabilities.deviceIndex === 'caller' ? { deviceIndex } : {};
    return this.provider.attachEni(eni, wish, this.options());
  }

  /** An ENI whose link the instance sees and that reads call attached. */
  async attachedEni(deviceIndex: number): Promise<EniFacts> {
    const eni = await this.settledEni();
    await this.value(this.attach(eni.id, deviceIndex));
    await this.until(
      () => this.world.cloud.truth.linked(eni.id) && this.truth(eni.id)?.attachment?.state === 'attached',
    );
    await this.settle();
    return eni;
  }

  assign(eni: EniId, wish: BlockWish & { readonly blocks?: readonly Cidr[] }, token = this.token()) {
    return this.provider.assign(eni, { ...wish, token }, this.options());
  }

  /** The truth about the ENI, now. */
  truth(eni: EniId): EniRecord | undefined {
    return this.world.cloud.truth.eni(eni);
  }

  get primary(): EniRecord {
    const [primary] = this.world.cloud.truth.enisOf(this.world.instance);
    if (primary === undefined) throw new Error('the instance has no ENI');
    return primary;
  }

  /** Waits up to a minute of the cloud's time. */
  async until(holds: () => boolean): Promise<void> {
    for (let waitedMs = 0; waitedMs < 60_000 && !holds(); waitedMs += 50) await this.world.wait(50);
    expect(holds()).toBe(true);
  }
}

/** The single addresses or prefixes of one family. */
export const wish = (family: Family, prefixLength: number, count: number): BlockWish => ({
  family,
  prefixLength,
  count,
});
