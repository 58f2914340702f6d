/**
 * What happened, event by event: a hash over every line, so that two runs of one seed can be compared, and where it is
 * kept, a text for people: the time since the start, the event, the rows it changed, and what goes out because of it.
 */
import type { Effect, Event } from '../core/events.ts';
import type { Rows, Table } from '../core/rows.ts';
import type { RowChange } from './row-watch.ts';

export interface TraceLine {
  readonly atMs: number;
  readonly kind: 'event' | 'row' | 'effect' | 'misfortune';
  readonly text: string;
}

/** Tables whose rows only count or remember: a trace with them would show little else. */
const QUIET: readonly Table[] = ['runtime', 'sighting', 'budget', 'link'];

export class Trace {
  readonly lines: TraceLine[] = [];
  private readonly kept: boolean;
  private high = 0x811c9dc5;
  private low = 0x01000193;
  private nowMs = 0;
  private beganMs: number | undefined;

  constructor(kept: boolean) {
    this.kept = kept;
  }

  /** 64 bits over all events so far. */
  get hash(): string {
    return [this.high, this.low].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join('');
  }

  event(nowMs: number, event: Event, changes: readonly RowChange[]): void {
    this.nowMs = nowMs;
    const json = JSON.stringify(event);
    this.mix(`${nowMs} ${json}`);
    if (!this.kept) return;
    this.add('event', eventText(event, json));
    for (const change of changes) {
      const text = QUIET.includes(change.table) ? undefined : changeText(change);
      if (text !== undefined) this.add('row', text);
    }
  }

  effect(effect: Effect): void {
    if (this.kept) this.add('effect', effectText(effect));
  }

  misfortune(nowMs: number, fault: string): void {
    this.nowMs = nowMs;
    if (this.kept) this.add('misfortune', fault);
  }

  private add(kind: TraceLine['kind'], text: string): void {
    this.beganMs ??= this.nowMs;
    this.lines.push({ atMs: this.nowMs - this.beganMs, kind, text });
  }

  private mix(line: string): void {
    let { high, low } = this;
    for (let at = 0; at < line.length; at++) {
      const code = line.charCodeAt(at);
      high = Math.imul(high ^ code, 0x01000193);
      low = Math.imul(low ^ code, 0x85ebca6b);
      low ^= low >>> 13;
    }
    this.high = high;
    this.low = low;
  }
}

function eventText(event: Event, json: string): string {
  switch (event.kind) {
    case 'add':
      return `add ${event.pod?.name ?? event.attachment.containerId} ${event.request}`;
    case 'del':
    case 'check':
      return `${event.kind} ${event.attachment.containerId} ${event.request}`;
    case 'wake':
      return 'wake';
    case 'cloud-answered':
      return `cloud-answered ${event.operation} ${JSON.stringify(event.answer)}`;
    default:
      return `${event.kind} ${json.slice(json.indexOf(',') + 1, -1)}`;
  }
}

function changeText({ table, key, before, after }: RowChange): string | undefined {
  if (before === undefined && after === undefined) return undefined;
  if (after === undefined) return `${table} ${key} ${stateOf(before)} -> no row`;
  if (before === undefined) return `${table} ${key} no row -> ${stateOf(after)} ${columns(after, {})}`;
  const changed = columns(after, before);
  const states = stateOf(before) === stateOf(after) ? '' : `${stateOf(before)} -> ${stateOf(after)} `;
  return changed === '' && states === '' ? undefined : `${table} ${key} ${states}${changed}`;
}

const stateOf = (row: Rows[Table] | undefined): string =>
  row !== undefined && 'state' in row ? String(row.state) : 'row';

/** The columns that are other than before, but the state. */
function columns(after: object, before: object): string {
  const was = new Map<string, unknown>(Object.entries(before));
  return Object.entries(after)
    .filter(([name, value]) => name !== 'state' && JSON.stringify(value) !== JSON.stringify(was.get(name)))
    .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
    .join(' ');
}

function effectText(effect: Effect): string {
  switch (effect.kind) {
    case 'reply':
      return `reply ${effect.request} ${replyText(effect)}`;
    case 'wire':
      return `wire ${effect.plan.lease} ${effect.plan.addresses} in ${effect.plan.netns}`;
    case 'cloud':
      return `cloud ${effect.operation} ${JSON.stringify(effect.call)}`;
    case 'sync':
      return `sync ${effect.sync}`;
    default:
      return JSON.stringify(effect);
  }
}

function replyText({ reply }: Extract<Effect, { kind: 'reply' }>): string {
  if (reply.kind === 'added') return `added ${reply.plan.addresses}`;
  return reply.kind === 'refused' ? `refused ${JSON.stringify(reply.reason)}` : 'done';
}
