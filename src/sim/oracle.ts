/**
 * What must be true of the whole world, seen from outside the daemon: the cloud's truth, the kernel, the journal and
 * what the runtime was told. The core checks itself (core/invariants.ts); this checks the core.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniRecord } from '../../providers/memory/records.ts';
import { isOurs } from '../core/boot.ts';
import type { EniId, InstanceId } from '../core/brand.ts';
import { attachmentKey } from '../core/brand.ts';
import type { Capabilities } from '../core/cloud.ts';
import { isRead, OWNER_TAGS } from '../core/cloud.ts';
import type { NicLink } from '../core/events.ts';
import { type Cidr, cidrBase, cidrContains, type Family, familyOf, hostCidr, type Ip } from '../core/ip.ts';
import { podPlan } from '../core/lease.ts';
import { isLinkName, linkName } from '../core/link-name.ts';
import { AT_ONCE_COUNT_MAX } from '../core/look.ts';
import { isPresent } from '../core/pool.ts';
import type { BlockRow, LeaseRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import { Tx } from '../core/state.ts';
import { nodePlan } from '../core/sync.ts';
import { Turn } from '../core/turn.ts';
import type { KernelState } from '../datapath/kernel-state.ts';
import { veth } from '../datapath/veth.ts';
import type { Cooldowns } from './cooldowns.ts';
import type { MemoryJournal } from './journal.ts';
import type { FakeKernel } from './kernel.ts';
import { CLUSTER } from './node.ts';
import type { Pod } from './pods.ts';

/** Within this a stray ENI is seen by a background read, watched for ten minutes, and deleted. */
export const SWEEP_WITHIN_MS = 1_320_000;

export interface OracleOptions {
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly kernel: FakeKernel;
  readonly journal: MemoryJournal;
  readonly capabilities: Capabilities;
  /** Of the pool: a pod has one address of each, or none at all. */
  readonly families: readonly Family[];
  /** An assign on the ENI was given fewer than it asked for: what one in doubt brought cannot be told from others'. */
  readonly fellShort?: (eni: EniId) => boolean;
  /** How addresses rest between two pods; not looked at without it. */
  readonly cooldowns?: Cooldowns;
}

/**
 * What one assign brought. With some of it taken by somebody, or taken before and not noticed yet, it is not as many new
 * ones as were asked for: the rest cannot be told from others' either.
 */
interface Gift {
  readonly eni: EniId;
  readonly atMs: number;
  isBroken: boolean;
}

export class Oracle {
  readonly breaches: string[] = [];
  private readonly owners = new Map<Ip, Pod>();
  /** Addresses that a fault took away: a pod on one is lost, which is nobody's breach. */
  private readonly taken = new Set<Cidr>();
  /** ENIs that somebody is taking away: what they are given meanwhile goes with them. */
  private readonly takenEnis = new Set<EniId>();
  private readonly gifts = new Map<Cidr, Gift>();
  private lastGift: Gift | undefined;
  private readonly doubted = new Set<Ip>();
  /** The journal was lost: of what the primary carries then, nothing tells whose it is. */
  private hadNoJournal = false;
  /** Of each link that an ENI has or had; no two have the same name. */
  private readonly numbers = new Map<string, number>();
  private readonly options: OracleOptions;

  constructor(options: OracleOptions) {
    this.options = options;
  }

  blockTaken(block: Cidr): void {
    this.taken.add(block);
    const gift = this.gifts.get(block);
    if (gift !== undefined) gift.isBroken = true;
    this.options.cooldowns?.forgetBlock(block);
    for (const ip of this.doubted) if (cidrContains(block, ip)) this.doubted.delete(ip);
  }

  /** The node was told that what it knows of the address is wrong: nobody gets it before the next boot. */
  doubt(ip: Ip): void {
    if (!this.wasTaken(ip)) this.doubted.add(ip);
  }

  /** Nobody can be using any address, whoever had it. */
  booted(): void {
    this.doubted.clear();
  }

  /** Somebody detaches the ENI; its blocks stay on it. */
  eniTaken(eni: EniRecord): void {
    this.takenEnis.add(eni.id);
    for (const block of eni.blocks) this.blockTaken(block);
  }

  /** The cloud gave the block to an ENI: if that is ours and carries packets, what took the block is over. */
  blockGiven(block: Cidr, eni: EniRecord | undefined, atMs: number): void {
    if (!eni?.blocks.includes(block)) return;
    // All that one assign brings comes at once.
    if (this.lastGift?.eni !== eni.id || this.lastGift.atMs !== atMs)
      this.lastGift = { eni: eni.id, atMs, isBroken: false };
    this.lastGift.isBroken ||= this.taken.has(block);
    this.gifts.set(block, this.lastGift);
    if (this.takenEnis.has(eni.id)) this.taken.add(block);
    else if (this.carries(eni)) this.taken.delete(block);
  }

