/**
 * Cloud calls as sagas: the intent is a row, committed before the call; its answer, or its absence after a crash,
 * decides what follows. The resume table of docs/architecture.md is this file and observe.ts.
 *
 * Invariants: one mutation in flight an ENI; an assign that may have been done is never sent again blindly; a create
 * is repeated only with its own token and its own stored parameters; unassign, detach and delete are never undone.
 */

import type { EniKey, OperationId } from './brand.ts';
import { answered, type Priority, takeToken, throttled, uniformOf } from './budget.ts';
import { type Answer, type CloudAction, type CloudCall, type CloudFailure, type CloudResult, isRead } from './cloud.ts';
import { attached, created, detached, eniGone, freeDeviceIndexes, installBlocks, removeBlock } from './eni.ts';
import { countCreate, mayCreate } from './in-vain.ts';
import type { Cidr } from './ip.ts';
import { learnRefill } from './learn.ts';
import { nodeObserved, observed } from './observe.ts';
import { isPresent } from './pool.ts';
import type { EniPresent, OperationRow } from './rows.ts';
import { countFree, size4 } from './subnet.ts';
import { subnetsListed } from './subnet-reads.ts';
import { asksForPrefixes, isMarked, markSubnet } from './subnet-refusals.ts';
import { addressesTaken, leaveToOthers, useObserved } from './subnet-use.ts';
import type { Turn } from './turn.ts';

const RETRY_MS = 500;
const RETRY_MAX_MS = 30_000;
/** Refusals that only a person or another node can end are tried again this rarely. */
const REFUSAL_RETRY_MS = 30_000;

const PRIORITY: Readonly<Record<CloudAction, Priority>> = {
  create: 'blocked-pod',
  attach: 'blocked-pod',
  assign: 'blocked-pod',
  modify: 'release',
  tag: 'release',
  unassign: 'release',
  detach: 'release',
  delete: 'release',
  listEnis: 'describe',
  listSubnets: 'describe',
  listUse: 'describe',
  describeNode: 'describe',
};

/**
 * An ENI that leaves counts against the instance's limit until it is gone, so a pod that waits may wait for that: a node
 * that was throttled puts off its other releases for minutes (budget.ts).
 */
export function priorityOf(turn: Turn, action: CloudAction): Priority {
  const makesRoom = action === 'detach' || action === 'delete';
  return makesRoom && turn.state.count('waiter') > 0 ? 'blocked-pod' : PRIORITY[action];
}

/** Records the intent and asks for the call; false when the budget has no token yet (a wake is armed). */
export function startOperation(turn: Turn, call: CloudCall, priority: Priority, eni?: EniKey): boolean {
  if (call.action === 'create' && !mayCreate(turn)) return false;
  if (!takeToken(turn, call.action, priority)) return false;
  if (call.action === 'create') countCreate(turn, 1);
  const id = turn.newId<OperationId>();
  turn.tx.put('operation', {
    id,
    call,
    state: 'flying',
    attempts: 1,
    startedMs: turn.nowMs,
    notBeforeMs: 0,
    ...(eni && { eni }),
  });
  turn.emit({ kind: 'cloud', operation: id, call });
  return true;
}

export function isFlying(turn: Turn, action: CloudAction): boolean {
  for (const operation of turn.state.all('operation')) if (operation.call.action === action) return true;
  return false;
}

/** Calls again what waits for its time. */
export function resumeOperations(turn: Turn): void {
  for (const operation of turn.state.all('operation')) {
    if (operation.state !== 'waiting' || !turn.due(operation.notBeforeMs)) continue;
    const { action } = operation.call;
    if (!takeToken(turn, action, priorityOf(turn, action))) continue;
    const attempts = operation.attempts + 1;
    turn.tx.put('operation', { ...operation, state: 'flying', attempts, startedMs: turn.nowMs });
    turn.emit({ kind: 'cloud', operation: operation.id, call: operation.call });
  }
}

/**
 * The operation with the next free device index: one that was refused is somebody's whom the next list may not show yet.
 * Any other refusal is not about the index, which stays.
 */
