/** What the bench makes of what it measured: ratios, verdicts, the table and the page. Nothing is timed here. */
import { figuresOf, type Measured } from '../../bench/figures.ts';
import { type DatapathName, type ForwardingRow, KINDS, NODES, PATHS, type PodCount } from '../../bench/forwarding.ts';
import type { LatencyRow } from '../../bench/latency.ts';
import { pageOf } from '../../bench/page.ts';
import { phaseRow } from '../../bench/phases.ts';
import { quantile } from '../../bench/quantile.ts';
import { BARS, RATIO_NAMES } from '../../bench/ratios.ts';
import { reportOf } from '../../bench/report.ts';

const row = (contender: LatencyRow['contender'], verb: LatencyRow['verb'], p50: number): LatencyRow => ({
  contender,
  verb,
  ways: 1,
  count: 10,
  p50,
  p99: 2 * p50,
  perSecond: 1_000 / p50,
});

const LATENCY: readonly LatencyRow[] = [
  row('underway', 'ADD', 2),
  row('underway', 'CHECK', 1),
  row('underway', 'DEL', 1),
  row('ptp', 'ADD', 10),
  row('ptp', 'DEL', 20),
  row('minimum', 'ADD', 1),
  row('exec', 'exec', 0.8),
  { ...row('underway', 'ADD', 20), ways: 16, perSecond: 600 },
  { ...row('ptp', 'ADD', 160), ways: 16, perSecond: 100 },
];

/** Ours has 0.9 of ptp's rate, and 0.8 of it to a VM. */
const forwarding: readonly ForwardingRow[] = NODES.flatMap(({ datapath, pods }) =>
  PATHS.flatMap((path) =>
    KINDS.map((kind) => {
      const rate = 1e6 * shareOf(datapath, pods) * (path === 'pod-vm' && datapath === 'underway' ? 8 / 9 : 1);
      return { datapath, pods, path, kind, rates: [rate, rate / 2], rate, middle: rate };
    }),
  ),
);

function shareOf(datapath: DatapathName, pods: PodCount): number {
  return { underway: 0.9, ptp: 1, rule: 0.95, rules: 1 - pods / 500 }[datapath];
}

const MEASURED: Measured = {
  latency: {
    rows: LATENCY,
    phases: [
      phaseRow('ADD', { wholeMs: 2, execMs: 0.5, daemon: { request: 1.2, step: 0.1, journal: 0.1, kernel: 0.7 } }),
    ],
  },
  forwarding,
  memory: {
    pods: 250,
    idle: { rssMb: 120, pssMb: 100, cpuPercent: 0.3 },
    churn: { rssMb: 160, pssMb: 140, cpuPercent: 70, podsPerSecond: 90, cpuMsPerPod: 8 },
  },
};
const RUN = { quick: true, seconds: 200 };

test('ratios read as the bars are written, and the worse path counts', () => {
  const { ratios, rssMb250 } = figuresOf(MEASURED, RUN);
  expect(ratios.addP50OverPtp).toBeCloseTo(0.2);
  expect(ratios.addRate16OverPtp).toBeCloseTo(6);
  expect(ratios.delP50OverPtp).toBeCloseTo(0.05);
  expect(ratios.addOverNetlinkMinimum).toBeCloseTo(2);
  expect(ratios.checkOverExec).toBeCloseTo(1.25);
  expect(ratios.tcpOverPtp).toBeCloseTo(0.8);
  expect(ratios.rr250Over1).toBeCloseTo(1);
  expect(rssMb250).toBe(120);
});

test('each ratio has a bar, and each bar a verdict', () => {
  const { bars } = figuresOf(MEASURED, RUN);
  expect(BARS.map(({ name }) => name)).toEqual([...RATIO_NAMES, 'rssMb250']);
  expect(bars.filter(({ met }) => !met).map(({ name }) => name)).toEqual([
    'tcpOverPtp',
    'rrOverPtp',
    'smallPacketsOverPtp',
  ]);
});

test('a part that was not measured misses nothing and is null', () => {
  const figures = figuresOf({}, RUN);
  expect(Object.keys(figures.ratios)).toEqual([...RATIO_NAMES]);
  expect(JSON.parse(JSON.stringify(figures))).toMatchObject({ ratios: { addP50OverPtp: null }, rssMb250: null });
  expect(reportOf(figures)).not.toMatch(/MISSED|NaN/);
  expect(pageOf(figures)).not.toMatch(/MISSED|NaN/);
});

test('the parts of a phase row add up to the whole', () => {
  const { verb, ...parts } = phaseRow('DEL', {
    wholeMs: 3,
    execMs: 0.5,
    daemon: { request: 2, step: 0.2, journal: 0.3, kernel: 1 },
  });
  expect(verb).toBe('DEL');
  expect(Object.values(parts).reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(3);
  expect(parts.socket).toBeCloseTo(0.5);
});

test('the table says what was missed, the page shows it with plots and without anything from elsewhere', () => {
  const figures = figuresOf(MEASURED, RUN);
  expect(reportOf(figures)).toMatch(/smallPacketsOverPtp: .* 0\.800 +at least 0\.92 +MISSED/);
  const page = pageOf(figures);
  expect(page.match(/<svg/g)).toHaveLength(11);
  expect(page).not.toMatch(/<script|https?:|NaN|undefined|Infinity/);
  expect(page.match(/class="missed"/g)).toHaveLength(3);
});

test('a quantile is one of the values', () => {
  expect([0, 0.5, 0.99, 1].map((q) => quantile([4, 1, 3, 2], q))).toEqual([1, 2, 4, 4]);
  expect(quantile([], 0.5)).toBeNaN();
});
