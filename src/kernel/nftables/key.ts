/**
 * Keys of set elements as bytes. In a set with intervals an address part is a range: a block, one address, or
 * `first-last` as nft prints a range that is no block; it reads back as a block where it is one.
 */
import { parseMac } from '../../core/brand.ts';
import {
  type Cidr,
  cidrBase,
  cidrLength,
  cidrOf,
  formatIp,
  type Ip,
  ipBytes,
  ipFromBytes,
  ipValue,
  parseCidr,
  parseIp,
} from '../../core/ip.ts';
import type { NftElement, NftKeyPart, NftKeyType, NftSet } from '../../datapath/nft.ts';
import { macBytes, macText } from '../rtnetlink/link.ts';
import { keyBytes, paddedKeyBytes } from './set.ts';

/** First and last key, both inclusive; equal where the set has no intervals. */
export interface KeyRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Throws TypeError for a key that does not fit the set's types. */
export function encodeKey(set: NftSet, element: NftElement): KeyRange {
  if (element.key.length !== set.key.length) throw new TypeError(`${set.name} takes ${set.key.length} key parts`);
  const parts = set.key.map((type, at) => encodePart(type, element.key[at] ?? ''));
  const [only] = parts;
  if (set.key.length === 1 && only !== undefined) return only;
  const join = (side: keyof KeyRange) =>
    Buffer.concat(parts.map((part, at) => padded(part[side], paddedKeyBytes(set.key[at] ?? 'mark'))));
  return { first: join('first'), last: join('last') };
}

export function decodeKey(set: NftSet, { first, last }: KeyRange): NftKeyPart[] {
  let at = 0;
  return set.key.map((type) => {
    const part = { first: first.subarray(at, at + keyBytes(type)), last: last.subarray(at, at + keyBytes(type)) };
    at += paddedKeyBytes(type);
    return decodePart(type, { ...part, interval: set.interval });
  });
}

/** The key behind this one; undefined behind the last of all. */
export function nextKey(key: Uint8Array): Uint8Array | undefined {
  const next = Uint8Array.from(key);
  for (let at = next.length - 1; at >= 0; at--) {
    next[at] = ((next[at] ?? 0) + 1) & 0xff;
    if (next[at] !== 0) return next;
  }
  return undefined;
}

/** The key before an interval's end, which is not part of it. */
export function previousKey(key: Uint8Array): Uint8Array {
  const previous = Uint8Array.from(key);
  for (let at = previous.length - 1; at >= 0; at--) {
    const byte = previous[at] ?? 0;
    previous[at] = (byte - 1) & 0xff;
    if (byte !== 0) break;
  }
  return previous;
}

function encodePart(type: NftKeyType, part: NftKeyPart): KeyRange {
  const single = (bytes: Uint8Array): KeyRange => ({ first: bytes, last: bytes });
  switch (type) {
    case 'mark': {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(Number(part) >>> 0);
      return single(bytes);
    }
    case 'ifname':
      return single(padded(Buffer.from(String(part)), keyBytes(type)));
    case 'ether_addr': {
      const mac = parseMac(String(part));
      if (mac === undefined) throw new TypeError(`not a MAC address: ${part}`);
      return single(macBytes(mac));
    }
    case 'ipv4_addr':
    case 'ipv6_addr': {
      const range = addressRange(String(part));
      if (range === undefined || range.first.length !== keyBytes(type)) throw new TypeError(`not an ${type}: ${part}`);
      return range;
    }
  }
}

function addressRange(text: string): KeyRange | undefined {
  const [from = '', to] = text.split('-');
  if (to !== undefined) {
    const [first, last] = [parseIp(from), parseIp(to)];
    return first && last && { first: ipBytes(first), last: ipBytes(last) };
  }
  const cidr = parseCidr(from);
  return cidr && { first: ipBytes(cidrBase(cidr)), last: ipBytes(lastAddress(cidr)) };
}

function decodePart(type: NftKeyType, { first, last, interval }: KeyRange & { interval: boolean }): NftKeyPart {
  switch (type) {
    case 'mark':
      return Buffer.from(first).readUInt32LE(0);
    case 'ifname': {
      const end = first.indexOf(0);
      return Buffer.from(end < 0 ? first : first.subarray(0, end)).toString();
    }
    case 'ether_addr':
      return macText(first);
    case 'ipv4_addr':
    case 'ipv6_addr':
      return interval ? rangeText(ipFromBytes(first), ipFromBytes(last)) : ipFromBytes(first);
  }
}

function rangeText(first: Ip, last: Ip): NftKeyPart {
  const bits = ipBytes(first).length * 8;
  const size = ipValue(last) - ipValue(first) + 1n;
  const length = bits - (size.toString(2).length - 1);
  const cidr = cidrOf(first, length);
  return cidrBase(cidr) === first && lastAddress(cidr) === last ? cidr : `${first}-${last}`;
}

function lastAddress(cidr: Cidr): Ip {
  const family = cidr.includes(':') ? 6 : 4;
  const size = 1n << BigInt((family === 4 ? 32 : 128) - cidrLength(cidr));
  return formatIp(family, ipValue(cidrBase(cidr)) + size - 1n);
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const whole = new Uint8Array(length);
  whole.set(bytes);
  return whole;
}
