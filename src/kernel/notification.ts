/**
 * What a notification of the kernel means to us (pure).
 *
 * Told by the port in the message: changes of links, addresses, IPv4 and IPv6 routes, rules, neighbours and nf_tables that
 * our own sockets made are not others' changes, and are not reported. Port 0 is the kernel's own doing. On the host a
 * removal by it counts (IPv6 routes go with a link that was set down) and the setting down itself, since IPv4 routes go
 * without a word, unless the link itself went in the same burst. So it is in a pod, of which only that it was changed is
 * told: the kernel takes a namespace's number away before it takes the namespace apart, so of its end nothing is heard.
 * Not told apart: a sysctl written through /proc by us (NETCONF has no port); it is reported once and found right.
 * Not told: a pod's link that came, went up or was fenced, which is our own doing; only that it was set down, has an MTU
 * with which no pod's link was made, has another name or MAC, or is gone. Of a change of the link itself the kernel never
 * says who asked for it: of a MAC it flushes the permanent neighbours, of a name it makes the link's NETCONF anew.
 *
 * Most of this is decided in the kernel (`routeUnheard`): wiring one pod makes about thirty notifications, and to wake up for
 * them and take them apart cost the worker 0.5 ms beside the answer to the ADD. A filter sees no namespace and, of a
 * route, no protocol: what it lets through is looked at here.
 */
import { isLinkName } from '../core/link-name.ts';
import type { KernelEvent } from '../ports/kernel.ts';
import { attributeMap, attributeText, HEADER_BYTES, type Message, parseAttributes } from './netlink.ts';
import { isOwnPort, OWN_TAG, TAG_MASK } from './own-port.ts';
import { type Condition, dropFilter } from './packet-filter.ts';
import { RTM_ADDRESS } from './rtnetlink/address.ts';
import { decodeLink, IFF_UP, IFLA_GROUP, IFLA_MTU, LINK_HEADER, LOOPBACK, RTM_LINK } from './rtnetlink/link.ts';
import { isPermanent, NUD_PERMANENT, RTM_NEIGHBOUR } from './rtnetlink/neighbour.ts';
import { isRootTbf, RTM_QDISC } from './rtnetlink/qdisc.ts';
import { RTM_ROUTE } from './rtnetlink/route.ts';
import { RTM_RULE } from './rtnetlink/rule.ts';

const RTM_NETCONF = { NEW: 80, DELETE: 81 } as const;
const RTA_OIF = 4;
const ROUTE_HEADER = 12;
const FRA_PROTOCOL = 21;
const RULE_HEADER = 12;
const NETCONF_HEADER = 4;
const NETCONFA_IFINDEX = 1;
const NFGEN_BYTES = 4;
/** NFTA_TABLE_NAME and every other object's *_TABLE. */
const NFTA_TABLE = 1;
const NFT_NEWGEN = (10 << 8) | 15;

export interface Notified {
  readonly message: Message;
  /** Our number for the namespace where it is not ours. */
  readonly namespace?: number;
}

export interface Interest {
  readonly protocol: number;
  readonly nftTables: readonly string[];
  /** With which pods' links were made. */
  readonly podMtus: ReadonlySet<number>;
}

/** The upper half of every group that a pod's link can be in (src/datapath/numbering.ts); no other link is in one. */
export const POD_GROUPS = 0x5557;
/** Of a pod's link in another of these groups nobody cares: it goes down because it goes. */
const LIVE_GROUP = 0x5557_0000;
/** ifi_change of a link that has just come. */
const ALL_FLAGS = 0xffff_ffff;
/** Header, index and one value. */
const NETCONF_CHANGE_BYTES = 36;

const length = { at: 0, bytes: 4 } as const;
const type = { at: 4, bytes: 2 } as const;
const port = { at: 12, bytes: 4 } as const;
const isOwn: Condition = { load: { ...port, mask: TAG_MASK }, is: [OWN_TAG] };
const isNewLink: Condition = { load: type, is: [RTM_LINK.NEW] };
const from = HEADER_BYTES + LINK_HEADER;
const isPod: Condition = { load: { attribute: IFLA_GROUP, from, part: 'upper-half' }, is: [POD_GROUPS] };
const hasMtuOf = (mtus: Iterable<number>): Condition => ({
  // No link has 0.
  load: { attribute: IFLA_MTU, from, part: 'whole' },
  is: [0, ...mtus],
});
const isLoopback: Condition = { load: { at: HEADER_BYTES + 2, bytes: 2 }, is: [LOOPBACK] };
const flags = { at: HEADER_BYTES + 8, bytes: 4 } as const;
const change = { at: HEADER_BYTES + 12, bytes: 4 } as const;

