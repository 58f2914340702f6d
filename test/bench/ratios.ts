/** The figures as ratios, and the bars that they are held to (section 13 of the design). Pure. */
import type { ForwardingRow, Kind } from './forwarding.ts';
import type { LatencyRow, Ways } from './latency.ts';

export const RATIO_NAMES = [
  'addP50OverPtp',
  'addRate16OverPtp',
  'delP50OverPtp',
  'addOverNetlinkMinimum',
  'checkOverExec',
  'tcpOverPtp',
  'rrOverPtp',
  'smallPacketsOverPtp',
  'tcp250Over1',
  'rr250Over1',
  'smallPackets250Over1',
] as const;
export type RatioName = (typeof RATIO_NAMES)[number];
export type Ratios = Readonly<Record<RatioName, number>>;

export interface Bar {
  readonly name: RatioName | 'rssMb250';
  readonly what: string;
  /** Met where the figure is on this side of the limit. */
  readonly side: 'at most' | 'at least';
  readonly limit: number;
}

const atMost = (name: Bar['name'], limit: number, what: string): Bar => ({ name, what, side: 'at most', limit });
const atLeast = (name: Bar['name'], limit: number, what: string): Bar => ({ name, what, side: 'at least', limit });

export const BARS: readonly Bar[] = [
  atMost('addP50OverPtp', 1 / 4, "ADD, p50, of ptp's"),
  atLeast('addRate16OverPtp', 5, "ADDs a second at 16 ways, of ptp's"),
  atMost('delP50OverPtp', 1 / 8, "DEL, p50, of ptp's"),
  atMost('addOverNetlinkMinimum', 3, "ADD, p50, of the netlink-only minimum's"),
  atMost('checkOverExec', 2, "CHECK, p50, of an empty program's"),
  atLeast('tcpOverPtp', 0.97, "TCP throughput, of ptp's, 250 pods"),
  atLeast('rrOverPtp', 0.97, "request/response rate, of ptp's, 250 pods"),
  atLeast('smallPacketsOverPtp', 0.92, "small packets, of ptp's, 250 pods"),
  atLeast('tcp250Over1', 0.97, 'TCP throughput, 250 pods over one'),
  atLeast('rr250Over1', 0.97, 'request/response rate, 250 pods over one'),
  atLeast('smallPackets250Over1', 0.97, 'small packets, 250 pods over one'),
  atMost('rssMb250', 150, 'MB of RSS, 250 pods, 30 s idle (aim 120)'),
];

export interface Verdict extends Bar {
  /** NaN: not measured in this run. */
  readonly value: number;
  readonly met: boolean;
}

export const verdicts = (ratios: Ratios, rssMb250: number): Verdict[] =>
  BARS.map((bar) => {
    const value = bar.name === 'rssMb250' ? rssMb250 : ratios[bar.name];
    return { ...bar, value, met: bar.side === 'at most' ? value <= bar.limit : value >= bar.limit };
  });

/** NaN for what was not measured. */
export function ratiosOf(latency: readonly LatencyRow[], forwarding: readonly ForwardingRow[]): Ratios {
  const row = (contender: LatencyRow['contender'], verb: LatencyRow['verb'], ways: Ways = 1) =>
    latency.find((row) => row.contender === contender && row.verb === verb && row.ways === ways);
  const ours = row('underway', 'ADD');
  return {
    addP50OverPtp: over(ours?.p50, row('ptp', 'ADD')?.p50),
    addRate16OverPtp: over(row('underway', 'ADD', 16)?.perSecond, row('ptp', 'ADD', 16)?.perSecond),
    delP50OverPtp: over(row('underway', 'DEL')?.p50, row('ptp', 'DEL')?.p50),
    addOverNetlinkMinimum: over(ours?.p50, row('minimum', 'ADD')?.p50),
    checkOverExec: over(row('underway', 'CHECK')?.p50, row('exec', 'exec')?.p50),
    tcpOverPtp: overPtp(forwarding, 'tcp'),
    rrOverPtp: overPtp(forwarding, 'rr'),
    smallPacketsOverPtp: overPtp(forwarding, 'smallPackets'),
    tcp250Over1: overOne(forwarding, 'tcp'),
    rr250Over1: overOne(forwarding, 'rr'),
    smallPackets250Over1: overOne(forwarding, 'smallPackets'),
  };
}

export const over = (one = Number.NaN, other = Number.NaN): number => one / other;

const overPtp = (rows: readonly ForwardingRow[], kind: Kind): number =>
  worstPath(rows, kind, ({ datapath, pods }) => datapath === 'ptp' && pods === 250);

const overOne = (rows: readonly ForwardingRow[], kind: Kind): number =>
  worstPath(rows, kind, ({ datapath, pods }) => datapath === 'underway' && pods === 1);

/** Ours at 250 pods over another, on the path on which that is worse. */
function worstPath(rows: readonly ForwardingRow[], kind: Kind, isOther: (row: ForwardingRow) => boolean): number {
  const ofKind = rows.filter((row) => row.kind === kind);
  const ratios = ofKind
    .filter(({ datapath, pods }) => datapath === 'underway' && pods === 250)
    .map(({ path, rate }) => over(rate, ofKind.find((row) => row.path === path && isOther(row))?.rate));
  return ratios.length === 0 ? Number.NaN : Math.min(...ratios);
}
