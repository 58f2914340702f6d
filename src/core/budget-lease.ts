/**
 * The account's buckets, leased to nodes: a lease is a few calls of one action, to be made within seconds.
 *
 * Invariants: what the ledger grants obeys a bucket of half the burst and the full rate, so that what is granted and
 * made late by at most the other half's refill time still fits the account's; a ledger knows nothing of leases that are
 * out, so a new broker begins with an empty bucket and owes nobody; all times on the way are durations, so clocks need
 * not agree; a node that hears nothing goes alone, at the time it was last told.
 */
import { bucketOf, crowdPlace, type Priority, RESERVE, refilledAtMs, refillMs, tokensAt } from './budget.ts';
import type { CloudAction, Rate, WindowRate } from './cloud.ts';
import type { BudgetRow } from './rows.ts';
import type { Turn } from './turn.ts';

export interface BudgetAsk {
  readonly action: CloudAction;
  readonly priority: Priority;
  readonly count: number;
}

/** What the broker tells one node: calls that may be made now, and when those that wait are expected. */
export interface BudgetLease {
  readonly grants: readonly { readonly action: CloudAction; readonly count: number; readonly forMs: number }[];
  readonly expected: readonly { readonly action: CloudAction; readonly inMs: number }[];
}

/** A pod waits: an answer that takes longer than this is not waited for. */
const BLOCKED_ANSWER_MS = 2_000;
const ANSWER_MS = 5_000;
/** How late a broker that lives may be before it tells a new time (RETELL_MS and what is on its way). */
const GRACE_MS = 10_000;
const RETELL_MS = 3_000;
const SLIP_MS = 2_000;
/** Of the time that the held-back half of the burst covers, the rest is for the grant's way and the call's. */
const SPENDING_SHARE = 0.8;

/** The row with one granted call less; undefined where none is left or it has expired. */
export function spendLease(row: BudgetRow, nowMs: number): BudgetRow | undefined {
  const { lease, ...rest } = row;
  if (lease === undefined || lease.untilMs <= nowMs) return undefined;
  return lease.count > 1 ? { ...rest, lease: { ...lease, count: lease.count - 1 } } : rest;
}

/** Notes that a call waits for the broker; `askBroker` tells it at the end of the step. */
export function askFor(turn: Turn, row: BudgetRow, priority: Priority): BudgetRow {
  const { asked } = row;
  const first = { atMs: turn.nowMs, silentSinceMs: turn.nowMs, ...asked, count: 1, priority, sent: false };
  let next = asked;
  if (asked === undefined || asked.count === 0) next = first;
  // Several calls of one step, and a pod that came to wait for what was a top-up.
  else if (!asked.sent) next = { ...asked, count: asked.count + 1, priority: higher(asked.priority, priority) };
  else if (RESERVE[priority] < RESERVE[asked.priority]) next = { ...asked, priority, sent: false };
  if (next === asked || next === undefined) return row;
  const noted = { ...row, asked: next };
  turn.tx.put('budget', noted);
  return noted;
}

const higher = (a: Priority, b: Priority): Priority => (RESERVE[b] < RESERVE[a] ? b : a);

/**
 * When a call that was asked for is made without a grant. A broker that fell silent said when it was due: all nodes keep
 * to its last word, so its order outlives it. Who never heard of it queues up as in a crowd, which is the floor: one
 * call in a crowd's window, however long the broker stays away.
 */
export function goesAloneMs(turn: Turn, { action, asked }: BudgetRow, priority: Priority): number {
  if (asked === undefined) return turn.nowMs;
  if (asked.expectedMs !== undefined) return asked.expectedMs + GRACE_MS;
  if (priority === 'blocked-pod') return asked.silentSinceMs + BLOCKED_ANSWER_MS;
  const place = crowdPlace(`${turn.state.get('node', 'node')?.epoch}/${action}/${asked.atMs}`);
  return asked.atMs + ANSWER_MS + place * refillMs(bucketOf(turn.capabilities.rates[action]));
}

/** The call goes out; the next one asks again, and counts its silence from the first. */
export function wentAlone(row: BudgetRow, nowMs: number): BudgetRow {
  if (row.asked === undefined) return row;
  const { expectedMs: _, ...asked } = row.asked;
  return { ...row, asked: { ...asked, count: 0, sent: true, atMs: nowMs } };
}

/** At the end of a step: everything that it found to ask for, in one message. */
export function askBroker(turn: Turn): void {
  const asks: BudgetAsk[] = [];
  for (const row of turn.state.all('budget')) {
    if (row.asked === undefined || row.asked.sent) continue;
    const { count, priority } = row.asked;
    asks.push({ action: row.action, count, priority });
    turn.tx.put('budget', { ...row, asked: { ...row.asked, sent: true } });
  }
  if (asks.length > 0) turn.emit({ kind: 'ask-budget', asks });
}

/** The broker's word: grants are spent by the planner in this same step. */
export function budgetLeased(turn: Turn, { grants, expected }: BudgetLease): void {
  for (const { action, count, forMs } of grants) {
    const row = turn.state.get('budget', action);
    if (row === undefined) continue;
    const { asked: _, lease, ...rest } = row;
    const left = lease !== undefined && lease.untilMs > turn.nowMs ? lease.count : 0;
    turn.tx.put('budget', { ...rest, lease: { count: left + count, untilMs: turn.nowMs + forMs } });
  }
  for (const { action, inMs } of expected) {
    const row = turn.state.get('budget', action);
    if (row?.asked === undefined) continue;
    const asked = { ...row.asked, silentSinceMs: turn.nowMs, expectedMs: turn.nowMs + inMs };
    turn.tx.put('budget', { ...row, asked });
  }
}

