/**
 * Queueing disciplines in rtnetlink (linux/pkt_sched.h, net/sched/sch_tbf.c): the token bucket filter at a link's root,
 * the only one that is ours.
 */
import type { QdiscObject } from '../../datapath/kernel-state.ts';
import { attributeMap, attributeText, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';
import type { LinkName } from './family.ts';

export const RTM_QDISC = { NEW: 36, DELETE: 37, GET: 38 } as const;

/** The name by which the kernel knows it. */
export const TBF = 'tbf';

const TCA = { KIND: 1, OPTIONS: 2 } as const;
const TCA_TBF = { PARMS: 1, RATE64: 4 } as const;
const TC_H_ROOT = 0xffff_ffff;
/** TC_LINKLAYER_ETHERNET: without it the kernel asks for a table of 1 kB that says the same. */
const LINKLAYER_ETHERNET = 1;
const RATE_MAX = 0xffff_ffff;
/** struct tcmsg. */
const HEADER = 20;
/** Of struct tc_tbf_qopt: the rate (the last of tc_ratespec), the peak rate, limit, buffer, mtu. */
const PARMS = { rate: 8, limit: 24, buffer: 28, bytes: 36 } as const;

/** In the place of whatever queue there is; of one of the same kind the figures are changed, and what waits stays. */
export const putQdisc = (object: QdiscObject, index: number): Buffer =>
  encodeMessage({ type: RTM_QDISC.NEW, flags: NLM.CREATE | NLM.REPLACE }, (writer) => {
    writeHeader(writer, index);
    writer.attributeText(TCA.KIND, TBF);
    writer.nest(TCA.OPTIONS, () => writeOptions(writer, object));
  });

/** The kernel's own takes its place. */
export const removeQdisc = (index: number): Buffer =>
  encodeMessage({ type: RTM_QDISC.DELETE }, (writer) => writeHeader(writer, index));

export const dumpQdiscs = (): Buffer =>
  encodeMessage({ type: RTM_QDISC.GET, flags: NLM.DUMP }, (writer) => writer.bytes(new Uint8Array(HEADER)));

/** Undefined for any other kind, and for one that is not a link's root. */
export function decodeQdisc(message: Message, linkName: LinkName): QdiscObject | undefined {
  const { payload } = message;
  const link = linkName(payload.readInt32LE(4));
  if (link === undefined || !isRootTbf(message)) return undefined;
  const options = attributeMap(attributeMap(payload, HEADER).get(TCA.OPTIONS) ?? Buffer.alloc(0));
  const parms = options.get(TCA_TBF.PARMS);
  if (parms === undefined || parms.length < PARMS.bytes) return undefined;
  const rate64 = options.get(TCA_TBF.RATE64)?.readBigUInt64LE(0);
  return {
    kind: 'qdisc',
    link,
    bytesPerSecond: rate64 === undefined ? parms.readUInt32LE(PARMS.rate) : Number(rate64),
    bucketTicks: parms.readUInt32LE(PARMS.buffer),
    queueBytes: parms.readUInt32LE(PARMS.limit),
  };
}

export const isRootTbf = ({ payload }: Message): boolean =>
  payload.readUInt32LE(12) === TC_H_ROOT &&
  attributeText(attributeMap(payload, HEADER).get(TCA.KIND) ?? Buffer.alloc(0)) === TBF;

function writeOptions(writer: MessageWriter, { bytesPerSecond, bucketTicks, queueBytes }: QdiscObject): void {
  const parms = Buffer.alloc(PARMS.bytes);
  parms.writeUInt8(LINKLAYER_ETHERNET, 1);
  parms.writeUInt32LE(Math.min(bytesPerSecond, RATE_MAX), PARMS.rate);
  parms.writeUInt32LE(queueBytes, PARMS.limit);
  parms.writeUInt32LE(bucketTicks, PARMS.buffer);
  writer.attribute(TCA_TBF.PARMS, parms);
  if (bytesPerSecond <= RATE_MAX) return;
  const rate64 = Buffer.alloc(8);
  rate64.writeBigUInt64LE(BigInt(bytesPerSecond));
  writer.attribute(TCA_TBF.RATE64, rate64);
}

/** The kernel gives it a handle. */
function writeHeader(writer: MessageWriter, index: number): void {
  writer.u32(0);
  writer.u32(index);
  writer.u32(0);
  writer.u32(TC_H_ROOT);
  writer.u32(0);
}