function withNextIndex(turn: Turn, operation: OperationRow): OperationRow {
  const { call } = operation;
  const eni = eniOf(turn, operation);
  if (call.action !== 'attach' || call.deviceIndex === undefined || eni === undefined) return operation;
  const refused = call.deviceIndex;
  const free = freeDeviceIndexes(turn);
  const deviceIndex = free.find((index) => index > refused) ?? free[0] ?? refused;
  turn.tx.put('eni', { ...eni, deviceIndex });
  return { ...operation, call: { ...call, deviceIndex } };
}

export function cloudAnswered(turn: Turn, id: OperationId, answer: Answer<CloudResult>): void {
  const operation = turn.state.get('operation', id);
  if (operation?.state !== 'flying') return;
  const { action } = operation.call;
  if (answer.ok && !isEmpty(answer.value)) {
    answered(turn, action);
    turn.tx.remove('failure', action);
    done(turn, operation, answer.value);
  } else failed(turn, operation, answer.ok ? nothingAssigned(operation) : answer.failure);
}

const isEmpty = (result: CloudResult): boolean => result.action === 'assign' && result.blocks.length === 0;

/** Fewer blocks than asked for are taken and the rest is planned anew. None at all would be planned anew without end. */
function nothingAssigned({ call }: OperationRow): CloudFailure {
  const scope = asksForPrefixes(call) ? 'prefix' : 'subnet';
  return { kind: 'exhausted', scope, code: 'NOTHING_ASSIGNED', message: 'the cloud assigned none of what was asked' };
}

const eniOf = (turn: Turn, operation: OperationRow): EniPresent | undefined => {
  const eni = operation.eni === undefined ? undefined : turn.state.get('eni', operation.eni);
  return eni !== undefined && isPresent(eni) ? eni : undefined;
};

function done(turn: Turn, operation: OperationRow, result: CloudResult): void {
  turn.tx.remove('operation', operation.id);
  if (result.action === 'listEnis') return observed(turn, result.enis, operation.startedMs);
  if (result.action === 'listSubnets') return subnetsListed(turn, operation, result.subnets);
  if (result.action === 'listUse') return useObserved(turn, operation, result.used);
  if (result.action === 'describeNode') return nodeObserved(turn, result.node, operation.startedMs);
  if (result.action === 'create') {
    const eni = turn.state.get('eni', operation.eni ?? '');
    if (eni !== undefined) created(turn, eni, result.eni);
    return countFree(turn, result.eni.subnet, -1 - size4(result.eni.blocks));
  }
  const eni = eniOf(turn, operation);
  if (eni === undefined) return;
  const written: EniPresent = { ...eni, writtenMs: turn.nowMs };
  if (result.action === 'attach') attached(turn, written, indexOf(operation.call));
  else if (result.action === 'detach') detached(turn, written);
  else if (result.action === 'delete') {
    countFree(turn, eni.subnet, 1 + size4(turn.state.blocksOf(eni.key).map((block) => block.id)));
    eniGone(turn, written);
  } else {
    turn.tx.put('eni', result.action === 'modify' ? { ...written, settled: true } : written);
    if (result.action === 'assign') {
      countFree(turn, eni.subnet, -size4(result.blocks));
      installBlocks(turn, eni.key, result.blocks);
      // On an ENI that comes up it is the ENI that is waited for.
      if (eni.state === 'ready') learnRefill(turn, eni.pool, operation.startedMs);
    }
    if (operation.call.action === 'unassign') unassigned(turn, eni, operation.call.blocks);
  }
}

/** releasing -> gone. A block that the cloud has given to another ENI of ours meanwhile is that one's. */
function unassigned(turn: Turn, eni: EniPresent, blocks: readonly Cidr[]): void {
  countFree(turn, eni.subnet, size4(blocks));
  for (const block of blocks) if (turn.state.get('block', block)?.eni === eni.key) removeBlock(turn, block);
}

const indexOf = (call: CloudCall): number | undefined => (call.action === 'attach' ? call.deviceIndex : undefined);

function failed(turn: Turn, operation: OperationRow, failure: CloudFailure): void {
  const { action } = operation.call;
  const count = (turn.state.get('failure', action)?.count ?? 0) + 1;
  if (failure.kind === 'throttled') throttled(turn, { ...operation, action }, failure.retryAfterMs);
  turn.tx.put('failure', {
    action,
    failure,
    atMs: turn.nowMs,
    notBeforeMs: turn.nowMs + actionBackoffMs(failure, count, operation),
    count,
  });
  markSubnet(turn, operation, failure);
  markEni(turn, operation, failure);
  if (failure.kind === 'conflict') addressesTaken(turn, operation);
  if (failure.kind === 'exhausted' || failure.kind === 'conflict' || failure.kind === 'notFound')
    turn.wantListing(turn.nowMs);
  resume(turn, { ...operation, refusal: failure.kind }, failure);
}

