/**
 * Hears the kernel: the host's rtnetlink and nf_tables groups, and rtnetlink of every namespace that the host has a
 * number for (the peer of a veth gives it one), through one socket with NETLINK_LISTEN_ALL_NSID.
 * One poll on libuv's pool waits for all subscriptions of the worker, at most 500 ms at a time, so that the worker's own
 * loop stays free and the process can exit.
 * What the kernel tells nobody of (accept_ra, addr_gen_mode, use_oif_addrs_only) or tells without saying who did it is
 * read from time to time, and told where it is not as it was.
 */
import { closeSync, readSync, writeSync } from 'node:fs';
import { systemClock } from '../ports/clock.ts';
import type { KernelEvent } from '../ports/kernel.ts';
import type { Netns } from './deeds.ts';
import { addressOf, eventfd, MSG_DONTWAIT, poll, receiveMessage, SOL } from './libc.ts';
import { codeOf } from './namespace.ts';
import { parseMessages } from './netlink.ts';
import { NETLINK, NetlinkSocket } from './netlink-socket.ts';
import {
  type Interest,
  NFT_UNHEARD,
  type Notified,
  newPodMtus,
  nftEvents,
  POD_GROUPS,
  podMtu,
  routeEvents,
  routeUnheard,
} from './notification.ts';
import { readQuiet } from './read.ts';
import { decodeLink, dumpLinks, dumpLinksOf, getLinkAt, otherEndOf } from './rtnetlink/link.ts';
import { Session } from './session.ts';

/** RTNLGRP_*: link, neighbour, traffic control, IPv4 and IPv6 addresses, routes, rules and NETCONF. */
const ROUTE_GROUPS = [1, 3, 4, 5, 7, 8, 9, 11, 19, 24, 25] as const;
/** NFNLGRP_NFTABLES. */
const NFT_GROUP = 7;
/** A burst of 250 pods is about 1 MB of notifications. */
const BUFFER_BYTES = 1 << 22;
const POLL_MS = 500;
const POLLIN = 1;
/** A jump in the filter spans 255 instructions; of a link with one more each change is looked at. */
const MTU_COUNT_MAX = 64;
/** cmsg type of the namespace's number. */
const CMSG_NSID = 8;

const LOST: KernelEvent = { kind: 'changed', what: 'lost' };

class Ears {
  private readonly socket: NetlinkSocket;
  private readonly datagram = Buffer.alloc(1 << 16);
  private readonly control = Buffer.alloc(64);
  /** struct iovec, struct msghdr. */
  private readonly vector = Buffer.alloc(16);
  private readonly header = Buffer.alloc(56);

  constructor(socket: NetlinkSocket) {
    this.socket = socket;
    this.socket.enlargeBuffers(BUFFER_BYTES);
    this.vector.writeBigUInt64LE(BigInt(addressOf(this.datagram)), 0);
    this.vector.writeBigUInt64LE(BigInt(this.datagram.length), 8);
  }

  get fd(): number {
    return this.socket.fd;
  }

  /** Queues nothing more that the program drops. */
  filter(program: Buffer): void {
    this.socket.filter(program);
  }

  /** All that is queued; `lost` when the queue overflowed. */
  drain(): { readonly notified: readonly Notified[]; readonly lost: boolean } {
    const notified: Notified[] = [];
    let lost = false;
    for (;;) {
      try {
        notified.push(...this.receive());
      } catch (error) {
        if (codeOf(error) === 'EAGAIN') return { notified, lost };
        if (codeOf(error) !== 'ENOBUFS') throw error;
        lost = true;
      }
    }
  }

  close(): void {
    this.socket.close();
  }

  private receive(): Notified[] {
    this.header.fill(0);
    this.header.writeBigUInt64LE(BigInt(addressOf(this.vector)), 16);
    this.header.writeBigUInt64LE(1n, 24);
    this.header.writeBigUInt64LE(BigInt(addressOf(this.control)), 32);
    this.header.writeBigUInt64LE(BigInt(this.control.length), 40);
    const length = receiveMessage(this.fd, this.header, MSG_DONTWAIT);
    const from = namespaceNumber(this.control.subarray(0, Number(this.header.readBigUInt64LE(40))));
    // A copy: the next datagram takes this one's place before these are looked at.
    const messages = parseMessages(Buffer.from(this.datagram.subarray(0, length)));
    return messages.map((message) => ({ message, ...from }));
  }
}

/** struct cmsghdr: length, level, type; then the number. Our own namespace's messages have none. */
const namespaceNumber = (control: Buffer): Pick<Notified, 'namespace'> =>
  control.length >= 20 && control.readInt32LE(8) === SOL.NETLINK && control.readInt32LE(12) === CMSG_NSID
    ? { namespace: control.readInt32LE(16) }
    : {};

export interface Heard extends Omit<Interest, 'podMtus'> {
  /** How often that is read of which the kernel tells nobody. */
  readonly quietEveryMs: number;
}

export class Subscription {
  private readonly session: Session;
  private readonly route: Ears;
  private readonly nft: Ears;
  private readonly interest: Heard;
  private readonly tell: (events: readonly KernelEvent[]) => void;
  /** An MTU beside these was set by others; ENIs have few. */
  private readonly podMtus: Set<number>;
  /** What the kernel is quiet about, as it was read last. */
  private quiet: string;
  private quietAtMs: number;

