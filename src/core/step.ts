/**
 * The core: one event in, effects and the next wake out. Deterministic: no clock, promise, log, metric or IO.
 * An event changes rows; then everything that time, tokens and demand allow is planned, in one fixed order.
 */
import { endCooldowns, flushed, placeFor, planFlush } from './address.ts';
import { started } from './boot.ts';
import { endExpectations, podBound, podGone } from './bound.ts';
import { askBroker, budgetLeased } from './budget-lease.ts';
import { linkGone, linkSeen, nodeRow, progressEnis, settleEnis } from './eni.ts';
import type { Event, Step } from './events.ts';
import { explain, underWay } from './explain.ts';
import { cancelDrains, grow } from './grow.ts';
import type { Family } from './ip.ts';
import { noteRefused } from './learn.ts';
import { answer, grant, podLinkGone, refused, retryUnwiring, unwired, verified, wired } from './lease.ts';
import { isLinkName } from './link-name.ts';
import { looked, planLook, podChanged } from './look.ts';
import { missingFacts, SECOND_READ_MS } from './observe.ts';
import { cloudAnswered, isFlying, resumeOperations, startOperation } from './operation.ts';
import { expectedOf, holding, isCeilingUsed, waitersOf } from './pool.ts';
import { promote } from './promote.ts';
import { quarantine } from './quarantine.ts';
import { add, check, del, gc, hangUp, status } from './requests.ts';
import { canGrow } from './room.ts';
import type { PoolRow } from './rows.ts';
import { shrink } from './shrink.ts';
import type { Tx } from './state.ts';
import { readSubnets } from './subnet-reads.ts';
import { readUses } from './subnet-use.ts';
import { kernelChanged, planSync, synced } from './sync.ts';
import { Turn, type TurnContext } from './turn.ts';

const REAP_AFTER_MS = 2_000;
const REAP_COUNT_MAX = 16;
/** Longer than a thousand nodes' two reads take at 20 a second. */
const START_PATIENCE_MS = 120_000;

export function step(tx: Tx, event: Event, context: TurnContext): Step {
  const turn = new Turn(tx, context);
  apply(turn, event);
  plan(turn);
  return { effects: turn.effects, wakeAtMs: turn.wakeAtMs };
}

function apply(turn: Turn, event: Event): void {
  switch (event.kind) {
    case 'started':
      return started(turn, event);
    case 'doubted':
      return quarantine(turn, event.addresses);
    case 'configured':
      return configure(turn, event);
    case 'add':
      return add(turn, event);
    case 'del':
      return del(turn, event);
    case 'check':
      return check(turn, event);
    case 'gc':
      return gc(turn, event);
    case 'status':
      return status(turn, event);
    case 'hang-up':
      return hangUp(turn, event.request);
    case 'pod-bound':
      return podBound(turn, event.pod);
    case 'pod-gone':
      return podGone(turn, event.pod);
    case 'link-seen':
      return linkSeen(turn, event);
    case 'link-gone':
      return isLinkName(event.name) ? podLinkGone(turn, event.name, event.index) : linkGone(turn, event);
    case 'kernel-changed':
      return kernelChanged(turn, event);
    case 'pod-changed':
      return podChanged(turn, event.index);
    case 'cloud-answered':
      return cloudAnswered(turn, event.operation, event.answer);
    case 'wired':
      return wired(turn, event);
    case 'unwired':
      return unwired(turn, event.lease, event.failure);
    case 'verified':
      return verified(turn, event.lease, event.problems);
    case 'reaped':
      return reaped(turn, event);
    case 'flushed':
      return flushed(turn, event);
    case 'synced':
      return synced(turn, event);
    case 'looked':
      return looked(turn, event.pods);
    case 'budget-leased':
      return budgetLeased(turn, event.lease);
    case 'journal':
      return turn.setRuntime({ journal: event.up ? 'up' : 'down', journalDetail: event.detail });
    case 'wake':
      return;
  }
}

