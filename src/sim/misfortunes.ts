/**
 * What goes wrong, and when. Each fault class that is on has streams of its own, so leaving one out changes neither the
 * times nor the choices of the others.
 */
import type { CloudFault, FaultTerms } from '../../providers/memory/faults.ts';
import { attachmentKey, type SubnetId } from '../core/brand.ts';
import { OWNER_TAGS, type Tags } from '../core/cloud.ts';
import { type Cidr, cidrAddress, type Ip } from '../core/ip.ts';
import type { Rows } from '../core/rows.ts';
import { blockSize } from '../core/tally.ts';
import type { KernelObject } from '../datapath/kernel-state.ts';
import { exponential } from './exponential.ts';
import { CLUSTER } from './node.ts';
import type { Pod } from './pods.ts';
import { drawTargets, type FaultClass } from './scenario.ts';
import type { World } from './world.ts';

/** Failpoints that a process passes before it is ended, at most: about so many lie in ten steps. */
const CRASH_WITHIN = 40;
const CRASH_AFTER_CALL_RATE = 0.4;
/** A process that was ended in its start was ended before its tenth failpoint. */
const START_WITHIN = 10;
const SUFFIX_MAX = 20;
const CALLS_MAX = 4;
const CALLS_WITHIN_MS = 600_000;
/** What a broken connection leaves behind is done within the call's deadline. */
const LANDS_LATE_MS = 8_000;
const LINK_LATE_MS = 15_000;
/** Longer than an ENI of ours that nobody knows of is left alone. */
const LIES_ABOUT_MS = 2_400_000;
/** A link that flaps is gone for so long, in mean. */
const FLAP_MS = 2_000;
/** From a shim's end until the kubelet deletes its sandbox, in mean. */
const KUBELET_MS = 3_000;
const SLOW_FACTOR = 16;
/** A day: what a wrong time zone or a dead battery makes of a clock. */
const WALL_JUMP_MS = 86_400_000;

/** How often a process that is ended in its start ended itself, over an invariant that broke again. */
const DOUBT_RATE = 0.3;

const ownerTags = (cluster: string, instance: string): Tags => ({
  [OWNER_TAGS.cluster]: cluster,
  [OWNER_TAGS.instance]: instance,
  [OWNER_TAGS.intent]: 'theirs-1',
});

const isReady = (row: unknown): boolean => (row as { readonly state?: unknown } | null)?.state === 'ready';

export class Misfortunes {
  private readonly world: World;
  private ended = false;

  constructor(world: World) {
    this.world = world;
  }

  start(): void {
    for (const fault of this.world.scenario.faults) if (fault !== 'no-flush') this.next(fault);
  }

  /** All is well again: nothing strikes any more, and what lasts is over. */
  end(): void {
    const { world } = this;
    this.ended = true;
    world.crashIn = [];
    world.crashAfterCall = false;
    world.journal.full = false;
    world.kernel.refuse = undefined;
    world.kernel.undeafen();
    world.cloud.faults.clear();
    world.provider.clear();
    world.neighbours.leave();
    world.node.goOn();
  }

  private next(fault: FaultClass): void {
    const { clock, streams, scenario } = this.world;
    clock.after(exponential(streams.uniform(`misfortune/gap/${fault}`), scenario.misfortuneMs), () => {
      if (this.ended) return;
      this.world.note(fault);
      this.strike(fault);
      this.next(fault);
    });
  }

