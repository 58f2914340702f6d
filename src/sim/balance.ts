/**
 * Whether a pool that has been left alone is as its targets say: enough held, enough free, no surplus kept. Counted from
 * the cloud's own rows and the instance's limits, not with the planner's arithmetic.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniRecord } from '../../providers/memory/records.ts';
import type { EniId, InstanceId } from '../core/brand.ts';
import { type Cidr, cidrContains, cidrLength, type Family, familyOf, type Ip } from '../core/ip.ts';
import type { PoolRow } from '../core/rows.ts';

export interface Scales {
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly pool: Pick<PoolRow, 'families' | 'primaryEni' | 'prefixes' | 'targets'>;
  /** Addresses of pods that run. */
  readonly used: ReadonlySet<Ip>;
  /** Quarantined addresses: neither free nor to be given back, and no part of what floor and headroom ask for. */
  readonly apart: ReadonlySet<Ip>;
  /** Blocks that are somebody else's, and ENIs: they take slots. */
  readonly foreignBlocks: ReadonlySet<Cidr>;
  /** Blocks that pods lost, by ENI: their slots are kept for when they can be had again. */
  readonly lost: ReadonlyMap<EniId, readonly Cidr[]>;
  readonly isForeign: (eni: EniRecord) => boolean;
  /** The node was throttled: it gives way to others with calls that nobody waits for (docs/design/004-budgets.md). */
  readonly givesWay: boolean;
}

/** A huge IPv6 prefix counts as what a node could ever use. */
const sizeOf = (block: Cidr): number => 2 ** Math.min(16, (familyOf(block) === 4 ? 32 : 128) - cidrLength(block));

/** What is out of balance, as sentences. */
export function imbalances(scales: Scales): string[] {
  if (scales.givesWay) return [];
  return scales.pool.families.flatMap((family) => imbalance(scales, family));
}

interface Count {
  readonly blocks: readonly Cidr[];
  readonly all: number;
  readonly used: number;
  readonly total: number;
  /** What the pool could hold at most. */
  readonly most: number;
}

function countOf(scales: Scales, family: Family): Count {
  const { ceiling } = scales.pool.targets;
  const usable = usableEnis(scales);
  const blocks = usable
    .flatMap((eni) => eni.blocks)
    .filter((block) => familyOf(block) === family && !scales.foreignBlocks.has(block));
  const apart = [...scales.apart].filter((ip) => blocks.some((block) => cidrContains(block, ip)));
  const total = blocks.reduce((sum, block) => sum + sizeOf(block), 0) - apart.length;
  const all = [...scales.used].filter((ip) => familyOf(ip) === family);
  const used = all.filter((ip) => !scales.apart.has(ip) && blocks.some((block) => cidrContains(block, ip))).length;
  const most = Math.min(ceiling - apart.length, total + roomLeft(scales, usable, family));
  return { blocks, all: all.length, used, total, most };
}

/** How many more pods the node has room for, whatever the pool holds of it now. */
export function roomForPods(scales: Scales): number {
  const rooms = scales.pool.families.map((family) => {
    const { most, used } = countOf(scales, family);
    return most - used;
  });
  return Math.min(...rooms);
}

function imbalance(scales: Scales, family: Family): string[] {
  const { floor, headroom } = scales.pool.targets;
  const { blocks, all, used, total, most } = countOf(scales, family);
  const free = total - used;
  const problems: string[] = [];
  if (total < Math.min(floor, most)) problems.push(`IPv${family}: holds ${total}, floor ${floor}, could hold ${most}`);
  // One that is learnt goes on falling for as long as nobody comes.
  if (headroom === 'auto') return problems;
  if (free < Math.min(Math.ceil(headroom / 2), most - used))
    problems.push(`IPv${family}: ${free} of ${total} free, headroom ${headroom}, could hold ${most}`);
  // Pods that lost their address may come back for another. A block that nobody uses any address of can go as a whole;
  // hysteresis is the larger of a block and half the headroom.
  const taken = [...scales.used, ...scales.apart];
  // Beside IPv4 a /80 goes with its ENI.
  const stays = (block: Cidr): boolean => family === 6 && scales.pool.families.length > 1 && sizeOf(block) > 1;
  const idle = blocks.filter((block) => !stays(block) && !taken.some((ip) => cidrContains(block, ip))).map(sizeOf);
  const least = Math.min(...idle);
  const kept = headroom + Math.max(...blocks.map(sizeOf), Math.ceil(headroom / 2));
  if (free > kept && free - least >= headroom && total - least >= Math.max(floor, all + headroom))
    problems.push(`IPv${family}: ${free} of ${total} free, headroom ${headroom}, floor ${floor}: surplus kept`);
  return problems;
}

function usableEnis({ cloud, instance, pool, isForeign }: Scales): EniRecord[] {
  return cloud.truth.enisOf(instance).filter((eni) => !isForeign(eni) && (!eni.primary || pool.primaryEni === 'use'));
}

/** Addresses that the instance could still take: singly, in free slots, and on ENIs that are not there yet. */
function roomLeft({ cloud, instance, lost }: Scales, usable: readonly EniRecord[], family: Family): number {
  const limits = cloud.truth.instances.get(instance)?.limits;
  if (limits === undefined) return 0;
  const slots = limits.slotsPerEni[family];
  const taken = (eni: EniRecord): number =>
    (family === 4 || eni.primary6 !== undefined ? 1 : 0) +
    [...eni.blocks, ...(lost.get(eni.id) ?? [])].filter((block) => familyOf(block) === family).length;
  const hasRange = ({ subnet }: EniRecord): boolean => {
    const row = cloud.truth.subnets.get(subnet);
    return (family === 4 ? row?.cidr4 : row?.cidr6) !== undefined;
  };
  const onThem = usable.filter(hasRange).reduce((sum, eni) => sum + Math.max(0, slots - taken(eni)), 0);
  const more = Math.max(0, limits.eniCountMax - cloud.truth.enisOf(instance).length);
  const room = onThem + more * (slots - 1);
  if (family === 6) return room;
  const left = [...cloud.truth.subnets.keys()].reduce((sum, subnet) => sum + cloud.truth.freeCount(subnet), 0);
  return Math.min(room, left);
}
