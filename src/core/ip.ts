/**
 * Addresses and CIDR blocks as canonical strings, with the little arithmetic that the core needs.
 * Canonical means RFC 5952 for IPv6 and dotted decimals for IPv4, so two equal addresses are equal strings.
 */
import type { Brand } from './brand.ts';

export type Family = 4 | 6;
/** An address in canonical text, such as `10.0.1.21` or `2001:db8:1::21`. */
export type Ip = Brand<string, 'Ip'>;
/** A block in canonical text with host bits zero, such as `10.0.1.16/28`. */
export type Cidr = Brand<string, 'Cidr'>;

const BITS = { 4: 32, 6: 128 } as const;

export const familyOf = (text: Ip | Cidr): Family => (text.includes(':') ? 6 : 4);

/** Parses an address in any accepted spelling; undefined when the text is not an address. */
export function parseIp(text: string): Ip | undefined {
  const family: Family = text.includes(':') ? 6 : 4;
  const value = family === 6 ? parse6(text) : parse4(text);
  return value === undefined ? undefined : formatIp(family, value);
}

/** Parses `address/length` and clears the host bits; a bare address becomes a block of one. */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const bits = BITS[familyOf(ip)];
  const lengthText = slash < 0 ? String(bits) : text.slice(slash + 1);
  if (!/^\d{1,3}$/.test(lengthText) || Number(lengthText) > bits) return undefined;
  return cidrOf(ip, Number(lengthText));
}

/** The block of the given length that holds the address. */
export function cidrOf(ip: Ip, length: number): Cidr {
  const family = familyOf(ip);
  const hostBits = BigInt(BITS[family] - length);
  return `${formatIp(family, (ipValue(ip) >> hostBits) << hostBits)}/${length}` as Cidr;
}

/** The block that holds just this address: /32 or /128. */
export const hostCidr = (ip: Ip): Cidr => `${ip}/${BITS[familyOf(ip)]}` as Cidr;

export const cidrBase = (cidr: Cidr): Ip => cidr.slice(0, cidr.indexOf('/')) as Ip;

export const cidrLength = (cidr: Cidr): number => Number(cidr.slice(cidr.indexOf('/') + 1));

/** How many addresses the block holds; exact up to 2^53, which no block handed to a node exceeds in use. */
export const cidrSize = (cidr: Cidr): number => 2 ** (BITS[familyOf(cidr)] - cidrLength(cidr));

/** The n-th address of the block, from 0. */
export function cidrAddress(cidr: Cidr, index: number): Ip {
  const base = cidrBase(cidr);
  return index === 0 ? base : formatIp(familyOf(cidr), ipValue(base) + BigInt(index));
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  const family = familyOf(ip);
  if (familyOf(cidr) !== family) return false;
  const hostBits = BITS[family] - cidrLength(cidr);
  // Canonical texts are equal where the addresses are: a block of one needs no arithmetic.
  if (hostBits === 0) return cidrBase(cidr) === ip;
  return ipValue(cidrBase(cidr)) >> BigInt(hostBits) === ipValue(ip) >> BigInt(hostBits);
}

/** Address order by value, IPv4 before IPv6: the order every tie between addresses ends in. */
export function compareIp(a: Ip, b: Ip): number {
  const families = familyOf(a) - familyOf(b);
  if (families !== 0) return families;
  const left = ipValue(a);
  const right = ipValue(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The address as an unsigned integer. */
export function ipValue(ip: Ip): bigint {
  const value = familyOf(ip) === 6 ? parse6(ip) : parse4(ip);
  if (value === undefined) throw new TypeError(`not an address: ${ip}`);
  return value;
}

/** Network-order bytes: 4 or 16 of them. */
export function ipBytes(ip: Ip): Uint8Array {
  const length = BITS[familyOf(ip)] / 8;
  const bytes = new Uint8Array(length);
  let value = ipValue(ip);
  for (let at = length - 1; at >= 0; at--, value >>= 8n) bytes[at] = Number(value & 0xffn);
  return bytes;
}

/** The address of 4 or 16 network-order bytes. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return formatIp(bytes.length === 4 ? 4 : 6, value);
}

export function formatIp(family: Family, value: bigint): Ip {
  if (family === 4) {
    const n = Number(value);
    return `${n >>> 24}.${(n >>> 16) & 255}.${(n >>> 8) & 255}.${n & 255}` as Ip;
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(((value >> shift) & 0xffffn).toString(16));
  return compress(groups) as Ip;
}

/** RFC 5952 section 4.2: the longest run of two or more zero groups, the first of equals, becomes `::`. */
function compress(groups: readonly string[]): string {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === '0') end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  if (best.start < 0) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

function parse4(text: string): bigint | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  let value = 0;
  for (const part of match.slice(1)) {
    if (Number(part) > 255 || (part.length > 1 && part.startsWith('0'))) return undefined;
    value = value * 256 + Number(part);
  }
  return BigInt(value);
}

function parse6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '');
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '') : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

/** The 16-bit groups of one half of an IPv6 text; a dotted IPv4 tail counts as two groups. */
function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [at, part] of parts.entries()) {
    if (at === parts.length - 1 && part.includes('.')) {
      const tail = parse4(part);
      if (tail === undefined) return undefined;
      groups.push(Number(tail >> 16n), Number(tail & 0xffffn));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
}
