/** A small VPC on virtual time, and calls that wait for their answer. */
import type { ApiAction, ApiRequest, ApiResult } from '../../../providers/memory/api.ts';
import { type CloudOptions, MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { CloudFact, EniRecord } from '../../../providers/memory/records.ts';
import type { CloudRefusal, Outcome } from '../../../providers/memory/refusal.ts';
import type { InstanceId, SubnetId } from '../../../src/core/brand.ts';
import type { BlockWish } from '../../../src/core/cloud.ts';
import { type Cidr, type Family, parseCidr } from '../../../src/core/ip.ts';
import { VirtualClock } from './virtual-clock.ts';

export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new TypeError(text);
  return parsed;
}

export const wish = (family: Family, prefixLength: number, count: number): BlockWish => ({
  family,
  prefixLength,
  count,
});

export class Account {
  readonly clock = new VirtualClock();
  readonly cloud: MemoryCloud;
  readonly vpc: string;
  readonly subnet: SubnetId;
  readonly elsewhere: SubnetId;
  readonly node: InstanceId;
  readonly facts: CloudFact[] = [];

  constructor(options: Omit<Partial<CloudOptions>, 'clock'> = {}) {
    this.cloud = new MemoryCloud({ seed: 1, ...options, clock: this.clock });
    this.vpc = this.cloud.addVpc({ cidrs4: [cidr('10.0.0.0/16')], cidrs6: [cidr('2001:db8:7::/56')] }).id;
    const near = { vpc: this.vpc, zone: 'a', cidr4: cidr('10.0.1.0/24'), cidr6: cidr('2001:db8:7::/64') };
    this.subnet = this.cloud.addSubnet(near).id;
    this.elsewhere = this.cloud.addSubnet({ vpc: this.vpc, zone: 'b', cidr4: cidr('10.0.2.0/24') }).id;
    this.node = this.cloud.launch({ instanceType: 'm5.large', subnet: this.subnet }).id;
    this.cloud.listen((fact) => this.facts.push(fact));
  }

  /** Calls and moves time on until the answer; undefined when nothing ever comes. */
  call<A extends ApiAction>(action: A, request: ApiRequest<A>, caller?: InstanceId): Outcome<ApiResult<A>> | undefined {
    let answer: Outcome<ApiResult<A>> | undefined;
    this.cloud.call(action, request, {
      caller,
      respond: (outcome) => {
        answer = outcome;
      },
    });
    while (answer === undefined && this.clock.step());
    return answer;
  }

  value<A extends ApiAction>(action: A, request: ApiRequest<A>, caller?: InstanceId): ApiResult<A> {
    const answer = this.call(action, request, caller);
    if (answer?.kind !== 'done') throw new Error(`${action}: ${JSON.stringify(answer)}`);
    return answer.value;
  }

  refusal<A extends ApiAction>(action: A, request: ApiRequest<A>): CloudRefusal {
    const answer = this.call(action, request);
    if (answer?.kind !== 'refused') throw new Error(`${action}: ${JSON.stringify(answer)}`);
    return answer.refusal;
  }

  create(change: Partial<ApiRequest<'create-eni'>> = {}): EniRecord {
    return this.value('create-eni', { subnet: this.subnet, groups: [], tags: {}, wishes: [], ...change });
  }

  /** Attached, linked and known to everybody. */
  attached(deviceIndex: number, change: Partial<ApiRequest<'create-eni'>> = {}): EniRecord {
    const eni = this.create(change);
    this.clock.advance(3000);
    this.value('attach-eni', { eni: eni.id, instance: this.node, deviceIndex });
    this.clock.advance(10_000);
    return eni;
  }

  get primary(): EniRecord {
    const [eni] = this.cloud.truth.enisOf(this.node);
    if (eni === undefined) throw new Error('no primary ENI');
    return eni;
  }

  heard(kind: CloudFact['kind']): CloudFact[] {
    return this.facts.filter((fact) => fact.kind === kind);
  }
}