function configure(turn: Turn, event: Extract<Event, { kind: 'configured' }>): void {
  const wanted = new Set<string>(event.pools.map((pool) => pool.id));
  for (const pool of turn.state.all('pool')) if (!wanted.has(pool.id)) turn.tx.remove('pool', pool.id);
  for (const pool of event.pools) turn.tx.put('pool', pool);
  turn.setRuntime({ settings: event.settings });
  // Whoever corrected the configuration, or made what it names, waits for no pause.
  for (const { id } of turn.state.all('unlisted')) turn.tx.remove('unlisted', id);
  turn.wantSync();
}

/** What follows from time and rows, whatever the event was. */
function plan(turn: Turn): void {
  expireWaiters(turn);
  endExpectations(turn);
  if (turn.runtime.phase === 'opening') return;
  endCooldowns(turn, (id, family) => {
    const pool = turn.state.get('pool', id);
    return pool !== undefined && isShort(turn, pool, family);
  });
  retryUnwiring(turn);
  readTheCloud(turn);
  becomeReady(turn);
  resumeOperations(turn);
  for (const pool of turn.state.all('pool')) planPool(turn, pool);
  // After the pools: what they decided to drain starts now, not at the next event.
  progressEnis(turn);
  settleEnis(turn);
  planSync(turn);
  planLook(turn);
  planFlush(turn);
  planReap(turn);
  askBroker(turn);
}

function planPool(turn: Turn, pool: PoolRow): void {
  const serving = turn.runtime.phase === 'serving' && turn.runtime.journal === 'up';
  if (serving) {
    handOut(turn, pool);
    while (cancelDrains(turn, pool)) handOut(turn, pool);
    if (gathers(turn, pool)) return;
    grow(turn, pool);
    const current = turn.state.get('pool', pool.id);
    if (current !== undefined) shrink(turn, current);
    promote(turn, pool);
  }
  refuseTheHopeless(turn, pool);
}

/** A burst is one request: what is asked for waits the millisecond in which the rest of it comes. */
function gathers(turn: Turn, pool: PoolRow): boolean {
  let newestMs = expectedOf(turn.state, pool) > 0 ? turn.state.lastBoundMs : Number.NEGATIVE_INFINITY;
  if (waitersOf(turn.state, pool) > 0)
    for (const waiter of turn.state.all('waiter'))
      if (waiter.pool === pool.id) newestMs = Math.max(newestMs, waiter.sinceMs);
  return newestMs + 1 > turn.nowMs && canGrow(turn, pool) && !turn.due(newestMs + 1);
}

/** First come, first served: the head of the queue waits for its address, nobody overtakes it. */
function handOut(turn: Turn, pool: PoolRow): void {
  if (waitersOf(turn.state, pool) === 0) return;
  for (const waiter of turn.state.waitersInOrder()) {
    if (waiter.pool !== pool.id) continue;
    // The same attachment's DEL is still under way: it does not hold up the others.
    if (turn.state.leaseOf(waiter.key) !== undefined) continue;
    const places = isCeilingUsed(turn.state, pool) ? undefined : placeFor(turn, pool);
    if (places === undefined) return;
    grant(turn, waiter, places);
  }
}

function expireWaiters(turn: Turn): void {
  const expired = [...turn.state.all('waiter')].filter((waiter) => turn.due(waiter.deadlineMs));
  noteRefused(turn, expired);
  for (const waiter of expired) {
    const pool = turn.state.get('pool', waiter.pool);
    turn.tx.remove('waiter', waiter.key);
    if (pool !== undefined) answer(turn, waiter.requests, refused(explain(turn, pool)));
  }
}

/** A waiter with nothing under way is told why at once, instead of at its deadline. */
function refuseTheHopeless(turn: Turn, pool: PoolRow): void {
  if (waitersOf(turn.state, pool) === 0 || underWay(turn, pool)) return;
  const reason = explain(turn, pool);
  // One whose own DEL is still under way may have what is free when that is done.
  const hopeless = turn.state
    .waitersInOrder()
    .filter((waiter) => waiter.pool === pool.id && turn.state.leaseOf(waiter.key) === undefined);
  noteRefused(turn, hopeless);
  for (const waiter of hopeless) {
    turn.tx.remove('waiter', waiter.key);
    answer(turn, waiter.requests, refused(reason));
  }
}

