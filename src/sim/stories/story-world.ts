/**
 * One node and its pods for a story: the simulator's own world without chance, in which a process can be ended at any
 * one failpoint. A pod that is refused, or whose machine is booted anew, is made again while it is wanted, as a
 * controller of pods does.
 */
import { ec2Capabilities, ecsCapabilities } from '../../../providers/memory/capabilities.ts';
import { AWS_2026, type Figures } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { Streams } from '../../../providers/memory/random.ts';
import { limited } from '../../cloud/limited.ts';
import type { InstanceId } from '../../core/brand.ts';
import { type Cidr, cidrContains, type Family } from '../../core/ip.ts';
import type { Bandwidth } from '../../core/plan.ts';
import type { Targets } from '../../core/rows.ts';
import { RecordedCloud } from '../bars/recorded-cloud.ts';
import { VirtualClock } from '../clock.ts';
import { MemoryJournal } from '../journal.ts';
import { FakeKernel } from '../kernel.ts';
import { SimNode } from '../node.ts';
import { Oracle } from '../oracle.ts';
import { type Pod, Pods, podRef } from '../pods.ts';

/** How often somebody looks whether each pod that is wanted is there. */
const CONTROLLER_MS = 5_000;

/** What a story's node is. The defaults are the smallest that can tell it. */
export interface Shape {
  readonly cloud?: 'ec2' | 'ecs';
  readonly instanceType?: string;
  readonly prefixes?: 'never' | 'prefer';
  readonly primaryEni?: 'use' | 'skip';
  readonly targets?: Targets;
  readonly families?: readonly Family[];
  readonly figures?: Figures;
  /** How long after its end the process is started again. */
  readonly restartMs?: number;
  /** How long after its DEL a sandbox's namespace goes; at once without it. */
  readonly netnsLingersMs?: number;
  /** The node is told of each pod so long before it asks; never without it. */
  readonly boundMs?: number;
  /** What every pod asks to be limited to. */
  readonly bandwidth?: Bandwidth;
}

const NO_TARGETS: Targets = { floor: 0, headroom: 0, ceiling: 1_000 };

/** A pod that somebody wants: one sandbox after the other until one runs. */
interface Wanted {
  pod: Pod;
  wanted: boolean;
}

export class StoryWorld {
  readonly clock = new VirtualClock();
  readonly cloud: RecordedCloud;
  readonly kernel = new FakeKernel({ clock: this.clock });
  readonly journal = new MemoryJournal();
  readonly oracle: Oracle;
  readonly node: SimNode;
  readonly pods: Pods;
  readonly instance: InstanceId;
  /** Failpoints that processes passed since `watchFailpoints`. */
  passed: string[] = [];
  /** Where a process ends: the failpoints still to pass. Each process has its own; undefined when it may live. */
  private crashIn: number[] = [];
  private lostCommits: number | undefined;
  private watched = false;
  private readonly targets: Targets;
  private readonly families: readonly Family[];
  private readonly shape: Shape;
  /** Most that the cloud ever had on this instance's ENIs. */
  blockCountMax = 0;
  private readonly wanted: Wanted[] = [];
  private linkNumber = 1;
  private starts = 0;