  /** The link of an ENI is there. */
  plugged(eni: EniRecord): void {
    if (this.carries(eni) && !this.takenEnis.has(eni.id)) for (const block of eni.blocks) this.taken.delete(block);
  }

  /** As far as the node can know. */
  private carries(eni: EniRecord): boolean {
    const { cloud, instance, kernel } = this.options;
    return eni.attachment?.instance === instance && cloud.truth.linked(eni.id) && kernel.hasTold(eni.mac);
  }

  /** The link of an ENI is gone: nobody may be using its addresses, unless somebody else took it. */
  unplugged(eni: EniRecord): void {
    for (const block of eni.blocks) this.removed(block);
  }

  /** Nobody can know any more which addresses rested: the journal is gone, or what it was told last. */
  forgetRest(): void {
    this.options.cooldowns?.forget();
  }

  journalLost(): void {
    this.hadNoJournal = true;
    this.doubted.clear();
    this.forgetRest();
  }

  /** The runtime was told that the pod has these addresses. */
  running(pod: Pod): void {
    const told = pod.addresses.map(familyOf).sort().join();
    const { families } = this.options;
    if (told !== [...families].sort().join())
      this.breach(`${pod.name} has addresses of ${told}, its pool is of ${families}`);
    for (const ip of pod.addresses) {
      const other = this.owners.get(ip);
      if (other !== undefined) this.breach(`${ip} is on ${other.name} and on ${pod.name}`);
      this.owners.set(ip, pod);
      const early = this.options.cooldowns?.handedOut(ip, pod);
      if (early !== undefined) this.breach(early);
      if (this.doubted.has(ip)) this.breach(`${pod.name} got ${ip}, which is quarantined`);
      if (!this.onOurEni(ip) && !this.wasTaken(ip))
        this.breach(`${pod.name} got ${ip}, which the cloud has on no ENI attached here`);
      const inside = this.options.kernel.namespaceAt(pod.netns);
      const wired = [...(inside?.objects.values() ?? [])].some(
        (object) => object.kind === 'address' && object.address.startsWith(`${ip}/`),
      );
      if (!wired) this.breach(`${pod.name} was answered before ${ip} was in its namespace`);
    }
    this.limited(pod);
  }

  /** What it asked to be limited to is in force, at both ends of its link; what it sends, where it cannot reach it too. */
  private limited({ name, attachment, netns, bandwidth }: Pod): void {
    const { kernel } = this.options;
    const link = linkName(attachmentKey(attachment));
    const limits = [
      [kernel.host, `qdisc ${link}`, bandwidth?.ingress],
      [kernel.host, `policer ${link}`, bandwidth?.egress],
      [kernel.namespaceAt(netns), `qdisc ${attachment.ifname}`, bandwidth?.egress],
    ] as const;
    for (const [namespace, identity, rate] of limits) {
      if (rate === undefined) continue;
      const limit = namespace?.objects.get(identity);
      const isLimit = limit?.kind === 'qdisc' || limit?.kind === 'policer';
      if (!isLimit || limit.bytesPerSecond * 8 !== rate.bitsPerSecond)
        this.breach(`${name} runs without its limit ${identity}`);
    }
  }

  /** From Linux 6.16 on a policer does not go with its link. */
  leaseEnded(lease: LeaseRow | undefined): void {
    const policer = lease && `policer ${linkName(lease.key)}`;
    if (policer !== undefined && this.options.kernel.host.objects.has(policer)) this.breach(`${policer} is left`);
  }

  /** A process without a journal starts: of numbers it knows what the kernel tells, which somebody may have flushed. */
  rebuilding(links: readonly NicLink[]): void {
    this.forgetRest();
    const told = new Set(links.filter(({ number }) => number !== undefined).map(({ name }) => name));
    for (const link of this.numbers.keys()) if (!told.has(link)) this.numbers.delete(link);
  }

  /** The kernel is as a sync wanted it: established connections carry their ENI's number, so it never changes. */
  synced(): void {
    const { links, objects } = this.options.kernel.host;
    for (const [link, number] of veth.eniNumbers({ links: [...links.values()], objects: [...objects.values()] })) {
      const before = this.numbers.get(link);
      if (before !== undefined && before !== number) this.breach(`the ENI at ${link} was ${before} and is ${number}`);
      this.numbers.set(link, number);
    }
  }

