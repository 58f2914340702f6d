/**
 * Whether anything under way can serve a waiter, and if not, why not: with the numbers a person needs.
 * "Under way" is an operation in flight, or an armed wake-up after which the pool can grow or hand out.
 */
import { budgetOf, readyAtMs } from './budget.ts';
import { goesAloneMs } from './budget-lease.ts';
import type { CloudAction, CloudFailure } from './cloud.ts';
import { nodeRow } from './eni.ts';
import { roomForEnis } from './grow.ts';
import { instanceTakesOneMore } from './in-vain.ts';
import { missingFacts } from './observe.ts';
import { isFlying } from './operation.ts';
import { enisOf, holding, isBeingSetUp, isCeilingUsed } from './pool.ts';
import type { Reason } from './reasons.ts';
import { canGrow, heldUp, isAtCeiling, isCapped, isFillable, isRoomy, shortOf } from './room.ts';
import type { BudgetRow, EniRow, FailureRow, PoolRow } from './rows.ts';
import { isUnheard, nearSubnets, servingSubnets, subnetFor, subnetsOf } from './subnet.ts';
import { exhaustedReason, noPrefixReason, noRangeReason, otherZoneReason, unlistedReason } from './subnet-reasons.ts';
import { unmended } from './sync.ts';
import type { Turn } from './turn.ts';
import { ASSIGN_MS, ATTACH_MS, CREATE_MS, LINK_MS } from './usual-durations.ts';

/** A link that is awaited for so much longer than usual may never come; 18 s was seen on EC2. */
const LINK_LATE_MS = 5 * LINK_MS;

/** A failure older than this, and not waited out any more, is no reason for anything. */
const RECENT_MS = 60_000;

const GROWING: readonly CloudAction[] = ['assign', 'create', 'attach'];

/** True while an answer is on its way that may end the wait. */
export function underWay(turn: Turn, pool: PoolRow): boolean {
  if (turn.runtime.phase !== 'serving') return true;
  if (turn.runtime.journal === 'down') return false;
  if (isEnding(turn, pool)) return true;
  if (isCeilingUsed(turn.state, pool)) return false;
  if (comingUp(turn, pool).length > 0 || coolingOf(turn, pool) > 0) return true;
  if (hardRefusal(turn, pool) !== undefined) return false;
  return isRead(turn, pool) || canGrow(turn, pool) || (!isAtCeiling(turn, pool) && heldUp(turn, pool) !== undefined);
}

/** A pod's fence is being put up: in a moment its address rests, and what a waiter then hears is true of the node. */
const isEnding = (turn: Turn, pool: PoolRow): boolean =>
  turn.state.leasesIn('unwiring').some((lease) => lease.busy === 'unwire' && lease.pool === pool.id);

/** Subnets of the pool are yet to be heard of; or one had fewer addresses than were asked for, and is counted again. */
function isRead(turn: Turn, pool: PoolRow): boolean {
  if (!isFlying(turn, 'listSubnets')) return isUnheard(turn, pool) && !isRefused(turn, 'listSubnets');
  const rows = subnetsOf(turn, pool).map((id) => turn.state.get('subnet', id));
  return rows.some((row) => row === undefined || row.refused !== undefined);
}

function isRefused(turn: Turn, action: CloudAction): boolean {
  const failure = turn.state.get('failure', action);
  return failure !== undefined && isHard(turn, failure);
}

const isComing = ['creating', 'available', 'attaching', 'linking'];

/** ENIs that will serve the pool soon: being made, filled or linked. One whose attach is refused will not. */
function comingUp(turn: Turn, pool: PoolRow): EniRow[] {
  const refused = isRefused(turn, 'attach');
  return enisOf(turn.state, pool).filter((eni) => {
    if (eni.kind === 'foreign') return false;
    const call = turn.state.operationOn(eni.key)?.call;
    const arriving = turn.state.installingOn(eni.key) > 0;
    const served = eni.state === 'ready' || eni.state === 'draining';
    if (served) return arriving || isBeingSetUp(eni, pool) || (call?.action === 'assign' && call.again !== true);
    return isComing.includes(eni.state) && !(refused && (eni.state === 'available' || eni.state === 'attaching'));
  });
}