  constructor(shape: Shape) {
    this.shape = shape;
    const figures = shape.figures ?? AWS_2026;
    this.targets = shape.targets ?? NO_TARGETS;
    this.families = shape.families ?? [4];
    const { clock, kernel, journal } = this;
    this.cloud = new RecordedCloud({ clock, seed: 1, figures });
    this.instance = this.network();
    const capabilities = shape.cloud === 'ecs' ? ecsCapabilities(figures) : ec2Capabilities(figures);
    const { cloud, instance, families } = this;
    this.oracle = new Oracle({ cloud, instance, kernel, journal, capabilities, families });
    this.node = new SimNode({
      clock,
      cloud,
      provider: limited(new MemoryProvider({ cloud, instance, capabilities, clock })),
      instance,
      kernel,
      journal,
      pool: {
        subnets: [],
        groups: [],
        families,
        prefixes: shape.prefixes ?? 'never',
        primaryEni: shape.primaryEni ?? 'use',
        targets: this.targets,
      },
      crashHere: (at) => this.crashHere(at),
      onReply: (request, reply) => this.pods.answer(request, reply),
      onCrash: () => this.crashed(),
      onError: (error) => this.failed(error),
      onEvent: () => {},
    });
    this.pods = new Pods({
      clock,
      kernel,
      streams: new Streams(1),
      send: (event) => this.node.send(event),
      up: () => this.node.driver !== undefined,
      onRunning: (pod) => this.running(pod),
      onStopped: (pod) => this.oracle.stopped(pod),
      netnsLingersMs: () => shape.netnsLingersMs ?? 0,
      ...(shape.bandwidth && { bandwidth: shape.bandwidth }),
      ...(shape.boundMs && { bind: (pod: Pod, ask: () => void) => this.bind(pod, ask) }),
    });
  }

  private bind(pod: Pod, ask: () => void): void {
    this.node.send({ kind: 'pod-bound', pod: podRef(pod) });
    this.clock.after(this.shape.boundMs ?? 0, ask);
  }

