/** The figures as text. Pure. */
import type { Figures } from './figures.ts';
import { type DatapathName, type ForwardingRow, KINDS, PATHS, POD_COUNTS } from './forwarding.ts';
import type { LatencyFigures } from './latency.ts';
import type { MemoryFigures } from './memory.ts';
import { PHASES } from './phases.ts';
import { over, type Verdict } from './ratios.ts';

export function reportOf({ latency, forwarding, memory, bars }: Figures): string {
  return [
    ...(latency === undefined ? [] : latencyText(latency)),
    ...(forwarding === undefined ? [] : forwardingText(forwarding)),
    ...(memory === undefined ? [] : memoryText(memory)),
    ...barText(bars),
  ].join('\n');
}

/** The first column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

function latencyText({ rows, phases }: LatencyFigures): string[] {
  const lines = rows.map(({ contender, verb, ways, p50, p99, perSecond, insideMs }) => [
    `${contender} ${verb}`.replace('exec exec', 'exec of an empty program'),
    String(ways),
    p50.toFixed(2),
    p99.toFixed(2),
    perSecond.toFixed(0),
    insideMs === undefined ? '' : `${insideMs.toFixed(2)} without exec and exit`,
  ]);
  const head = ['', ...PHASES];
  return [
    '',
    'Exec to exit, ms; contenders in turns',
    ...table([['', 'at a time', 'p50', 'p99', 'a second', ''], ...lines]),
    '',
    'Where ours goes, one at a time, ms: means of a middling batch',
    ...table([head, ...phases.map((row) => [row.verb, ...PHASES.map((phase) => row[phase].toFixed(3))])]),
  ];
}

export const UNITS = {
  tcp: 'TCP, Gbit/s',
  rr: 'request/response, us',
  smallPackets: 'small packets, ns each',
} as const;

/** In the unit that people speak of. */
export function spoken({ kind, rate }: Pick<ForwardingRow, 'kind' | 'rate'>): number {
  return kind === 'tcp' ? (8 * rate) / 1e9 : kind === 'rr' ? 1e6 / rate : 1e9 / rate;
}

/** In the order in which they are shown. */
export const DATAPATH_NAMES: Readonly<Record<DatapathName, string>> = {
  underway: 'underway',
  ptp: 'ptp',
  rule: 'ptp, one rule',
  rules: 'ptp, two rules a pod',
};
export const SHOWN_DATAPATHS = Object.keys(DATAPATH_NAMES) as DatapathName[];

function forwardingText(rows: readonly ForwardingRow[]): string[] {
  const of = (wanted: Partial<ForwardingRow>) =>
    rows.find((row) => Object.entries(wanted).every(([key, value]) => row[key as keyof ForwardingRow] === value));
  const cell = (wanted: Pick<ForwardingRow, 'datapath' | 'pods' | 'path' | 'kind'>): string => {
    const row = of(wanted);
    if (row === undefined) return '';
    const ptp = of({ ...wanted, datapath: 'ptp' });
    const ratios = [over(row.rate, ptp?.rate), over(row.middle, ptp?.middle)].map((ratio) => ratio.toFixed(3));
    return `${spoken(row).toFixed(row.kind === 'smallPackets' ? 0 : 2)} (${ratios.join(', ')})`;
  };
  return [
    '',
    "Forwarding, connection tracking on; in brackets the rate over ptp's on a node of as many pods, and the middle rounds'",
    ...table([
      ['', ...POD_COUNTS.map((count) => (count === 1 ? '1 pod' : `${count} pods`))],
      ...KINDS.flatMap((kind) =>
        PATHS.flatMap((path) =>
          SHOWN_DATAPATHS.map((datapath) => [
            `${UNITS[kind]}, ${path}: ${DATAPATH_NAMES[datapath]}`,
            ...POD_COUNTS.map((pods) => cell({ datapath, pods, path, kind })),
          ]),
        ),
      ),
    ]),
  ];
}

function memoryText({ pods, idle, churn }: MemoryFigures): string[] {
  return [
    '',
    `The daemon with ${pods} pods`,
    ...table([
      ['', 'RSS, MB', 'PSS, MB', 'CPU, %', ''],
      ['30 s idle', idle.rssMb.toFixed(1), idle.pssMb.toFixed(1), idle.cpuPercent.toFixed(2), ''],
      [
        'pods come and go',
        churn.rssMb.toFixed(1),
        churn.pssMb.toFixed(1),
        churn.cpuPercent.toFixed(1),
        `${churn.podsPerSecond.toFixed(0)} a second, ${churn.cpuMsPerPod.toFixed(2)} ms of CPU each`,
      ],
    ]),
  ];
}

const barText = (bars: readonly Verdict[]): string[] => [
  '',
  'Bars',
  ...table([
    ['', 'figure', 'wanted', ''],
    ...bars.map((bar) => [
      `${bar.name}: ${bar.what}`,
      Number.isNaN(bar.value) ? '-' : bar.value.toFixed(3),
      `${bar.side} ${bar.limit}`,
      verdictOf(bar),
    ]),
  ]),
];

export const verdictOf = ({ value, met }: Verdict): string =>
  Number.isNaN(value) ? 'not measured' : met ? 'met' : 'MISSED';
