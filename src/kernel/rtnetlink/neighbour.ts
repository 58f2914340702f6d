/**
 * Permanent neighbours in rtnetlink (linux/neighbour.h). What the kernel learns by itself is not ours and never read.
 */
import { familyOf, ipBytes, ipFromBytes } from '../../core/ip.ts';
import type { NeighbourObject } from '../../datapath/kernel-state.ts';
import { attributeMap, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';
import { addressFamily, familyFrom, type LinkName } from './family.ts';
import { macBytes, macText } from './link.ts';

export const RTM_NEIGHBOUR = { NEW: 28, DELETE: 29, GET: 30 } as const;

const NDA = { DST: 1, LLADDR: 2 } as const;
const NUD_PERMANENT = 0x80;
const HEADER = 12;

export const putNeighbour = (object: NeighbourObject, index: number): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.NEW, flags: NLM.CREATE | NLM.REPLACE }, (writer) => {
    writeNeighbour(writer, object, index);
    writer.attribute(NDA.LLADDR, macBytes(object.mac));
  });

export const removeNeighbour = (object: NeighbourObject, index: number): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.DELETE }, (writer) => writeNeighbour(writer, object, index));

/** Both families. */
export const dumpNeighbours = (): Buffer =>
  encodeMessage({ type: RTM_NEIGHBOUR.GET, flags: NLM.DUMP }, (writer) => writer.bytes(new Uint8Array(HEADER)));

/** Undefined for a neighbour that is not permanent, or not of an IP family. */
export function decodeNeighbour({ payload }: Message, linkName: LinkName): NeighbourObject | undefined {
  const attributes = attributeMap(payload, HEADER);
  const address = attributes.get(NDA.DST);
  const link = linkName(payload.readInt32LE(4));
  const permanent = (payload.readUInt16LE(8) & NUD_PERMANENT) !== 0;
  if (!permanent || familyFrom(payload.readUInt8(0)) === undefined) return undefined;
  if (address === undefined || link === undefined) return undefined;
  return { kind: 'neighbour', link, address: ipFromBytes(address), mac: macText(attributes.get(NDA.LLADDR)) };
}

/** struct ndmsg and the address. */
function writeNeighbour(writer: MessageWriter, { address }: NeighbourObject, index: number): void {
  writer.u8(addressFamily(familyOf(address)));
  writer.u8(0);
  writer.u16(0);
  writer.u32(index);
  writer.u16(NUD_PERMANENT);
  writer.u16(0);
  writer.attribute(NDA.DST, ipBytes(address));
}
