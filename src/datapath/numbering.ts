/**
 * Every number and name by which the kernel's objects are known as ours.
 * Invariant: what does not carry one of these is never changed or removed.
 */
import type { Mac } from '../core/brand.ts';
import { ENI_NUMBER_MAX } from '../core/plan.ts';

/** Routes' and rules' protocol (rtnetlink's rtm_protocol); iproute2 prints it as a number. */
export const PROTOCOL = 117;
/** An ENI's table is 7700 + its number, which is 2..127; the primary uses main. */
const ENI_TABLE_BASE = 7700;
export const eniTable = (number: number): number => ENI_TABLE_BASE + number;
export const eniOfTable = (table: number): number => table - ENI_TABLE_BASE;
export const isEniTable = (table: number): boolean => eniOfTable(table) >= 2 && eniOfTable(table) <= ENI_NUMBER_MAX;
export const MAIN_TABLE = 254;
export const LOCAL_TABLE = 255;
/**
 * The pods' routes and the blocks' fences. The kernel looks into `local` first whatever rules there are: of a table of our
 * own every packet would pay for the rule and one more look-up, twice (docs/design/008-pods-in-local.md).
 */
export const POD_TABLE = LOCAL_TABLE;

/** Between the kernel's `local` (0) and `main` (32766). */
export const RULE_PRIORITY = { mark: 710, from: 720 } as const;

/** Worse than any pod's route: a pod's own route wins while it is there. */
export const FENCE_METRIC = 4_000_000_000;
/** What the kernel makes of an IPv6 route's metric 0; IPv4 keeps 0. */
export const ROUTE_METRIC = { 4: 0, 6: 1024 } as const;

/** Link groups nobody else uses: a packet's rights follow its link's group. `reap` is deleted as a whole. */
export const LINK_GROUP = { live: 0x5557_0000, dead: 0x5557_0001, reap: 0x5557_0002 } as const;

/**
 * Inside a pod, of an interface beside its first: its own table, and the metric of its routes in main, worse than any
 * that a person chooses. From the hash in its MAC (core/lease.ts), so that two interfaces of a pod differ.
 */
export const asideNumber = (podMac: Mac): number =>
  0x8000_0000 + (Number.parseInt(podMac.slice(3, 14).replaceAll(':', ''), 16) & 0x7fff_ffff);

export const NFT_TABLE = 'underway';

/** An ENI's number in the bits that the mask leaves us. */
export const eniMark = (number: number, markMask: number): number => number * (markMask & -markMask);