/** A refusal that waiting does not end: a person or another node has to. */
function hardRefusal(turn: Turn, pool: PoolRow): FailureRow | undefined {
  return actionsNeeded(turn, pool)
    .flatMap((action) => turn.state.get('failure', action) ?? [])
    .find((row) => isHard(turn, row));
}

/** What the pool grows by; where only an ENI that leaves makes room for a new one, also what it leaves by. */
function actionsNeeded(turn: Turn, pool: PoolRow): readonly CloudAction[] {
  return roomForEnis(turn) > 0 && !instanceTakesOneMore(turn) && !isFillable(turn, pool)
    ? [...GROWING, 'detach', 'delete']
    : GROWING;
}

const HARD: readonly CloudFailure['kind'][] = ['denied', 'misconfigured', 'nodeGone', 'bug'];

function isHard(turn: Turn, { failure, notBeforeMs }: FailureRow): boolean {
  const isUsedUp = failure.kind === 'exhausted' && (failure.scope === 'account' || failure.scope === 'instance');
  return notBeforeMs > turn.nowMs && (isUsedUp || HARD.includes(failure.kind));
}

/** Why a pod of this pool has no address now; where the pool has one of its other family, also of which it is. */
export function explain(turn: Turn, pool: PoolRow): Reason {
  const [missing, ...more] = shortOf(turn, pool);
  const reason = reasonOf(turn, pool);
  return missing === undefined || more.length + 1 === pool.families.length ? reason : { ...reason, missing };
}

function reasonOf(turn: Turn, pool: PoolRow): Reason {
  const { runtime } = turn;
  if (runtime.journal === 'down') return { code: 'JOURNAL_UNWRITABLE', detail: runtime.journalDetail };
  if (runtime.phase !== 'serving') return startingReason(turn);
  return (
    kernelReason(turn, pool) ??
    failedReason(turn, pool, (row) => !isCapped(turn, pool) && (isHard(turn, row) || row.stuck !== undefined)) ??
    fullReason(turn, pool) ??
    failedReason(turn, pool, () => true) ??
    attachingReason(turn, pool) ??
    assigningReason(turn, pool) ??
    throttledReason(turn) ??
    settlingReason(turn, pool) ??
    shortReason(turn, pool)
  );
}

/** The cloud gave what the pod waits for, and the kernel does not take it. */
function kernelReason(turn: Turn, pool: PoolRow): Reason | undefined {
  const { failure } = turn.runtime.sync;
  const isHere = enisOf(turn.state, pool).some(
    (eni) => isBeingSetUp(eni, pool) || turn.state.installingOn(eni.key) > 0,
  );
  return failure !== undefined && isHere ? { code: 'KERNEL', ...failure } : undefined;
}