  private strike(fault: FaultClass): void {
    const { world } = this;
    switch (fault) {
      case 'crash':
      case 'crash-start':
      case 'two-daemons':
      case 'suspend':
      case 'clock-jump':
      case 'reboot':
      case 'power-loss':
      case 'torn-journal':
      case 'journal-lost':
      case 'disk-full':
        return this.strikeProcess(fault);
      case 'partial':
      case 'token-mismatch':
      case 'misconfigured':
      case 'metadata-down':
        return this.armed(fault, (terms) => world.provider.arm(fault, terms));
      case 'subnet-crowded':
      case 'address-taken':
      case 'eni-taken':
      case 'foreign-eni':
        return this.strikeAccount(fault);
      case 'kernel-refuses':
      case 'netns-gone':
      case 'sabotage':
      case 'unheard':
      case 'link-flap':
      case 'hang-up':
      case 'crossing':
      case 'repeat-add':
      case 'add-elsewhere':
      case 'reload':
        return this.strikeNode(fault);
      case 'no-flush':
        return;
      default: {
        const armed = this.cloudFault(fault);
        return this.armed(fault, (terms) => world.cloud.faults.arm(armed, { ...terms, caller: world.instance }));
      }
    }
  }

  /** Half of the time the next few calls are struck, whenever they come; else some of those of a while. */
  private armed(fault: FaultClass, arm: (terms: FaultTerms) => () => void): void {
    const { clock, streams, scenario } = this.world;
    const calls = 1 + streams.pick(`misfortune/calls/${fault}`, CALLS_MAX);
    if (streams.uniform(`misfortune/terms/${fault}`) < 0.5) clock.after(CALLS_WITHIN_MS, arm({ calls }));
    else this.later(fault, arm({ rate: scenario.strikeRate }));
  }

  private cloudFault(
    fault: Exclude<CloudFault['kind'], 'address-taken' | 'eni-taken' | 'stale-reads'> & FaultClass,
  ): CloudFault {
    const { streams } = this.world;
    const silent = streams.uniform(`misfortune/silent/${fault}`) < 0.5;
    switch (fault) {
      case 'lost-reply':
        return { kind: fault, silent, lateMs: silent ? 0 : streams.uniform('misfortune/late') * LANDS_LATE_MS };
      case 'lost-request':
        return { kind: fault, silent };
      case 'link-late':
        return { kind: fault, byMs: LINK_LATE_MS };
      case 'latency':
        return { kind: fault, factor: SLOW_FACTOR, plusMs: 0 };
      default:
        return { kind: fault };
    }
  }

  private strikeProcess(fault: FaultClass): void {
    const { world } = this;
    const { streams, node, clock } = world;
    switch (fault) {
      case 'crash':
        // Mostly anywhere; what it asked of the cloud last is what its successor knows least of.
        if (streams.uniform('misfortune/crash/where') < CRASH_AFTER_CALL_RATE) world.crashAfterCall = true;
        else if (world.crashIn.length === 0) world.crashIn = [streams.pick('misfortune/crash', CRASH_WITHIN)];
        return;
      case 'crash-start': {
        // Now, and again as soon as it has begun to rebuild, and perhaps once more.
        const times = 1 + streams.pick('misfortune/crash-start/times', 2);
        if (streams.uniform('misfortune/doubt') < DOUBT_RATE) this.doubt();
        const again = [0, 1].map(() => streams.pick('misfortune/crash-start', START_WITHIN));
        node.crash();
        world.crashIn = again.slice(0, times);
        return;
      }
      case 'two-daemons':
        // Stopped, given up and replaced: the lock keeps the next one out until this one is really dead.
        node.standStill({ machine: false });
        return this.later(fault, () => node.crash());
      case 'suspend':
        node.standStill({ machine: true });
        return this.later(fault, () => node.goOn());
      case 'clock-jump':
        return clock.setWall((streams.uniform('misfortune/clock-jump') - 0.5) * 2 * WALL_JUMP_MS);
      case 'reboot':
        return world.reboot(0);
      case 'power-loss':
        return world.reboot(streams.pick('misfortune/suffix', SUFFIX_MAX));
      case 'torn-journal':
        world.reboot(0);
        return world.loseJournal();
      case 'journal-lost':
        node.crash();
        return world.loseJournal();
      case 'disk-full':
        world.journal.full = true;
        return this.later(fault, () => {
          world.journal.full = false;
        });
    }
  }

