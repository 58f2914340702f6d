/**
 * What the kernel tells of itself, as events of the core: what it holds when a process starts, and its changes since.
 */
import type { LeaseId } from '../core/brand.ts';
import type { Event, NicLink } from '../core/events.ts';
import { isLinkName, linkName } from '../core/link-name.ts';
import { HOST_MAC } from '../core/plan.ts';
import type { State } from '../core/state.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { KernelState, LinkState } from '../datapath/kernel-state.ts';
import type { Clock } from '../ports/clock.ts';
import type { Kernel, KernelEvent } from '../ports/kernel.ts';
import { readNamedHost } from './named-host.ts';

const RECOUNT_RETRY_MS = 1_000;
const UNREADABLE = 'the host namespace cannot be read';

/** The first event: pods' links, the ENIs' links, fences, and which leases' namespaces are still who they were. */
export async function startedEvent(state: State, kernel: Kernel, datapath: Datapath): Promise<Event> {
  const named = await readNamedHost({ kernel, datapath });
  if (named === undefined) throw new Error(UNREADABLE);
  const { host } = named;
  const aliveLeases: LeaseId[] = [];
  for (const lease of state.all('lease')) {
    // The path may have been taken by another pod since: identity decides.
    if (lease.netns.path !== '' && (await kernel.identify(lease.netns.path)) === lease.netns.id)
      aliveLeases.push(lease.id);
  }
  const numbers = datapath.eniNumbers(host);
  const eniLinks = nicsOf(host).map((nic): NicLink => {
    const number = numbers.get(nic.name);
    return number === undefined ? nic : { ...nic, number };
  });
  return { kind: 'started', links: datapath.adopt(host), aliveLeases, eniLinks, fenced: datapath.fenced(host) };
}

/** Of two with one MAC the core believes the first, and a NIC is older than what is made upon it. */
const nicsOf = ({ links }: KernelState): NicLink[] =>
  links
    .filter(isNic)
    .map(({ mac, name, index, mtu }) => ({ mac, name, index, mtu }))
    .sort((a, b) => a.index - b.index);

/**
 * May be an ENI's: hardware, or the lab's veth, but no pod's link, also not while it has another name. A VLAN, ipvlan,
 * macvlan, bridge or bond may have the MAC of the NIC under it, and steers no packet of the ENI's own.
 */
const isNic = ({ name, type, mac }: Pick<LinkState, 'name' | 'type' | 'mac'>): boolean =>
  (type === '' || type === 'veth') && name !== 'lo' && !isLinkName(name) && mac !== HOST_MAC;

/** Hears the kernel for the core until the returned function is called. */
export function hearKernel(hearing: Hearing): () => void {
  const recount = new Recount(hearing);
  const stop = hearing.kernel.listen((heard) => {
    const event = coreEvent(heard);
    if (event !== undefined) hearing.enqueue(event);
    if (heard.kind === 'link-gone') recount.gone(heard.index);
    if (heard.kind === 'changed' && heard.what === 'lost') recount.begin();
  });
  return () => {
    recount.end();
    stop();
  };
}

/** The core's view of a kernel event; undefined when it is none of its business. */
export function coreEvent(event: KernelEvent): Event | undefined {
  if (event.kind === 'changed') return { kind: 'kernel-changed', ...(event.what === 'lost' && { lost: true }) };
  if (event.kind === 'pod-changed') return event;
  const { mac, name, index } = event;
  if (event.kind === 'link-gone') return { kind: 'link-gone', mac, name, index };
  return isNic(event) ? { kind: 'link-seen', mac, name, index, mtu: event.mtu } : undefined;
}

export interface Hearing {
  readonly kernel: Pick<Kernel, 'listen' | 'read'>;
  readonly clock: Clock;
  readonly state: State;
  readonly enqueue: (event: Event) => void;
}

/** Where notifications were lost the links are read, again until that succeeds, and the core is told what it missed. */
class Recount {
  private readonly hearing: Hearing;
  /** Went while a read was under way, which may still show them. */
  private readonly wentMeanwhile = new Set<number>();
  private isWanted = false;
  private isUnderWay = false;
  private isOver = false;
  private cancelRetry: (() => void) | undefined;

  constructor(hearing: Hearing) {
    this.hearing = hearing;
  }

  /** What is lost while a read is under way may be missing in it: the next one follows. */
  begin(): void {
    this.isWanted = true;
    if (!this.isUnderWay) this.read();
  }

  gone(index: number): void {
    if (this.isUnderWay) this.wentMeanwhile.add(index);
  }

  end(): void {
    this.isOver = true;
    this.cancelRetry?.();
  }

  private read(): void {
    this.isWanted = false;
    this.isUnderWay = true;
    missedEvents(this.hearing)
      .then(
        (events) => {
          for (const event of events) if (!this.wentMeanwhile.has(event.index)) this.hearing.enqueue(event);
        },
        () => this.retry(),
      )
      .then(() => {
        this.isUnderWay = false;
        this.wentMeanwhile.clear();
        if (this.isWanted && !this.isOver) this.read();
      });
  }

  private retry(): void {
    const { clock } = this.hearing;
    this.cancelRetry?.();
    if (!this.isOver) this.cancelRetry = clock.timer(clock.nowMs() + RECOUNT_RETRY_MS, () => this.begin());
  }
}

type LinkEvent = Extract<Event, { readonly kind: 'link-seen' | 'link-gone' }>;

/**
 * What the kernel would have told: the links that the core knows and that are there no more, then all NICs. The kernel
 * answers in the order in which it is asked, so a pod that is wired after its rows were looked at here is not missing.
 */
async function missedEvents({ state, kernel }: Hearing): Promise<LinkEvent[]> {
  const nics = [...state.all('link')];
  const pods = [...state.all('lease')].filter((lease) => lease.busy !== 'wire');
  const host = await kernel.read();
  if (host === undefined) throw new Error(UNREADABLE);
  const indexes = new Set(host.links.map(({ index }) => index));
  const names = new Set(host.links.map(({ name }) => name));
  const gone = [
    ...nics.filter(({ index }) => !indexes.has(index)),
    ...pods
      .map(({ key, linkIndex: index }) => ({ mac: HOST_MAC, name: linkName(key), index }))
      .filter(({ name }) => !names.has(name)),
  ];
  return [
    ...gone.map(({ mac, name, index }): LinkEvent => ({ kind: 'link-gone', mac, name, index })),
    ...nicsOf(host).map((nic): LinkEvent => ({ kind: 'link-seen', ...nic })),
  ];
}
