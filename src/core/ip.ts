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

/** An address in groups of bits, the first the most significant: one of 32 bits, or eight of 16. */
type Groups = readonly number[];
const GROUP_BITS = { 4: 32, 6: 16 } as const;

/** Parses an address in any accepted spelling; undefined when the text is not an address. */
export function parseIp(text: string): Ip | undefined {
  const family: Family = text.includes(':') ? 6 : 4;
  const groups = groupsOf(family, text);
  return groups === undefined ? undefined : formatIp(family, numberOf(groups, family));
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
  let bits = cidrLength(cidr);
  // Canonical texts are equal where the addresses are: a block of one needs no arithmetic.
  if (bits === BITS[family]) return cidr.length > ip.length && cidr[ip.length] === '/' && cidr.startsWith(ip);
  const base = groupsOf(family, cidrBase(cidr));
  const groups = groupsOf(family, ip);
  if (base === undefined || groups === undefined) throw new TypeError(`not addresses: ${cidr}, ${ip}`);
  const width = GROUP_BITS[family];
  for (let at = 0; bits > 0; at++, bits -= width) {
    const differing = (base[at] as number) ^ (groups[at] as number);
    if (differing >>> Math.max(0, width - bits) !== 0) return false;
  }
  return true;
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
  const family = familyOf(ip);
  const groups = groupsOf(family, ip);
  if (groups === undefined) throw new TypeError(`not an address: ${ip}`);
  return numberOf(groups, family);
}

const numberOf = (groups: Groups, family: Family): bigint =>
  family === 4 ? BigInt(groups[0] as number) : groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n);

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

function groupsOf(family: Family, text: string): Groups | undefined {
  if (family === 6) return parse6(text);
  const value = parse4(text, 0);
  return value === undefined ? undefined : [value];
}

const DOT = 0x2e;
const COLON = 0x3a;

/** Four decimals without leading zeros, from `start` to the end. */
function parse4(text: string, start: number): number | undefined {
  let value = 0;
  let at = start;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && text.charCodeAt(at++) !== DOT) return undefined;
    const first = at;
    let octet = 0;
    while (isDigit(text.charCodeAt(at)) && at < first + 3) octet = octet * 10 + text.charCodeAt(at++) - 0x30;
    if (at === first || octet > 255 || (at > first + 1 && text.charCodeAt(first) === 0x30)) return undefined;
    value = value * 256 + octet;
  }
  return at === text.length ? value : undefined;
}

const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/** RFC 4291 section 2.2: eight groups, one run of zeros perhaps as `::`, the last two perhaps as dotted decimals. */
function parse6(text: string): Groups | undefined {
  const groups: number[] = [];
  let gap = text.startsWith('::') ? 0 : undefined;
  let at = gap === 0 ? 2 : 0;
  while (at < text.length) {
    const first = at;
    let group = 0;
    let digit = hexDigit(text.charCodeAt(at));
    while (digit >= 0 && at < first + 4) {
      group = group * 16 + digit;
      digit = hexDigit(text.charCodeAt(++at));
    }
    if (at === first) return undefined;
    if (text.charCodeAt(at) === DOT) {
      const tail = parse4(text, first);
      if (tail === undefined) return undefined;
      groups.push(tail >>> 16, tail & 0xffff);
      break;
    }
    groups.push(group);
    if (at === text.length) break;
    if (text.charCodeAt(at++) !== COLON || at === text.length) return undefined;
    if (text.charCodeAt(at) !== COLON) continue;
    if (gap !== undefined) return undefined;
    gap = groups.length;
    at++;
  }
  const missing = 8 - groups.length;
  if (gap === undefined ? missing !== 0 : missing < 1) return undefined;
  if (gap !== undefined) groups.splice(gap, 0, ...new Array<number>(missing).fill(0));
  return groups;
}

function hexDigit(code: number): number {
  if (isDigit(code)) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
