/**
 * One state of a small world and where it can go: the real core over its surroundings. A move steps the core with one
 * event, gives its effects to the surroundings, and says what is broken. Rows are immutable, so a state is a list of them.
 */
import { DEFAULT_SETTINGS, type Identity, openState } from '../../core/boot.ts';
import { type Attachment, attachmentKey, type PoolId, type RequestId } from '../../core/brand.ts';
import { type Answer, type CloudResult, isRead } from '../../core/cloud.ts';
import { type Effect, type Event, NO_REPAIR, type Reply } from '../../core/events.ts';
import { breaches } from '../../core/invariants.ts';
import { type Cidr, cidrContains } from '../../core/ip.ts';
import { linkName } from '../../core/link-name.ts';
import { holding } from '../../core/pool.ts';
import { canGrow } from '../../core/room.ts';
import type { Rows, Table, WaiterRow } from '../../core/rows.ts';
import { State, TABLES, Tx } from '../../core/state.ts';
import { step } from '../../core/step.ts';
import { Turn } from '../../core/turn.ts';
import { NIC_MTU } from '../kernel.ts';
import { CAPABILITIES, INSTANCE, macOf, perform } from './cloud.ts';
import type { Call, Pod, PodLink, Surroundings, Work } from './surroundings.ts';

export type Row = readonly [Table, Rows[Table]];

export interface SmallWorld {
  readonly rows: readonly Row[];
  readonly around: Surroundings;
}

/** One thing that can happen now. */
export interface Move {
  readonly label: string;
  readonly make: (world: Stepper) => void;
}

const POOL: Extract<Event, { kind: 'configured' }>['pools'][number] = {
  id: 'default' as PoolId,
  subnets: [],
  groups: [],
  families: [4],
  prefixes: 'never',
  primaryEni: 'use',
  targets: { floor: 0, headroom: 0, ceiling: 100 },
};

const attachmentOf = (n: number): Attachment => ({ network: 'u', containerId: `c${n}`, ifname: 'eth0' });
const netnsOf = (n: number) => ({ path: `/run/netns/${n}`, id: `4:${n}` });
const podNames = new Map(Array.from({ length: 9 }, (_, n) => [linkName(attachmentKey(attachmentOf(n))), n]));

/** A world that is being moved: the core's state, rebuilt from rows, and surroundings that change by replacement. */
export class Stepper {
  around: Surroundings;
  readonly broken: string[] = [];
  private state: State;
  private readonly undo: (() => void)[] = [];

  constructor({ rows, around }: SmallWorld) {
    this.around = around;
    this.state = restored(rows);
  }

  snapshot(): SmallWorld {
    return { rows: rowsOf(this.state), around: this.around };
  }

  /** The core's rows as they were when this was built; what was made of the surroundings is the caller's to put back. */
  rewind(around: Surroundings): void {
    for (const back of this.undo.reverse()) back();
    this.undo.length = 0;
    this.broken.length = 0;
    this.around = around;
  }

  get core(): State {
    return this.state;
  }

  /** A process begins: its journal is the last one's rows, which lost what lives in memory only. */
  boot(): void {
    const before = this.state;
    this.undo.push(() => {
      this.state = before;
    });
    const { around } = this;
    const identity: Identity = {
      cluster: 'c',
      nodeName: 'n',
      instanceId: INSTANCE,
      bootId: 'boot',
      epoch: `e${around.epoch}`,
    };
    const { state } = openState({ rows: journalOf(before), identity, nowMs: around.nowMs });
    this.state = state;
    this.step({ kind: 'configured', pools: [POOL], settings: DEFAULT_SETTINGS });
    const links = around.podLinks.map(({ pod, name, lease, index, addresses, fenced }) => ({
      name,
      index,
      fenced,
      lease: { id: lease, attachment: attachmentOf(pod) },
      addresses,
      mtu: DEFAULT_SETTINGS.mtu,
      netns: netnsOf(pod),
    }));
    const aliveLeases = [...state.all('lease')].flatMap((lease) => (this.netnsAlive(lease.netns.id) ? [lease.id] : []));
    const eniLinks = around.plugged.map((n) => ({ mac: macOf(n), name: `eth${n}`, index: n + 2, mtu: NIC_MTU }));
    this.step({ kind: 'started', links, aliveLeases, eniLinks, fenced: [] });
  }

  private netnsAlive(id: string): boolean {
    return this.around.pods.some((pod) => netnsOf(pod.n).id === id && pod.state !== 'gone' && pod.state !== 'unborn');
  }

  /** The process ends: the kernel did all that it was asked, or none of it; calls are on their way, and nobody listens. */
  crash(workDone: boolean): void {
    if (workDone) for (const work of this.around.work) this.deed(work);
    const { around } = this;
    this.around = {
      ...around,
      work: [],
      calls: [],
      orphans: [...around.orphans, ...around.calls.filter(({ call }) => !isRead(call.action))],
      epoch: around.epoch + 1,
      crashesLeft: around.crashesLeft - 1,
      pods: around.pods.map(({ request: _, ...pod }) => pod),
    };
    this.boot();
  }

