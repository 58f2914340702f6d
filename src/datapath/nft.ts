/**
 * nf_tables rules as data. A rule is the kernel's own list of expressions (NFTA_RULE_EXPRESSIONS), spelt with names:
 * src/kernel turns them into netlink attributes one to one, so what is written here is what `nft --debug=netlink` prints.
 * Registers are the 4-byte ones (NFT_REG32_00 + n, so 0..15); an address of 16 bytes takes four.
 */
import type { Cidr, Ip } from '../core/ip.ts';

export type NftFamily = 'inet' | 'arp' | 'ip' | 'ip6' | 'netdev';
export type NftVerdict =
  | { readonly verdict: 'accept' | 'drop' | 'return' }
  | { readonly verdict: 'goto' | 'jump'; readonly chain: string };

export type NftMetaKey = 'mark' | 'iif' | 'iifname' | 'oifname' | 'iifgroup' | 'nfproto' | 'l4proto';
export type NftCompare = 'eq' | 'neq' | 'lt' | 'gt';

export type NftExpr =
  | { readonly op: 'meta'; readonly key: NftMetaKey; readonly to: number }
  | { readonly op: 'meta-set'; readonly key: 'mark'; readonly from: number }
  | { readonly op: 'ct'; readonly key: 'mark' | 'state'; readonly to: number }
  | { readonly op: 'ct-set'; readonly key: 'mark'; readonly from: number }
  | {
      readonly op: 'payload';
      readonly base: 'link' | 'network' | 'transport';
      readonly offset: number;
      readonly length: number;
      readonly to: number;
    }
  /** `register = (register & mask) ^ xor`, byte for byte. */
  | {
      readonly op: 'bitwise';
      readonly from: number;
      readonly to: number;
      readonly mask: Uint8Array;
      readonly xor: Uint8Array;
    }
  | { readonly op: 'cmp'; readonly from: number; readonly how: NftCompare; readonly value: Uint8Array }
  /** Membership (`not` inverts), a verdict map, or a data map when `to` is there. */
  | {
      readonly op: 'lookup';
      readonly set: string;
      readonly from: number;
      readonly not?: boolean;
      readonly verdictMap?: boolean;
      readonly to?: number;
    }
  | { readonly op: 'immediate'; readonly to: number; readonly value: Uint8Array }
  | ({ readonly op: 'verdict' } & NftVerdict)
  /** `fib saddr . iif oif`: the interface a reply to the source would leave by, 0 when it is not the one it came in by. */
  | { readonly op: 'fib'; readonly what: 'saddr . iif oif'; readonly to: number }
  | { readonly op: 'snat'; readonly family: 4 | 6; readonly from: number; readonly fullyRandom: boolean }
  | { readonly op: 'masquerade' }
  | { readonly op: 'counter'; readonly name: string }
  /** `limit rate over`: true of what is beyond the rate. The bucket holds a second's worth and `burstBytes`. */
  | { readonly op: 'limit'; readonly bytesPerSecond: number; readonly burstBytes: number };

export type NftKeyType = 'mark' | 'ifname' | 'ipv4_addr' | 'ipv6_addr' | 'ether_addr';

export interface NftSet {
  readonly name: string;
  /** More than one is a concatenation (`ifname . ipv4_addr`), each part padded to 4 bytes. */
  readonly key: readonly NftKeyType[];
  readonly interval: boolean;
  readonly verdictMap: boolean;
  /** No more elements than these; told, the kernel takes a hash of fixed size, which is quicker to look into. */
  readonly size?: number;
}

/** One part of a key: a number for marks, a name for interfaces, an address, or a block where the set has intervals. */
export type NftKeyPart = number | string | Ip | Cidr;

export interface NftElement {
  readonly key: readonly NftKeyPart[];
  readonly verdict?: NftVerdict;
}

export interface NftChain {
  readonly name: string;
  readonly hook?: {
    readonly hook: 'ingress' | 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
    /** Of a netdev table's: the link. */
    readonly device?: string;
    readonly type: 'filter' | 'nat';
    readonly priority: number;
  };
  readonly rules: readonly (readonly NftExpr[])[];
}