  /** What ended it was a broken invariant, and not for the first time: it named an address, mostly one in use. */
  private doubt(): void {
    const { node, oracle, journal, streams } = this.world;
    const { rows } = journal.load();
    // An ENI that never came up, or is on its way out, takes with it what was doubted on it.
    const serving = new Set(rows.filter(({ table, row }) => table === 'eni' && isReady(row)).map(({ key }) => key));
    const onServing = (row: unknown): boolean => serving.has((row as Rows['block']).eni);
    const blocks = rows.filter(({ table, row }) => table === 'block' && isReady(row) && onServing(row));
    const ids = new Set(blocks.map(({ key }) => key));
    const used = rows.filter(({ table, row }) => table === 'address' && ids.has((row as Rows['address']).block));
    const block = blocks[streams.pick('misfortune/doubt/block', blocks.length)]?.key as Cidr | undefined;
    if (block === undefined) return;
    const free = cidrAddress(block, streams.pick('misfortune/doubt/address', blockSize({ id: block })));
    const one = used[streams.pick('misfortune/doubt/used', used.length)]?.key as Ip | undefined;
    for (const ip of one === undefined ? [free] : [one, free]) {
      node.doubt([ip]);
      oracle.doubt(ip);
    }
  }

  private strikeNode(fault: FaultClass): void {
    const { world } = this;
    const { kernel, pods, streams, scenario, node } = world;
    switch (fault) {
      case 'kernel-refuses':
        kernel.refuse = () => (streams.uniform('misfortune/kernel') < scenario.strikeRate / 4 ? 'EBUSY' : undefined);
        return this.later(fault, () => {
          kernel.refuse = undefined;
        });
      case 'netns-gone':
        return this.pick(fault, 'running', (pod) => pods.vanish(pod));
      case 'sabotage':
        return this.sabotage();
      case 'unheard':
        kernel.deafen();
        return this.later(fault, () => kernel.undeafen());
      case 'link-flap':
        return this.flap();
      case 'hang-up':
        return this.pick(fault, 'adding', (pod) =>
          pods.hangUp(pod, exponential(streams.uniform('misfortune/hang-up/del'), KUBELET_MS)),
        );
      case 'crossing':
        return this.pick(fault, 'adding', (pod) => pods.remove(pod));
      case 'repeat-add': {
        const state = streams.uniform('misfortune/repeat-add') < 0.5 ? 'adding' : 'running';
        return this.pick(fault, state, (pod) => pods.addAgain(pod));
      }
      case 'add-elsewhere':
        return this.pick(fault, 'running', (pod) => {
          const lease = node.driver?.state.leaseOf(attachmentKey(pod.attachment));
          // One that was adopted from its link alone does not know its own namespace.
          if (lease?.state === 'ready' && lease.netns.id !== '') pods.askElsewhere(pod, lease.id);
        });
      case 'reload':
        return node.configure({ targets: drawTargets(streams, 'reload') });
    }
  }

  /** Somebody removes what is ours, on the host or in a pod. */
  private sabotage(): void {
    const { kernel, streams } = this.world;
    const one = (objects: readonly KernelObject[]) => objects[streams.pick('misfortune/sabotage', objects.length)];
    if (streams.uniform('misfortune/sabotage/where') < 0.5) return kernel.sabotage(one);
    const isDown = streams.uniform('misfortune/sabotage/down') < 0.2;
    this.pick('sabotage', 'running', ({ netns }) => kernel.sabotagePod(netns, isDown ? () => undefined : one));
  }