  /** One event through the core, its effects into the surroundings, and a look at everything. */
  step(event: Event): void {
    const { nowMs } = this.around;
    const tx = new Tx(this.state);
    const waitedBefore = this.state.waitersInOrder();
    const { effects, wakeAtMs } = step(tx, event, { nowMs, wallMs: 0, capabilities: CAPABILITIES });
    this.undo.push(() => tx.undo());
    this.around = { ...this.around, wakeAtMs };
    for (const effect of effects) this.take(effect);
    for (const { invariant, detail } of breaches(this.state, nowMs)) this.broken.push(`${invariant}: ${detail}`);
    this.inOrder(waitedBefore);
    this.notStuck();
  }

  private take(effect: Effect): void {
    const { around } = this;
    if (effect.kind === 'reply') this.reply(effect.request, effect.reply);
    else if (effect.kind === 'cloud') {
      const { operation, call } = effect;
      const made: Call = { operation, call, startedMs: around.nowMs, before: around.cloud };
      this.around = { ...around, calls: [...around.calls, made] };
    } else if (effect.kind !== 'ask-budget') {
      const busy = new Set(around.work.flatMap(leasesOf));
      for (const lease of leasesOf(effect))
        if (busy.has(lease)) this.broken.push(`${effect.kind} is asked of the kernel while it is busy with ${lease}`);
      this.around = { ...around, work: [...around.work, effect] };
    }
  }

  private reply(request: RequestId, reply: Reply): void {
    if (this.around.hungUp.includes(request))
      this.broken.push(`${reply.kind} is said to ${request}, which has hung up`);
    const pod = this.around.pods.find((one) => one.request === request);
    if (pod === undefined) return;
    const { request: _, ...idle } = pod;
    if (reply.kind === 'added') {
      const { addresses } = reply.plan;
      this.putPod({ ...idle, state: 'running', addresses });
      this.served(pod, addresses);
    } else if (pod.state === 'adding') this.putPod({ ...idle, state: 'refused' });
    else if (reply.kind === 'done') {
      this.putPod({ ...idle, state: 'gone', addresses: [] });
      // Its namespace takes the link along; the kernel says so, and the core may hear it late or never.
      this.around = { ...this.around, podLinks: this.around.podLinks.filter((link) => link.pod !== pod.n) };
    } else this.putPod(idle);
  }

  private served(pod: Pod, addresses: Pod['addresses']): void {
    const { pods, podLinks, cloud } = this.around;
    for (const ip of addresses) {
      for (const other of pods)
        if (other.n !== pod.n && other.state === 'running' && other.addresses.includes(ip))
          this.broken.push(`${ip} is on pod ${other.n} and on pod ${pod.n}`);
      if (!podLinks.some((link) => link.pod === pod.n && !link.fenced && link.addresses.includes(ip)))
        this.broken.push(`pod ${pod.n} was answered before it was wired`);
      if (!cloud.enis.some((eni) => eni.attached && eni.blocks.some((block) => cidrContains(block, ip))))
        this.broken.push(`pod ${pod.n} got ${ip}, which the cloud has on no ENI attached here`);
    }
  }

  putPod(pod: Pod): void {
    this.around = { ...this.around, pods: this.around.pods.map((one) => (one.n === pod.n ? pod : one)) };
  }

  /** First come, first served: who is served now was not behind somebody who still waits. */
  private inOrder(waitedBefore: readonly WaiterRow[]): void {
    const served = waitedBefore.filter((waiter) => {
      const lease = this.state.leaseOf(waiter.key);
      return this.state.get('waiter', waiter.key) === undefined && lease !== undefined && lease.state !== 'unwiring';
    });
    const last = served.at(-1);
    if (last === undefined) return;
    for (const waiter of waitedBefore) {
      const waits = this.state.get('waiter', waiter.key) !== undefined && this.state.leaseOf(waiter.key) === undefined;
      if (waits && waiter.order < last.order) this.broken.push(`${last.key} was served before ${waiter.key}`);
    }
  }

  /** No waiter with capacity left and nothing under way but its own deadline. */
  private notStuck(): void {
    const { state, around } = this;
    const waiters = state.waitersInOrder();
    const [pool] = state.all('pool');
    if (waiters.length === 0 || pool === undefined || around.work.length > 0 || around.calls.length > 0) return;
    if (around.wakeAtMs === undefined) this.broken.push('somebody waits, and nothing will ever happen');
    const isServing = state.runtime.phase === 'serving';
    const isIdle = around.wakeAtMs === Math.min(...waiters.map((waiter) => waiter.deadlineMs));
    if (!isServing || !isIdle || this.unseenLinks().length > 0) return;
    const free = holding(state, pool, 4).free > 0 && waiters.some((waiter) => state.leaseOf(waiter.key) === undefined);
    const turn = new Turn(new Tx(state), { nowMs: around.nowMs, wallMs: 0, capabilities: CAPABILITIES });
    if (free || canGrow(turn, pool)) this.broken.push('somebody waits, with capacity left and nothing under way');
  }

