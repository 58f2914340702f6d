/**
 * Links in rtnetlink (linux/if_link.h, rtnetlink(7)): veth pairs made whole, changes in one message, and reads that
 * bring the per-link sysctls with them.
 */
import type { Mac } from '../../core/brand.ts';
import type { LinkChange, LinkState, SysctlObject } from '../../datapath/kernel-state.ts';
import { attributeMap, attributeText, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';

export const RTM_LINK = { NEW: 16, DELETE: 17, GET: 18, SET: 19 } as const;

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  QDISC: 6,
  MASTER: 10,
  LINKINFO: 18,
  IFALIAS: 20,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  TARGET_NETNSID: 46,
} as const;
const IFLA_INFO = { KIND: 1, DATA: 2 } as const;
const VETH_INFO_PEER = 1;
/** Of ifi_flags and ifi_change. */
export const IFF_UP = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const IFLA_INET_CONF = 1;
const IFLA_INET6 = { CONF: 2, ADDR_GEN_MODE: 8 } as const;
const ADDR_GEN_MODE_NONE = 1;
/** IPV4_DEVCONF_RP_FILTER (linux/ip.h); the array that a read gives starts at 1. */
const IPV4_RP_FILTER = 8;
/** DEVCONF_* of linux/ipv6.h; the array starts at 0. */
const IPV6_DEVCONF = { accept_ra: 3, use_oif_addrs_only: 37 } as const;
/** RTEXT_FILTER_SKIP_STATS: counters make half of a dump. */
const SKIP_STATS = 8;
/** struct ifinfomsg. */
export const LINK_HEADER = 16;
export const IFLA_GROUP = IFLA.GROUP;
export const IFLA_MTU = IFLA.MTU;
/** ARPHRD_LOOPBACK, of the header's type. */
export const LOOPBACK = 772;

export interface VethEnd {
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
  /** Left out, the kernel chooses. */
  readonly index?: number;
  readonly group?: number;
}

/**
 * Both ends in one message, the peer made directly in the namespace behind `netnsFd`. The kernel ignores an alias and
 * refuses IFLA_AF_SPEC here, so those are a second message.
 */
export function createVeth(end: VethEnd, peer: VethEnd, netnsFd: number): Buffer {
  return encodeMessage({ type: RTM_LINK.NEW, flags: NLM.CREATE | NLM.EXCL }, (writer) => {
    writeEnd(writer, end);
    writer.nest(IFLA.LINKINFO, () => {
      writer.attribute(IFLA_INFO.KIND, Buffer.from('veth'));
      writer.nest(IFLA_INFO.DATA, () => {
        writer.nest(VETH_INFO_PEER, () => {
          writeEnd(writer, peer);
          writer.attributeU32(IFLA.NET_NS_FD, netnsFd);
        });
      });
    });
  });
}

/** All of one change in one message (12 us). Found by name, so no index has to be known. */
export function setLink(change: LinkChange): Buffer {
  return encodeMessage({ type: RTM_LINK.SET }, (writer) => {
    const flags = change.up === undefined ? { value: 0, mask: 0 } : { value: change.up ? IFF_UP : 0, mask: IFF_UP };
    writeHeader(writer, { flags: flags.value, mask: flags.mask });
    writer.attributeText(IFLA.IFNAME, change.name);
    if (change.mac !== undefined) writer.attribute(IFLA.ADDRESS, macBytes(change.mac));
    if (change.mtu !== undefined) writer.attributeU32(IFLA.MTU, change.mtu);
    if (change.alias !== undefined) writer.attribute(IFLA.IFALIAS, Buffer.from(change.alias));
    if (change.group !== undefined) writer.attributeU32(IFLA.GROUP, change.group);
    writeFamilies(writer, change);
  });
}

