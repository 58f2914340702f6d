/**
 * Messages of nf_tables (linux/netfilter/nfnetlink.h, nf_tables.h): family header, verdicts, values.
 * All integers of attributes are in network order.
 */
import type { NftFamily, NftVerdict } from '../../datapath/nft.ts';
import { attributeMap, attributeText, encodeMessage, type MessageWriter, NLM } from '../netlink.ts';

const SUBSYSTEM = 10;
const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
export const NFGEN_BYTES = 4;

export const NFT_MSG = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  DELCHAIN: 5,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  GETSET: 10,
  DELSET: 11,
  NEWSETELEM: 12,
  GETSETELEM: 13,
  DELSETELEM: 14,
  NEWOBJ: 18,
  GETOBJ: 19,
  DELOBJ: 20,
  GETOBJ_RESET: 21,
} as const;

/** NFPROTO_* of linux/netfilter.h. */
const FAMILY: Record<NftFamily, number> = { inet: 1, ip: 2, arp: 3, netdev: 5, ip6: 10 };
/** NFTA_LIST_ELEM. */
export const LIST_ELEM = 1;
const NFTA_DATA = { VALUE: 1, VERDICT: 2 } as const;
const NFTA_VERDICT = { CODE: 1, CHAIN: 2 } as const;
const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;

/** Which family an answer is of; undefined for one that no table of ours has, such as bridge. */
export function nftFamily(payload: Buffer): NftFamily | undefined {
  const number = payload[0];
  return (Object.keys(FAMILY) as NftFamily[]).find((family) => FAMILY[family] === number);
}

export interface NftRequest {
  readonly message: number;
  readonly family: NftFamily;
  readonly flags?: number;
}

export const nftMessage = (
  { message, family, flags = 0 }: NftRequest,
  write: (writer: MessageWriter) => void = () => {},
): Buffer =>
  encodeMessage({ type: (SUBSYSTEM << 8) | message, flags }, (writer) => {
    writeNfgen(writer, FAMILY[family], 0);
    write(writer);
  });

/** A dump of all tables' objects where `family` is left out. */
export const nftDump = (
  { message, family }: { readonly message: number; readonly family?: NftFamily },
  write: (writer: MessageWriter) => void = () => {},
): Buffer =>
  encodeMessage({ type: (SUBSYSTEM << 8) | message, flags: NLM.DUMP }, (writer) => {
    writeNfgen(writer, family === undefined ? 0 : FAMILY[family], 0);
    write(writer);
  });

/** The messages between these two are one transaction: all of them or none. */
export const batchBegin = (): Buffer =>
  encodeMessage({ type: BATCH_BEGIN }, (writer) => writeNfgen(writer, 0, SUBSYSTEM));
export const batchEnd = (): Buffer => encodeMessage({ type: BATCH_END }, (writer) => writeNfgen(writer, 0, SUBSYSTEM));

/** struct nfgenmsg. */
function writeNfgen(writer: MessageWriter, family: number, resource: number): void {
  writer.u8(family);
  writer.u8(0);
  writer.u16be(resource);
}

export function writeValue(writer: MessageWriter, type: number, value: Uint8Array): void {
  writer.nest(type, () => writer.attribute(NFTA_DATA.VALUE, value));
}

export function writeVerdict(writer: MessageWriter, type: number, verdict: NftVerdict): void {
  writer.nest(type, () => {
    writer.nest(NFTA_DATA.VERDICT, () => {
      writer.attributeU32be(NFTA_VERDICT.CODE, VERDICT[verdict.verdict]);
      if ('chain' in verdict) writer.attributeText(NFTA_VERDICT.CHAIN, verdict.chain);
    });
  });
}

/** Of a copy, so that it may leave this thread. */
export function readValue(data: Buffer | undefined): Uint8Array | undefined {
  const value = data && attributeMap(data).get(NFTA_DATA.VALUE);
  return value && new Uint8Array(value);
}

export function readVerdict(data: Buffer | undefined): NftVerdict | undefined {
  const verdict = data && attributeMap(data).get(NFTA_DATA.VERDICT);
  if (verdict === undefined) return undefined;
  const attributes = attributeMap(verdict);
  const code = attributes.get(NFTA_VERDICT.CODE)?.readInt32BE(0);
  const chain = attributeText(attributes.get(NFTA_VERDICT.CHAIN) ?? Buffer.alloc(0));
  switch (code) {
    case VERDICT.drop:
      return { verdict: 'drop' };
    case VERDICT.accept:
      return { verdict: 'accept' };
    case VERDICT.return:
      return { verdict: 'return' };
    case VERDICT.goto:
      return { verdict: 'goto', chain };
    case VERDICT.jump:
      return { verdict: 'jump', chain };
    default:
      return undefined;
  }
}
