/**
 * Tables and their named counters.
 */
import type { NftTableObject } from '../../datapath/kernel-state.ts';
import type { NftFamily } from '../../datapath/nft.ts';
import { attributeMap, attributeText, type Message, type MessageWriter, NLM } from '../netlink.ts';
import { NFGEN_BYTES, NFT_MSG, nftDump, nftFamily, nftMessage } from './message.ts';

const NFTA_TABLE = { NAME: 1, FLAGS: 2, OWNER: 7 } as const;
const NFTA_OBJ = { TABLE: 1, NAME: 2, TYPE: 3, DATA: 4 } as const;
const NFTA_COUNTER = { BYTES: 1, PACKETS: 2 } as const;
/** NFT_TABLE_F_OWNER and NFT_TABLE_F_PERSIST (kernel 6.9). */
const OWNER = 0x2;
const PERSIST = 0x4;
const OBJECT_COUNTER = 1;

export interface TableName {
  readonly family: NftFamily;
  readonly table: string;
}

/**
 * With `owned`, owner and persist: no other socket may change or flush it, and it outlives this one. EOPNOTSUPP where
 * the kernel has no such flags, where the table is there without them, and where this socket owns it already.
 */
export const putTable = ({ family, table, owned }: Pick<NftTableObject, 'family' | 'table' | 'owned'>): Buffer =>
  nftMessage({ message: NFT_MSG.NEWTABLE, family, flags: NLM.CREATE }, (writer) => {
    writer.attributeText(NFTA_TABLE.NAME, table);
    if (owned) writer.attributeU32be(NFTA_TABLE.FLAGS, OWNER | PERSIST);
  });

/** With all that is in it. */
export const removeTable = ({ family, table }: TableName): Buffer =>
  nftMessage({ message: NFT_MSG.DELTABLE, family }, (writer) => writer.attributeText(NFTA_TABLE.NAME, table));

export const dumpTables = (): Buffer => nftDump({ message: NFT_MSG.GETTABLE });

export interface FoundTable extends TableName {
  /** Port of the socket that owns it: 0 when that is closed, undefined when it has no owner. */
  readonly owner?: number;
}

export function decodeTable({ payload }: Message): FoundTable | undefined {
  const family = nftFamily(payload);
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const name = attributes.get(NFTA_TABLE.NAME);
  if (family === undefined || name === undefined) return undefined;
  const owned = ((attributes.get(NFTA_TABLE.FLAGS)?.readUInt32BE(0) ?? 0) & OWNER) !== 0;
  const owner = attributes.get(NFTA_TABLE.OWNER)?.readUInt32BE(0) ?? 0;
  return { family, table: attributeText(name), ...(owned ? { owner } : {}) };
}

/** Keeps its count when it is there. */
export const putCounter = ({ family, table }: TableName, name: string): Buffer =>
  nftMessage({ message: NFT_MSG.NEWOBJ, family, flags: NLM.CREATE }, (writer) => {
    writer.attributeText(NFTA_OBJ.TABLE, table);
    writer.attributeText(NFTA_OBJ.NAME, name);
    writer.attributeU32be(NFTA_OBJ.TYPE, OBJECT_COUNTER);
    writer.nest(NFTA_OBJ.DATA, () => {});
  });

/** `reset` also sets them to zero, each in the moment in which it is read. */
export const dumpCounters = ({ family, table, reset }: TableName & { readonly reset: boolean }): Buffer =>
  nftDump({ message: reset ? NFT_MSG.GETOBJ_RESET : NFT_MSG.GETOBJ, family }, (writer: MessageWriter) => {
    writer.attributeText(NFTA_OBJ.TABLE, table);
    writer.attributeU32be(NFTA_OBJ.TYPE, OBJECT_COUNTER);
  });

export interface Counter {
  readonly name: string;
  readonly packets: number;
  readonly bytes: number;
}

export function decodeCounter({ payload }: Message): Counter {
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const data = attributeMap(attributes.get(NFTA_OBJ.DATA) ?? Buffer.alloc(0));
  const count = (type: number) => Number(data.get(type)?.readBigUInt64BE(0) ?? 0n);
  return {
    name: attributeText(attributes.get(NFTA_OBJ.NAME) ?? Buffer.alloc(0)),
    packets: count(NFTA_COUNTER.PACKETS),
    bytes: count(NFTA_COUNTER.BYTES),
  };
}
