/** The few nf_tables phrases that the fabric's rules are made of; each loads into register 0 and up, or judges it. */
import { type Ip, ipBytes } from '../../core/ip.ts';
import type { NftExpr } from '../../datapath/nft.ts';

export type Phrase = readonly NftExpr[];

export const rule = (...phrases: readonly Phrase[]): Phrase => phrases.flat();

/** An address loads as 4 or 16 bytes, four of them a register. */
const ADDRESS_REGISTERS = { 4: 1, 6: 4 } as const;

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Comparing only the first bytes is what nft makes of `"eni*"`. */
export const nameStarts = (which: 'iifname' | 'oifname', prefix: string): Phrase => [
  { op: 'meta', key: which, to: 0 },
  { op: 'cmp', from: 0, how: 'eq', value: bytes(prefix) },
];

/** The whole name with its final zero. */
export const nameIs = (which: 'iifname' | 'oifname', name: string): Phrase => nameStarts(which, `${name}\0`);

export const nameIn = (which: 'iifname' | 'oifname', set: string): Phrase => [
  { op: 'meta', key: which, to: 0 },
  { op: 'lookup', set, from: 0 },
];

/** NFPROTO_IPV4 and NFPROTO_IPV6. */
export const isFamily = (family: 4 | 6): Phrase => [
  { op: 'meta', key: 'nfproto', to: 0 },
  { op: 'cmp', from: 0, how: 'eq', value: Uint8Array.of(family === 4 ? 2 : 10) },
];

const OFFSET = { saddr: { 4: 12, 6: 8 }, daddr: { 4: 16, 6: 24 } } as const;

const address = (field: keyof typeof OFFSET, family: 4 | 6, to: number): NftExpr => ({
  op: 'payload',
  base: 'network',
  offset: OFFSET[field][family],
  length: family === 4 ? 4 : 16,
  to,
});

export const addressIn = (field: keyof typeof OFFSET, family: 4 | 6, set: string): Phrase => [
  address(field, family, 0),
  { op: 'lookup', set, from: 0 },
];

export const addressNotIn = (field: keyof typeof OFFSET, family: 4 | 6, set: string): Phrase => [
  address(field, family, 0),
  { op: 'lookup', set, from: 0, not: true },
];

export const addressIs = (field: keyof typeof OFFSET, ip: Ip): Phrase => [
  address(field, ip.includes(':') ? 6 : 4, 0),
  { op: 'cmp', from: 0, how: 'eq', value: ipBytes(ip) },
];

/**
 * `saddr . iifname` or `daddr . oifname` is not in the set. The address comes first: what the kernel looks up of a
 * concatenation costs by how many elements still match after each part, and an ENI has up to hundreds.
 */
export const pairNotIn = (which: 'iifname' | 'oifname', family: 4 | 6, set: string): Phrase => [
  address(which === 'iifname' ? 'saddr' : 'daddr', family, 0),
  { op: 'meta', key: which, to: ADDRESS_REGISTERS[family] },
  { op: 'lookup', set, from: 0, not: true },
];

/** ARP's sender address (RFC 826, Ethernet and IPv4): behind 8 bytes of header and the sender's MAC. */
const arpSender = (to: number): NftExpr => ({ op: 'payload', base: 'network', offset: 14, length: 4, to });

export const arpSenderIs = (ip: Ip): Phrase => [arpSender(0), { op: 'cmp', from: 0, how: 'eq', value: ipBytes(ip) }];

/** `arp saddr ip . iifname` is not in the set. */
export const arpPairNotIn = (set: string): Phrase => [
  arpSender(0),
  { op: 'meta', key: 'iifname', to: ADDRESS_REGISTERS[4] },
  { op: 'lookup', set, from: 0, not: true },
];

/** fe80::/10. */
export const isLinkLocal = (field: keyof typeof OFFSET): Phrase => [
  { op: 'payload', base: 'network', offset: OFFSET[field][6], length: 2, to: 0 },
  { op: 'bitwise', from: 0, to: 0, mask: Uint8Array.of(0xff, 0xc0), xor: Uint8Array.of(0, 0) },
  { op: 'cmp', from: 0, how: 'eq', value: Uint8Array.of(0xfe, 0x80) },
];

/** ff02::/16: what all, or the solicited node, on this link hear. */
export const isLinkMulticast: Phrase = [
  { op: 'payload', base: 'network', offset: OFFSET.daddr[6], length: 2, to: 0 },
  { op: 'cmp', from: 0, how: 'eq', value: Uint8Array.of(0xff, 0x02) },
];

export const count = (name: string): Phrase => [{ op: 'counter', name }];
export const accept: Phrase = [{ op: 'verdict', verdict: 'accept' }];
export const drop: Phrase = [{ op: 'verdict', verdict: 'drop' }];
export const goto = (chain: string): Phrase => [{ op: 'verdict', verdict: 'goto', chain }];

export const snatTo = (ip: Ip): Phrase => [
  { op: 'immediate', to: 0, value: ipBytes(ip) },
  { op: 'snat', family: ip.includes(':') ? 6 : 4, from: 0, fullyRandom: false },
];
