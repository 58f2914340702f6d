/** Two plots as inline SVG, a line of text for each row and nothing from elsewhere. Pure. */

export interface RangeRow {
  readonly label: string;
  /** The dot. */
  readonly at: number;
  /** The line through it; from and to the dot without them. */
  readonly from?: number;
  readonly to?: number;
  /** To the right of it. */
  readonly text: string;
  readonly colour: Colour;
}

export interface StackRow {
  readonly label: string;
  readonly parts: readonly { readonly value: number; readonly colour: Colour; readonly title: string }[];
  readonly text: string;
}

/** Variables of the page's style, so that a dark page has its own. */
export type Colour = `c${1 | 2 | 3 | 4 | 5 | 6}`;

export interface Axis {
  readonly unit: string;
  readonly isLog?: boolean;
  readonly min?: number;
  readonly max?: number;
  /** Lines across, such as a bar that is to be met. */
  readonly marks?: readonly { readonly at: number; readonly label: string }[];
}

const WIDTH = 920;
const LEFT = 230;
const RIGHT = 170;
const ROW = 24;
const TOP = 22;
const BOTTOM = 34;
const TICKS = 5;

export const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign] ?? sign);

/** Dots with lines: a middle, and how far it goes. */
export function rangeChart(rows: readonly RangeRow[], axis: Axis): string {
  const values = rows.flatMap(({ at, from = at, to = at }) => [at, from, to]).filter(Number.isFinite);
  const x = scaleOf(values, axis);
  const marks = rows.map(({ at, from = at, to = at, colour, text, label }, n) => {
    const y = TOP + ROW * (n + 0.5);
    return [
      labelAt(label, y),
      `<line class="range ${colour}" x1="${x(from)}" x2="${x(to)}" y1="${y}" y2="${y}"/>`,
      `<circle class="dot ${colour}" cx="${x(at)}" cy="${y}" r="5"/>`,
      textAt(text, y),
    ].join('');
  });
  return svg(rows.length, x, axis, marks);
}

/** Bars from zero, of one part or of several. */
export function stackChart(rows: readonly StackRow[], axis: Axis): string {
  const totals = rows.map(({ parts }) => parts.reduce((sum, { value }) => sum + value, 0));
  const x = scaleOf([0, ...totals], { ...axis, min: 0 });
  const marks = rows.map(({ label, parts, text }, n) => {
    const y = TOP + ROW * n + 4;
    let start = 0;
    const bars = parts.map(({ value, colour, title }) => {
      const from = x(start);
      start += Math.max(0, value);
      const width = (Number(x(start)) - Number(from)).toFixed(1);
      const name = `<title>${escaped(title)}</title>`;
      return `<rect class="${colour}" x="${from}" y="${y}" width="${width}" height="${ROW - 8}">${name}</rect>`;
    });
    return labelAt(label, y + ROW / 2 - 4) + bars.join('') + textAt(text, y + ROW / 2 - 4);
  });
  return svg(rows.length, x, axis, marks);
}

export const legend = (names: readonly (readonly [Colour, string])[]): string =>
  `<p class="legend">${names.map(([colour, name]) => `<span><i class="${colour}"></i>${escaped(name)}</span>`).join(' ')}</p>`;

type Scale = ((value: number) => string) & { readonly ticks: readonly number[] };

function scaleOf(values: readonly number[], { isLog = false, min, max, marks = [] }: Axis): Scale {
  const all = [...values, ...marks.map(({ at }) => at)];
  const low = min ?? Math.min(...all);
  const high = max ?? Math.max(...all);
  const [from, to] = isLog ? [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))] : [low, high];
  const way = (value: number) =>
    isLog ? Math.log10(value / from) / Math.log10(to / from) : (value - from) / (to - from);
  const place = (value: number) =>
    (LEFT + (WIDTH - LEFT - RIGHT) * Math.min(1, Math.max(0, way(value) || 0))).toFixed(1);
  return Object.assign(place, { ticks: isLog ? decades(from, to) : evenly(from, to) });
}

function decades(from: number, to: number): number[] {
  const ticks = [];
  for (let tick = from; tick <= to * 1.001; tick *= 10) ticks.push(tick);
  return ticks;
}

/** At 1, 2 or 5 times a power of ten. */
function evenly(from: number, to: number): number[] {
  const rough = (to - from) / TICKS || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough) ?? rough;
  const ticks = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to + step / 1_000; tick += step) ticks.push(tick);
  return ticks;
}

const labelAt = (text: string, y: number): string =>
  `<text class="label" x="${LEFT - 10}" y="${y + 4}">${escaped(text)}</text>`;
const textAt = (text: string, y: number): string =>
  `<text x="${WIDTH - RIGHT + 12}" y="${y + 4}">${escaped(text)}</text>`;

function svg(rowCount: number, x: Scale, { unit, marks = [] }: Axis, rows: readonly string[]): string {
  const end = TOP + ROW * rowCount;
  const grid = x.ticks.map(
    (tick) =>
      `<line class="grid" x1="${x(tick)}" x2="${x(tick)}" y1="${TOP}" y2="${end}"/>` +
      `<text class="tick" x="${x(tick)}" y="${end + 15}">${Number(tick.toPrecision(3))}</text>`,
  );
  const lines = marks.map(
    ({ at, label }) =>
      `<line class="mark" x1="${x(at)}" x2="${x(at)}" y1="${TOP - 6}" y2="${end}"/>` +
      `<text class="tick" x="${x(at)}" y="${TOP - 10}">${escaped(label)}</text>`,
  );
  const name = `<text class="tick" x="${(LEFT + WIDTH - RIGHT) / 2}" y="${end + 30}">${escaped(unit)}</text>`;
  const parts = [...grid, ...lines, ...rows, name].join('\n');
  return `<svg viewBox="0 0 ${WIDTH} ${end + BOTTOM}" role="img">\n${parts}\n</svg>`;
}