  /** An address is about to be free without a cooldown: then its pod's namespace never had it. */
  freedAtOnce(ip: Ip, lease: LeaseRow | undefined): void {
    if (lease === undefined) return;
    const { path, id } = lease.netns;
    const inside = this.options.kernel.namespaceAt(path);
    if (inside?.id === id && inside.objects.has(`address ${lease.attachment.ifname} ${hostCidr(ip)}`))
      this.breach(`${ip} is free at once, and is in ${path}`);
  }

  stopped(pod: Pod): void {
    for (const ip of pod.addresses) {
      if (this.owners.get(ip) !== pod) continue;
      this.owners.delete(ip);
      if (!this.wasTaken(ip)) this.options.cooldowns?.stopped(ip, pod);
    }
  }

  /** The cloud took a block off an ENI by a call of ours: nobody may be using it. */
  removed(block: Cidr): void {
    for (const [ip, pod] of this.owners) {
      if (cidrContains(block, ip) && !this.wasTaken(ip))
        this.breach(`${block} was given back while ${pod.name} uses ${ip}`);
    }
    for (const ip of this.doubted)
      if (cidrContains(block, ip) && !this.wasTaken(ip)) this.breach(`${block} was given back with ${ip} quarantined`);
  }

  /**
   * Everything agrees, now that nothing is in flight and nobody is waiting. A node that was throttled may put off
   * removing an ENI that it has no use for (docs/design/004-budgets.md).
   */
  settled(state: State, { putsOffRemoval = false } = {}): void {
    if (state.count('waiter') > 0) this.breach(`${state.count('waiter')} pods still wait`);
    if (state.count('bound') > 0) this.breach(`${state.count('bound')} pods are still expected`);
    for (const { call, state: at } of state.all('operation')) {
      // A quiet node reads from time to time.
      if (!isRead(call.action)) this.breach(`${call.action} is still ${at}`);
    }
    for (const address of state.all('address'))
      if (address.state === 'cooling') this.breach(`${address.ip} still cools`);
    this.cloudAgrees(state, putsOffRemoval);
    this.journalAgrees(state);
    this.kernelAgrees(state);
    for (const problem of this.options.cloud.invariants()) this.breach(`cloud: ${problem}`);
  }

  /** ENIs that this node made, by their tags, and knows nothing of. */
  strays(state: State): EniId[] {
    const { cloud, instance } = this.options;
    const known = new Set([...state.all('eni')].filter(isPresent).map((eni) => eni.id));
    const isOurs = ({ tags }: EniRecord): boolean =>
      tags[OWNER_TAGS.instance] === instance && tags[OWNER_TAGS.cluster] === CLUSTER;
    return [...cloud.truth.enis()].filter((eni) => isOurs(eni) && !known.has(eni.id)).map((eni) => eni.id);
  }

  private cloudAgrees(state: State, putsOffRemoval: boolean): void {
    const { cloud } = this.options;
    const known = new Map([...state.all('eni')].filter(isPresent).map((eni) => [eni.id, eni]));
    for (const eni of this.strays(state)) this.breach(`${eni} is leaked`);
    for (const eni of cloud.truth.enis()) {
      const row = known.get(eni.id);
      if (row === undefined || row.kind === 'foreign') continue;
      if (putsOffRemoval && (row.state === 'detaching' || row.state === 'deleting')) continue;
      const held = state.blocksOf(row.key).map((block) => block.id);
      const foreign = new Set(row.foreignBlocks);
      // Nobody but the node assigns anything to its primary here.
      if (!this.hadNoJournal && this.options.fellShort?.(eni.id) !== true)
        for (const block of foreign)
          if (this.gifts.get(block)?.isBroken !== true) this.breach(`${block} on ${eni.id} is stranded`);
      for (const block of eni.blocks)
        if (!held.includes(block) && !foreign.has(block)) this.breach(`${block} on ${eni.id} is leaked`);
      for (const block of held)
        if (!eni.blocks.includes(block) && !this.isMourned(state, block))
          this.breach(`${block} is not on ${eni.id} any more`);
    }
    for (const [id, row] of known) {
      if (cloud.truth.eni(id) !== undefined) continue;
      // What is gone is remembered for as long as a pod that lost it still names its addresses, and no longer.
      const isMourned = row.state === 'gone' && state.blocksOf(row.key).some((block) => state.takenIn(block.id) > 0);
      if (!isMourned) this.breach(`${id} is ${row.state} here and gone in the cloud`);
    }
  }

  /** Blocks that pods lost and that nobody else has: they can be got back. */
  claimable(state: State): Cidr[] {
    const isOnReady = ({ eni }: BlockRow): boolean => state.get('eni', eni)?.state === 'ready';
    const lost = [...state.all('block')].filter((block) => block.state === 'missing' && isOnReady(block));
    return lost.map(({ id }) => id).filter((block) => !this.isElsewhere(block));
  }

