/** A trace as text for people: when, what happened, and under it what changed and what goes out. */
import type { TraceLine } from './trace-log.ts';

/** Milliseconds shown before and after the time that was asked for. */
const AROUND_MS = 5_000;

const MARK = { event: '', row: '      ', effect: '   -> ', misfortune: '*** ' } as const;
const COLOUR = { event: '\x1b[1m', row: '\x1b[2m', effect: '\x1b[36m', misfortune: '\x1b[33m' } as const;
const PLAIN = '\x1b[0m';

export interface TraceTextOptions {
  readonly last?: number | undefined;
  readonly aroundMs?: number | undefined;
  readonly coloured?: boolean | undefined;
}

export function traceText(trace: readonly TraceLine[], options: TraceTextOptions = {}): string[] {
  const { last, aroundMs, coloured } = options;
  const chosen = trace.filter(({ atMs }) => aroundMs === undefined || Math.abs(atMs - aroundMs) <= AROUND_MS);
  return chosen.slice(last === undefined ? 0 : -last).map(({ atMs, kind, text }) => {
    const line = `${MARK[kind]}${text}`;
    return `${timeText(atMs)}  ${coloured ? `${COLOUR[kind]}${line}${PLAIN}` : line}`;
  });
}

/** Seconds since the start, as `--around` takes them. */
const timeText = (atMs: number): string => (atMs / 1_000).toFixed(3).padStart(9);