/** What the kernel need not queue for us, as a program for the socket. */
export const routeUnheard = ({ podMtus }: Pick<Interest, 'podMtus'>): Buffer =>
  dropFilter([
    [isOwn, { load: type, is: [RTM_LINK.NEW, RTM_LINK.DELETE], unless: true }],
    // All of a pod's link but that it was set down, or has another MTU.
    [isNewLink, { load: { ...flags, mask: IFF_UP }, is: [IFF_UP] }, isPod, hasMtuOf(podMtus)],
    [isNewLink, { load: { ...change, mask: IFF_UP }, is: [0] }, isPod, hasMtuOf(podMtus)],
    [isNewLink, { load: change, is: [ALL_FLAGS] }, isPod, hasMtuOf(podMtus)],
    // Each new namespace's.
    [isNewLink, { load: { ...flags, mask: IFF_UP }, is: [IFF_UP] }, isLoopback],
    [isNewLink, { load: { ...change, mask: IFF_UP }, is: [0] }, isLoopback],
    [isNewLink, { load: change, is: [ALL_FLAGS] }, isLoopback],
    [
      { load: type, is: [RTM_NETCONF.NEW] },
      { load: length, is: [NETCONF_CHANGE_BYTES], unless: true },
    ],
    // What follows from a link and its addresses, such as ff00::/8.
    [
      { load: port, is: [0] },
      { load: type, is: [RTM_ADDRESS.NEW, RTM_ROUTE.NEW, RTM_NEIGHBOUR.NEW, RTM_RULE.NEW] },
    ],
    [
      { load: port, is: [0] },
      { load: type, is: [RTM_NEIGHBOUR.DELETE] },
      { load: { at: HEADER_BYTES + 8, bytes: 2 }, is: [NUD_PERMANENT], unless: true },
    ],
  ]);
export const NFT_UNHEARD = dropFilter([[isOwn]]);

type Change = Extract<KernelEvent, { kind: 'changed' }>['what'];
interface Found {
  readonly what: Change;
  /** The link that it hung on. */
  readonly index?: number | undefined;
  /** Told of a link that is about to go as well. */
  readonly ifThere?: boolean;
}

/** What is asked of the host's namespace when a burst is understood. */
export interface Host {
  /** The indexes of its links that lead into a namespace. */
  podLinks(namespace: number): readonly number[];
  hasLink(index: number): boolean;
}

/**
 * The events of one burst of rtnetlink: each link once, as it was last, each kind of change once, and each pod once.
 */
export function routeEvents(notified: readonly Notified[], interest: Interest, host: Host): KernelEvent[] {
  const links = new Map<number, KernelEvent>();
  const found: Found[] = [];
  const pods = new Set<number>();
  for (const { message, namespace } of notified) {
    try {
      if (namespace === undefined) seeLink(links, message);
      const change = isOthers(message, namespace) ? changeOf(message, interest) : undefined;
      if (change === undefined) continue;
      if (namespace === undefined) found.push(change);
      else pods.add(namespace);
    } catch {
      // Cut short, or of a shape that no kernel we know has: what it told is lost.
      found.push({ what: 'lost' });
    }
  }
  const isGone = ({ index, ifThere = false }: Found) =>
    index !== undefined && (links.get(index)?.kind === 'link-gone' || (ifThere && !host.hasLink(index)));
  const changes = new Set(found.filter((change) => !isGone(change)).map(({ what }) => what));
  return [
    ...links.values(),
    ...[...changes].map((what): KernelEvent => ({ kind: 'changed', what })),
    ...[...pods]
      .flatMap((namespace) => host.podLinks(namespace))
      .map((index): KernelEvent => ({ kind: 'pod-changed', index })),
  ];
}

/** The MTUs of pods' links that have just been made. */
export function newPodMtus(notified: readonly Notified[]): number[] {
  return notified.flatMap(({ message }) => {
    const { type, payload } = message;
    if (type !== RTM_LINK.NEW || payload.length < LINK_HEADER || payload.readUInt32LE(12) !== ALL_FLAGS) return [];
    return podMtu(message);
  });
}

/** Empty for another's link. */
export function podMtu(message: Message): readonly number[] {
  const { group, mtu } = decodeLink(message);
  return group >>> 16 === POD_GROUPS ? [mtu] : [];
}