/**
 * How long the whole action pauses. 0 only where something else does: the budget, a mark on the subnet or ENI, or the
 * operation itself, since one ENI's trouble is no reason to stop the others.
 */
function actionBackoffMs(failure: CloudFailure, count: number, operation: OperationRow): number {
  switch (failure.kind) {
    case 'transient':
    case 'ambiguous':
      return retryMs(count, operation);
    case 'denied':
    case 'misconfigured':
    case 'nodeGone':
    case 'bug':
    case 'parameterMismatch':
      return REFUSAL_RETRY_MS;
    case 'exhausted':
      if (failure.scope === 'account' || failure.scope === 'instance') return REFUSAL_RETRY_MS;
      return isMarked(operation.call, failure.scope) ? 0 : retryMs(count, operation);
    case 'notFound':
    case 'conflict':
      return STAYS.includes(operation.call.action) ? 0 : retryMs(count, operation);
    case 'throttled':
      return 0;
  }
}

/** Calls on one ENI that wait, or are read about, until they are done or known to be needless. */
const STAYS: readonly CloudAction[] = ['attach', 'assign', 'unassign', 'detach', 'delete'];

const retryMs = (count: number, operation: OperationRow): number =>
  Math.ceil(Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** Math.min(count, 10)) * uniformOf(`${operation.id}/${count}`));

/** The ENI takes less of a family than we thought; the others do not mind. The next list may tell why. */
function markEni(turn: Turn, operation: OperationRow, failure: CloudFailure): void {
  const { call } = operation;
  const eni = eniOf(turn, operation);
  if (failure.kind !== 'exhausted' || failure.scope !== 'eni' || call.action !== 'assign' || eni === undefined) return;
  const fullUntilMs = { ...eni.fullUntilMs, [call.wish.family]: turn.nowMs + REFUSAL_RETRY_MS };
  turn.tx.put('eni', { ...eni, fullUntilMs });
  leaveToOthers(turn, call);
}

/**
 * What becomes of the operation itself. A refusal is about this one attempt: where an earlier one may have been done
 * (its answer was lost, or the process that made it died), `surely not done` is not true of the operation.
 */
function resume(turn: Turn, operation: OperationRow, failure: CloudFailure): void {
  const { call } = operation;
  const maybeDone = failure.kind === 'ambiguous';
  const inDoubt = maybeDone || failure.kind === 'parameterMismatch' || operation.attempts > 1;
  if (isRead(call.action)) {
    turn.tx.remove('operation', operation.id);
    // Whoever wanted the list still does.
    if (call.action === 'listEnis') turn.wantListing(turn.nowMs);
  } else if (MAY_BE_PUT_OFF.includes(call.action)) turn.tx.remove('operation', operation.id);
  else if (isAboutEni(call, failure)) eniInDoubt(turn, operation);
  else if (call.action === 'create' || call.action === 'assign') {
    if (inDoubt) repeatOrSettle(turn, operation, failure);
    else if (call.action === 'create') dropCreate(turn, operation);
    else turn.tx.remove('operation', operation.id);
  } else if (call.action === 'attach' && maybeDone) settle(turn, operation);
  else if (call.action === 'attach' && failure.kind === 'exhausted') giveUpAttach(turn, operation);
  else if (call.action === 'attach' && failure.kind === 'conflict') wait(turn, withNextIndex(turn, operation));
  else if (call.action === 'delete' && failure.kind === 'notFound') gone(turn, operation);
  else if (call.action === 'detach' && failure.kind === 'notFound') {
    const eni = eniOf(turn, operation);
    turn.tx.remove('operation', operation.id);
    if (eni !== undefined) detached(turn, eni);
  } else if (call.action === 'unassign' && !inDoubt && failure.kind !== 'notFound' && failure.kind !== 'conflict')
    notGivenBack(turn, operation);
  else if (call.action === 'unassign' && maybeDone) waitOut(turn, operation);
  else wait(turn, operation);
}

