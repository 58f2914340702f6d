/**
 * One node of a scenario with everything around it: network, cloud, kernel, journal, runtime, neighbours, oracle. It
 * knows how a process ends and how a machine boots anew; what happens when is for misfortunes.ts and arrivals.ts.
 */
import { ec2Capabilities, ecsCapabilities } from '../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../providers/memory/figures.ts';
import { MemoryProvider } from '../../providers/memory/provider.ts';
import { Streams } from '../../providers/memory/random.ts';
import type { CloudFact } from '../../providers/memory/records.ts';
import { limited } from '../cloud/limited.ts';
import { journalOwner } from '../core/boot.ts';
import type { EniId, InstanceId, LeaseId, SubnetId } from '../core/brand.ts';
import type { Event } from '../core/events.ts';
import type { Cidr, Family } from '../core/ip.ts';
import { VirtualClock } from './clock.ts';
import { Conduct } from './conduct.ts';
import { Cooldowns } from './cooldowns.ts';
import { Coverage } from './coverage.ts';
import { exponential } from './exponential.ts';
import { Growth } from './growth.ts';
import { MemoryJournal } from './journal.ts';
import { FakeKernel } from './kernel.ts';
import { Neighbours } from './neighbours.ts';
import { type NodeOptions, SimNode } from './node.ts';
import { Oracle } from './oracle.ts';
import { type Pod, Pods } from './pods.ts';
import { Refusals } from './refusals.ts';
import { RowWatch } from './row-watch.ts';
import { type FaultClass, type Scenario, STRIKES_CALLS } from './scenario.ts';
import { Scheduler } from './scheduler.ts';
import { ServingOrder } from './serving-order.ts';
import { Spool } from './spool.ts';
import { Trace } from './trace-log.ts';
import { UnluckyProvider } from './unlucky-provider.ts';
import { Ways } from './ways.ts';

/** With these the kernel lacks things, and nobody may know. */
const KERNEL_FAULTS: readonly FaultClass[] = ['kernel-refuses', 'sabotage', 'unheard'];
const RESTART_MS = 2_000;
const SYNC_MAX_MS = 600;
/** How long a machine has been up when its daemon starts. */
const UPTIME_MS = 8_000;
const NETNS_MS = 50;
const NETNS_SLOW_MS = 4_000;
const NETNS_SLOW_RATE = 0.03;

export class World {
  readonly scenario: Scenario;
  readonly clock = new VirtualClock();
  readonly streams: Streams;
  readonly cloud: MemoryCloud;
  readonly provider: UnluckyProvider;
  readonly kernel: FakeKernel;
  readonly journal = new MemoryJournal();
  readonly node: SimNode;
  readonly pods: Pods;
  readonly scheduler: Scheduler | undefined;
  private readonly spool: Spool;
  readonly oracle: Oracle;
  readonly neighbours: Neighbours;
  readonly refusals: Refusals;
  readonly instance: InstanceId;
  readonly coverage: Coverage;
  readonly trace: Trace;
  readonly fired = new Map<string, number>();
  subnets: readonly SubnetId[] = [];
  events = 0;
  /** Failpoints still to pass before a process ends, one number for each process to come; empty when none is armed. */
  crashIn: number[] = [];
  /** A process ends right after its next call went out. */
  crashAfterCall = false;
  private readonly rows: RowWatch;
  private readonly order: ServingOrder;
  private readonly growth: Growth;
  private readonly conduct: Conduct;
  private readonly ways: Ways | undefined;
  private linkNumber = 1;