/** One node's wish for calls of one action, as the ledger keeps it. */
interface Want {
  readonly node: string;
  readonly ask: BudgetAsk;
  /** First come, first served among equals. */
  readonly order: number;
  toldMs: number;
}

class Shard {
  readonly action: CloudAction;
  readonly bucket: Rate;
  readonly forMs: number;
  tokens = 0;
  atMs: number;
  readonly share = 1;
  /** By priority, then order. */
  wants: Want[] = [];

  constructor(action: CloudAction, rate: Rate | WindowRate, nowMs: number) {
    const { burst, perSecond } = bucketOf(rate);
    this.action = action;
    this.bucket = { burst: burst / 2, perSecond };
    this.forMs = SPENDING_SHARE * refillMs(this.bucket);
    this.atMs = nowMs;
  }

  /** When the want at this place of the queue is served, if nobody overtakes it. */
  expectedMs(ahead: number, { ask }: Want, nowMs: number): number {
    const before = ahead + ask.count - 1;
    const left = { tokens: tokensAt(this, this.bucket, nowMs) - before, atMs: nowMs, share: 1 };
    return refilledAtMs(left, this.bucket, ask.priority, nowMs);
  }

  take(count: number, nowMs: number): void {
    this.tokens = tokensAt(this, this.bucket, nowMs) - count;
    this.atMs = nowMs;
  }
}

/** One message of the ledger to one node. */
export interface Delivery {
  readonly node: string;
  readonly lease: BudgetLease;
}

/** The broker's side: who waits for what, and what the account can bear. One ledger an account and region. */
export class BudgetLedger {
  private readonly shards = new Map<CloudAction, Shard>();
  private order = 0;
  private retoldMs: number;

  /** The bucket begins empty: what another broker granted before may be spent any moment. */
  constructor(rates: Readonly<Partial<Record<CloudAction, Rate | WindowRate>>>, nowMs: number) {
    for (const [action, rate] of Object.entries(rates) as [CloudAction, Rate | WindowRate][])
      this.shards.set(action, new Shard(action, rate, nowMs));
    this.retoldMs = nowMs;
  }

  /** A node's newest word on an action replaces its last; its place in the queue stays unless the priority rises. */
  ask(node: string, asks: readonly BudgetAsk[]): void {
    for (const ask of asks) {
      const shard = this.shards.get(ask.action);
      if (shard === undefined || ask.count < 1) continue;
      const before = shard.wants.find((want) => want.node === node);
      const count = Math.min(ask.count, Math.floor(shard.bucket.burst / 2));
      const want: Want = { node, ask: { ...ask, count }, order: before?.order ?? this.order++, toldMs: -1 };
      const wants = shard.wants.filter((other) => other !== before);
      const at = wants.findIndex((other) => comesFirst(want, other));
      wants.splice(at < 0 ? wants.length : at, 0, want);
      shard.wants = wants;
    }
  }

  /** What can be granted now, and new estimates for those whose turn has moved. */
  deliver(nowMs: number): readonly Delivery[] {
    const deliveries: Delivery[] = [];
    const isRetold = nowMs - this.retoldMs >= RETELL_MS;
    if (isRetold) this.retoldMs = nowMs;
    for (const shard of this.shards.values()) {
      const { action, forMs } = shard;
      for (let head = shard.wants[0]; head !== undefined; head = shard.wants[0]) {
        if (shard.expectedMs(0, head, nowMs) > nowMs) break;
        shard.take(head.ask.count, nowMs);
        shard.wants.shift();
        const grants = [{ action, count: head.ask.count, forMs }];
        deliveries.push({ node: head.node, lease: { grants, expected: [] } });
      }
      deliveries.push(...estimates(shard, nowMs, isRetold));
    }
    return deliveries;
  }

  /** When `deliver` has something to grant next, or to say; undefined when nobody waits. */
  nextMs(nowMs: number): number | undefined {
    let next: number | undefined;
    for (const shard of this.shards.values()) {
      const [head] = shard.wants;
      if (head === undefined) continue;
      const atMs = Math.min(shard.expectedMs(0, head, nowMs), this.retoldMs + RETELL_MS);
      next = Math.min(next ?? atMs, atMs);
    }
    return next;
  }
}

const comesFirst = (a: Want, b: Want): boolean =>
  RESERVE[a.ask.priority] !== RESERVE[b.ask.priority]
    ? RESERVE[a.ask.priority] < RESERVE[b.ask.priority]
    : a.order < b.order;

/** Who was not told yet is; the others when all are told anew and their turn has slipped. */
function estimates(shard: Shard, nowMs: number, isRetold: boolean): Delivery[] {
  const deliveries: Delivery[] = [];
  let ahead = 0;
  for (const want of shard.wants) {
    const expectedMs = shard.expectedMs(ahead, want, nowMs);
    ahead += want.ask.count;
    const isNews = want.toldMs < 0 || (isRetold && expectedMs - want.toldMs > SLIP_MS);
    if (!isNews) continue;
    want.toldMs = expectedMs;
    const expected = [{ action: shard.action, inMs: expectedMs - nowMs }];
    deliveries.push({ node: want.node, lease: { grants: [], expected } });
  }
  return deliveries;
}
