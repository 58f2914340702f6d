/**
 * One seed, from a fresh node through misfortune to a healed world that has to converge.
 */
import { ec2Capabilities, ecsCapabilities } from '../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { CloudFault } from '../../providers/memory/faults.ts';
import { AWS_2026 } from '../../providers/memory/figures.ts';
import { MemoryProvider } from '../../providers/memory/provider.ts';
import { Streams } from '../../providers/memory/random.ts';
import { limited } from '../cloud/limited.ts';
import type { Event } from '../core/events.ts';
import type { Cidr } from '../core/ip.ts';
import { VirtualClock } from './clock.ts';
import { MemoryJournal } from './journal.ts';
import { FakeKernel } from './kernel.ts';
import { SimNode } from './node.ts';
import { Oracle } from './oracle.ts';
import { type Pod, Pods } from './pods.ts';
import { drawScenario, type FaultClass, type Overrides, type Scenario } from './scenario.ts';

const HEAL_MS = 600_000;
const QUIET_MS = 300_000;
/** A node with nothing to do makes at most one call a minute. */
const QUIET_CALLS_MAX = QUIET_MS / 60_000;
const RESTART_MS = 2_000;
/** Pods that come when all is well again. */
const LATE_PODS = 3;

export interface SeedReport {
  readonly seed: number;
  readonly breaches: readonly string[];
  readonly events: number;
  readonly virtualMs: number;
  readonly faultsFired: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<string, number>;
  readonly pods: number;
  /** Changes from run to run mean that something depends on more than the seed. */
  readonly traceHash: string;
  readonly trace: readonly string[];
}

export async function runSeed(
  seed: number,
  overrides: Overrides & { readonly keepTrace?: boolean } = {},
): Promise<SeedReport> {
  const world = new World(drawScenario(seed, overrides), overrides.keepTrace === true);
  return world.run();
}

class World {
  private readonly scenario: Scenario;
  private readonly clock = new VirtualClock();
  private readonly streams: Streams;
  private readonly cloud: MemoryCloud;
  private readonly kernel: FakeKernel;
  private readonly journal = new MemoryJournal();
  private readonly node: SimNode;
  private readonly pods: Pods;
  private readonly oracle: Oracle;
  private readonly fired = new Map<string, number>();
  private readonly trace: string[] = [];
  private readonly keepTrace: boolean;
  private hash = 0xcbf29ce484222325n;
  private events = 0;
  private unwell = true;
  /** Failpoints still to pass before the process ends; undefined when no crash is armed. */
  private crashIn: number | undefined;
  private linkNumber = 1;

  constructor(scenario: Scenario, keepTrace: boolean) {
    this.scenario = scenario;
    this.keepTrace = keepTrace;
    const { clock } = this;
    this.streams = new Streams(scenario.seed);
    this.cloud = new MemoryCloud({ clock, seed: scenario.seed });
    this.kernel = new FakeKernel({ clock, flushes: !scenario.faults.has('no-flush') });
    const instance = this.network();
    const capabilities = scenario.cloud === 'ec2' ? ec2Capabilities(AWS_2026) : ecsCapabilities(AWS_2026);
    const provider = limited(new MemoryProvider({ cloud: this.cloud, instance, capabilities, clock }));
    this.oracle = new Oracle({ cloud: this.cloud, instance, kernel: this.kernel, journal: this.journal, capabilities });
    const { families, prefixes, primaryEni, targets } = scenario;
    this.node = new SimNode({
      clock,
      cloud: this.cloud,
      provider,
      instance,
      kernel: this.kernel,
      journal: this.journal,
      pool: { subnets: [], groups: [], families, prefixes, primaryEni, targets },
      crashHere: () => this.crashHere(),
      onReply: (request, reply) => this.pods.answer(request, reply),
      onCrash: () => this.crashed(),
      onError: (error) => this.failed(error),
      onEvent: (event) => this.heard(event),
    });
    this.pods = new Pods({
      clock,
      kernel: this.kernel,
      streams: this.streams,
      send: (event) => this.node.send(event),
      up: () => this.node.driver !== undefined,
      onRunning: (pod) => this.oracle.running(pod),
      onStopped: (pod) => this.oracle.stopped(pod),
    });
  }

