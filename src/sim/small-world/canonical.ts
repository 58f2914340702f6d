/**
 * One text for all states that go on alike: ids by their rank, times by their distance from now, no counters. Two
 * states of one text are taken for one, so what is left out here is what the exploration does not tell apart.
 */
import type { SmallWorld } from './small-world.ts';

/** Nothing that the core waits for is further away; what is older is old. */
const AGE_MAX_MS = 150_000;
const ID = /\be\d+-\d+/g;
const REQUEST = /"r\d+"/g;
/** Counters, what nothing is decided by, and settings, which never change. */
const LEFT_OUT = new Set([
  'settings',
  'nextId',
  'nextLinkIndex',
  'nextWaiter',
  'startedMs',
  'linkIndex',
  'index',
  'epoch',
  'requests',
  'nowMs',
  'lastMs',
  'before',
  'plan',
  'pods',
  'made',
]);

export function canonical({ rows, around }: SmallWorld): string {
  let text = '';
  for (const [table, row] of rows) {
    if (table === 'node' || table === 'budget' || table === 'pool' || table === 'subnet') continue;
    text += `${table}${writtenRow(row, around.nowMs)}\n`;
  }
  const { pods, ...rest } = around;
  for (const pod of pods) text += writtenRow(pod, around.nowMs);
  text += written(rest, around.nowMs);
  // An older read can differ only where the cloud has changed since the call.
  for (const call of around.calls) text += call.before === around.cloud ? '=' : writtenRow(call.before, around.nowMs);
  return ranked(ranked(text, ID), REQUEST);
}

/** Rows are immutable and go from state to state: each is written once for one moment. */
const memory = new WeakMap<object, { readonly nowMs: number; readonly text: string }>();

function writtenRow(row: object, nowMs: number): string {
  const known = memory.get(row);
  if (known?.nowMs === nowMs) return known.text;
  const text = written(row, nowMs);
  memory.set(row, { nowMs, text });
  return text;
}

function written(value: unknown, nowMs: number): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '';
  if (Array.isArray(value)) return `[${value.map((one) => written(one, nowMs)).join()}]`;
  let text = '{';
  for (const [key, one] of Object.entries(value)) {
    if (one === undefined || LEFT_OUT.has(key)) continue;
    text += `${key}:${typeof one === 'number' ? number(key, one, nowMs) : written(one, nowMs)},`;
  }
  return `${text}}`;
}

function number(key: string, value: number, nowMs: number): number {
  if (!key.endsWith('Ms') || key === 'etaMs' || key === 'forMs') return value;
  return Math.max(-AGE_MAX_MS, Math.min(AGE_MAX_MS, Math.round(value - nowMs)));
}

/** Names of one kind by their order, which is all that the core looks at. */
function ranked(text: string, name: RegExp): string {
  const rank = new Map([...new Set(text.match(name) ?? [])].sort().map((one, at) => [one, `#${at}`]));
  return text.replace(name, (one) => rank.get(one) ?? one);
}

/** 53 bits of a text: two states in 300,000 share them by chance once in 200,000 runs. */
export function hashOf(text: string): number {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    a = Math.imul(a ^ code, 0x01000193);
    b = Math.imul(b ^ code, 0x85ebca6b);
    b ^= b >>> 13;
  }
  return (a >>> 0) * 0x200000 + ((b >>> 0) & 0x1fffff);
}
