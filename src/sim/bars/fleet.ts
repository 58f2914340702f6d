/**
 * A fleet started at one moment under one account's buckets: when has each node its floor, and how often was it turned
 * away? Measured at the cloud, so any policy can be asked.
 */
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { Streams } from '../../../providers/memory/random.ts';
import type { EniId, InstanceId, SubnetId } from '../../core/brand.ts';
import { type Cidr, cidrLength, hostCidr } from '../../core/ip.ts';
import { VirtualClock } from '../clock.ts';
import type { PolicyFigures } from './bar.ts';
import { Kubelet } from './kubelet.ts';
import { quantile } from './measure.ts';
import type { NodePool, Policy } from './policy.ts';
import { isRead, RecordedCloud } from './recorded-cloud.ts';

export interface FleetOptions {
  readonly policy: Policy;
  readonly nodeCount: number;
  readonly instanceType: string;
  /** Addresses a node is to hold, in use or not. */
  readonly floor: number;
  readonly seed: number;
  readonly lengthMs: number;
  /** What runs before the nodes start: the cluster that they join. */
  readonly leadMs: number;
}

export interface FleetRun {
  /** Times are from the start until a node holds its floor; nodes that never do count as the whole length. */
  readonly figures: PolicyFigures;
  readonly atFloor: number;
  readonly podCount: number;
  /** Of the unluckiest node. */
  readonly throttlesMax: number;
  /** Until it holds its floor. */
  readonly describesMax: number;
  readonly throttles: number;
}

/** Pods bound to a node once it holds its floor; and one to every hundredth in the middle of the storm. */
const PODS_AT_FLOOR = 5;
const EARLY_POD_EVERY = 100;
const EARLY_POD_MS = 60_000;
const HOUR_MS = 3_600_000;

export async function runFleet(options: FleetOptions): Promise<FleetRun> {
  return new Fleet(options).run();
}

interface Member {
  readonly pool: NodePool;
  readonly kubelet: Kubelet;
  addressCount: number;
  floorMs: number | undefined;
  throttles: number;
  describes: number;
}

class Fleet {
  private readonly options: FleetOptions;
  private readonly clock = new VirtualClock();
  private readonly cloud: RecordedCloud;
  private readonly members = new Map<InstanceId, Member>();
  /** Whose ENI it is, once its instance has seen it; and how many addresses it has before. */
  private readonly owners = new Map<EniId, InstanceId>();
  private readonly unseen = new Map<EniId, number>();
  private readonly startMs: number;
  private addressCount = 0;
  private podCount = 0;
  private runningCount = 0;
  private failed = 0;
  private idleMs = 0;
  private idleSinceMs: number;

  constructor(options: FleetOptions) {
    this.options = options;
    this.cloud = new RecordedCloud({ clock: this.clock, seed: options.seed, figures: AWS_2026 });
    this.startMs = this.clock.nowMs() + options.leadMs;
    this.idleSinceMs = this.startMs;
    this.cloud.listen((fact) => {
      if (fact.kind === 'address-added') this.counted(fact.eni, fact.cidr, 1);
      else if (fact.kind === 'address-removed') this.counted(fact.eni, fact.cidr, -1);
      else if (fact.kind === 'link-seen') this.linked(fact.eni.id, fact.instance);
    });
  }

  async run(): Promise<FleetRun> {
    const { clock, options } = this;
    this.build();
    await clock.run(this.startMs);
    for (const { pool } of this.members.values()) pool.start();
    [...this.members.values()].forEach(({ kubelet }, at) => {
      if (at % EARLY_POD_EVERY === 0) clock.after(EARLY_POD_MS, () => this.bind(kubelet));
    });
    await clock.run(this.startMs + options.lengthMs);
    this.accrue();
    for (const { kubelet } of this.members.values()) kubelet.close();
    return this.outcome();
  }

