/**
 * Routing policy rules in rtnetlink (linux/fib_rules.h).
 */
import { cidrBase, cidrLength, cidrOf, type Family, ipBytes, ipFromBytes } from '../../core/ip.ts';
import type { RuleObject } from '../../datapath/kernel-state.ts';
import { attributeMap, attributeText, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';
import { addressFamily, familyFrom } from './family.ts';

export const RTM_RULE = { NEW: 32, DELETE: 33, GET: 34 } as const;

const FRA = { SRC: 2, IIFNAME: 3, PRIORITY: 6, FWMARK: 10, TABLE: 15, FWMASK: 16, PROTOCOL: 21 } as const;
const FR_ACT_TO_TBL = 1;
const HEADER = 12;

/** EEXIST when it is there: without NLM_F_EXCL the kernel would add it a second time. */
export const putRule = (object: RuleObject): Buffer =>
  encodeMessage({ type: RTM_RULE.NEW, flags: NLM.CREATE | NLM.EXCL }, (writer) => writeRule(writer, object));

export const removeRule = (object: RuleObject): Buffer =>
  encodeMessage({ type: RTM_RULE.DELETE }, (writer) => writeRule(writer, object));

export const dumpRules = (family: Family): Buffer =>
  encodeMessage({ type: RTM_RULE.GET, flags: NLM.DUMP }, (writer) => {
    writer.u8(addressFamily(family));
    writer.bytes(new Uint8Array(HEADER - 1));
  });

/** Undefined for a rule that does anything but look into a table. */
export function decodeRule({ payload }: Message): RuleObject | undefined {
  const family = familyFrom(payload.readUInt8(0));
  if (family === undefined || payload.readUInt8(7) !== FR_ACT_TO_TBL) return undefined;
  const attributes = attributeMap(payload, HEADER);
  const number = (type: number) => attributes.get(type)?.readUInt32LE(0);
  const source = attributes.get(FRA.SRC);
  const iif = attributes.get(FRA.IIFNAME);
  const mask = number(FRA.FWMASK);
  return {
    kind: 'rule',
    family,
    priority: number(FRA.PRIORITY) ?? 0,
    table: number(FRA.TABLE) ?? payload.readUInt8(4),
    ...(mask === undefined ? {} : { mark: { value: number(FRA.FWMARK) ?? 0, mask } }),
    ...(source === undefined ? {} : { from: cidrOf(ipFromBytes(source), payload.readUInt8(2)) }),
    ...(iif === undefined ? {} : { iif: attributeText(iif) }),
    protocol: attributes.get(FRA.PROTOCOL)?.[0] ?? 0,
  };
}

/** struct fib_rule_hdr and the selectors. */
function writeRule(writer: MessageWriter, { family, priority, table, mark, from, iif, protocol }: RuleObject): void {
  writer.u8(addressFamily(family));
  writer.u8(0);
  writer.u8(from === undefined ? 0 : cidrLength(from));
  writer.u8(0);
  writer.u8(table < 256 ? table : 0);
  writer.u16(0);
  writer.u8(FR_ACT_TO_TBL);
  writer.u32(0);
  if (from !== undefined) writer.attribute(FRA.SRC, ipBytes(cidrBase(from)));
  if (iif !== undefined) writer.attributeText(FRA.IIFNAME, iif);
  writer.attributeU32(FRA.PRIORITY, priority);
  if (mark !== undefined) {
    writer.attributeU32(FRA.FWMARK, mark.value);
    writer.attributeU32(FRA.FWMASK, mark.mask);
  }
  writer.attributeU32(FRA.TABLE, table);
  writer.attributeU8(FRA.PROTOCOL, protocol);
}
