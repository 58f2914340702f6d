/** The figures as ratios, and the bars that they are held to (issue 5, section 13 of the design). Pure. */
import type { LatencyRow, Ways } from './latency.ts';

export const RATIO_NAMES = [
  'addP50OverPtp',
  'addRate16OverPtp',
  'delP50OverPtp',
  'addOverNetlinkMinimum',
  'checkOverExec',
] as const;

export type RatioName = (typeof RATIO_NAMES)[number];
export type Ratios = Partial<Readonly<Record<RatioName, number>>>;

export function latencyRatios(rows: readonly LatencyRow[]): Ratios {
  const row = (contender: LatencyRow['contender'], verb: LatencyRow['verb'], ways: Ways = 1) =>
    rows.find((row) => row.contender === contender && row.verb === verb && row.ways === ways);
  const over = (one: LatencyRow | undefined, other: LatencyRow | undefined, what: 'p50' | 'perSecond'): number =>
    (one?.[what] ?? Number.NaN) / (other?.[what] ?? Number.NaN);
  return {
    addP50OverPtp: over(row('underway', 'ADD'), row('ptp', 'ADD'), 'p50'),
    addRate16OverPtp: over(row('underway', 'ADD', 16), row('ptp', 'ADD', 16), 'perSecond'),
    delP50OverPtp: over(row('underway', 'DEL'), row('ptp', 'DEL'), 'p50'),
    addOverNetlinkMinimum: over(row('underway', 'ADD'), row('minimum', 'ADD'), 'p50'),
    checkOverExec: over(row('underway', 'CHECK'), row('exec', 'exec'), 'p50'),
  };
}