/** The reason of the first recent failure that matters. */
function failedReason(turn: Turn, pool: PoolRow, matters: (row: FailureRow) => boolean): Reason | undefined {
  for (const action of actionsNeeded(turn, pool)) {
    const row = turn.state.get('failure', action);
    const recent = row !== undefined && (row.notBeforeMs > turn.nowMs || turn.nowMs - row.atMs < RECENT_MS);
    const reason = recent && matters(row) ? failureReason(turn, row, pool) : undefined;
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** As pods count: each takes one address of every family. */
const coolingOf = (turn: Turn, pool: PoolRow): number =>
  Math.max(...shortOf(turn, pool).map((family) => holding(turn.state, pool, family).cooling));

/** Nothing could be asked for, whatever the cloud answers: neither a slot nor an ENI is left, or the ceiling is reached. */
function fullReason(turn: Turn, pool: PoolRow): Reason | undefined {
  if (isCeilingUsed(turn.state, pool)) return ceilingReason(turn, pool);
  const isComingIn = pool.families.some((family) => holding(turn.state, pool, family).coming > 0);
  if (isComingIn || comingUp(turn, pool).length > 0) return undefined;
  const cooling = coolingOf(turn, pool);
  if (!isCapped(turn, pool) && (isRoomy(turn, pool) || roomForEnis(turn) > 0)) return undefined;
  if (cooling > 0) return coolingReason(turn, pool, cooling);
  return isCapped(turn, pool) ? ceilingReason(turn, pool) : limitReason(turn, pool);
}

/** Its call may have been done or not: how long that takes to be clear is settlingReason's to say. */
const isSettling = (turn: Turn, eni: EniRow): boolean => turn.state.operationOn(eni.key)?.state === 'settling';

function attachingReason(turn: Turn, pool: PoolRow): Reason | undefined {
  const coming = comingUp(turn, pool).find((eni) => isComing.includes(eni.state) && !isSettling(turn, eni));
  if (coming === undefined) return undefined;
  const { nowMs } = turn;
  const { state, sinceMs, decidedMs = sinceMs } = coming;
  const waitedMs = nowMs - sinceMs;
  const isLinked = coming.state !== 'creating' && turn.state.get('link', coming.mac) !== undefined;
  if (coming.state === 'linking' && waitedMs >= LINK_LATE_MS && !isLinked) {
    const leftMs = Math.max(0, (coming.deadlineMs ?? nowMs) - nowMs);
    return { code: 'ATTACH_STUCK', eni: coming.id, waitedMs, leftMs, etaMs: leftMs + CREATE_MS };
  }
  const usualMs = state === 'creating' ? CREATE_MS : state === 'linking' ? LINK_MS : ATTACH_MS;
  return { code: 'ATTACHING', forMs: nowMs - decidedMs, etaMs: Math.max(0, usualMs - waitedMs) };
}

/** Addresses of ENIs that are there: asked for, or given and on their way into the kernel. */
function assigningReason(turn: Turn, pool: PoolRow): Reason | undefined {
  for (const eni of comingUp(turn, pool)) {
    if (isSettling(turn, eni)) continue;
    const operation = turn.state.operationOn(eni.key);
    const startedMs = operation?.call.action === 'assign' ? operation.startedMs : turn.nowMs;
    const forMs = turn.nowMs - startedMs;
    return { code: 'ASSIGNING', forMs, etaMs: Math.max(0, ASSIGN_MS - forMs) };
  }
  return undefined;
}

/** Nothing is on its way and nothing failed: a subnet is out, or the next call is about to go. */
function shortReason(turn: Turn, pool: PoolRow): Reason {
  const cooling = coolingOf(turn, pool);
  if (isAtCeiling(turn, pool)) return ceilingReason(turn, pool);
  if (subnetFor(turn, pool) === undefined) return nowhereReason(turn, pool);
  if (isFillable(turn, pool) || roomForEnis(turn) > 0) return { code: 'ASSIGNING', forMs: 0, etaMs: ASSIGN_MS };
  return cooling > 0 ? coolingReason(turn, pool, cooling) : limitReason(turn, pool);
}

/**
 * Why this node cannot take pods, be there room or not; undefined while it can. Each ends by itself: the journal and the
 * kernel are tried again every second, the start goes on.
 */
export function hindrance(turn: Turn): Reason | undefined {
  const { journal, journalDetail, phase } = turn.runtime;
  if (journal === 'down') return { code: 'JOURNAL_UNWRITABLE', detail: journalDetail };
  if (phase !== 'serving') return startingReason(turn);
  const broken = unmended(turn);
  return broken && { code: 'KERNEL', ...broken };
}

/** Why it does not serve yet: what a read of the cloud or a write into the kernel failed by, or else what it is at. */
export function startingReason(turn: Turn): Reason {
  const describe =
    turn.state.get('failure', 'describeNode') ??
    turn.state.get('failure', 'listEnis') ??
    turn.state.get('failure', 'listSubnets');
  if (describe !== undefined) {
    const reason = failureReason(turn, describe);
    if (reason !== undefined) return reason;
  }
  const { failure } = turn.runtime.sync;
  if (failure !== undefined) return { code: 'KERNEL', ...failure };
  const unlisted = missingFacts(turn) === 'subnets' ? unlistedReason(turn, turn.state.census.eniSubnets()) : undefined;
  return unlisted ?? { code: 'DAEMON_STARTING', detail: startingDetail(turn) };
}

/** What a daemon that does not serve yet is at. */
export function startingDetail(turn: Turn): string {
  if (turn.runtime.phase === 'opening') return 'reading the kernel';
  const missing = missingFacts(turn);
  if (missing !== undefined) return `reading ${missing} from the cloud`;
  return nodeRow(turn).trusted ? 'writing routes and rules into the kernel' : 'comparing the kernel with the cloud';
}

/** The reason behind the last failure of an action, where that failure still holds the pool back. */
export function failureReason(turn: Turn, row: FailureRow, pool?: PoolRow): Reason | undefined {
  const { action, failure, stuck, inVain } = row;
  const retryMs = Math.max(0, retryAtMs(turn, row) - turn.nowMs);
  if (inVain !== undefined) return { code: 'ENIS_IN_VAIN', made: inVain, retryMs };
  if (stuck !== undefined)
    return { code: 'ATTACH_STUCK', ...stuck, etaMs: Math.max(0, row.atMs + CREATE_MS - turn.nowMs) };
  switch (failure.kind) {
    case 'denied':
      return { code: 'DENIED', action, cloudCode: failure.code, retryMs };
    case 'throttled':
      return { code: 'THROTTLED', action, retryAfterMs: tokenAtMs(turn, action) - turn.nowMs };
    case 'transient':
    case 'ambiguous':
      return failure.source === 'metadata'
        ? { code: 'METADATA_UNREACHABLE', detail: failure.message, retryMs }
        : { code: 'CLOUD_UNREACHABLE', action, detail: failure.message, retryMs };
    case 'exhausted':
      if (failure.scope === 'account') return { code: 'ACCOUNT_QUOTA', cloudCode: failure.code, retryMs };
      if (pool !== undefined && failure.scope === 'instance') return limitReason(turn, pool);
      if (pool !== undefined && failure.scope === 'prefix') return noPrefixReason(turn, pool);
      return undefined;
    case 'misconfigured':
      return { code: 'CLOUD_MISCONFIGURED', action, cloudCode: failure.code, detail: failure.message, retryMs };
    case 'bug':
    case 'nodeGone':
      return { code: 'INTERNAL', detail: `the cloud answered ${failure.code} to ${action}: ${failure.message}` };
    default:
      return undefined;
  }
}

/** When the action is tried again: after its pause, and after what is in doubt is clear or called again itself. */
function retryAtMs(turn: Turn, { action, notBeforeMs }: FailureRow): number {
  let atMs = notBeforeMs;
  for (const operation of turn.state.all('operation'))
    if (operation.call.action === action && operation.state !== 'flying') atMs = Math.max(atMs, operation.notBeforeMs);
  return atMs;
}

/** When a call for a pod that waits has its token; never in the past. */
export function tokenAtMs(turn: Turn, action: CloudAction): number {
  const row = budgetOf(turn, action);
  const ownMs = readyAtMs(row, turn.capabilities.rates[action], 'blocked-pod', turn.nowMs);
  return Math.max(turn.nowMs, turn.runtime.settings.brokered === true ? leasedAtMs(turn, row, ownMs) : ownMs);
}

/** When the broker grants it: its own word, where it gave one; while it is silent, when the call goes without it. */
function leasedAtMs(turn: Turn, row: BudgetRow, ownMs: number): number {
  const { asked, lease, notBeforeMs } = row;
  if (lease !== undefined && lease.untilMs > turn.nowMs) return notBeforeMs;
  if (asked?.expectedMs !== undefined) return Math.max(asked.expectedMs, notBeforeMs);
  return Math.max(ownMs, goesAloneMs(turn, row, 'blocked-pod'));
}

function throttledReason(turn: Turn): Reason | undefined {
  for (const action of GROWING) {
    const retryAfterMs = tokenAtMs(turn, action) - turn.nowMs;
    if (retryAfterMs > 0) return { code: 'THROTTLED', action, retryAfterMs };
  }
  return undefined;
}

/** What is in doubt may well be what the pod waits for. */
function settlingReason(turn: Turn, pool: PoolRow): Reason | undefined {
  const held = heldUp(turn, pool)?.key;
  for (const { state, call, notBeforeMs, eni } of turn.state.all('operation')) {
    const grows = call.action === 'assign' || call.action === 'create';
    if ((state === 'settling' && grows) || (held !== undefined && eni === held))
      return { code: 'SETTLING', action: call.action, untilMs: Math.max(0, notBeforeMs - turn.nowMs) };
  }
  return undefined;
}

/** No subnet can have a new ENI now. */
function nowhereReason(turn: Turn, pool: PoolRow): Reason {
  if (isUnheard(turn, pool)) {
    const failed = turn.state.get('failure', 'listSubnets');
    return (failed && failureReason(turn, failed, pool)) ?? { code: 'ASSIGNING', forMs: 0, etaMs: ASSIGN_MS };
  }
  const [near, rows] = [nearSubnets(turn, pool), servingSubnets(turn, pool)];
  const ids = subnetsOf(turn, pool);
  if (rows.length > 0) return exhaustedReason(turn, pool, rows);
  return unlistedReason(turn, ids) ?? (near.length > 0 ? noRangeReason(turn, pool, near) : otherZoneReason(turn, ids));
}

function coolingReason(turn: Turn, pool: PoolRow, cooling: number): Reason {
  return { code: 'COOLING', cooling, nextMs: Math.max(0, nextCooledMs(turn, pool) - turn.nowMs) };
}

/** When the first cooling address may be handed out: sooner where pods wait and nothing else can be had for them. */
export function nextCooledMs(turn: Turn, pool: PoolRow): number {
  const { cooldownMs, cooldownUnflushedMs, cooldownUnderPressureMs } = turn.runtime.settings;
  // One whose flush is still to come is flushed within a second or so.
  const flushedMs = canGrow(turn, pool) ? cooldownMs : cooldownUnderPressureMs;
  let next = Number.POSITIVE_INFINITY;
  for (const row of turn.state.all('address'))
    if (row.state === 'cooling')
      next = Math.min(next, row.sinceMs + (row.flushed === 'cannot' ? cooldownUnflushedMs : flushedMs));
  return next;
}

/** What has to happen where no cloud call helps: a pod ends, and its address rests. */
function afterAPod(turn: Turn, pool: PoolRow): { readonly leased: number; readonly restMs: number } {
  const leased = Math.max(...pool.families.map((family) => holding(turn.state, pool, family).leased));
  return { leased, restMs: turn.runtime.settings.cooldownUnderPressureMs };
}

const ceilingReason = (turn: Turn, pool: PoolRow): Reason => ({
  code: 'CEILING',
  ceiling: pool.targets.ceiling,
  ...afterAPod(turn, pool),
});

function limitReason(turn: Turn, pool: PoolRow): Reason {
  const { limits } = nodeRow(turn);
  const enis = [...turn.state.all('eni')];
  const foreign = enis.filter((eni) => eni.kind === 'foreign').length;
  const usable = enis.length - foreign - (pool.primaryEni === 'skip' ? 1 : 0);
  const after = afterAPod(turn, pool);
  if (foreign === 0 && limits !== undefined) {
    // As pods count: what the family has that ran out first.
    const { slotsPerEni } = limits;
    const scarce = shortOf(turn, pool).reduce((least, family) =>
      slotsPerEni[family] < slotsPerEni[least] ? family : least,
    );
    const addresses = holding(turn.state, pool, scarce).total;
    return { code: 'ADDRESS_LIMIT', addresses, limit: usable * (slotsPerEni[scarce] - 1), ...after };
  }
  return {
    code: 'ENI_LIMIT',
    instanceType: limits?.instanceType ?? '',
    attached: enis.length,
    limit: limits?.eniCountMax ?? 0,
    foreign,
    ...after,
  };
}
