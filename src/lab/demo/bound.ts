/**
 * The least time the cloud's latencies allow for a burst: what a node that knew everything and lost no time would need.
 */
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { InstanceId } from '../../core/brand.ts';
import { cidrBase, familyOf } from '../../core/ip.ts';

/** Addresses on the node's secondary ENIs that no pod uses (IPv4). */
export function freeAddresses(cloud: MemoryCloud, instance: InstanceId, used: ReadonlySet<string>): number {
  return blocks4(cloud, instance).filter((block) => !used.has(cidrBase(block))).length;
}

/**
 * When the 99th percentile pod can have its address at best, in ms after the burst: at once from what is free, after one
 * assign from slots that are, and else after a new ENI is created, attached and seen.
 */
export function boundMs(
  cloud: MemoryCloud,
  burst: { readonly instance: InstanceId; readonly free: number; readonly pods: number },
): number {
  const { latencyMs, linkSeenMs } = cloud.figures;
  const last = Math.ceil(0.99 * burst.pods);
  if (last <= burst.free) return 0;
  const instance = cloud.truth.instances.get(burst.instance);
  const slots = (instance?.limits.slotsPerEni[4] ?? 1) - 1;
  const secondary = cloud.truth.enisOf(burst.instance).filter((eni) => !eni.primary);
  const unfilled = secondary.length * slots - blocks4(cloud, burst.instance).length;
  if (last <= burst.free + unfilled) return latencyMs.assign;
  return latencyMs.create + latencyMs.attach + linkSeenMs;
}

const blocks4 = (cloud: MemoryCloud, instance: InstanceId) =>
  cloud.truth
    .enisOf(instance)
    .filter((eni) => !eni.primary)
    .flatMap((eni) => eni.blocks.filter((block) => familyOf(block) === 4));