  private build(): void {
    const { clock, cloud, options } = this;
    const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: [] });
    const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/16' as Cidr }).id;
    const onNode = options.policy({ clock, cloud });
    for (let at = 0; at < options.nodeCount; at++) this.launch(`s${options.seed}-n${at}`, subnet, onNode);
  }

  private launch(name: string, subnet: SubnetId, onNode: ReturnType<Policy>): void {
    const { clock, cloud, options } = this;
    const { id: instance, limits } = cloud.launch({ instanceType: options.instanceType, subnet });
    const streams = new Streams(options.seed);
    const pendingCount = (): number => kubelet.pendingCount;
    const pool = onNode({ name, clock, cloud, instance, limits, subnet, streams, pendingCount });
    const kubelet = new Kubelet({
      name,
      clock,
      streams,
      pool,
      zeroMs: this.startMs,
      onRunning: () => this.runs(1),
      onStopped: () => this.runs(-1),
      onFailed: () => this.failed++,
    });
    this.members.set(instance, {
      pool,
      kubelet,
      addressCount: 0,
      floorMs: undefined,
      throttles: 0,
      describes: 0,
    });
  }

  private bind(kubelet: Kubelet): void {
    this.podCount++;
    kubelet.bind({ atMs: this.clock.nowMs() - this.startMs, lifeMs: Number.POSITIVE_INFINITY });
  }

  /** An ENI's own address is no pod's. One that no instance sees yet serves nobody. */
  private counted(id: EniId, cidr: Cidr, by: 1 | -1): void {
    const eni = this.cloud.truth.eni(id);
    if (eni !== undefined && eni.primary4 !== undefined && hostCidr(eni.primary4) === cidr) return;
    const size = by * 2 ** (32 - cidrLength(cidr));
    const owner = this.owners.get(id);
    if (owner === undefined) this.unseen.set(id, (this.unseen.get(id) ?? 0) + size);
    else this.gained(owner, size);
  }

  private linked(id: EniId, instance: InstanceId): void {
    if (this.owners.has(id)) return;
    this.owners.set(id, instance);
    this.gained(instance, this.unseen.get(id) ?? 0);
  }

  private gained(instance: InstanceId, size: number): void {
    const member = this.members.get(instance);
    if (member === undefined) return;
    this.accrue();
    this.addressCount += size;
    member.addressCount += size;
    if (member.floorMs !== undefined || member.addressCount < this.options.floor) return;
    member.floorMs = this.clock.nowMs() - this.startMs;
    for (let n = 0; n < PODS_AT_FLOOR; n++) this.bind(member.kubelet);
  }

  private runs(by: 1 | -1): void {
    this.accrue();
    this.runningCount += by;
  }

  private accrue(): void {
    const nowMs = Math.max(this.clock.nowMs(), this.startMs);
    this.idleMs += (this.addressCount - this.runningCount) * (nowMs - this.idleSinceMs);
    this.idleSinceMs = nowMs;
  }

  private outcome(): FleetRun {
    const members = [...this.members.values()];
    for (const { atMs, caller, action, outcome } of this.cloud.calls) {
      const member = this.members.get(caller ?? ('' as InstanceId));
      if (member === undefined) continue;
      const starts = member.floorMs === undefined || atMs - this.startMs <= member.floorMs;
      if (isRead(action) && starts) member.describes++;
      if (outcome === 'throttled') member.throttles++;
    }
    const times = members.map(({ floorMs }) => floorMs ?? this.options.lengthMs);
    const unserved = members.flatMap(({ kubelet }) => kubelet.waits).filter(({ served }) => !served).length;
    return {
      figures: {
        p50Ms: Math.round(quantile(times, 0.5)),
        p99Ms: Math.round(quantile(times, 0.99)),
        maxMs: Math.round(quantile(times, 1)),
        failed: this.failed + unserved,
        cloudCalls: this.cloud.calls.length,
        idleIpHours: Math.round((this.idleMs / HOUR_MS) * 100) / 100,
      },
      atFloor: members.filter(({ floorMs }) => floorMs !== undefined).length,
      podCount: this.podCount,
      throttlesMax: Math.max(...members.map(({ throttles }) => throttles)),
      describesMax: Math.max(...members.map(({ describes }) => describes)),
      throttles: members.reduce((sum, { throttles }) => sum + throttles, 0),
    };
  }
}
