/**
 * Elements of sets. An interval is two elements, its start and the first key behind it (marked INTERVAL_END); in a
 * concatenation it is one, with a first and a last key.
 */
import type { NftElement, NftSet, NftVerdict } from '../../datapath/nft.ts';
import { attributeMap, type Message, type MessageWriter, NLM, parseAttributes } from '../netlink.ts';
import { decodeKey, encodeKey, nextKey, previousKey } from './key.ts';
import {
  LIST_ELEM,
  NFGEN_BYTES,
  NFT_MSG,
  nftDump,
  nftMessage,
  readValue,
  readVerdict,
  writeValue,
  writeVerdict,
} from './message.ts';
import type { TableName } from './table.ts';

const NFTA_LIST = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const NFTA_ELEM = { KEY: 1, DATA: 2, FLAGS: 3, KEY_END: 10 } as const;
const INTERVAL_END = 1;

/** EEXIST when it is there with another verdict, or overlaps another interval. */
export const putElement = (table: TableName, set: NftSet, element: NftElement): Buffer =>
  elementMessage({ message: NFT_MSG.NEWSETELEM, flags: NLM.CREATE, table, set, element });

export const removeElement = (table: TableName, set: NftSet, { key }: NftElement): Buffer =>
  elementMessage({ message: NFT_MSG.DELSETELEM, flags: 0, table, set, element: { key } });

export const dumpElements = ({ family, table }: TableName, set: NftSet): Buffer =>
  nftDump({ message: NFT_MSG.GETSETELEM, family }, (writer) => {
    writer.attributeText(NFTA_LIST.TABLE, table);
    writer.attributeText(NFTA_LIST.SET, set.name);
  });

function elementMessage(what: {
  readonly message: number;
  readonly flags: number;
  readonly table: TableName;
  readonly set: NftSet;
  readonly element: NftElement;
}): Buffer {
  const { message, flags, table, set, element } = what;
  return nftMessage({ message, family: table.family, flags }, (writer) => {
    writer.attributeText(NFTA_LIST.TABLE, table.table);
    writer.attributeText(NFTA_LIST.SET, set.name);
    writer.nest(NFTA_LIST.ELEMENTS, () => writeElement(writer, set, element));
  });
}

function writeElement(writer: MessageWriter, set: NftSet, element: NftElement): void {
  const { first, last } = encodeKey(set, element);
  const ranged = set.interval && set.key.length > 1;
  const end = set.interval && !ranged ? nextKey(last) : undefined;
  writer.nest(LIST_ELEM, () => {
    writeValue(writer, NFTA_ELEM.KEY, first);
    if (ranged) writeValue(writer, NFTA_ELEM.KEY_END, last);
    if (element.verdict !== undefined) writeVerdict(writer, NFTA_ELEM.DATA, element.verdict);
  });
  // An interval that ends with the last address of all has no end element.
  if (end === undefined) return;
  writer.nest(LIST_ELEM, () => {
    writeValue(writer, NFTA_ELEM.KEY, end);
    writer.attributeU32be(NFTA_ELEM.FLAGS, INTERVAL_END);
  });
}

/** An element as the kernel holds it. */
export interface RawElement {
  readonly key: Uint8Array;
  readonly keyEnd: Uint8Array | undefined;
  readonly end: boolean;
  readonly verdict: NftVerdict | undefined;
}

/** The elements of one message of the dump. */
export function decodeElements({ payload }: Message): RawElement[] {
  const list = attributeMap(payload, NFGEN_BYTES).get(NFTA_LIST.ELEMENTS);
  return parseAttributes(list ?? Buffer.alloc(0)).flatMap(({ value }) => {
    const attributes = attributeMap(value);
    const key = readValue(attributes.get(NFTA_ELEM.KEY));
    if (key === undefined) return [];
    return [
      {
        key,
        keyEnd: readValue(attributes.get(NFTA_ELEM.KEY_END)),
        end: ((attributes.get(NFTA_ELEM.FLAGS)?.readUInt32BE(0) ?? 0) & INTERVAL_END) !== 0,
        verdict: readVerdict(attributes.get(NFTA_ELEM.DATA)),
      },
    ];
  });
}

/** The set's elements in key order, starts and ends joined to intervals. */
export function joinElements(set: NftSet, raw: readonly RawElement[]): NftElement[] {
  // At one key the end of the interval before comes first.
  const sorted = [...raw].sort((a, b) => Buffer.compare(a.key, b.key) || Number(b.end) - Number(a.end));
  const paired = set.interval && set.key.length === 1;
  return sorted.flatMap(({ key, keyEnd, end, verdict }, at) => {
    if (end) return [];
    const next = paired ? sorted[at + 1] : undefined;
    const behind = next === undefined ? new Uint8Array(key.length).fill(0xff) : previousKey(next.key);
    const last = keyEnd ?? (paired ? behind : key);
    return [{ key: decodeKey(set, { first: key, last }), ...(verdict === undefined ? {} : { verdict }) }];
  });
}
