/**
 * One node of the day on the real core, driver and cloud model: what its pods waited, and what the node kept idle.
 * Idle is counted from outside, at the cloud: every address it has given to the node's ENIs beyond their own, less those
 * that pods use; so what cools down, is on its way to the node or on its way back counts.
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026, type Figures } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { Streams } from '../../../providers/memory/random.ts';
import type { CloudFact } from '../../../providers/memory/records.ts';
import { limited } from '../../cloud/limited.ts';
import { type Cidr, cidrLength } from '../../core/ip.ts';
import type { Targets } from '../../core/rows.ts';
import { VirtualClock } from '../clock.ts';
import { MemoryJournal } from '../journal.ts';
import { FakeKernel } from '../kernel.ts';
import { SimNode } from '../node.ts';
import { Pods } from '../pods.ts';
import { DAY_MS, type NodeTrace } from '../trace.ts';

export interface NodeDay {
  /** From a pod's first ADD to its address, in ms; a refused pod has none. */
  readonly waitsMs: readonly number[];
  readonly failed: number;
  /** Idle addresses times hours. */
  readonly idleIpHours: number;
  readonly cloudCalls: number;
}

/** 8 ENIs of 29 addresses: room for every node of the fleet. */
export const DAY_INSTANCE = 'm5.4xlarge';
/** The usual latencies with a log-normal spread. */
export const DAY_FIGURES: Figures = { ...AWS_2026, spread: 0.4 };

export interface NodeDayOptions {
  readonly trace: NodeTrace;
  readonly targets: Targets;
  readonly prefixes: 'never' | 'prefer';
  readonly seed: number;
}

export async function runNodeDay({ trace, targets, prefixes, seed }: NodeDayOptions): Promise<NodeDay> {
  const clock = new VirtualClock();
  const cloud = new MemoryCloud({ clock, seed, figures: DAY_FIGURES });
  const kernel = new FakeKernel({ clock });
  const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr] });
  const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/18' as Cidr });
  const idle = new IdleMeter(clock, cloud);
  let links = 0;
  cloud.listen((fact) => {
    if (fact.kind === 'link-seen') kernel.plug(`eth${links++}`, fact.eni.mac);
    else if (fact.kind === 'link-gone') kernel.unplug(fact.eni.mac);
    else idle.hear(fact);
  });
  const { id: instance } = cloud.launch({ instanceType: DAY_INSTANCE, subnet: subnet.id });
  const capabilities = ec2Capabilities(DAY_FIGURES);
  const errors: unknown[] = [];
  const node = new SimNode({
    clock,
    cloud,
    provider: limited(new MemoryProvider({ cloud, instance, capabilities, clock })),
    instance,
    kernel,
    journal: new MemoryJournal(),
    pool: { subnets: [], groups: [], families: [4], prefixes, primaryEni: 'use', targets },
    crashHere: () => false,
    onReply: (request, reply) => pods.answer(request, reply),
    onCrash: () => errors.push(new Error('the daemon crashed')),
    onError: (error) => errors.push(error),
    onEvent: () => {},
  });
  const pods = new Pods({
    clock,
    kernel,
    streams: new Streams(seed),
    send: (event) => node.send(event),
    up: () => node.driver !== undefined,
    onRunning: () => idle.used(1),
    onStopped: (pod) => idle.used(pod.addresses.length > 0 ? -1 : 0),
  });
  const startMs = clock.nowMs();
  const arrive = (at: number): void => {
    const pod = trace.pods[at];
    if (pod === undefined) return;
    clock.timer(startMs + pod.atMs, () => {
      pods.create(pod.lifeMs);
      arrive(at + 1);
    });
  };
  arrive(0);
  node.start().catch((error) => errors.push(error));
  await clock.run(startMs + DAY_MS, () => errors.length > 0);
  if (errors.length > 0) throw errors[0];
  const failed = [...pods.refusals.values()].reduce((sum, count) => sum + count, 0);
  const cloudCalls = [...cloud.callCounts.values()].reduce((sum, count) => sum + count, 0);
  return { waitsMs: pods.waitsMs, failed, idleIpHours: idle.addressHours(), cloudCalls };
}

/** Integrates idle addresses over time as they come, go and are used. */
class IdleMeter {
  private readonly clock: VirtualClock;
  private readonly cloud: MemoryCloud;
  private readonly blocks = new Set<Cidr>();
  private total = 0;
  private inUse = 0;
  private sinceMs: number;
  private addressMs = 0;

  constructor(clock: VirtualClock, cloud: MemoryCloud) {
    this.clock = clock;
    this.cloud = cloud;
    this.sinceMs = clock.nowMs();
  }

  hear(fact: CloudFact): void {
    if (fact.kind === 'address-added' && this.isOwn(fact)) return;
    if (fact.kind !== 'address-added' && fact.kind !== 'address-removed') return;
    const isAdded = fact.kind === 'address-added';
    if (this.blocks.has(fact.cidr) === isAdded) return;
    this.settle();
    const size = 2 ** (32 - cidrLength(fact.cidr));
    this.total += isAdded ? size : -size;
    if (isAdded) this.blocks.add(fact.cidr);
    else this.blocks.delete(fact.cidr);
  }

  used(by: number): void {
    this.settle();
    this.inUse += by;
  }

  addressHours(): number {
    this.settle();
    return this.addressMs / 3_600_000;
  }

  private isOwn({ eni, cidr }: Extract<CloudFact, { kind: 'address-added' | 'address-removed' }>): boolean {
    return cidr === `${this.cloud.truth.eni(eni)?.primary4}/32`;
  }

  private settle(): void {
    const nowMs = this.clock.nowMs();
    this.addressMs += (this.total - this.inUse) * (nowMs - this.sinceMs);
    this.sinceMs = nowMs;
  }
}