/** Before Linux 6.2 of a link that is down alone (EBUSY). */
export const renameLink = (index: number, to: string): Buffer =>
  encodeMessage({ type: RTM_LINK.SET }, (writer) => {
    writeHeader(writer, { index });
    writer.attributeText(IFLA.IFNAME, to);
  });

export const deleteLink = (name: string): Buffer =>
  encodeMessage({ type: RTM_LINK.DELETE }, (writer) => {
    writeHeader(writer);
    writer.attributeText(IFLA.IFNAME, name);
  });

/** Every link of the group in one pass over RTNL. ENODEV when it is empty, EPERM for group 0. */
export const deleteGroup = (group: number): Buffer =>
  encodeMessage({ type: RTM_LINK.DELETE }, (writer) => {
    writeHeader(writer);
    writer.attributeU32(IFLA.GROUP, group);
  });

export const getLink = (name: string): Buffer =>
  encodeMessage({ type: RTM_LINK.GET }, (writer) => {
    writeHeader(writer);
    writer.attributeU32(IFLA.EXT_MASK, SKIP_STATS);
    writer.attributeText(IFLA.IFNAME, name);
  });

export const getLinkAt = (index: number): Buffer =>
  encodeMessage({ type: RTM_LINK.GET }, (writer) => {
    writeHeader(writer, { index });
    writer.attributeU32(IFLA.EXT_MASK, SKIP_STATS);
  });

export const dumpLinks = (): Buffer =>
  encodeMessage({ type: RTM_LINK.GET, flags: NLM.DUMP }, (writer) => {
    writeHeader(writer);
    writer.attributeU32(IFLA.EXT_MASK, SKIP_STATS);
  });

/** Of another namespace, by our number for it (Linux 4.20). */
export const dumpLinksOf = (namespace: number): Buffer =>
  encodeMessage({ type: RTM_LINK.GET, flags: NLM.DUMP }, (writer) => {
    writeHeader(writer);
    writer.attributeU32(IFLA.EXT_MASK, SKIP_STATS);
    writer.attributeU32(IFLA.TARGET_NETNSID, namespace);
  });

/** A veth's other end, which may be in another namespace, by its index there; undefined for a link that has none. */
export const otherEndOf = ({ payload }: Message): number | undefined =>
  attributeMap(payload, LINK_HEADER).get(IFLA.LINK)?.readUInt32LE(0);

export const indexOf = ({ payload }: Message): number => payload.readInt32LE(4);

type Attributes = ReadonlyMap<number, Buffer>;

/** Of RTM_NEWLINK and RTM_DELLINK. */
export const decodeLink = (message: Message): LinkState =>
  linkFrom(message, attributeMap(message.payload, LINK_HEADER));

/** What a read of a link brings with it, taken apart once. */
export interface ReadLink {
  readonly link: LinkState;
  /** Those that the datapath sets, so that no file is opened. */
  readonly sysctls: readonly SysctlObject[];
  /** The kind of its root queue, such as `noqueue` or `tbf`. */
  readonly queueKind: string;
}

export function decodeReadLink(message: Message): ReadLink {
  const attributes = attributeMap(message.payload, LINK_HEADER);
  const link = linkFrom(message, attributes);
  const families = attributeMap(attributes.get(IFLA.AF_SPEC) ?? Buffer.alloc(0));
  return { link, sysctls: linkSysctls(link.name, families), queueKind: textOf(attributes, IFLA.QDISC) };
}

const textOf = (attributes: Attributes, type: number): string => attributeText(attributes.get(type) ?? Buffer.alloc(0));

