/**
 * Sets and verdict maps: their shape. Keys carry nft's own type numbers, so `nft list` prints them as their kind.
 */
import type { NftKeyType, NftSet } from '../../datapath/nft.ts';
import { attributeMap, attributeText, type Message, NLM } from '../netlink.ts';
import { LIST_ELEM, NFGEN_BYTES, NFT_MSG, nftDump, nftMessage } from './message.ts';
import type { TableName } from './table.ts';

const NFTA_SET = {
  TABLE: 1,
  NAME: 2,
  FLAGS: 3,
  KEY_TYPE: 4,
  KEY_LEN: 5,
  DATA_TYPE: 6,
  DATA_LEN: 7,
  DESC: 9,
  ID: 10,
  USERDATA: 13,
} as const;
const NFTA_SET_DESC = { SIZE: 1, CONCAT: 2 } as const;
const NFTA_SET_FIELD_LEN = 1;
const FLAG = { ANONYMOUS: 0x1, INTERVAL: 0x4, MAP: 0x8, CONCAT: 0x80 } as const;
/** NFT_DATA_VERDICT: the map's data are verdicts. */
const DATA_VERDICT = 0xffff_ff00;
/** nft packs the types of a concatenation into one number, six bits each. */
const TYPE_BITS = 6;

/** NFTNL_UDATA_SET_KEYBYTEORDER: nft prints keys in the machine's order only where this tells it so. */
const USERDATA_KEY_ORDER = 0;
const BYTE_ORDER = { concatenation: 0, host: 1, network: 2 } as const;

/** TYPE_* of nft's datatype.h, and the bytes of a value. */
const KEY_TYPE: Record<NftKeyType, { readonly number: number; readonly bytes: number; order: 'host' | 'network' }> = {
  ipv4_addr: { number: 7, bytes: 4, order: 'network' },
  ipv6_addr: { number: 8, bytes: 16, order: 'network' },
  ether_addr: { number: 9, bytes: 6, order: 'network' },
  mark: { number: 19, bytes: 4, order: 'host' },
  ifname: { number: 41, bytes: 16, order: 'host' },
};

export const keyBytes = (type: NftKeyType): number => KEY_TYPE[type].bytes;
/** In a concatenation each part fills whole 4-byte registers. */
export const paddedKeyBytes = (type: NftKeyType): number => (keyBytes(type) + 3) & ~3;

/** `id` is unique within its transaction. */
export const putSet = ({ family, table }: TableName, set: NftSet, id: number): Buffer =>
  nftMessage({ message: NFT_MSG.NEWSET, family, flags: NLM.CREATE }, (writer) => {
    const concatenated = set.key.length > 1;
    writer.attributeText(NFTA_SET.TABLE, table);
    writer.attributeText(NFTA_SET.NAME, set.name);
    writer.attributeU32be(
      NFTA_SET.FLAGS,
      (set.interval ? FLAG.INTERVAL : 0) | (set.verdictMap ? FLAG.MAP : 0) | (concatenated ? FLAG.CONCAT : 0),
    );
    writer.attributeU32be(
      NFTA_SET.KEY_TYPE,
      set.key.reduce((packed, type) => (packed << TYPE_BITS) | KEY_TYPE[type].number, 0),
    );
    const length = set.key.reduce((sum, type) => sum + (concatenated ? paddedKeyBytes(type) : keyBytes(type)), 0);
    writer.attributeU32be(NFTA_SET.KEY_LEN, length);
    if (set.verdictMap) {
      writer.attributeU32be(NFTA_SET.DATA_TYPE, DATA_VERDICT);
      writer.attributeU32be(NFTA_SET.DATA_LEN, 4);
    }
    writer.attributeU32be(NFTA_SET.ID, id);
    const [only] = set.key;
    const order = concatenated || only === undefined ? 'concatenation' : KEY_TYPE[only].order;
    writer.attribute(NFTA_SET.USERDATA, Uint8Array.of(USERDATA_KEY_ORDER, 4, BYTE_ORDER[order], 0, 0, 0));
    if (!concatenated && set.size === undefined) return;
    writer.nest(NFTA_SET.DESC, () => {
      if (set.size !== undefined) writer.attributeU32be(NFTA_SET_DESC.SIZE, set.size);
      if (!concatenated) return;
      writer.nest(NFTA_SET_DESC.CONCAT, () => {
        for (const type of set.key) {
          writer.nest(LIST_ELEM, () => writer.attributeU32be(NFTA_SET_FIELD_LEN, keyBytes(type)));
        }
      });
    });
  });

/** With its elements. EBUSY while a rule looks into it. */
export const removeSet = ({ family, table }: TableName, name: string): Buffer =>
  nftMessage({ message: NFT_MSG.DELSET, family }, (writer) => {
    writer.attributeText(NFTA_SET.TABLE, table);
    writer.attributeText(NFTA_SET.NAME, name);
  });

export const dumpSets = ({ family, table }: TableName): Buffer =>
  nftDump({ message: NFT_MSG.GETSET, family }, (writer) => writer.attributeText(NFTA_SET.TABLE, table));

/** Undefined for an anonymous set, which is part of a rule, and for one with a key type that no set of ours has. */
export function decodeSet({ payload }: Message): NftSet | undefined {
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const number = (type: number) => attributes.get(type)?.readUInt32BE(0) ?? 0;
  const flags = number(NFTA_SET.FLAGS);
  const key = unpackTypes(number(NFTA_SET.KEY_TYPE));
  const size = attributeMap(attributes.get(NFTA_SET.DESC) ?? Buffer.alloc(0))
    .get(NFTA_SET_DESC.SIZE)
    ?.readUInt32BE(0);
  if (key === undefined || (flags & FLAG.ANONYMOUS) !== 0) return undefined;
  return {
    name: attributeText(attributes.get(NFTA_SET.NAME) ?? Buffer.alloc(0)),
    key,
    interval: (flags & FLAG.INTERVAL) !== 0,
    verdictMap: number(NFTA_SET.DATA_TYPE) === DATA_VERDICT,
    ...(size === undefined ? {} : { size }),
  };
}

function unpackTypes(packed: number): NftKeyType[] | undefined {
  const types: NftKeyType[] = [];
  for (let rest = packed; rest > 0; rest >>>= TYPE_BITS) {
    const number = rest & ((1 << TYPE_BITS) - 1);
    const type = (Object.keys(KEY_TYPE) as NftKeyType[]).find((candidate) => KEY_TYPE[candidate].number === number);
    if (type === undefined) return undefined;
    types.unshift(type);
  }
  return types;
}
