/**
 * What the core wants of the kernel, in its own nouns. src/datapath turns a plan into kernel objects and steps,
 * one file a mode; nothing here knows tables, marks or nft.
 */
import type { Attachment, LeaseId, Mac } from './brand.ts';
import type { Cidr, Ip } from './ip.ts';

/** ENIs are numbered from 1. */
export const ENI_NUMBER_MAX = 127;

/** One ENI as the kernel should serve it. */
export interface EniPlan {
  /** 1..127: names the ENI's mark and route table; 1 is the primary, which uses the main table. */
  readonly number: number;
  readonly mac: Mac;
  /** The link the MAC was seen on, such as `eth1`. */
  readonly link: string;
  readonly primary4?: Ip;
  readonly primary6?: Ip;
  readonly gateway4?: Ip;
  readonly gateway6?: Ip;
  /** Every block the node holds on it, from assign to unassign, in use or not. */
  readonly blocks: readonly Cidr[];
}

/** The node's part of the wanted state: everything that ADD and DEL never touch. */
export interface NodePlan {
  readonly vpcCidrs: readonly Cidr[];
  /** Pods' traffic to addresses outside the VPC leaves with the node's primary address (IPv4). */
  readonly masquerade: boolean;
  /** Bits of packet and connection mark that are ours; 0x7f holds 127 ENIs. */
  readonly markMask: number;
  /** The primary first, then by number. */
  readonly enis: readonly EniPlan[];
}

export interface Rate {
  readonly bitsPerSecond: number;
  /** As many at once, at most; where it is left out, what suits the rate. */
  readonly burstBits?: number;
}

/** What a pod may receive (`ingress`) and send (`egress`); without a limit where one is left out. */
export interface Bandwidth {
  readonly ingress?: Rate;
  readonly egress?: Rate;
}

/** One lease as the kernel should serve it. */
export interface PodPlan {
  readonly lease: LeaseId;
  readonly attachment: Attachment;
  /** The host side: `uw` and 13 hex digits of the attachment's hash. */
  readonly link: string;
  /** Index of the host side, chosen by the core so that wiring waits for no answer; never used twice on one boot. */
  readonly linkIndex: number;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** One address a family, IPv4 first. */
  readonly addresses: readonly Ip[];
  readonly podMac: Mac;
  readonly mtu: number;
  readonly bandwidth?: Bandwidth;
  /** The node's primary addresses: what a pod sees when its node speaks to it. */
  readonly nodeAddresses: readonly Ip[];
}

/** Constant MAC of every host side: a pod's neighbour entry is right before its link exists. */
export const HOST_MAC = '02:75:77:00:00:01' as Mac;

/** What every pod calls its node, and the runtime is told: link-local, so in nobody's way; the MAC is HOST_MAC. */
export const POD_GATEWAY = { 4: '169.254.1.1' as Ip, 6: 'fe80::1' as Ip } as const;