function linkFrom(message: Message, attributes: Attributes): LinkState {
  const info = attributes.get(IFLA.LINKINFO);
  const peer = attributes.get(IFLA.LINK);
  const kind = info && attributeMap(info).get(IFLA_INFO.KIND);
  return {
    name: textOf(attributes, IFLA.IFNAME),
    index: indexOf(message),
    mac: macText(attributes.get(IFLA.ADDRESS)),
    mtu: attributes.get(IFLA.MTU)?.readUInt32LE(0) ?? 0,
    up: (message.payload.readUInt32LE(8) & IFF_UP) !== 0,
    group: attributes.get(IFLA.GROUP)?.readUInt32LE(0) ?? 0,
    alias: textOf(attributes, IFLA.IFALIAS),
    type: kind === undefined ? '' : attributeText(kind),
    ...(peer && { peer: peer.readUInt32LE(0) }),
    ...(attributes.has(IFLA.MASTER) && { enslaved: true }),
  };
}

function linkSysctls(name: string, families: Attributes): SysctlObject[] {
  const inet = attributeMap(families.get(AF_INET) ?? Buffer.alloc(0)).get(IFLA_INET_CONF);
  const inet6 = attributeMap(families.get(AF_INET6) ?? Buffer.alloc(0));
  const sysctls: SysctlObject[] = [];
  const add = (path: string, value: number) => {
    // A link's name may hold a dot, never a slash, so the path needs no escapes.
    sysctls.push({ kind: 'sysctl', path, value: String(value) });
  };
  if (inet !== undefined) add(`net/ipv4/conf/${name}/rp_filter`, inet.readInt32LE(4 * (IPV4_RP_FILTER - 1)));
  const conf6 = inet6.get(IFLA_INET6.CONF);
  for (const [key, at] of conf6 === undefined ? [] : Object.entries(IPV6_DEVCONF)) {
    add(`net/ipv6/conf/${name}/${key}`, conf6?.readInt32LE(4 * at) ?? 0);
  }
  const mode = inet6.get(IFLA_INET6.ADDR_GEN_MODE)?.[0];
  if (mode !== undefined) add(`net/ipv6/conf/${name}/addr_gen_mode`, mode);
  return sysctls;
}

/**
 * One queue each way, asked for: a veth that is not told gets one for each CPU, is cut down to one that is used, and
 * holds RTNL for that through an expedited RCU grace period, once for each end (0.2 to 0.6 ms).
 */
function writeEnd(writer: MessageWriter, { name, mac, mtu, index = 0, group }: VethEnd): void {
  writeHeader(writer, { index });
  writer.attributeText(IFLA.IFNAME, name);
  writer.attribute(IFLA.ADDRESS, macBytes(mac));
  writer.attributeU32(IFLA.MTU, mtu);
  writer.attributeU32(IFLA.NUM_TX_QUEUES, 1);
  writer.attributeU32(IFLA.NUM_RX_QUEUES, 1);
  if (group !== undefined) writer.attributeU32(IFLA.GROUP, group);
}

function writeFamilies(writer: MessageWriter, { rpFilter, noAddrGen }: LinkChange): void {
  if (rpFilter === undefined && noAddrGen !== true) return;
  writer.nest(IFLA.AF_SPEC, () => {
    if (rpFilter !== undefined) {
      writer.nest(AF_INET, () => writer.nest(IFLA_INET_CONF, () => writer.attributeU32(IPV4_RP_FILTER, rpFilter)));
    }
    if (noAddrGen === true) {
      writer.nest(AF_INET6, () => writer.attributeU8(IFLA_INET6.ADDR_GEN_MODE, ADDR_GEN_MODE_NONE));
    }
  });
}

/** struct ifinfomsg. */
function writeHeader(writer: MessageWriter, { index = 0, flags = 0, mask = 0 } = {}): void {
  writer.u8(0);
  writer.u8(0);
  writer.u16(0);
  writer.u32(index);
  writer.u32(flags);
  writer.u32(mask);
}

export const macBytes = (mac: Mac): Uint8Array => Uint8Array.from(mac.split(':'), (hex) => Number.parseInt(hex, 16));

/** Empty for a link that has none, such as a tunnel. */
export const macText = (bytes: Uint8Array | undefined): Mac =>
  Array.from(bytes ?? [], (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