export function nftEvents(notified: readonly Notified[], { nftTables }: Pick<Interest, 'nftTables'>): KernelEvent[] {
  const changed = notified.some(({ message, namespace }) => {
    if (namespace !== undefined || message.type === NFT_NEWGEN || isOwnPort(message.port)) return false;
    const table = attributeMap(message.payload, NFGEN_BYTES).get(NFTA_TABLE);
    return table !== undefined && nftTables.includes(attributeText(table));
  });
  return changed ? [{ kind: 'changed', what: 'nft' }] : [];
}

function seeLink(links: Map<number, KernelEvent>, message: Message): void {
  // A bridge port's own messages have family AF_BRIDGE and come beside the link's.
  if (message.payload[0] !== 0) return;
  if (message.type === RTM_LINK.NEW) {
    const { name, index, mac, mtu, type } = decodeLink(message);
    links.set(index, { kind: 'link-seen', name, index, mac, mtu, type });
  } else if (message.type === RTM_LINK.DELETE) {
    const { name, index, mac } = decodeLink(message);
    links.set(index, { kind: 'link-gone', name, index, mac });
  }
}

function isOthers(message: Message, namespace: number | undefined): boolean {
  const { type, port } = message;
  if (port !== 0) return !isOwnPort(port);
  // No sysctl of a pod's is ours.
  if (type === RTM_NETCONF.NEW || type === RTM_NETCONF.DELETE) return namespace === undefined;
  if (type === RTM_NEIGHBOUR.DELETE) return isPermanent(message);
  return [RTM_LINK.NEW, RTM_ADDRESS.DELETE, RTM_ROUTE.DELETE, RTM_RULE.DELETE].some((each) => each === type);
}

function changeOf(message: Message, interest: Interest): Found | undefined {
  const { protocol } = interest;
  const { type, payload } = message;
  switch (type) {
    case RTM_LINK.NEW:
      return isSetDown(message) || isStray(message) || isResized(message, interest)
        ? { what: 'link', index: payload.readUInt32LE(4) }
        : undefined;
    case RTM_ADDRESS.NEW:
    case RTM_ADDRESS.DELETE:
      return { what: 'address', index: payload.readUInt32LE(4) };
    case RTM_NEIGHBOUR.NEW:
    case RTM_NEIGHBOUR.DELETE:
      return { what: 'neighbour', index: payload.readUInt32LE(4) };
    case RTM_QDISC.NEW:
    case RTM_QDISC.DELETE:
      return isRootTbf(message) ? { what: 'qdisc', index: payload.readUInt32LE(4) } : undefined;
    case RTM_ROUTE.NEW:
    case RTM_ROUTE.DELETE: {
      if (payload[5] !== protocol) return undefined;
      return { what: 'route', index: attributeMap(payload, ROUTE_HEADER).get(RTA_OIF)?.readUInt32LE(0) };
    }
    case RTM_RULE.NEW:
    case RTM_RULE.DELETE:
      return attributeMap(payload, RULE_HEADER).get(FRA_PROTOCOL)?.[0] === protocol ? { what: 'rule' } : undefined;
    case RTM_NETCONF.NEW:
      // The index and one value: a change. All values at once: a link that has just come.
      return parseAttributes(payload, NETCONF_HEADER).length === 2 ? { what: 'sysctl' } : undefined;
    case RTM_NETCONF.DELETE:
      // Its files have the link's name: they went with the link, or with its name.
      return {
        what: 'link',
        index: attributeMap(payload, NETCONF_HEADER).get(NETCONFA_IFINDEX)?.readUInt32LE(0),
        ifThere: true,
      };
    default:
      return undefined;
  }
}

/** A pod's link that somebody took out of its group, by which its rights go. */
function isStray(message: Message): boolean {
  const { name, group } = decodeLink(message);
  return isLinkName(name) && group >>> 16 !== POD_GROUPS;
}

/** A pod's link, with an MTU with which none was made. */
function isResized(message: Message, { podMtus }: Interest): boolean {
  const { group, mtu } = decodeLink(message);
  return group === LIVE_GROUP && !podMtus.has(mtu);
}

function isSetDown(message: Message): boolean {
  const [up, changed] = [8, 12].map((at) => message.payload.readUInt32LE(at));
  if (up === undefined || changed === undefined || changed === ALL_FLAGS) return false;
  if ((changed & IFF_UP) === 0 || (up & IFF_UP) !== 0) return false;
  const { group } = decodeLink(message);
  return group === LIVE_GROUP || group >>> 16 !== POD_GROUPS;
}