  private network() {
    const vpc = this.cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: ['2001:db8:1::/56' as Cidr] });
    const subnet = this.cloud.addSubnet({
      vpc: vpc.id,
      zone: 'a',
      cidr4: '10.0.1.0/24' as Cidr,
      cidr6: '2001:db8:1::/64' as Cidr,
    });
    this.cloud.listen((fact) => {
      if (fact.kind === 'link-seen') this.kernel.plug(`eth${this.linkNumber++}`, fact.eni.mac);
      else if (fact.kind === 'link-gone') this.kernel.unplug(fact.eni.mac);
      else if (fact.kind === 'address-removed') this.oracle.removed(fact.cidr);
    });
    const { id, primaryEni } = this.cloud.launch({ instanceType: this.scenario.instanceType, subnet: subnet.id });
    const mac = this.cloud.truth.eni(primaryEni)?.mac;
    if (mac !== undefined && ![...this.kernel.host.links.values()].some((link) => link.mac === mac))
      this.kernel.plug('eth0', mac);
    return id;
  }

  async run(): Promise<SeedReport> {
    const { clock, scenario } = this;
    this.startNode();
    this.nextArrival();
    this.nextMisfortune();
    try {
      await clock.run(clock.nowMs() + scenario.unwellMs, () => this.broken);
      if (!this.broken) await this.heal();
    } catch (error) {
      this.failed(error);
    }
    return {
      seed: scenario.seed,
      breaches: this.oracle.breaches,
      events: this.events,
      virtualMs: clock.nowMs(),
      faultsFired: new Map([...this.fired, ...this.cloud.faults.fired]),
      refusals: this.pods.refusals,
      pods: this.pods.waitsMs.length,
      traceHash: this.hash.toString(16),
      trace: this.trace,
    };
  }

  private get broken(): boolean {
    return this.oracle.breaches.length > 0;
  }

  /** Everything works again: within ten minutes all must agree, and then it must be quiet. */
  private async heal(): Promise<void> {
    const { clock } = this;
    this.unwell = false;
    this.crashIn = undefined;
    this.journal.full = false;
    this.cloud.faults.clear();
    await clock.run(clock.nowMs() + HEAL_MS / 2, () => this.broken);
    // A healed node serves: these must run, and still do when everything is compared.
    const late = Array.from({ length: LATE_PODS }, () => this.pods.create(Number.POSITIVE_INFINITY));
    await clock.run(clock.nowMs() + HEAL_MS / 2, () => this.broken);
    for (const pod of late)
      if (pod.state !== 'running') this.oracle.breach(`${pod.name}, made after healing, is ${pod.state}`);
    for (const pod of this.pods.all.values())
      if (pod.state === 'adding') this.oracle.breach(`${pod.name} still asks for an address`);
    if (this.broken) return;
    const before = this.calls();
    await clock.run(clock.nowMs() + QUIET_MS, () => this.broken);
    const made = this.calls() - before;
    if (made > QUIET_CALLS_MAX) this.oracle.breach(`${made} cloud calls in ${QUIET_MS / 60_000} quiet minutes`);
    const state = this.node.driver?.state;
    if (state === undefined) return this.oracle.breach('the daemon does not run');
    this.oracle.settled(state);
    this.oracle.podsAgree(state, this.pods.all.values());
  }

  private calls(): number {
    return [...this.cloud.callCounts.values()].reduce((sum, count) => sum + count, 0);
  }

  private nextArrival(): void {
    const { scenario, streams } = this;
    if (!this.unwell) return;
    if (this.pods.liveCount < scenario.podsAtOnceMax) {
      const burst = streams.uniform('pods/burst') < 0.1 ? scenario.podsAtOnceMax - this.pods.liveCount : 1;
      for (let n = 0; n < burst; n++) this.pods.create(exponential(streams.uniform('pods/life'), scenario.podLifeMs));
    }
    this.clock.after(exponential(streams.uniform('pods/arrival'), scenario.arrivalMs), () => this.nextArrival());
  }

  private nextMisfortune(): void {
    const { scenario, streams } = this;
    const classes = [...scenario.faults].filter((fault) => fault !== 'no-flush');
    if (!this.unwell || classes.length === 0) return;
    this.clock.after(exponential(streams.uniform('misfortune/gap'), scenario.misfortuneMs), () => {
      if (!this.unwell) return;
      const chosen = classes[streams.pick('misfortune/which', classes.length)];
      if (chosen !== undefined) this.strike(chosen);
      this.nextMisfortune();
    });
  }

  private strike(fault: FaultClass): void {
    this.note(fault);
    const { streams, scenario } = this;
    const arm = (armed: CloudFault, calls?: number): void => {
      const lift = this.cloud.faults.arm(armed, calls === undefined ? { rate: scenario.strikeRate } : { calls });
      this.clock.after(exponential(streams.uniform(`misfortune/length/${fault}`), 20_000), lift);
    };
    const silent = streams.uniform('misfortune/silent') < 0.5;
    switch (fault) {
      case 'crash':
        this.crashIn = streams.pick('misfortune/crash', 40);
        return;
      case 'power-loss':
      case 'reboot':
        return this.reboot(fault === 'power-loss' ? streams.pick('misfortune/suffix', 20) : 0);
      case 'lost-reply':
      case 'lost-request':
        return arm({ kind: fault, silent });
      case 'throttle':
      case 'deny':
      case 'subnet-full':
      case 'no-prefix':
      case 'eni-limit':
      case 'attach-stuck':
      case 'link-never':
      case 'api-down':
        return arm({ kind: fault });
      case 'link-late':
        return arm({ kind: 'link-late', byMs: 15_000 });
      case 'latency':
        return arm({ kind: 'latency', factor: 8, plusMs: 0 });
      case 'address-taken':
      case 'eni-taken':
        return this.takeAway(fault);
      case 'disk-full':
        this.journal.full = true;
        this.clock.after(exponential(streams.uniform('misfortune/length/disk'), 15_000), () => {
          this.journal.full = false;
        });
        return;
      case 'journal-lost':
        if (this.node.driver !== undefined) this.node.crash();
        this.journal.wipe();
        return;
      case 'netns-gone':
        return this.pick(
          (pod) => pod.state === 'running',
          (pod) => this.pods.vanish(pod),
        );
      case 'hang-up':
        return this.pick(
          (pod) => pod.state === 'adding',
          (pod) => this.pods.hangUp(pod),
        );
      case 'sabotage':
        return this.kernel.sabotage((objects) => objects[streams.pick('misfortune/sabotage', objects.length)]);
      case 'no-flush':
        return;
    }
  }

  private pick(fits: (pod: Pod) => boolean, deed: (pod: Pod) => void): void {
    const fitting = [...this.pods.all.values()].filter(fits);
    const chosen = fitting[this.streams.pick('misfortune/pod', fitting.length)];
    if (chosen !== undefined) deed(chosen);
  }

  /** Somebody with a console. */
  private takeAway(fault: 'address-taken' | 'eni-taken'): void {
    const enis = this.cloud.truth.enis().filter((eni) => !eni.primary && eni.attachment !== undefined);
    const eni = enis[this.streams.pick('misfortune/eni', enis.length)];
    if (eni === undefined) return;
    const blocks = fault === 'eni-taken' ? eni.blocks : eni.blocks.slice(0, 1);
    for (const block of blocks) this.oracle.blockTaken(block);
    if (fault === 'eni-taken') this.cloud.takeEni(eni.id);
    else for (const block of blocks) this.cloud.takeBlock(eni.id, block);
  }

  /** Every pod and link of the boot is gone, the boot id is new; power loss takes the newest commits along. */
  private reboot(lostCommits: number): void {
    this.node.crash();
    if (lostCommits > 0) this.journal.loseSuffix(lostCommits);
    this.node.bootId = `boot-${this.clock.nowMs()}`;
    this.kernel.reboot();
    for (const pod of this.pods.all.values()) {
      if (pod.state === 'running') this.oracle.stopped(pod);
      this.pods.rebooted(pod);
    }
    // The NICs come back under names of their own.
    for (const eni of this.cloud.truth.enis())
      if (this.cloud.truth.linked(eni.id)) this.kernel.plug(`eth${this.linkNumber++}`, eni.mac);
  }

  private crashHere(): boolean {
    if (this.crashIn === undefined) return false;
    if (this.crashIn-- > 0) return false;
    this.crashIn = undefined;
    return true;
  }

  private crashed(): void {
    this.pods.broken();
    this.clock.after(RESTART_MS, () => {
      this.startNode();
    });
  }

  private startNode(): void {
    this.node.start().catch((error) => this.failed(error));
  }

  private failed(error: unknown): void {
    this.oracle.breach(Error.isError(error) ? (error.stack ?? error.message) : String(error));
  }

  private heard(event: Event): void {
    this.events++;
    const line = `${this.clock.nowMs().toFixed(3)} ${JSON.stringify(event)}`;
    for (let at = 0; at < line.length; at += 7)
      this.hash = BigInt.asUintN(64, (this.hash ^ BigInt(line.charCodeAt(at))) * 0x100000001b3n);
    if (this.keepTrace) this.trace.push(line);
  }

  private note(fault: string): void {
    this.fired.set(fault, (this.fired.get(fault) ?? 0) + 1);
    if (this.keepTrace) this.trace.push(`${this.clock.nowMs().toFixed(3)} *** ${fault}`);
  }
}

const exponential = (uniform: number, mean: number): number => -Math.log(1 - uniform) * mean;