  constructor(scenario: Scenario, keepTrace: boolean) {
    this.scenario = scenario;
    const { clock } = this;
    this.streams = new Streams(scenario.seed);
    this.cloud = new MemoryCloud({ clock, seed: scenario.seed });
    // Mostly tens of ms, and up to as long as a gateway is waited for.
    const answerMs = (): number => SYNC_MAX_MS ** this.streams.uniform('kernel/sync');
    this.kernel = new FakeKernel({ clock, answerMs, flushes: !scenario.faults.has('no-flush') });
    this.neighbours = new Neighbours(this.cloud, clock);
    this.trace = new Trace(keepTrace);
    this.instance = this.network();
    const { cloud, instance, kernel, journal } = this;
    cloud.listen((fact) => this.happened(fact));
    const capabilities = scenario.cloud === 'ec2' ? ec2Capabilities(AWS_2026) : ecsCapabilities(AWS_2026);
    const provider = limited(new MemoryProvider({ cloud, instance, capabilities, clock }));
    this.provider = new UnluckyProvider(provider, this.streams);
    const fellShort = (eni: EniId): boolean => this.provider.shortened.has(eni);
    const cooldowns = new Cooldowns({ nowMs: () => clock.nowMs(), nodeNowMs: () => this.node.nowMs(), kernel });
    this.rows = new RowWatch((state, table, key, after) => {
      const freed = table === 'address' && after === undefined ? state.get(table, key) : undefined;
      if (freed?.state === 'cooling') cooldowns.freeing(state, freed.ip);
      if (table === 'lease' && after === undefined) this.oracle.leaseEnded(state.get(table, key as LeaseId));
      if (freed?.state === 'held') this.oracle.freedAtOnce(freed.ip, state.get('lease', freed.lease));
    });
    const { families } = scenario;
    this.oracle = new Oracle({ cloud, instance, kernel, journal, capabilities, families, cooldowns, fellShort });
    const breach = (text: string): void => this.oracle.breach(text);
    this.order = new ServingOrder(breach);
    const { maxBlocksPerCall: blocksMax, callDeadlineMs } = capabilities;
    this.growth = new Growth({ nowMs: () => this.node.nowMs(), blocksMax, breach });
    const growth = this.growth;
    this.refusals = new Refusals({
      scenario,
      freeCount: (subnet) => cloud.truth.freeCount(subnet),
      nowMs: () => clock.nowMs(),
      belies: (code) => this.node.driver && growth.belies(code, this.node.driver.state),
      breach,
    });
    this.conduct = new Conduct({ cloud, instance, nowMs: () => clock.nowMs(), callDeadlineMs, breach });
    this.coverage = new Coverage(cloud, instance);
    this.node = this.newNode();
    if (KERNEL_FAULTS.every((fault) => !scenario.faults.has(fault)))
      this.ways = new Ways({ kernel, capabilities, breach });
    const { watch } = scenario;
    const send = (event: Event): void => this.node.send(event);
    if (watch !== 'off')
      this.scheduler = new Scheduler({ clock, streams: this.streams, misheard: watch === 'misheard', send });
    const { scheduler } = this;
    this.spool = new Spool({
      clock,
      kernel,
      nowMs: () => this.node.nowMs(),
      ask: (done) => this.pods.askFor(done),
      send,
    });
    this.pods = new Pods({
      clock,
      kernel,
      streams: this.streams,
      send,
      up: () => this.node.driver !== undefined,
      onRunning: (pod) => this.oracle.running(pod),
      onStopped: (pod) => {
        this.oracle.stopped(pod);
        scheduler?.ended(pod);
      },
      ...(scheduler && { bind: (pod: Pod, ask: () => void) => scheduler.bind(pod, ask) }),
      netnsLingersMs: () => this.netnsLingersMs(),
      spool: (attachment) => this.spool.keep(attachment),
      onRefused: (pod, verb, reason) => this.refusals.heard(pod, verb, reason),
      onBreach: breach,
    });
  }

  private newNode(): SimNode {
    const { clock, cloud, instance, kernel, journal, scenario, provider } = this;
    const { families, prefixes, primaryEni, targets, settings } = scenario;
    const subnets = this.subnets.length > 1 ? this.subnets : [];
    return new SimNode({
      clock,
      cloud,
      provider,
      instance,
      kernel,
      journal,
      pool: { subnets, groups: [], families, prefixes, primaryEni, targets },
      settings,
      crashHere: (at) => this.crashHere(at),
      onReply: (request, reply) => {
        if (reply.kind === 'refused') this.coverage.refused(reply.reason);
        this.pods.answer(request, reply);
      },
      onCrash: () => this.crashed(),
      onError: (error) => this.failed(error),
      onEvent: (event) => this.heard(event),
      spooled: () => this.spool.replay(),
      onOpen: (state) => {
        this.conduct.opened();
        this.rows.follow(state);
        this.coverage.opened(state);
        this.scheduler?.listed();
      },
      observe: (seen) => {
        if (seen.kind === 'effect') {
          this.trace.effect(seen.effect);
          this.conduct.sent(seen.effect);
          if (this.node.driver !== undefined) this.ways?.sent(seen.effect, this.node.driver.state);
        } else if (seen.kind === 'journal' && !seen.up) this.rows.forget();
      },
    });
  }

