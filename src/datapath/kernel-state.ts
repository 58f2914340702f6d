/**
 * Kernel state as plain objects, and the steps between two states.
 * Every object has an identity (what the kernel would refuse to have twice) and contents; a state is a set of objects.
 * Links are named, never numbered, so a state reads like the tools' output and survives a re-created link.
 */
import type { Mac } from '../core/brand.ts';
import type { Cidr, Family, Ip } from '../core/ip.ts';
import type { NftChain, NftElement, NftFamily, NftSet } from './nft.ts';

export interface AddressObject {
  readonly kind: 'address';
  readonly link: string;
  /** Address with its prefix length, host bits kept, such as `10.0.1.20/32`. */
  readonly address: `${Ip}/${number}`;
  readonly scope: 'global' | 'link' | 'host';
  readonly noPrefixRoute: boolean;
  /** IPv6 only: skip duplicate address detection. */
  readonly noDad: boolean;
  /** IPv6 only: preferred lifetime 0, never chosen as a source by default. */
  readonly deprecated: boolean;
}

export interface NeighbourObject {
  readonly kind: 'neighbour';
  readonly link: string;
  readonly address: Ip;
  readonly mac: Mac;
}

export interface RouteObject {
  readonly kind: 'route';
  readonly family: Family;
  readonly table: number;
  readonly type: 'unicast' | 'unreachable' | 'local';
  /** `0.0.0.0/0` or `::/0` is the default route. */
  readonly destination: Cidr;
  readonly link?: string;
  readonly gateway?: Ip;
  /** The gateway is reached on `link` although no route covers it. */
  readonly onLink?: boolean;
  readonly source?: Ip;
  /** 0 is the kernel's default (IPv6: the kernel stores 1024). */
  readonly metric: number;
  readonly scope: 'global' | 'link';
  readonly protocol: number;
}

export interface RuleObject {
  readonly kind: 'rule';
  readonly family: Family;
  readonly priority: number;
  readonly table: number;
  readonly mark?: { readonly value: number; readonly mask: number };
  readonly from?: Cidr;
  readonly iif?: string;
  readonly protocol: number;
}

/** A token bucket filter as a link's root queue: what the link sends is held to a rate. */
export interface QdiscObject {
  readonly kind: 'qdisc';
  readonly link: string;
  readonly bytesPerSecond: number;
  /** How much may go at once, as the time that it takes at this rate, in the kernel's ticks of 64 ns. */
  readonly bucketTicks: number;
  /** What waits at most; the rest is dropped. */
  readonly queueBytes: number;
}

/** What comes in by a link is held to a rate: what is beyond it is dropped. */
export interface PolicerObject {
  readonly kind: 'policer';
  readonly link: string;
  readonly bytesPerSecond: number;
  /** How much may come at once beside a second's worth, which is always granted. */
  readonly bucketBytes: number;
}

/** A file under /proc/sys with its whole value, such as `net/ipv4/conf/eth1/rp_filter`. */
export interface SysctlObject {
  readonly kind: 'sysctl';
  readonly path: string;
  readonly value: string;
}

export interface NftTableObject {
  readonly kind: 'nft-table';
  readonly family: NftFamily;
  readonly table: string;
  /** `owner|persist` where the kernel has it (6.9): another program's flush then leaves the table. */
  readonly owned: boolean;
  readonly counters: readonly string[];
}
export interface NftSetObject {
  readonly kind: 'nft-set';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: NftSet;
}
export interface NftChainObject {
  readonly kind: 'nft-chain';
  readonly family: NftFamily;
  readonly table: string;
  readonly chain: NftChain;
}
export interface NftElementObject {
  readonly kind: 'nft-element';
  readonly family: NftFamily;
  readonly table: string;
  readonly set: NftSet;
  readonly element: NftElement;
}

export type KernelObject =
  | AddressObject
  | NeighbourObject
  | RouteObject
  | RuleObject
  | QdiscObject
  | PolicerObject
  | SysctlObject
  | NftTableObject
  | NftSetObject
  | NftChainObject
  | NftElementObject;

/** A link as the kernel shows it. */
export interface LinkState {
  readonly name: string;
  readonly index: number;
  readonly mac: Mac;
  readonly mtu: number;
  readonly up: boolean;
  readonly group: number;
  readonly alias: string;
  /** `veth`, or empty for hardware. */
  readonly type: string;
  /** The index of a veth's other end, in whatever namespace that is. */
  readonly peer?: number;
  /** It has a master, such as a bridge. */
  readonly enslaved?: boolean;
}

/** What a read of one namespace gives: all links, and the objects that carry our protocol, table or link names. */
export interface KernelState {
  readonly links: readonly LinkState[];
  readonly objects: readonly KernelObject[];
}

/** Changes of one link in one message (12 us): whatever is left out stays as it is. */
export interface LinkChange {
  readonly name: string;
  readonly up?: boolean;
  readonly alias?: string;
  readonly group?: number;
  readonly mtu?: number;
  /** Flushes the link's neighbours, permanent ones too. */
  readonly mac?: Mac;
  /** net.ipv4.conf.<link>.rp_filter, carried in IFLA_AF_SPEC. */
  readonly rpFilter?: number;
  /** No automatic IPv6 link-local address. */
  readonly noAddrGen?: boolean;
}

/** One deed. Steps are idempotent: putting what is there and removing what is not are both success. */
export type Step =
  | {
      readonly do: 'create-veth';
      /** `index` is chosen by us so that the steps after this one need no answer. */
      readonly host: {
        readonly name: string;
        readonly index: number;
        readonly mac: Mac;
        readonly mtu: number;
        readonly group: number;
      };
      /** Made directly in the pod's namespace, with index 2 where that is free. */
      readonly pod: { readonly name: string; readonly mac: Mac; readonly mtu: number };
    }
  | { readonly do: 'set-link'; readonly at: Place; readonly link: LinkChange }
  | { readonly do: 'rename-link'; readonly at: 'host'; readonly name: string; readonly to: string }
  | { readonly do: 'delete-link'; readonly at: Place; readonly name: string }
  /** Deletes the named links with one pass over RTNL: they are moved into the reap group and the group is deleted. */
  | { readonly do: 'delete-links'; readonly names: readonly string[] }
  | { readonly do: 'put' | 'remove'; readonly at: Place; readonly object: KernelObject };

/** The host's namespace, or the pod's that the batch names. */
export type Place = 'host' | 'pod';

/** Text that two objects share only if the kernel would hold them as one. */
export function objectIdentity(object: KernelObject): string {
  switch (object.kind) {
    case 'address':
      return `address ${object.link} ${object.address}`;
    case 'neighbour':
      return `neighbour ${object.link} ${object.address}`;
    case 'route':
      return `route ${object.family} ${object.table} ${object.destination} ${object.metric}`;
    case 'rule':
      return `rule ${object.family} ${object.priority} ${object.table} ${object.mark?.value ?? ''}/${object.mark?.mask ?? ''} ${object.from ?? ''} ${object.iif ?? ''}`;
    case 'qdisc':
      return `qdisc ${object.link}`;
    case 'policer':
      return `policer ${object.link}`;
    case 'sysctl':
      return `sysctl ${object.path}`;
    case 'nft-table':
      return `nft-table ${object.family} ${object.table}`;
    case 'nft-set':
      return `nft-set ${object.family} ${object.table} ${object.set.name}`;
    case 'nft-chain':
      return `nft-chain ${object.family} ${object.table} ${object.chain.name}`;
    case 'nft-element':
      return `nft-element ${object.family} ${object.table} ${object.set.name} ${object.element.key.join(' . ')}`;
  }
}