/** More waiters than free addresses of the family, and nothing to grow. */
function isShort(turn: Turn, pool: PoolRow, family: Family): boolean {
  const waiting = waitersOf(turn.state, pool);
  return waiting > 0 && waiting > holding(turn.state, pool, family).free && !canGrow(turn, pool);
}

/** Facts that are missing, subnets that are new, and the list where something is in doubt. */
function readTheCloud(turn: Turn): void {
  if (turn.state.count('pool') === 0) return;
  const missing = missingFacts(turn);
  const priority = isUrgent(turn) ? 'blocked-pod' : 'predicted';
  if (missing === 'node' && !isFlying(turn, 'describeNode')) startOperation(turn, { action: 'describeNode' }, priority);
  // A list without the primary is a replica's that lags.
  if (missing === 'enis' && !isFlying(turn, 'listEnis')) turn.wantListing(nextReadMs(turn));
  readSubnets(turn, priority);
  if (turn.runtime.phase === 'serving') readUses(turn);
  const { listing } = turn.runtime;
  // The node's own description may tell all there is to know of a new node.
  if (missing === 'node') return;
  if (listing.wantedFromMs === undefined || isFlying(turn, 'listEnis') || !turn.due(listing.wantedFromMs)) return;
  // A start that has the facts and waits for a second read to trust them is no background: no pod will come to ask.
  const isBackground = missing === undefined && turn.runtime.phase === 'serving' && turn.state.count('waiter') === 0;
  if (startOperation(turn, { action: 'listEnis' }, isBackground ? 'describe' : priority)) {
    const { wantedFromMs: _, ...rest } = turn.runtime.listing;
    turn.setRuntime({ listing: rest });
  }
}

const nextReadMs = ({ nowMs, runtime: { listing } }: Turn): number =>
  listing.lastMs === undefined ? nowMs : listing.lastMs + SECOND_READ_MS;

/**
 * A node that starts with a thousand others gives way to the one that a pod waits on, but not for ever: as long as it
 * does not serve it is not ready, and no pod will come to say that it is wanted.
 */
const isUrgent = (turn: Turn): boolean =>
  turn.state.count('waiter') > 0 ||
  (turn.runtime.phase !== 'serving' && turn.due(turn.runtime.startedMs + START_PATIENCE_MS));

/** starting -> serving: the kernel was read, the facts are there, the journal can be trusted, the fences stand. */
function becomeReady(turn: Turn): void {
  const { phase, sync } = turn.runtime;
  if (phase === 'serving' || !nodeRow(turn).trusted || missingFacts(turn) !== undefined || sync.done === 0) return;
  turn.setRuntime({ phase: 'serving' });
}

/** Fenced links that their namespace has not taken along in 2 s go in one pass, while no pod is being wired. */
function planReap(turn: Turn): void {
  if (turn.runtime.reap.inFlight || turn.state.count('deadLink') === 0) return;
  const due = [...turn.state.all('deadLink')]
    .filter((dead) => turn.due(dead.sinceMs + REAP_AFTER_MS))
    .slice(0, REAP_COUNT_MAX);
  if (due.length === 0 || turn.state.wiringCount > 0) return;
  turn.setRuntime({ reap: { inFlight: true } });
  turn.emit({ kind: 'reap', links: due.map((dead) => dead.name) });
}

function reaped(turn: Turn, event: { readonly links: readonly string[]; readonly failure?: unknown }): void {
  turn.setRuntime({ reap: { inFlight: false } });
  for (const name of event.links) {
    const dead = turn.state.get('deadLink', name);
    if (dead === undefined) continue;
    if (event.failure === undefined) turn.tx.remove('deadLink', name);
    else turn.tx.put('deadLink', { ...dead, sinceMs: turn.nowMs });
  }
}
