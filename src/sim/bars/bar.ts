/**
 * A bar: one scenario that Underway and its peers go through on the same cloud and the same pods, the bound that
 * latencies and quotas allow, and what of it we must reach. The bound is computed from the figures, never typed in;
 * docs/design/002-bars.md derives each.
 */

/** The peers of every scenario; `src/sim/peers` has their formulas. */
export const PEERS = ['aws', 'terway', 'cilium'] as const;

export type PolicyFigures = {
  /** From the first ADD of a pod until an ADD of it succeeded, in ms; over all pods of the trace. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** ADDs that were answered with an error. */
  readonly failed: number;
  /** Writes and reads. */
  readonly cloudCalls: number;
  /** The integral of total - held over the scenario, cooling addresses included. */
  readonly idleIpHours: number;
};

/** One thing the bar asks for: met when `value` is at most `atMost`. */
export interface Verdict {
  readonly what: string;
  readonly value: number;
  readonly atMost: number;
}

/** `underway`, every peer, and whatever else a scenario compares. */
export type PeersFigures = Readonly<Record<'underway' | (typeof PEERS)[number], PolicyFigures>> &
  Readonly<Record<string, PolicyFigures>>;

export interface BarReport {
  readonly scenario: string;
  /** What was measured, by what it was measured of: a table whose rows have the same columns. */
  readonly figures: PeersFigures | Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Computed from the cloud's figures, by name; units in the names. */
  readonly bound: Readonly<Record<string, number>>;
  readonly verdicts: readonly Verdict[];
  /** What a reader of the table should know besides. */
  readonly notes: readonly string[];
}

export interface BarOptions {
  /** How many seeds, where the scenario draws anything; each bar has its own default. */
  readonly seeds?: number | undefined;
  /** The first of them, 1 by default. */
  readonly seedFrom?: number | undefined;
}

export interface Bar {
  readonly name: string;
  /** One line for people. */
  readonly title: string;
  readonly run: (options: BarOptions) => Promise<BarReport>;
}

export const isMet = ({ value, atMost }: Verdict): boolean => value <= atMost;