/**
 * Nobody waits for them, and done twice or late they do no harm: they are planned anew when no pod waits, and hold up
 * no assign meanwhile.
 */
export const MAY_BE_PUT_OFF: readonly CloudAction[] = ['modify', 'tag'];

/** The ENI is not found, or not as the call wants it; a conflict over addresses that were named is about those. */
const isAboutEni = (call: CloudCall, { kind }: CloudFailure): boolean =>
  call.action === 'assign' && (kind === 'notFound' || (kind === 'conflict' && call.blocks === undefined));

/**
 * A replica may not have heard of a new ENI yet. Said twice, the ENI may be gone: reads decide, and nothing is asked of
 * it meanwhile, since they tell nothing of an ENI with a call in flight.
 */
function eniInDoubt(turn: Turn, operation: OperationRow): void {
  if (operation.attempts === 1) wait(turn, operation);
  else settle(turn, operation);
}

/** A create or assign that may have been done: repeated with its own token while that can tell, else the cloud is read. */
function repeatOrSettle(turn: Turn, operation: OperationRow, { kind }: CloudFailure): void {
  const { action } = operation.call;
  const hasToken = action === 'create' ? turn.capabilities.token.create : turn.capabilities.token.assign;
  if (hasToken && REPEATED.includes(kind)) wait(turn, operation);
  else settle(turn, operation);
}

/** Failures that say nothing of an earlier attempt and pass with time. */
const REPEATED: readonly CloudFailure['kind'][] = ['ambiguous', 'throttled', 'transient'];

function wait(turn: Turn, operation: OperationRow): void {
  turn.tx.put('operation', {
    ...operation,
    state: 'waiting',
    notBeforeMs: turn.nowMs + retryMs(operation.attempts, operation),
  });
}

/**
 * An unassign that may yet be done is called again only when it cannot land any more: once the repeat is done the address
 * may be another pod's, and the first call would take it from under that one.
 */
export function waitOut(turn: Turn, operation: OperationRow): void {
  turn.tx.put('operation', { ...operation, state: 'waiting', notBeforeMs: landedByMs(turn) });
}

/** The call may have been done, or may yet be: reads decide, none of them before the call's own deadline has passed. */
export function settle(turn: Turn, operation: OperationRow): void {
  const notBeforeMs = landedByMs(turn);
  turn.tx.put('operation', { ...operation, state: 'settling', notBeforeMs });
  turn.wantListing(notBeforeMs);
}

/** When a call that went out until now has been done, and shows, or never will be. */
const landedByMs = ({ nowMs, capabilities }: Turn): number =>
  nowMs + Math.max(capabilities.callDeadlineMs, capabilities.listLagMs);

/** releasing -> ready: surely not done. The action's own back-off paces the next try, and the ENI is free for an assign. */
function notGivenBack(turn: Turn, operation: OperationRow): void {
  turn.tx.remove('operation', operation.id);
  if (operation.call.action !== 'unassign') return;
  for (const id of operation.call.blocks) {
    const block = turn.state.get('block', id);
    if (block?.state === 'releasing' && block.eni === operation.eni) turn.tx.put('block', { ...block, state: 'ready' });
  }
}

/** The create was surely not done: the wish is planned anew, with what is known now. */
function dropCreate(turn: Turn, operation: OperationRow): void {
  turn.tx.remove('operation', operation.id);
  countCreate(turn, -1);
  if (operation.eni !== undefined) turn.tx.remove('eni', operation.eni);
}

/** The instance takes no more ENIs: this one goes back to the cloud. */
function giveUpAttach(turn: Turn, operation: OperationRow): void {
  const eni = eniOf(turn, operation);
  turn.tx.remove('operation', operation.id);
  if (eni !== undefined) detached(turn, eni);
}

/** notFound for an ENI made less than the list lag ago may be a replica that has not heard of it. */
function gone(turn: Turn, operation: OperationRow): void {
  const eni = eniOf(turn, operation);
  if (eni !== undefined && turn.nowMs - eni.writtenMs < turn.capabilities.listLagMs) return wait(turn, operation);
  turn.tx.remove('operation', operation.id);
  if (eni !== undefined) eniGone(turn, eni);
}
