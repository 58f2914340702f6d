/**
 * Neighbours in rtnetlink (linux/neighbour.h): permanent ones are ours; what the kernel learns by itself is never read as
 * state, it can only be asked for.
 */
import { type Family, familyOf, type Ip, ipBytes, ipFromBytes } from '../../core/ip.ts';
import type { NeighbourObject } from '../../datapath/kernel-state.ts';
import { attributeMap, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';
import { addressFamily, familyFrom, type LinkName } from './family.ts';
import { macBytes, macText } from './link.ts';

export const RTM_NEIGHBOUR = { NEW: 28, DELETE: 29, GET: 30 } as const;

const NDA = { DST: 1, LLADDR: 2, IFINDEX: 8 } as const;
export const NUD_PERMANENT = 0x80;
/** Reachable, stale, delay, probe, no-arp, permanent: a packet to it is sent at once. */
const NUD_VALID = 0xde;
/** The kernel is to look for it now, as if a packet waited. */
const NTF_USE = 0x01;
const HEADER = 12;

export const putNeighbour = (object: NeighbourObject, index: number): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.NEW, flags: NLM.CREATE | NLM.REPLACE }, (writer) => {
    writeNeighbour(writer, object, index);
    writer.attribute(NDA.LLADDR, macBytes(object.mac));
  });

export const removeNeighbour = (object: NeighbourObject, index: number): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.DELETE }, (writer) => writeNeighbour(writer, object, index));

export const getNeighbour = (address: Ip, index: number): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.GET }, (writer) => writeHeader(writer, { address, index }));

/** Whether the answer to `getNeighbour` has the neighbour's MAC. */
export const isValidNeighbour = ({ payload }: Message): boolean => (payload.readUInt16LE(8) & NUD_VALID) !== 0;

export const isPermanent = ({ payload }: Message): boolean => (payload.readUInt16LE(8) & NUD_PERMANENT) !== 0;

/** Forgets a neighbour that may be waited for already, and solicits it anew. */
export const askNeighbour = (address: Ip, index: number): Buffer[] => [
  encodeMessage({ type: RTM_NEIGHBOUR.DELETE }, (writer) => writeHeader(writer, { address, index })),
  encodeMessage({ type: RTM_NEIGHBOUR.NEW, flags: NLM.CREATE }, (writer) =>
    writeHeader(writer, { address, index, flags: NTF_USE }),
  ),
];

/** Of both families and all links where none is named (the kernel leaves out the others: NETLINK_GET_STRICT_CHK). */
export const dumpNeighbours = ({ family, index }: { family?: Family; index?: number } = {}): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.GET, flags: NLM.DUMP }, (writer) => {
    writer.u8(family === undefined ? 0 : addressFamily(family));
    writer.bytes(new Uint8Array(HEADER - 1));
    if (index !== undefined) writer.attributeU32(NDA.IFINDEX, index);
  });

/** Undefined for a neighbour that is not permanent, or not of an IP family. */
export function decodeNeighbour(message: Message, linkName: LinkName): NeighbourObject | undefined {
  const { payload } = message;
  const attributes = attributeMap(payload, HEADER);
  const address = attributes.get(NDA.DST);
  const link = linkName(payload.readInt32LE(4));
  if (!isPermanent(message) || familyFrom(payload.readUInt8(0)) === undefined) return undefined;
  if (address === undefined || link === undefined) return undefined;
  return { kind: 'neighbour', link, address: ipFromBytes(address), mac: macText(attributes.get(NDA.LLADDR)) };
}

const writeNeighbour = (writer: MessageWriter, { address }: NeighbourObject, index: number): void =>
  writeHeader(writer, { address, index, state: NUD_PERMANENT });

interface Neighbour {
  readonly address: Ip;
  readonly index: number;
  readonly state?: number;
  readonly flags?: number;
}

/** struct ndmsg and the address. */
function writeHeader(writer: MessageWriter, { address, index, state = 0, flags = 0 }: Neighbour): void {
  writer.u8(addressFamily(familyOf(address)));
  writer.u8(0);
  writer.u16(0);
  writer.u32(index);
  writer.u16(state);
  writer.u8(flags);
  writer.u8(0);
  writer.attribute(NDA.DST, ipBytes(address));
}
