/** The figures as one HTML page: plots and bars, no script, nothing from elsewhere. Pure. */
import { type Colour, escaped, legend, rangeChart, stackChart } from './chart.ts';
import type { Figures } from './figures.ts';
import { type ForwardingRow, KINDS, PATHS, POD_COUNTS } from './forwarding.ts';
import { type LatencyFigures, type LatencyRow, WAYS } from './latency.ts';
import type { MemoryFigures } from './memory.ts';
import { PHASES } from './phases.ts';
import { median } from './quantile.ts';
import { BARS, over, type Verdict } from './ratios.ts';
import { DATAPATH_NAMES, SHOWN_DATAPATHS, spoken, UNITS, verdictOf } from './report.ts';

const CONTENDERS: Readonly<Record<LatencyRow['contender'], readonly [Colour, string]>> = {
  underway: ['c1', 'underway'],
  ptp: ['c2', 'ptp + host-local'],
  bridge: ['c3', 'bridge + host-local'],
  minimum: ['c4', 'netlink-only minimum'],
  exec: ['c5', 'empty program'],
};
const PHASE_COLOURS = ['c5', 'c2', 'c1', 'c3', 'c4', 'c6'] as const satisfies readonly Colour[];

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2430; --faint: #d8dde5; --quiet: #5c6877; --paper: #fff;
  --c1: #2563eb; --c2: #e07b1a; --c3: #2f9e6e; --c4: #8a56c2; --c5: #7c8796; --c6: #d0457a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --faint: #343c48; --quiet: #9aa6b5; --paper: #14181f;
  --c1: #6a9bff; --c2: #f2a45c; --c3: #5cc79a; --c4: #b58ae6; --c5: #9aa6b5; --c6: #ee7fa8; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 960px; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid var(--faint); }
th:first-child, td:first-child { text-align: left; } .missed { color: var(--c6); font-weight: 600; } .met { color: var(--c3); }
svg { width: 100%; height: auto; font-size: 13px; } svg text { fill: var(--ink); } svg .label { text-anchor: end; }
svg .tick { text-anchor: middle; fill: var(--quiet); font-size: 12px; } .grid { stroke: var(--faint); } .mark { stroke: var(--quiet); stroke-dasharray: 4 3; }
.range { stroke-width: 3; stroke-linecap: round; opacity: .55; } .legend span { margin-right: 1.2rem; white-space: nowrap; }
.legend i { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; } p, .note { color: var(--quiet); }
${[1, 2, 3, 4, 5, 6].map((n) => `.c${n} { fill: var(--c${n}); stroke: var(--c${n}); } i.c${n} { background: var(--c${n}); } rect.c${n} { stroke: none; }`).join('\n')}
`;

export function pageOf({ run, bars, latency, forwarding, memory }: Figures): string {
  const { cpu, cpuCount, kernel, node, endedAt, seconds, quick } = run;
  const machine = `${cpuCount} CPUs (${cpu}), Linux ${kernel}, Node ${node}; ${endedAt}, ${seconds.toFixed(0)} s${quick ? ', --quick' : ''}`;
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Underway: bench</title>
<style>${STYLE}</style>
<h1>Underway: bench</h1>
<p>${escaped(machine)}</p>
<h2>Bars</h2>
${barTable(bars)}
${latency === undefined ? '' : latencyPart(latency)}
${forwarding === undefined ? '' : forwardingPart(forwarding)}
${memory === undefined ? '' : memoryPart(memory)}
</html>
`;
}

const cells = (tag: 'td' | 'th', texts: readonly string[]): string =>
  `<tr>${texts.map((text) => `<${tag}>${text}</${tag}>`).join('')}</tr>`;

const tableOf = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  `<table>${cells('th', head)}\n${rows.map((row) => cells('td', row)).join('\n')}</table>`;

const barTable = (bars: readonly Verdict[]): string =>
  tableOf(
    ['', 'figure', 'wanted', ''],
    bars.map((bar) => {
      const verdict = verdictOf(bar);
      const value = Number.isNaN(bar.value) ? '–' : bar.value.toFixed(3);
      const cell = `<span class="${verdict.toLowerCase()}">${verdict}</span>`;
      return [`${escaped(bar.what)} (${bar.name})`, value, `${bar.side} ${bar.limit}`, cell];
    }),
  );