  /** Throws NoNamespaceError, and whatever the kernel refuses; nothing is left of it then. */
  constructor(netns: Netns, interest: Heard, tell: (events: readonly KernelEvent[]) => void) {
    this.interest = interest;
    this.tell = tell;
    this.quietAtMs = systemClock.nowMs() + interest.quietEveryMs;
    this.session = new Session(netns);
    try {
      this.quiet = readQuiet(this.session);
      this.podMtus = new Set(this.session.route.dump(dumpLinks(), podMtu).flat());
      [this.route, this.nft] = openEars(this.session, routeUnheard({ podMtus: this.podMtus }));
    } catch (error) {
      this.session.close();
      throw error;
    }
  }

  get fds(): readonly number[] {
    return [this.route.fd, this.nft.fd];
  }

  hear(): void {
    const route = this.route.drain();
    const nft = this.nft.drain();
    const events: KernelEvent[] = route.lost || nft.lost ? [LOST] : [];
    try {
      this.learn(newPodMtus(route.notified));
      const interest = { ...this.interest, podMtus: this.podMtus };
      events.push(
        ...routeEvents(route.notified, interest, {
          podLinks: (namespace) => podLinks(this.session, namespace),
          hasLink: (index) => 'payload' in this.session.route.query(getLinkAt(index)),
        }),
        ...nftEvents(nft.notified, interest),
        ...(this.hasQuietlyChanged() ? [{ kind: 'changed', what: 'sysctl' } as const] : []),
      );
    } catch {
      // Changes interrupted a read every time: nobody knows whose.
      events.push(LOST);
    }
    if (events.length > 0) this.tell(events);
  }

  /** From then on the kernel need not tell of links with these. */
  private learn(mtus: readonly number[]): void {
    const { size } = this.podMtus;
    for (const mtu of mtus) if (this.podMtus.size < MTU_COUNT_MAX) this.podMtus.add(mtu);
    if (this.podMtus.size > size) this.route.filter(routeUnheard({ podMtus: this.podMtus }));
  }

  private hasQuietlyChanged(): boolean {
    const nowMs = systemClock.nowMs();
    if (nowMs < this.quietAtMs) return false;
    this.quietAtMs = nowMs + this.interest.quietEveryMs;
    const before = this.quiet;
    this.quiet = readQuiet(this.session);
    return this.quiet !== before;
  }

  close(): void {
    this.route.close();
    this.nft.close();
    this.session.close();
  }
}

function openEars(session: Session, unheard: Buffer): [route: Ears, nft: Ears] {
  return session.inside(() => {
    const open: NetlinkSocket[] = [];
    try {
      const route = new NetlinkSocket(NETLINK.ROUTE);
      open.push(route);
      const nft = new NetlinkSocket(NETLINK.NETFILTER);
      open.push(nft);
      route.filter(unheard);
      nft.filter(NFT_UNHEARD);
      for (const group of ROUTE_GROUPS) route.join(group);
      route.hearAllNamespaces();
      nft.join(NFT_GROUP);
      return [new Ears(route), new Ears(nft)];
    } catch (error) {
      // It will be tried again: nothing may be left of it.
      for (const socket of open) socket.close();
      throw error;
    }
  });
}

/** The indexes of the host's links that lead into the namespace; none where it is gone by now. */
function podLinks({ route }: Session, namespace: number): number[] {
  const isPods = (group: number) => group >>> 16 === POD_GROUPS;
  return route.dumpSupported(dumpLinksOf(namespace), (message) =>
    isPods(decodeLink(message).group) ? otherEndOf(message) : undefined,
  );
}

/** All subscriptions of the worker. */
export class Listener {
  private readonly subscriptions = new Map<number, Subscription>();
  private readonly alarm = eventfd();
  private waiting = false;

  add(id: number, subscription: Subscription): void {
    this.subscriptions.set(id, subscription);
    if (this.waiting) this.wake();
    else void this.wait();
  }

  remove(id: number): void {
    const subscription = this.subscriptions.get(id);
    this.subscriptions.delete(id);
    subscription?.close();
    this.wake();
  }

  close(): void {
    for (const id of [...this.subscriptions.keys()]) this.remove(id);
    if (!this.waiting) closeSync(this.alarm);
  }

  private wake(): void {
    writeSync(this.alarm, new Uint8Array(BigUint64Array.of(1n).buffer));
  }

  private async wait(): Promise<void> {
    this.waiting = true;
    while (this.subscriptions.size > 0) {
      await poll(pollfds([this.alarm, ...[...this.subscriptions.values()].flatMap(({ fds }) => fds)]), POLL_MS);
      this.hush();
      for (const subscription of this.subscriptions.values()) subscription.hear();
    }
    this.waiting = false;
  }

  /** An eventfd that is at 0 answers EAGAIN. */
  private hush(): void {
    try {
      readSync(this.alarm, new Uint8Array(8));
    } catch (error) {
      if (codeOf(error) !== 'EAGAIN') throw error;
    }
  }
}

/** An array of struct pollfd. */
function pollfds(fds: readonly number[]): Buffer {
  const array = Buffer.alloc(8 * fds.length);
  for (const [at, fd] of fds.entries()) {
    array.writeInt32LE(fd, 8 * at);
    array.writeInt16LE(POLLIN, 8 * at + 4);
  }
  return array;
}