  private network(): InstanceId {
    const { cloud, kernel, scenario } = this;
    const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: ['2001:db8:1::/56' as Cidr] });
    this.subnets = scenario.subnetLengths.map((length, at) => {
      const cidr4 = `10.0.${4 * (at + 1)}.0/${length}` as Cidr;
      const cidr6 = `2001:db8:1:${at + 1}::/64` as Cidr;
      const has = (family: Family): boolean => scenario.subnetFamilies[at]?.includes(family) === true;
      return cloud.addSubnet({ vpc: vpc.id, zone: 'a', ...(has(4) && { cidr4 }), ...(has(6) && { cidr6 }) }).id;
    });
    const [subnet] = this.subnets;
    if (subnet === undefined) throw new Error('a scenario has a subnet');
    const { id, primaryEni } = cloud.launch({ instanceType: scenario.instanceType, subnet });
    const primary = cloud.truth.eni(primaryEni);
    if (primary === undefined) throw new Error('an instance has a primary ENI');
    kernel.configure(primary);
    kernel.plug('eth0', primary.mac);
    return id;
  }

  private happened(fact: CloudFact): void {
    if (fact.kind === 'link-seen') {
      this.kernel.plug(`eth${this.linkNumber++}`, fact.eni.mac);
      this.oracle.plugged(fact.eni);
    } else if (fact.kind === 'link-gone') {
      this.kernel.unplug(fact.eni.mac);
      this.oracle.unplugged(fact.eni);
      this.conduct.eniDetached(fact.eni);
      this.foreignMoved(fact.eni.id, 'detached');
    } else if (fact.kind === 'eni-deleted') this.foreignMoved(fact.eni.id, 'deleted');
    else if (fact.kind === 'eni-created') this.conduct.eniCreated(fact.eni);
    else if (fact.kind === 'address-removed') this.oracle.removed(fact.cidr);
    else if (fact.kind === 'address-added')
      this.oracle.blockGiven(fact.cidr, this.cloud.truth.eni(fact.eni), this.clock.nowMs());
  }

  private foreignMoved(eni: Parameters<Neighbours['isForeign']>[0], how: string): void {
    if (this.neighbours.isForeign(eni)) this.oracle.breach(`${eni} is somebody else's and was ${how}`);
  }

  /** Tens of milliseconds; a runtime under load takes longer than we wait before we delete the link ourselves. */
  private netnsLingersMs(): number {
    const mean = this.streams.uniform('pods/netns/slow') < NETNS_SLOW_RATE ? NETNS_SLOW_MS : NETNS_MS;
    return exponential(this.streams.uniform('pods/netns'), mean);
  }

  start(): void {
    this.node.start().catch((error) => this.failed(error));
  }

  private crashHere(at: Parameters<NodeOptions['crashHere']>[0]): boolean {
    if (this.crashAfterCall && at === 'after-cloud') {
      this.crashAfterCall = false;
      return true;
    }
    const [left] = this.crashIn;
    if (left === undefined) return false;
    if (left > 0) this.crashIn[0] = left - 1;
    else this.crashIn.shift();
    return left === 0;
  }

  private crashed(): void {
    this.rows.forget();
    this.pods.broken();
    this.clock.after(RESTART_MS, () => this.start());
  }

  /** Every pod and link of the boot is gone, the boot id is new; power loss takes the newest commits along. */
  reboot(lostCommits: number): void {
    const { clock, kernel, cloud, pods, oracle } = this;
    const isRebuilt = journalOwner(this.journal.load().rows)?.trusted === true;
    this.node.crash();
    if (lostCommits > 0) this.journal.loseSuffix(lostCommits);
    this.node.boot(`boot-${clock.nowMs()}`, UPTIME_MS);
    oracle.booted();
    kernel.reboot();
    for (const pod of pods.all.values()) {
      if (pod.state === 'running') oracle.stopped(pod);
      pods.rebooted(pod);
    }
    // A lease that the journal does not know, because its commit is lost or a lost journal was still being rebuilt, ended
    // with its machine: no connection to it is left.
    if (lostCommits > 0 || !isRebuilt) oracle.forgetRest();
    // The NICs come back under names of their own.
    for (const eni of cloud.truth.enis())
      if (eni.attachment?.instance === this.instance && cloud.truth.linked(eni.id))
        kernel.plug(`eth${this.linkNumber++}`, eni.mac);
  }

  /** The file is deleted, or set aside because it is damaged. */
  loseJournal(): void {
    this.journal.wipe();
    this.oracle.journalLost();
  }

  failed(error: unknown): void {
    this.oracle.breach(Error.isError(error) ? (error.stack ?? error.message) : String(error));
  }

  private heard(event: Event): void {
    this.events++;
    // Whoever ended before a process without a journal had read the kernel left no trace that it could know of.
    const isRebuilding = this.node.driver?.state.get('node', 'node')?.trusted !== true;
    if (event.kind === 'started' && isRebuilding) this.oracle.rebuilding(event.eniLinks);
    if (event.kind === 'synced') this.oracle.synced();
    const changes = this.rows.take();
    this.trace.event(this.clock.nowMs(), event, changes);
    this.coverage.step(event, changes);
    const state = this.node.driver?.state;
    this.order.step(event, changes, state);
    this.conduct.step(event, changes);
    this.ways?.step(changes);
    if (state !== undefined) this.growth.step(changes, state);
  }

  /** A misfortune strikes; one of the cloud's is armed, and has struck when a call met it. */
  note(fault: FaultClass): void {
    this.trace.misfortune(this.clock.nowMs(), fault);
    if (!STRIKES_CALLS.includes(fault)) this.fired.set(fault, (this.fired.get(fault) ?? 0) + 1);
  }

  /** Misfortunes that struck. */
  get faultsFired(): ReadonlyMap<string, number> {
    return new Map([...this.fired, ...this.cloud.faults.fired, ...this.provider.fired]);
  }

  get broken(): boolean {
    return this.oracle.breaches.length > 0;
  }

  /** Calls that the node made of the cloud. */
  calls(): number {
    return [...this.cloud.callCounts.values()].reduce((sum, count) => sum + count, 0) - this.neighbours.callCount;
  }
}