function latencyPart({ rows, phases }: LatencyFigures): string {
  const own = legend(PHASES.map((phase, n) => [PHASE_COLOURS[n] ?? 'c1', phase] as const));
  return [
    '<h2>Latency</h2><p>From exec to exit. The dot is the median, the line goes to the 99th percentile; the scale is logarithmic.</p>',
    ...(['ADD', 'DEL', 'CHECK'] as const).map((verb) => `<h3>${verb}</h3>${latencyChart(rows, verb)}`),
    `<h2>How many ADDs a second</h2>${rateChart(rows)}`,
    "<h2>Where ours goes</h2><p>One at a time, means of a middling batch. Exec is that of an empty program; the daemon's parts are from its own metrics.</p>",
    own,
    stackChart(
      phases.map((row) => {
        const parts = PHASES.map((phase, n) => ({
          value: row[phase],
          colour: PHASE_COLOURS[n] ?? 'c1',
          title: `${phase} ${row[phase].toFixed(3)} ms`,
        }));
        const all = parts.reduce((sum, { value }) => sum + value, 0);
        return { label: row.verb, parts, text: `${all.toFixed(2)} ms` };
      }),
      { unit: 'ms' },
    ),
  ].join('\n');
}

const waysText = (ways: number): string => (ways === 1 ? 'one at a time' : `${ways} at a time`);

function latencyChart(rows: readonly LatencyRow[], verb: 'ADD' | 'CHECK' | 'DEL'): string {
  const shown = WAYS.flatMap((ways) =>
    rows.filter((row) => row.ways === ways && (row.verb === verb || row.verb === 'exec')),
  );
  return rangeChart(
    shown.map(({ contender, ways, p50, p99 }) => {
      const [colour, name] = CONTENDERS[contender];
      return { label: `${name}, ${ways}`, at: p50, to: p99, colour, text: `${p50.toFixed(2)}, p99 ${p99.toFixed(1)}` };
    }),
    { unit: 'ms, at 1, 4 and 16 at a time', isLog: true },
  );
}

const rateChart = (rows: readonly LatencyRow[]): string =>
  stackChart(
    WAYS.flatMap((ways) => rows.filter((row) => row.verb === 'ADD' && row.ways === ways)).map((row) => {
      const [colour, name] = CONTENDERS[row.contender];
      const text = row.perSecond.toFixed(0);
      return {
        label: `${name}, ${row.ways}`,
        parts: [{ value: row.perSecond, colour, title: waysText(row.ways) }],
        text,
      };
    }),
    { unit: 'a second, at 1, 4 and 16 at a time' },
  );

function forwardingPart(rows: readonly ForwardingRow[]): string {
  const charts = KINDS.flatMap((kind) =>
    PATHS.map((path) => `<h3>${UNITS[kind].replace(/,.*/, '')}, ${path}</h3>${forwardingChart(rows, { kind, path })}`),
  );
  return [
    "<h2>Forwarding</h2><p>Rates over ptp's, on nodes of as many pods, connection tracking on: the dot compares the rounds that nothing disturbed, the line goes to what the middle rounds came to.</p>",
    ...charts,
  ].join('\n');
}

function forwardingChart(rows: readonly ForwardingRow[], of: Pick<ForwardingRow, 'kind' | 'path'>): string {
  const here = rows.filter(({ kind, path }) => kind === of.kind && path === of.path);
  const limit = BARS.find(({ name }) => name === `${of.kind}OverPtp`)?.limit ?? 1;
  const shown = SHOWN_DATAPATHS.filter((datapath) => datapath !== 'ptp').flatMap((datapath) =>
    POD_COUNTS.flatMap((pods) => here.filter((row) => row.datapath === datapath && row.pods === pods)),
  );
  return rangeChart(
    shown.map((row) => {
      const ptp = here.find(({ datapath, pods }) => datapath === 'ptp' && pods === row.pods);
      const at = over(row.rate, ptp?.rate);
      return {
        label: `${DATAPATH_NAMES[row.datapath]}, ${row.pods} ${row.pods === 1 ? 'pod' : 'pods'}`,
        at,
        to: over(median(row.rates), median(ptp?.rates ?? [])),
        colour: row.datapath === 'underway' ? 'c1' : 'c2',
        text: `${at.toFixed(3)}  (${spoken(row).toFixed(row.kind === 'smallPackets' ? 0 : 1)} ${unitOf(row)})`,
      };
    }),
    { unit: "over ptp's", min: 0.3, max: 1.1, marks: [{ at: limit, label: `bar ${limit}` }] },
  );
}

const unitOf = ({ kind }: ForwardingRow): string => UNITS[kind].replace(/.*, /, '').replace(' each', '');

const memoryPart = ({ pods, idle, churn }: MemoryFigures): string =>
  `<h2>The daemon with ${pods} pods</h2>${tableOf(
    ['', 'RSS, MB', 'PSS, MB', 'CPU, %', ''],
    [
      ['30 s idle', idle.rssMb.toFixed(1), idle.pssMb.toFixed(1), idle.cpuPercent.toFixed(2), ''],
      [
        'pods come and go',
        churn.rssMb.toFixed(1),
        churn.pssMb.toFixed(1),
        churn.cpuPercent.toFixed(1),
        `${churn.podsPerSecond.toFixed(0)} a second, ${churn.cpuMsPerPod.toFixed(2)} ms of CPU each`,
      ],
    ],
  )}`;
