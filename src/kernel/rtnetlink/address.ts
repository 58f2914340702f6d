/**
 * Addresses in rtnetlink (linux/if_addr.h).
 */
import { type Family, familyOf, type Ip, ipBytes, ipFromBytes } from '../../core/ip.ts';
import type { AddressObject } from '../../datapath/kernel-state.ts';
import { attributeMap, encodeMessage, type Message, NLM } from '../netlink.ts';
import { addressFamily, type LinkName, SCOPE } from './family.ts';

export const RTM_ADDRESS = { NEW: 20, DELETE: 21, GET: 22 } as const;

const IFA = { ADDRESS: 1, LOCAL: 2, CACHEINFO: 6, FLAGS: 8 } as const;
const IFA_F = { NODAD: 0x2, DEPRECATED: 0x20, NOPREFIXROUTE: 0x200 } as const;
const FOREVER = 0xffff_ffff;
const HEADER = 8;

/** Replaces lifetimes and flags of an IPv6 address; the kernel keeps an IPv4 address's flags as they are. */
export const putAddress = (object: AddressObject, index: number): Buffer =>
  encodeMessage({ type: RTM_ADDRESS.NEW, flags: NLM.CREATE | NLM.REPLACE }, (writer) => {
    writeAddress(writer, object, index);
    writer.attributeU32(IFA.FLAGS, (object.noDad ? IFA_F.NODAD : 0) | (object.noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0));
    if (object.deprecated) {
      const lifetimes = Buffer.alloc(16);
      lifetimes.writeUInt32LE(0, 0);
      lifetimes.writeUInt32LE(FOREVER, 4);
      writer.attribute(IFA.CACHEINFO, lifetimes);
    }
  });

export const removeAddress = (object: AddressObject, index: number): Buffer =>
  encodeMessage({ type: RTM_ADDRESS.DELETE }, (writer) => writeAddress(writer, object, index));

/** Of both families and all links where none is named (the kernel leaves out the others: NETLINK_GET_STRICT_CHK). */
export const dumpAddresses = ({ family, index = 0 }: { family?: Family; index?: number } = {}): Buffer =>
  encodeMessage({ type: RTM_ADDRESS.GET, flags: NLM.DUMP }, (writer) => {
    writer.u8(family === undefined ? 0 : addressFamily(family));
    writer.bytes(new Uint8Array(3));
    writer.u32(index);
  });

/** Undefined for what cannot be said as an object: another family, or a link that went since. */
export function decodeAddress({ payload }: Message, linkName: LinkName): AddressObject | undefined {
  const attributes = attributeMap(payload, HEADER);
  // IFA_LOCAL is our end of a point-to-point link; IFA_ADDRESS is then the other's.
  const bytes = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  const link = linkName(payload.readUInt32LE(4));
  if (bytes === undefined || link === undefined) return undefined;
  const flags = attributes.get(IFA.FLAGS)?.readUInt32LE(0) ?? payload.readUInt8(2);
  const scope = payload.readUInt8(3);
  return {
    kind: 'address',
    link,
    address: `${ipFromBytes(bytes)}/${payload.readUInt8(1)}`,
    scope: scope === SCOPE.host ? 'host' : scope === SCOPE.link ? 'link' : 'global',
    noPrefixRoute: (flags & IFA_F.NOPREFIXROUTE) !== 0,
    noDad: (flags & IFA_F.NODAD) !== 0,
    deprecated: (flags & IFA_F.DEPRECATED) !== 0,
  };
}

function writeAddress(
  writer: Parameters<Parameters<typeof encodeMessage>[1]>[0],
  object: AddressObject,
  index: number,
) {
  const [text = '', length = ''] = object.address.split('/');
  const ip = text as Ip;
  writer.u8(addressFamily(familyOf(ip)));
  writer.u8(Number(length));
  writer.u8(0);
  writer.u8(SCOPE[object.scope]);
  writer.u32(index);
  writer.attribute(IFA.LOCAL, ipBytes(ip));
  writer.attribute(IFA.ADDRESS, ipBytes(ip));
}
