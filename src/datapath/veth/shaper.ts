/**
 * A rate as a queue of the kernel (sch_tbf), at either end of the pod's link. Shaped on both ways: what is beyond the rate
 * waits, where a policer would drop it and TCP would fall back.
 *
 * Measured over TCP from 0.25 Mbit/s to 1 Gbit/s: within 2 % of the rate both ways with what is chosen here. With a queue of
 * 12 kB 1 Mbit/s came to 0.6.
 *
 * The queue inside the pod is the pod's to go round or to remove, so there is a policer behind it, out of its reach. Who is
 * shaped never meets it: it counts no Ethernet header, and its bucket holds a second more.
 */
import type { Rate } from '../../core/plan.ts';
import type { PolicerObject, QdiscObject } from '../kernel-state.ts';
import { sameObject } from '../same-object.ts';

/** PSCHED_SHIFT (linux/net/pkt_sched.h). */
const TICK_NS = 64;
const TICKS_MAX = 0xffff_ffff;
const BYTES_MAX = 0xffff_ffff;
const SECOND_NS = 1e9;

/**
 * Runtimes name no burst of their own: containerd says 2^32 - 1 bits for every rate, which is 3.5 minutes of 20 Mbit/s
 * without a limit. So a burst is at most this long.
 */
const BUCKET_SECONDS = 0.05;
/** As long again may wait, but no less than TCP needs to keep going. */
const QUEUE_SECONDS = 0.05;
const QUEUE_BYTES_MIN = 32_768;
/** Of Ethernet: the kernel counts it. */
const HEADER_BYTES = 14;
/** The kernel counts a policer's bucket in nanoseconds times its rate, with 64 bits. */
const POLICED_BYTES_MAX = 2 ** 64 / SECOND_NS;

interface Limit {
  readonly link: string;
  readonly mtu: number;
  readonly rate: Rate;
}

function bucketOf({ mtu, rate }: Limit): { readonly bytesPerSecond: number; readonly bucketBytes: number } {
  const { bitsPerSecond, burstBits = Number.POSITIVE_INFINITY } = rate;
  const bytesPerSecond = Math.floor(bitsPerSecond / 8);
  // What is larger than the bucket is never sent.
  const bucketBytes = Math.max(Math.min(burstBits / 8, bytesPerSecond * BUCKET_SECONDS), mtu + HEADER_BYTES);
  return { bytesPerSecond, bucketBytes };
}

export function shaper(limit: Limit): QdiscObject {
  const { bytesPerSecond, bucketBytes } = bucketOf(limit);
  const waitingBytes = Math.max(bytesPerSecond * QUEUE_SECONDS, QUEUE_BYTES_MIN);
  return {
    kind: 'qdisc',
    link: limit.link,
    bytesPerSecond,
    bucketTicks: Math.min(Math.ceil(((bucketBytes / bytesPerSecond) * SECOND_NS) / TICK_NS), TICKS_MAX),
    queueBytes: Math.min(Math.ceil(bucketBytes + waitingBytes), BYTES_MAX),
  };
}

/** Undefined for a rate beyond what the kernel can police (147 Gbit/s), which no pod's link carries. */
export function policer(limit: Limit): PolicerObject | undefined {
  const { bytesPerSecond, bucketBytes } = bucketOf(limit);
  if (bytesPerSecond + bucketBytes >= POLICED_BYTES_MAX) return undefined;
  return { kind: 'policer', link: limit.link, bytesPerSecond, bucketBytes: Math.ceil(bucketBytes) };
}

/**
 * What a pod was given of which nothing else is known. Undefined for a limit that is not as ours are: another's, such as
 * the plugin `bandwidth`'s, which lets wait 25 ms, or one with a burst of the runtime's.
 */
export function rateOf(found: QdiscObject | PolicerObject, mtu: number): Rate | undefined {
  const rate = { bitsPerSecond: found.bytesPerSecond * 8 };
  const ours = (found.kind === 'qdisc' ? shaper : policer)({ link: found.link, mtu, rate });
  return ours !== undefined && sameObject(ours, found) ? rate : undefined;
}