  /** ENIs that the cloud has attached and whose link is yet to come. */
  unseenLinks(): number[] {
    const { cloud, plugged } = this.around;
    return cloud.enis.flatMap((eni) => (eni.attached && !plugged.includes(eni.n) ? [eni.n] : []));
  }

  /** The call is done in the cloud, in full; what nobody may be using goes. */
  land(call: Call): Answer<CloudResult> {
    const { cloud: before } = this.around;
    const { cloud, answer } = perform(before, call.operation, call.call);
    const here = (one: typeof cloud): Cidr[] => one.enis.flatMap((eni) => (eni.attached ? eni.blocks : []));
    const left = new Set(here(cloud));
    for (const block of here(before)) {
      if (left.has(block)) continue;
      for (const pod of this.around.pods)
        if (pod.state === 'running' && pod.addresses.some((ip) => cidrContains(block, ip)))
          this.broken.push(`${block} was given back while pod ${pod.n} uses it`);
    }
    this.around = { ...this.around, cloud };
    return answer;
  }

  /** Links of ENIs that are no longer attached go, before anything else is heard. */
  unplug(): void {
    const { cloud, plugged } = this.around;
    for (const n of plugged) {
      if (cloud.enis.some((eni) => eni.n === n && eni.attached)) continue;
      this.around = { ...this.around, plugged: this.around.plugged.filter((other) => other !== n) };
      this.step({ kind: 'link-gone', mac: macOf(n), name: `eth${n}`, index: n + 2 });
    }
  }

  /** The kernel does it. */
  deed(work: Work): Event {
    const { around } = this;
    const put = (podLinks: readonly PodLink[]): void => {
      this.around = { ...this.around, podLinks };
    };
    switch (work.kind) {
      case 'wire': {
        const { lease, link: name, linkIndex: index, addresses } = work.plan;
        const pod = podNames.get(name) ?? -1;
        if (!this.netnsAlive(netnsOf(pod).id)) {
          const failure = { step: 'create-veth', errno: 'ENONET' };
          return { kind: 'wired', lease, linkIndex: index, failure, unmade: work.fresh };
        }
        const others = around.podLinks.filter((link) => link.name !== name && !work.deadLinks.includes(link.name));
        const there = around.podLinks.find((link) => link.name === name && link.lease === lease && !link.fenced);
        const link = there ?? { pod, name, lease, index, addresses, fenced: false };
        put([...others, link]);
        return { kind: 'wired', lease, linkIndex: link.index };
      }
      case 'unwire':
        put(around.podLinks.map((link) => (link.name === work.link ? { ...link, fenced: true, addresses: [] } : link)));
        return { kind: 'unwired', lease: work.lease };
      case 'verify':
        return { kind: 'verified', lease: work.plan.lease, problems: [] };
      case 'reap':
        put(around.podLinks.filter((link) => !work.links.includes(link.name)));
        return { kind: 'reaped', links: work.links };
      case 'flush':
        return { kind: 'flushed', addresses: work.addresses, marks: work.marks, done: true };
      case 'sync':
        return { kind: 'synced', sync: work.sync, changed: NO_REPAIR, damaged: [] };
      case 'look':
        return { kind: 'looked', pods: work.pods.map(({ lease }) => ({ lease, ...NO_REPAIR })) };
    }
  }

  addEvent(pod: Pod, request: RequestId): Event {
    return {
      kind: 'add',
      request,
      attachment: attachmentOf(pod.n),
      netns: netnsOf(pod.n),
      pod: { namespace: 'd', name: `p${pod.n}`, uid: `p${pod.n}` },
      deadlineMs: this.around.nowMs + 60_000,
    };
  }

  delEvent(pod: Pod, request: RequestId): Event {
    return { kind: 'del', request, attachment: attachmentOf(pod.n) };
  }

  newRequest(): RequestId {
    const { requests } = this.around;
    this.around = { ...this.around, requests: requests + 1 };
    return `r${requests}` as RequestId;
  }
}

/** At most one kernel effect a lease is in flight. */
function leasesOf(work: Work): readonly string[] {
  switch (work.kind) {
    case 'wire':
    case 'verify':
      return [work.plan.lease];
    case 'unwire':
      return work.lease === '' ? [] : [work.lease];
    case 'sync':
    case 'look':
      return work.pods.map(({ lease }) => lease);
    default:
      return [];
  }
}

function restored(rows: readonly Row[]): State {
  const state = new State();
  const tx = new Tx(state);
  for (const [table, row] of rows) tx.put(table, row);
  return state;
}

function rowsOf(state: State): Row[] {
  return TABLES.flatMap((table) => [...state.all(table)].map((row): Row => [table, row]));
}

/** What the journal holds when all of the rows were committed. */
function journalOf(state: State): ReturnType<Tx['journalRows']> {
  const tx = new Tx(new State());
  for (const [table, row] of rowsOf(state)) tx.put(table, row);
  return tx.journalRows().flatMap((row) => (row.row === null ? [] : structuredClone(row)));
}
