/**
 * Deleting connection tracking entries (linux/netfilter/nfnetlink_conntrack.h).
 * Two passes cover an address whichever side of an entry it is on: source of the original direction (its own
 * connections) and source of the reply (connections to it, also through DNAT).
 */
import { type Family, familyOf, type Ip, ipBytes } from '../core/ip.ts';
import { SystemError } from './errno.ts';
import { attributeMap, encodeMessage, type Message, type MessageWriter, NLM } from './netlink.ts';
import type { NetlinkSocket } from './netlink-socket.ts';
import { answerText } from './netlink-socket.ts';
import { addressFamily } from './rtnetlink/family.ts';

const SUBSYSTEM = 1;
const IPCTNL_MSG_CT = { GET: 1, DELETE: 2 } as const;
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, MARK: 8, ZONE: 18, MARK_MASK: 21, FILTER: 25 } as const;
const CTA_TUPLE_IP = 1;
/** CTA_IP_V4_SRC and CTA_IP_V6_SRC. */
const IP_SOURCE = { 4: 1, 6: 3 } as const;
const FILTER_FLAGS = { original: 1, reply: 2 } as const;
/** CTA_FILTER_F_CTA_IP_SRC: of the tuple, compare the source alone. */
const ONLY_SOURCE = 1;
const NFGEN_BYTES = 4;

export type Direction = 'original' | 'reply';

/** All entries whose source in this direction is the address. EOPNOTSUPP on kernels that filter dumps only. */
export function deleteBySource(ip: Ip, direction: Direction): Buffer {
  return conntrackMessage({ message: IPCTNL_MSG_CT.DELETE, family: familyOf(ip) }, (writer) => {
    const tuple = direction === 'original' ? CTA.TUPLE_ORIG : CTA.TUPLE_REPLY;
    writer.nest(tuple, () => {
      writer.nest(CTA_TUPLE_IP, () => writer.attribute(IP_SOURCE[familyOf(ip)], ipBytes(ip)));
    });
    writer.nest(CTA.FILTER, () => {
      writer.attributeU32(FILTER_FLAGS.original, direction === 'original' ? ONLY_SOURCE : 0);
      writer.attributeU32(FILTER_FLAGS.reply, direction === 'reply' ? ONLY_SOURCE : 0);
    });
  });
}

/** All entries of both families whose mark has this value under the mask. */
export function deleteByMark({ mark, mask }: { readonly mark: number; readonly mask: number }): Buffer {
  return conntrackMessage({ message: IPCTNL_MSG_CT.DELETE }, (writer) => {
    writer.attributeU32be(CTA.MARK, mark);
    writer.attributeU32be(CTA.MARK_MASK, mask);
  });
}

export const dumpEntries = (family: Family): Buffer =>
  conntrackMessage({ message: IPCTNL_MSG_CT.GET, family, flags: NLM.DUMP });

/** An entry as far as it takes to choose and to delete it. */
export interface Entry {
  readonly family: Family;
  readonly sources: Readonly<Record<Direction, Buffer>>;
  /** CTA_TUPLE_ORIG and CTA_ZONE as they came. */
  readonly original: Buffer;
  readonly zone: Buffer | undefined;
}

export function decodeEntry({ payload }: Message, family: Family): Entry {
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const tuple = (type: number) => attributes.get(type) ?? Buffer.alloc(0);
  const source = (type: number) =>
    Buffer.from(
      attributeMap(attributeMap(tuple(type)).get(CTA_TUPLE_IP) ?? Buffer.alloc(0)).get(IP_SOURCE[family]) ?? [],
    );
  const zone = attributes.get(CTA.ZONE);
  return {
    family,
    sources: { original: source(CTA.TUPLE_ORIG), reply: source(CTA.TUPLE_REPLY) },
    original: Buffer.from(tuple(CTA.TUPLE_ORIG)),
    zone: zone && Buffer.from(zone),
  };
}

export const deleteEntry = ({ family, original, zone }: Entry): Buffer =>
  conntrackMessage({ message: IPCTNL_MSG_CT.DELETE, family }, (writer) => {
    writer.nest(CTA.TUPLE_ORIG, () => writer.bytes(original));
    if (zone !== undefined) writer.attribute(CTA.ZONE, zone);
  });

/**
 * False when this kernel has no connection tracking over netlink. A kernel that cannot delete by filter is asked for one
 * dump a family, and entries are deleted one by one. Throws SystemError for any other refusal.
 */
export function flushConntrack(socket: NetlinkSocket, what: FlushTarget): boolean {
  const messages =
    'mark' in what
      ? [deleteByMark(what)]
      : what.addresses.flatMap((ip) => [deleteBySource(ip, 'original'), deleteBySource(ip, 'reply')]);
  const refusals = socket.request(messages).flatMap((answer) => (answer === undefined ? [] : [answer]));
  // ENOENT: no entry matched.
  const refusal = refusals.find((answer) => answerText(answer).errno !== 'ENOENT');
  if (refusal === undefined) return true;
  const { errno } = answerText(refusal);
  if (errno === 'EOPNOTSUPP' && 'addresses' in what) return flushOneByOne(socket, what.addresses);
  if (errno === 'EOPNOTSUPP' || errno === 'EINVAL') return false;
  throw new SystemError('delete conntrack entries', refusal.errno);
}

export type FlushTarget = { readonly addresses: readonly Ip[] } | { readonly mark: number; readonly mask: number };

/** One dump a family, however many addresses. */
export function flushOneByOne(socket: NetlinkSocket, addresses: readonly Ip[]): boolean {
  for (const family of [4, 6] as const) {
    const wanted = new Set(addresses.filter((ip) => familyOf(ip) === family).map((ip) => hex(ipBytes(ip))));
    if (wanted.size === 0) continue;
    const entries = socket
      .dump(dumpEntries(family), (message) => decodeEntry(message, family))
      .filter(({ sources }) => wanted.has(hex(sources.original)) || wanted.has(hex(sources.reply)));
    for (const answer of socket.request(entries.map(deleteEntry))) {
      // ENOENT: it ended meanwhile.
      if (answer !== undefined && answerText(answer).errno !== 'ENOENT') {
        throw new SystemError('delete a conntrack entry', answer.errno);
      }
    }
  }
  return true;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function conntrackMessage(
  { message, family, flags = 0 }: { readonly message: number; readonly family?: Family; readonly flags?: number },
  write: (writer: MessageWriter) => void = () => {},
): Buffer {
  return encodeMessage({ type: (SUBSYSTEM << 8) | message, flags }, (writer) => {
    writer.u8(family === undefined ? 0 : addressFamily(family));
    writer.u8(0);
    writer.u16be(0);
    write(writer);
  });
}
