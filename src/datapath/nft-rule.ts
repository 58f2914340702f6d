/**
 * Builders that let a rule be written as nft writes it: `rule(ip4('daddr'), notIn('inside4'), accept)`.
 * Each part loads into, or judges, register 0, the one that nft's own compiler uses for all of these.
 */

import type { Cidr, Ip } from '../core/ip.ts';
import { cidrBase, cidrLength, type Family, ipBytes } from '../core/ip.ts';
import type { NftExpr, NftMetaKey } from './nft.ts';

export type RulePart = readonly NftExpr[];

export const rule = (...parts: readonly RulePart[]): readonly NftExpr[] => parts.flat();

/** Bits of `ct state` (NF_CT_STATE_BIT in linux/netfilter/nf_conntrack_common.h). */
export const CT_STATE = { established: 0x2, related: 0x4 } as const;

/** A number as a register holds it: in the machine's order, little-endian on amd64 and arm64. */
export const u32 = (value: number): Uint8Array =>
  Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);

/** An interface name as `iifname` loads it: IFNAMSIZ bytes, zeros behind. */
export function interfaceName(name: string): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(new TextEncoder().encode(name));
  return bytes;
}

export const meta = (key: NftMetaKey): RulePart => [{ op: 'meta', key, to: 0 }];
export const ct = (key: 'mark' | 'state'): RulePart => [{ op: 'ct', key, to: 0 }];
export const ip4 = (field: 'saddr' | 'daddr'): RulePart => address(4, field === 'saddr' ? 12 : 16);
export const ip6 = (field: 'saddr' | 'daddr'): RulePart => address(6, field === 'saddr' ? 8 : 24);

/** In an inet table an address means something only after the family is known (NFPROTO_IPV4 2, NFPROTO_IPV6 10). */
function address(family: Family, offset: number): RulePart {
  return [
    { op: 'meta', key: 'nfproto', to: 0 },
    { op: 'cmp', from: 0, how: 'eq', value: Uint8Array.of(family === 4 ? 2 : 10) },
    { op: 'payload', base: 'network', offset, length: family === 4 ? 4 : 16, to: 0 },
  ];
}

/** The interface that a reply to the packet's source would leave by; 0 when that is not where it came in. */
export const fibReplyInterface: RulePart = [{ op: 'fib', what: 'saddr . iif oif', to: 0 }];

export const is = (value: Uint8Array): RulePart => [{ op: 'cmp', from: 0, how: 'eq', value }];
export const isNot = (value: Uint8Array): RulePart => [{ op: 'cmp', from: 0, how: 'neq', value }];
export const and = (mask: number): RulePart => [bitwise(u32(mask), u32(0))];
export const hasAnyOf = (bits: number): RulePart => [...and(bits), ...isNot(u32(0))];
export const notIn = (set: string): RulePart => [{ op: 'lookup', set, from: 0, not: true }];
export const vmap = (map: string): RulePart => [{ op: 'lookup', set: map, from: 0, verdictMap: true }];

/** The address loaded is in none of the block. */
export function isOutside(block: Cidr): RulePart {
  const base = ipBytes(cidrBase(block));
  const mask = base.map((_, at) => (0xff00 >> Math.min(8, Math.max(0, cidrLength(block) - at * 8))) & 255);
  return [bitwise(mask, new Uint8Array(base.length)), ...isNot(base)];
}

/** `mark set mark & ~mask | value`, of the packet (`meta`) or its connection (`ct`). */
export function setMark(of: 'meta' | 'ct', options: { readonly mask: number; readonly value: number }): RulePart {
  const keepOthers = bitwise(u32(~options.mask), u32(options.value));
  return of === 'meta'
    ? [{ op: 'meta', key: 'mark', to: 0 }, keepOthers, { op: 'meta-set', key: 'mark', from: 0 }]
    : [{ op: 'ct', key: 'mark', to: 0 }, keepOthers, { op: 'ct-set', key: 'mark', from: 0 }];
}

export const accept: RulePart = [{ op: 'verdict', verdict: 'accept' }];
export const drop: RulePart = [{ op: 'verdict', verdict: 'drop' }];
export const goto = (chain: string): RulePart => [{ op: 'verdict', verdict: 'goto', chain }];

/** The source becomes this address, with a port that cannot be guessed. */
export const snatTo = (ip: Ip): RulePart => [
  { op: 'immediate', to: 0, value: ipBytes(ip) },
  { op: 'snat', family: ip.includes(':') ? 6 : 4, from: 0, fullyRandom: true },
];

const bitwise = (mask: Uint8Array, xor: Uint8Array): NftExpr => ({ op: 'bitwise', from: 0, to: 0, mask, xor });