  private network(): InstanceId {
    const { cloud, kernel } = this;
    const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: ['2001:db8:1::/56' as Cidr] });
    const subnet = cloud.addSubnet({
      vpc: vpc.id,
      zone: 'a',
      cidr4: '10.0.1.0/24' as Cidr,
      cidr6: '2001:db8:1::/64' as Cidr,
    });
    cloud.listen((fact) => {
      if (fact.kind === 'link-seen') kernel.plug(`eth${this.linkNumber++}`, fact.eni.mac);
      else if (fact.kind === 'link-gone') kernel.unplug(fact.eni.mac);
      else if (fact.kind === 'address-removed') this.oracle.removed(fact.cidr);
      else if (fact.kind === 'address-added') this.blockCountMax = Math.max(this.blockCountMax, this.blocks.length);
    });
    const { id, primaryEni } = cloud.launch({
      instanceType: this.shape.instanceType ?? 't3.medium',
      subnet: subnet.id,
    });
    const primary = cloud.truth.eni(primaryEni);
    if (primary === undefined) throw new Error('an instance has a primary ENI');
    kernel.configure(primary);
    if (!kernel.nics().some(({ mac }) => mac === primary.mac)) kernel.plug('eth0', primary.mac);
    return id;
  }

  start(): void {
    if (this.starts++ === 0) this.keep();
    this.node.start().catch((error) => this.failed(error));
  }

  /** Virtual time passes. */
  pass(ms: number): Promise<void> {
    return this.clock.run(this.clock.nowMs() + ms, () => this.oracle.breaches.length > 0);
  }

  /** Virtual time passes until `stop` says so. */
  passUntil(ms: number, stop: () => boolean): Promise<void> {
    return this.clock.run(this.clock.nowMs() + ms, stop);
  }

  /** A pod that is wanted until `unwant`. */
  want(): Wanted {
    const wanted: Wanted = { pod: this.pods.create(Number.POSITIVE_INFINITY), wanted: true };
    this.wanted.push(wanted);
    return wanted;
  }

  wantMany(count: number): Wanted[] {
    return Array.from({ length: count }, () => this.want());
  }

  unwant(wanted: Wanted): void {
    wanted.wanted = false;
    this.pods.remove(wanted.pod);
  }

  /** Pods that are wanted, oldest first. */
  wantedPods(): Wanted[] {
    return this.wanted.filter(({ wanted }) => wanted);
  }

  /** Makes those again whose sandbox was refused or died. */
  private keep(): void {
    for (const wanted of this.wantedPods())
      if (wanted.pod.state === 'gone') wanted.pod = this.pods.create(Number.POSITIVE_INFINITY);
    this.clock.after(CONTROLLER_MS, () => this.keep());
  }

  /** From now on failpoints count; the processes to come end after so many, one number each. */
  watchFailpoints(crashIn: readonly number[] = [], lostCommits?: number): void {
    this.passed = [];
    this.watched = true;
    this.crashIn = [...crashIn];
    this.lostCommits = lostCommits;
  }

  /** No process ends any more. */
  ignoreFailpoints(): void {
    this.watched = false;
    this.crashIn = [];
  }

  /** The machine loses power now: the newest commits since the last checkpoint are gone, and so is all of this boot. */
  losePower(lostCommits: number): void {
    this.lostCommits = lostCommits;
    this.node.crash();
  }

  private crashHere(at: string): boolean {
    if (!this.watched) return false;
    this.passed.push(at);
    const [left] = this.crashIn;
    if (left === undefined) return false;
    if (left > 0) this.crashIn[0] = left - 1;
    else this.crashIn.shift();
    return left === 0;
  }

  private crashed(): void {
    this.pods.broken();
    if (this.lostCommits !== undefined) this.powerLoss(this.lostCommits);
    this.lostCommits = undefined;
    this.clock.after(this.shape.restartMs ?? 2_000, () => this.start());
  }

  private powerLoss(lostCommits: number): void {
    const { clock, kernel, cloud, pods, oracle } = this;
    this.journal.loseSuffix(lostCommits);
    this.node.bootId = `boot-${clock.nowMs()}`;
    kernel.reboot();
    for (const pod of pods.all.values()) {
      if (pod.state === 'running') oracle.stopped(pod);
      pods.rebooted(pod);
    }
    for (const eni of cloud.truth.enis())
      if (cloud.truth.linked(eni.id)) kernel.plug(`eth${this.linkNumber++}`, eni.mac);
  }

  /** Each of its addresses is behind its block's fence. */
  private running(pod: Pod): void {
    const { oracle, kernel } = this;
    oracle.running(pod);
    const fences = [...kernel.host.objects.values()].flatMap((object) =>
      object.kind === 'route' && object.type === 'unreachable' && !object.destination.endsWith('/0')
        ? object.destination
        : [],
    );
    for (const ip of pod.addresses) {
      if (!fences.some((block) => cidrContains(block, ip)))
        oracle.breach(`${pod.name} runs with ${ip}, which no fence stands behind`);
    }
  }

  private failed(error: unknown): void {
    this.oracle.breach(Error.isError(error) ? (error.stack ?? error.message) : String(error));
  }

  /** An ENI of this node is in the cloud that no row knows. */
  get hasStrays(): boolean {
    const state = this.node.driver?.state;
    return state !== undefined && this.oracle.strays(state).length > 0;
  }

  /** What the world disagrees about, now that it has had its time. */
  disagreements(): readonly string[] {
    const { oracle, pods, wanted } = this;
    const state = this.node.driver?.state;
    if (state === undefined) return ['the daemon does not run'];
    oracle.settled(state);
    oracle.podsAgree(state, pods.all.values());
    for (const { pod, wanted: isWanted } of wanted) {
      if (isWanted && pod.state !== 'running') oracle.breach(`${pod.name} is wanted and ${pod.state}`);
      if (!isWanted && pod.state !== 'gone') oracle.breach(`${pod.name} is not wanted and ${pod.state}`);
    }
    return oracle.breaches;
  }

  /** ENIs of ours in the cloud, without the primary. */
  get secondaries() {
    return this.cloud.truth.enisOf(this.instance).filter((eni) => !eni.primary);
  }

  /** What the cloud has on this instance's ENIs. */
  get blocks(): readonly Cidr[] {
    return this.cloud.truth.enisOf(this.instance).flatMap((eni) => eni.blocks);
  }
}