  /** A driver resets its NIC: the link goes, with all that is on it, and comes back. */
  private flap(): void {
    const { kernel, cloud, instance, streams, clock } = this.world;
    const nics = kernel.nics();
    const nic = nics[streams.pick('misfortune/link-flap', nics.length)];
    if (nic === undefined) return;
    kernel.unplug(nic.mac);
    clock.after(exponential(streams.uniform('misfortune/link-flap/length'), FLAP_MS), () => {
      const isThere = kernel.nics().some(({ mac }) => mac === nic.mac);
      const isHere = cloud.truth.enisOf(instance).some(({ id, mac }) => mac === nic.mac && cloud.truth.linked(id));
      if (isHere && !isThere) kernel.plug(nic.name, nic.mac);
    });
  }

  private pick(fault: FaultClass, state: Pod['state'], deed: (pod: Pod) => void): void {
    const fitting = [...this.world.pods.all.values()].filter((pod) => pod.state === state && !pod.vanished);
    const chosen = fitting[this.world.streams.pick(`misfortune/pod/${fault}`, fitting.length)];
    if (chosen !== undefined) deed(chosen);
  }

  private strikeAccount(fault: 'subnet-crowded' | 'address-taken' | 'eni-taken' | 'foreign-eni'): void {
    const { world } = this;
    const { streams, neighbours, subnets } = world;
    const subnet = subnets[streams.pick(`misfortune/subnet/${fault}`, subnets.length)];
    if (subnet === undefined) return;
    if (fault === 'subnet-crowded') {
      neighbours.take(subnet, streams.pick('misfortune/subnet-crowded/leave', 6));
      return this.later(fault, () => {
        neighbours.leave();
      });
    }
    if (fault === 'foreign-eni') {
      this.bringForeign(subnet);
      return;
    }
    this.takeAway(fault);
  }

  /** A plain one; or one whose tags name this instance and another cluster, or another instance of ours; or such a one that lies about. */
  private bringForeign(subnet: SubnetId): void {
    const { neighbours, instance, streams } = this.world;
    const forMs = this.lengthMs('foreign-eni');
    const kind = streams.uniform('misfortune/foreign-eni/kind');
    if (kind < 0.4) neighbours.bring({ subnet, instance, forMs });
    else if (kind < 0.6) neighbours.bring({ subnet, instance, forMs, tags: ownerTags(CLUSTER, 'i-other') });
    else if (kind < 0.8) neighbours.bring({ subnet, instance, forMs, tags: ownerTags('other', instance) });
    else neighbours.bring({ subnet, forMs: LIES_ABOUT_MS, tags: ownerTags('other', instance) });
  }

  /** Somebody with a console. */
  private takeAway(fault: 'address-taken' | 'eni-taken'): void {
    const { cloud, instance, neighbours, oracle, streams } = this.world;
    const enis = cloud.truth.enisOf(instance).filter((eni) => !neighbours.isForeign(eni.id));
    const eligible = fault === 'eni-taken' ? enis.filter((eni) => !eni.primary) : enis;
    const eni = eligible[streams.pick(`misfortune/eni/${fault}`, eligible.length)];
    if (eni === undefined) return;
    const isOnlyDetached = streams.uniform('misfortune/eni-taken/how') < 0.4;
    if (fault === 'eni-taken' && isOnlyDetached) {
      oracle.eniTaken(eni);
      cloud.call('detach-eni', { eni: eni.id, force: true }, { respond: () => {} });
      return;
    }
    const at = streams.pick(`misfortune/block/${fault}`, eni.blocks.length);
    const one = eni.blocks.slice(at, at + 1);
    for (const block of fault === 'eni-taken' ? eni.blocks : one) oracle.blockTaken(block);
    if (fault === 'eni-taken') cloud.takeEni(eni.id);
    else for (const block of one) cloud.takeBlock(eni.id, block);
  }

  /** How long something lasts. */
  private lengthMs(fault: FaultClass): number {
    const { streams, scenario } = this.world;
    return exponential(streams.uniform(`misfortune/length/${fault}`), scenario.lengthMs);
  }

  private later(fault: FaultClass, lift: () => void): void {
    this.world.clock.after(this.lengthMs(fault), lift);
  }
}
