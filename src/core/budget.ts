/**
 * The account's rate limits as arithmetic on `nowMs`: one token bucket an action, cut by throttling (AIMD), with a
 * reserve that lower priorities may not touch. A call becomes an effect only when it has its token here, so the
 * planner sees all that waits and can say when.
 */
import type { CloudAction, Rate } from './cloud.ts';
import type { BudgetRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** What the call is for; the first is served first. */
export type Priority = 'blocked-pod' | 'top-up' | 'release' | 'describe';

/** Share of the burst that must remain after a call of this priority. */
const RESERVE: Readonly<Record<Priority, number>> = { 'blocked-pod': 0, 'top-up': 0.1, describe: 0.1, release: 0.3 };

const SHARE_MIN = 1 / 64;
/** Share regained with each call that is not throttled. */
const SHARE_STEP = 0.05;
const THROTTLE_BACKOFF_MS = 1_000;
const THROTTLE_BACKOFF_MAX_MS = 30_000;

/** Tokens at `nowMs`, grown since the row was written. */
export function tokensAt(row: BudgetRow, rate: Rate, nowMs: number): number {
  const grown = ((nowMs - row.atMs) / 1000) * rate.perSecond * row.share;
  return Math.min(rate.burst, row.tokens + grown);
}

/** When a call of this priority may go: `nowMs` when it may go at once. */
export function readyAtMs(row: BudgetRow, rate: Rate, priority: Priority, nowMs: number): number {
  const missing = 1 + RESERVE[priority] * (rate.burst - 1) - tokensAt(row, rate, nowMs);
  const refilled = missing <= 0 ? nowMs : nowMs + Math.ceil((missing / (rate.perSecond * row.share)) * 1000);
  return Math.max(refilled, row.notBeforeMs);
}

export function budgetOf(turn: Turn, action: CloudAction): BudgetRow {
  const full = turn.capabilities.rates[action].burst;
  return turn.state.get('budget', action) ?? { action, tokens: full, atMs: turn.nowMs, share: 1, notBeforeMs: 0 };
}

/** Takes one token; false (and a wake armed) when it has to wait. Also waits out the action's back-off after failures. */
export function takeToken(turn: Turn, action: CloudAction, priority: Priority): boolean {
  if (turn.runtime.journal === 'down') return false;
  const row = budgetOf(turn, action);
  const rate = turn.capabilities.rates[action];
  const notBeforeMs = turn.state.get('failure', action)?.notBeforeMs ?? 0;
  if (!turn.due(Math.max(notBeforeMs, readyAtMs(row, rate, priority, turn.nowMs)))) return false;
  turn.tx.put('budget', { ...row, tokens: tokensAt(row, rate, turn.nowMs) - 1, atMs: turn.nowMs });
  return true;
}

/** A throttled answer halves the share and empties the bucket; the wait is the cloud's, or grows with full jitter. */
export function throttled(turn: Turn, action: CloudAction, retryAfterMs: number | undefined, jitter: number): void {
  const row = budgetOf(turn, action);
  const backoffMs = Math.min(THROTTLE_BACKOFF_MAX_MS, THROTTLE_BACKOFF_MS / row.share);
  turn.tx.put('budget', {
    ...row,
    tokens: 0,
    atMs: turn.nowMs,
    share: Math.max(SHARE_MIN, row.share / 2),
    notBeforeMs: turn.nowMs + Math.ceil(retryAfterMs ?? backoffMs * jitter),
  });
}

export function answered(turn: Turn, action: CloudAction): void {
  const row = turn.state.get('budget', action);
  if (row === undefined || row.share >= 1) return;
  const rate = turn.capabilities.rates[action];
  turn.tx.put('budget', {
    ...row,
    tokens: tokensAt(row, rate, turn.nowMs),
    atMs: turn.nowMs,
    share: Math.min(1, row.share + SHARE_STEP),
  });
}

/** A number in [0.1, 1) that depends only on the text: jitter without a die, so that a run can be replayed. */
export function jitterOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return 0.1 + (((hash >>> 0) % 1000) / 1000) * 0.9;
}
