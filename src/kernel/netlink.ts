/**
 * The netlink message as bytes (linux/netlink.h): a 16-byte header, a family's own header, attributes.
 * Invariants: lengths are exact and every attribute starts on 4 bytes; an encoded message carries sequence number 0 and
 * no port, which the socket writes; all integers of netlink itself are in the machine's order, little-endian here.
 */

/** Flags of the header. */
export const NLM = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  DUMP_INTR: 0x10,
  /** Of a get: all objects. */
  DUMP: 0x300,
  /** Of a put. */
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  /** Of an answer. */
  CAPPED: 0x100,
  ACK_TLVS: 0x200,
} as const;

export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, MIN_TYPE: 16 } as const;

export const HEADER_BYTES = 16;
/** NLMSG_ERROR: errno, then the header of the message it answers. */
const ERROR_BYTES = 20;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** NLMSGERR_ATTR_MSG, the extended ACK's sentence. */
const EXTENDED_ACK_TEXT = 1;

const aligned = (length: number): number => (length + 3) & ~3;

/** Grows as it is written; `finish` gives the message with its length in place. */
export class MessageWriter {
  private buffer = Buffer.alloc(256);
  private length = 0;

  u8(value: number): void {
    this.reserve(1);
    this.buffer[this.length] = value & 0xff;
    this.length += 1;
  }

  u16(value: number): void {
    this.reserve(2);
    this.buffer.writeUInt16LE(value, this.length);
    this.length += 2;
  }

  u32(value: number): void {
    this.reserve(4);
    this.buffer.writeUInt32LE(value >>> 0, this.length);
    this.length += 4;
  }

  /** In network order, as nfnetlink's own fields are. */
  u16be(value: number): void {
    this.reserve(2);
    this.buffer.writeUInt16BE(value, this.length);
    this.length += 2;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.length);
    this.length += value.length;
  }

  attribute(type: number, value: Uint8Array): void {
    this.u16(4 + value.length);
    this.u16(type);
    this.bytes(value);
    this.pad();
  }

  attributeU8(type: number, value: number): void {
    this.u16(5);
    this.u16(type);
    this.u8(value);
    this.pad();
  }

  attributeU32(type: number, value: number): void {
    this.u16(8);
    this.u16(type);
    this.u32(value);
  }

  /** In network order: every integer attribute of nfnetlink. */
  attributeU32be(type: number, value: number): void {
    this.u16(8);
    this.u16(type);
    this.reserve(4);
    this.buffer.writeUInt32BE(value >>> 0, this.length);
    this.length += 4;
  }

  attributeU64be(type: number, value: number): void {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(value));
    this.attribute(type, bytes);
  }

  /** With the final zero that the kernel asks for. */
  attributeText(type: number, text: string): void {
    this.attribute(type, Buffer.from(`${text}\0`));
  }

  nest(type: number, write: () => void): void {
    const start = this.length;
    this.u16(0);
    this.u16(type | NLA_F_NESTED);
    write();
    this.buffer.writeUInt16LE(this.length - start, start);
  }

  finish(): Buffer {
    this.buffer.writeUInt32LE(this.length, 0);
    return this.buffer.subarray(0, this.length);
  }

  private pad(): void {
    const end = aligned(this.length);
    this.reserve(end - this.length);
    this.length = end;
  }

  private reserve(more: number): void {
    if (this.length + more <= this.buffer.length) return;
    const grown = Buffer.alloc(Math.max(this.buffer.length * 2, this.length + more));
    grown.set(this.buffer);
    this.buffer = grown;
  }
}

/** One request; `write` adds the family's header and the attributes. NLM_F_REQUEST is always set. */
export function encodeMessage(
  { type, flags = 0 }: { readonly type: number; readonly flags?: number },
  write: (writer: MessageWriter) => void,
): Buffer {
  const writer = new MessageWriter();
  writer.u32(0);
  writer.u16(type);
  writer.u16(flags | NLM.REQUEST);
  writer.u32(0);
  writer.u32(0);
  write(writer);
  return writer.finish();
}

export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Port of the socket that asked, also on notifications; 0 where the kernel acted by itself. */
  readonly port: number;
  /** A view, valid until the socket's buffer is used again. */
  readonly payload: Buffer;
}

/** All messages of one datagram. A cut message ends the list: the kernel never sends one that fits its buffer. */
export function parseMessages(datagram: Buffer): Message[] {
  const messages: Message[] = [];
  for (let at = 0; at + HEADER_BYTES <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    if (length < HEADER_BYTES || at + length > datagram.length) break;
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      port: datagram.readUInt32LE(at + 12),
      payload: datagram.subarray(at + HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

export interface Attribute {
  readonly type: number;
  readonly value: Buffer;
}

/** Attributes in order, from `offset` on; nested and byte-order flags are taken off the types. */
export function parseAttributes(payload: Buffer, offset = 0): Attribute[] {
  const attributes: Attribute[] = [];
  for (let at = offset; at + 4 <= payload.length; ) {
    const length = payload.readUInt16LE(at);
    if (length < 4 || at + length > payload.length) break;
    const type = payload.readUInt16LE(at + 2) & NLA_TYPE_MASK;
    attributes.push({ type, value: payload.subarray(at + 4, at + length) });
    at += aligned(length);
  }
  return attributes;
}

/** Attributes by type, for what holds each at most once. */
export const attributeMap = (payload: Buffer, offset = 0): Map<number, Buffer> =>
  new Map(parseAttributes(payload, offset).map(({ type, value }) => [type, value]));

/** A text attribute without its final zero. */
export function attributeText(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}

export interface ErrorAnswer {
  /** Positive; 0 is an acknowledgement. */
  readonly errno: number;
  /** The extended ACK's sentence, empty where the kernel gave none. */
  readonly text: string;
}

/** NLMSG_ERROR's errno and sentence (NETLINK_EXT_ACK; with NETLINK_CAP_ACK only the request's header is echoed). */
export function parseError({ flags, payload }: Message): ErrorAnswer {
  const errno = 0 - payload.readInt32LE(0);
  if ((flags & NLM.ACK_TLVS) === 0) return { errno, text: '' };
  const echoed = (flags & NLM.CAPPED) === 0 ? payload.readUInt32LE(4) : HEADER_BYTES;
  const text = attributeMap(payload, aligned(ERROR_BYTES - HEADER_BYTES + echoed)).get(EXTENDED_ACK_TEXT);
  return { errno, text: text === undefined ? '' : attributeText(text) };
}
