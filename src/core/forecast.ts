/**
 * `headroom: auto`: how many addresses a node keeps ready, learnt from its own arrivals. An address is worth keeping
 * when it spares a pod the wait often enough, so the figure is the burst that is exceeded at most once in `RARE_MS`,
 * a burst being what arrives within one refill. That is the quantile of arrivals over all spans of one lead time.
 *
 * Pure arithmetic on `nowMs`; the data is plain, bounded and kept in the journal.
 * **Invariant:** between arrivals and refills the value only falls, and `nextChangeMs` says when.
 */
import type { PoolId } from './brand.ts';

/** Bursts of one size: how many, each counting less with age. */
export interface Recurrence {
  readonly count: number;
  /** 1 for a burst of just now, halved every `HALF_LIFE_MS`; as of `Forecast.atMs`. */
  readonly weight: number;
}

export interface Forecast {
  /** Milliseconds since boot that the weights are of. */
  readonly atMs: number;
  /** How long a refill takes, from decision to serving: up at once, down slowly. */
  readonly leadMs: number;
  /** The burst that is still open: later arrivals within `leadMs` of its first belong to it. */
  readonly sinceMs: number;
  readonly count: number;
  /** Closed bursts by size, ascending; at most `SIZES_MAX`. */
  readonly sizes: readonly Recurrence[];
}

/** What a pool's arrivals and refills have taught. The burst that is still open is not in the journal. */
export interface ForecastRow extends Forecast {
  readonly pool: PoolId;
}

/** What a new ENI takes with usual latencies (aws-2026.json): create 133, attach 438, the link 2,000. */
const LEAD_MS = 2_571;

/** A cloud that is down makes a refill take hours; no pod waits longer than an ADD's deadline. */
const LEAD_MAX_MS = 60_000;

export const NOTHING_LEARNT: Forecast = { atMs: 0, leadMs: LEAD_MS, sinceMs: 0, count: 0, sizes: [] };

const HALF_LIFE_MS = 3_600_000;
/** A size counts while this much weight is at or above it: one burst lasts a half-life, two last twice that, ... */
const WEIGHT_MIN = 0.5;
/** A weight that can no longer matter. */
const WEIGHT_LOST = 0.02;
const SIZES_MAX = 64;

/** A pod asked for an address. */
export function afterArrival(forecast: Forecast, nowMs: number): Forecast {
  if (forecast.count > 0 && nowMs < forecast.sinceMs + forecast.leadMs)
    return { ...forecast, count: forecast.count + 1 };
  return { ...closed(forecast, nowMs), sinceMs: nowMs, count: 1 };
}

/** A growth took `tookMs` from its decision until its addresses could be handed out. */
export function afterRefill(forecast: Forecast, tookMs: number): Forecast {
  const leadMs = Math.min(LEAD_MAX_MS, Math.max(0, tookMs));
  const step = leadMs > forecast.leadMs ? 1 : 1 / 16;
  return { ...forecast, leadMs: forecast.leadMs + (leadMs - forecast.leadMs) * step };
}

/** The node booted: time starts anew, and how long it was away is not known. What was learnt counts as of now. */
export function afterBoot(forecast: Forecast, nowMs: number): Forecast {
  return { ...closed(forecast, forecast.atMs), atMs: nowMs, sinceMs: nowMs, count: 0 };
}

/** Addresses to keep free beyond demand; `cap` is what the instance and the ceiling allow. */
export function headroomOf(forecast: Forecast, { nowMs, cap }: { nowMs: number; cap: number }): number {
  return Math.min(cap, marginal(forecast, nowMs)?.count ?? 0);
}

/** When the value next falls if nothing arrives; undefined when it is 0. */
export function nextChangeMs(forecast: Forecast, nowMs: number): number | undefined {
  const found = marginal(forecast, nowMs);
  if (found === undefined) return undefined;
  return Math.ceil(nowMs + HALF_LIFE_MS * Math.log2(found.weight / WEIGHT_MIN)) + 1;
}

export interface HeadroomExplained {
  readonly headroom: number;
  /** Arrivals are counted over this long: what a refill was seen to take. */
  readonly leadMs: number;
  /** The largest burst that counts. */
  readonly burst: number;
  readonly cap: number;
  readonly sentence: string;
}

export function explainHeadroom(forecast: Forecast, at: { nowMs: number; cap: number }): HeadroomExplained {
  const burst = marginal(forecast, at.nowMs)?.count ?? 0;
  const headroom = Math.min(at.cap, burst);
  const { leadMs } = forecast;
  const seconds = (leadMs / 1_000).toFixed(1);
  const sentence =
    burst === 0
      ? 'no burst of late: nothing is kept ready'
      : `a refill takes ${seconds} s, and up to ${burst} pods came within that of late: ${headroom} addresses are kept ready`;
  return { headroom, leadMs, burst, cap: at.cap, sentence };
}

/** The largest size with enough weight at or above it, and that weight now. */
function marginal(forecast: Forecast, nowMs: number): Recurrence | undefined {
  const decay = decayed(forecast, nowMs);
  const open = sizeOf(forecast.count);
  let weight = 0;
  let above = Number.POSITIVE_INFINITY;
  for (let at = forecast.sizes.length - 1; at >= -1; at--) {
    const size = forecast.sizes[at];
    const count = size?.count ?? 0;
    if (open >= count && open < above && open > 0) {
      weight += openWeight(forecast, nowMs);
      if (open > count && weight >= WEIGHT_MIN) return { count: open, weight };
    }
    weight += (size?.weight ?? 0) * decay;
    if (size !== undefined && weight >= WEIGHT_MIN) return { count, weight };
    above = count;
  }
  return undefined;
}

const openWeight = (forecast: Forecast, nowMs: number): number =>
  2 ** -(Math.max(0, nowMs - forecast.sinceMs) / HALF_LIFE_MS);

const decayed = (forecast: Forecast, nowMs: number): number =>
  2 ** -(Math.max(0, nowMs - forecast.atMs) / HALF_LIFE_MS);

/** The open burst joins the others. */
function closed(forecast: Forecast, nowMs: number): Forecast {
  const decay = decayed(forecast, nowMs);
  const aged = forecast.sizes.map(({ count, weight }) => ({ count, weight: weight * decay }));
  const sizes = forecast.count === 0 ? aged : joined(aged, sizeOf(forecast.count), openWeight(forecast, nowMs));
  return { ...forecast, atMs: nowMs, sizes: sizes.filter(({ weight }) => weight >= WEIGHT_LOST).slice(-SIZES_MAX) };
}

function joined(sizes: readonly Recurrence[], count: number, weight: number): Recurrence[] {
  const same = sizes.find((size) => size.count === count);
  const others = sizes.filter((size) => size.count !== count);
  return [...others, { count, weight: weight + (same?.weight ?? 0) }].sort((a, b) => a.count - b.count);
}

/** Exact to 16, then eight sizes an octave, rounded up: the table stays small whatever comes. */
function sizeOf(count: number): number {
  if (count <= 16) return count;
  const grain = 2 ** (Math.ceil(Math.log2(count)) - 4);
  return Math.ceil(count / grain) * grain;
}