  /** A pod still names an address of the block, which is somebody else's now, or a new ENI's own. */
  private isMourned(state: State, block: Cidr): boolean {
    return state.get('block', block)?.state === 'missing' && state.takenIn(block) > 0 && this.isElsewhere(block);
  }

  private isElsewhere(block: Cidr): boolean {
    return [...this.options.cloud.truth.enis()].some(({ primary4, primary6, blocks }) => {
      const own = [primary4, primary6].filter((ip) => ip !== undefined);
      return (
        own.some((ip) => cidrContains(block, ip)) ||
        blocks.some((other) => cidrContains(block, cidrBase(other)) || cidrContains(other, cidrBase(block)))
      );
    });
  }

  private journalAgrees(state: State): void {
    const { rows } = this.options.journal.load();
    if (!isOurs(rows, { cluster: CLUSTER, nodeName: 'node', instanceId: this.options.instance, bootId: '', epoch: '' }))
      this.breach('the journal is not ours');
    const leases = rows.filter((row) => row.table === 'lease').map((row) => row.key);
    const live = [...state.all('lease')].map((lease) => lease.id as string);
    if (leases.sort().join() !== live.sort().join()) this.breach(`journal leases ${leases} are not ${live}`);
    const blocks = rows.filter((row) => row.table === 'block').map((row) => row.key);
    if (blocks.length !== state.count('block'))
      this.breach(`journal has ${blocks.length} blocks, memory ${state.count('block')}`);
  }

  private kernelAgrees(state: State): void {
    const { kernel, capabilities } = this.options;
    const links = [...kernel.host.links.values()].filter((link) => isLinkName(link.name)).map((link) => link.name);
    const wanted = [...state.all('lease')].map((lease) => linkName(lease.key));
    if (links.sort().join() !== wanted.sort().join()) this.breach(`links ${links} are not the leases' ${wanted}`);
    const told = [...state.all('link')].map(({ mac, name, index }) => `${mac} ${name} ${index}`);
    const there = kernel.nics().map(({ mac, name, index }) => `${mac} ${name} ${index}`);
    if (told.sort().join() !== there.sort().join()) this.breach(`the core knows of NICs ${told}, there are ${there}`);
    const turn = new Turn(new Tx(state), { nowMs: 0, wallMs: 0, capabilities });
    const plan = nodePlan(turn);
    const actual = { links: [...kernel.host.links.values()], objects: [...kernel.host.objects.values()] };
    const steps = veth.diffNode(plan, actual);
    if (steps.length > 0) this.breach(`the kernel needs ${steps.length} more steps: ${JSON.stringify(steps[0])}`);
    this.podsAreWired(turn, actual);
    for (const object of actual.objects) {
      if (object.kind !== 'route' || object.link === undefined || !isLinkName(object.link)) continue;
      if (!links.includes(object.link)) this.breach(`a route to ${object.destination} by ${object.link} is left`);
    }
  }

  /** What somebody removed is back, also inside; there but where it was removed again and again. */
  private podsAreWired(turn: Turn, host: KernelState): void {
    for (const lease of turn.state.leasesIn('ready')) {
      const inside = this.options.kernel.namespaceAt(lease.netns.path);
      const isRestless = (turn.state.get('look', lease.id)?.count ?? 0) >= AT_ONCE_COUNT_MAX;
      if (inside === undefined || isRestless) continue;
      const pod = { links: [...inside.links.values()], objects: [...inside.objects.values()] };
      for (const sentence of veth.checkPod(podPlan(turn, lease), { host, pod }))
        this.breach(`${lease.id} is not as it was wired: ${sentence}`);
    }
  }

  /** Pods the runtime believes to run have exactly their leases. */
  podsAgree(state: State, pods: Iterable<Pod>): void {
    const running = [...pods].filter((pod) => pod.state === 'running' && !pod.vanished);
    for (const pod of running) {
      const lease = state.leaseOf(attachmentKey(pod.attachment));
      if (lease?.addresses.join() !== pod.addresses.join())
        this.breach(`${pod.name} runs with ${pod.addresses} and its lease says ${lease?.addresses}`);
      this.limited(pod);
    }
    if (state.count('lease') !== running.length)
      this.breach(`${state.count('lease')} leases for ${running.length} pods`);
  }

  private onOurEni(ip: Ip): boolean {
    const { cloud, instance } = this.options;
    return cloud.truth
      .enisOf(instance)
      .some((eni) => eni.attachment?.state !== 'detaching' && eni.blocks.some((block) => cidrContains(block, ip)));
  }

  private wasTaken(ip: Ip): boolean {
    for (const block of this.taken) if (cidrContains(block, ip)) return true;
    return false;
  }

  breach(text: string): void {
    if (this.breaches.length < 20) this.breaches.push(text);
  }
}
