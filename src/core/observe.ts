/**
 * What a list of ENIs tells, and what it does not. Reads come from replicas that lag differently, so a later read may
 * be older: absence and unknown presence are believed only when two reads agree, both begun more than `listLagMs`
 * after our last write to that ENI (and after a dead caller's deadline, where an operation settles).
 */
import { uniformOf } from './budget.ts';
import type { CloudCall, EniFacts, NodeFacts } from './cloud.ts';
import { attached, blockMissing, detached, eniGone, installBlocks, isLeaving, nodeRow, startDetaching } from './eni.ts';
import { countCreate } from './in-vain.ts';
import { type Cidr, cidrBase, cidrLength, familyOf, hostCidr } from './ip.ts';
import { isPresent, primaryOf } from './pool.ts';
import type { EniPresent, EniRow, OperationRow } from './rows.ts';
import { ABSENT, agrees, contents, forgetUnlisted } from './sighting.ts';
import { subnetsObserved } from './subnet-reads.ts';
import type { Turn } from './turn.ts';
import { isElsewhere, isHere, unknownEni } from './unknown-eni.ts';

/** Two reads of one doubt are this far apart. */
export const SECOND_READ_MS = 1_000;
/**
 * With nothing in doubt the cloud is compared this often, or a fifth later: nothing else shows that somebody took an
 * address from a running pod. A thousand nodes are at most 3.3 lists a second: on EC2, where a list is two Describe calls,
 * 6.7 of the 20 that an account may make (docs/design/006-subnets.md has the whole sum).
 */
const BACKGROUND_READ_MS = 300_000;

export function nodeObserved(turn: Turn, { limits, vpcCidrs, zone, primary }: NodeFacts, readMs: number): void {
  turn.tx.put('node', { ...nodeRow(turn), limits, vpcCidrs, zone });
  turn.wantSync();
  if (primary === undefined || turn.state.count('eni') > 0) return;
  subnetsObserved(turn, [primary.subnet], readMs);
  // The list that a start asks for is answered by this, unless the node turns out to have had a life before.
  const { wantedFromMs: _, ...listing } = turn.runtime.listing;
  turn.setRuntime({ listing });
  observed(turn, [primary.eni], readMs);
}

/** `readMs` is when the call began: what the answer shows is no newer than it claims. */
export function observed(turn: Turn, told: readonly EniFacts[], readMs: number): void {
  const rowOf = new Map<string, EniRow>();
  for (const row of turn.state.all('eni')) if (isPresent(row)) rowOf.set(row.id, row);
  const enis = told.map((facts) => (facts.primary ? withOwnAddress(turn, facts) : facts));
  let doubt = false;
  for (const facts of enis) doubt = !seenEni(turn, facts, rowOf.get(facts.id), readMs) || doubt;
  const listed = new Set<string>(enis.map((facts) => facts.id));
  for (const row of rowOf.values())
    if (isPresent(row) && !listed.has(row.id)) doubt = !notSeen(turn, row, readMs) || doubt;
  doubt = !settleCreates(turn, readMs) || doubt;
  forgetUnlisted(turn, rowOf, listed);
  trust(turn, doubt);
  const next =
    doubt || !nodeRow(turn).trusted
      ? Math.max(turn.nowMs + SECOND_READ_MS, nextUsefulMs(turn))
      : turn.nowMs + backgroundMs(turn, readMs);
  const asked = turn.runtime.listing.wantedFromMs ?? next;
  turn.setRuntime({ listing: { wantedFromMs: Math.min(next, asked), lastMs: readMs } });
}

/** Nodes that started together do not read together. */
const backgroundMs = (turn: Turn, readMs: number): number =>
  Math.ceil(BACKGROUND_READ_MS * (1 + 0.2 * uniformOf(`${nodeRow(turn).epoch}/enis/${Math.floor(readMs)}`)));

/** The earliest time a read can end a doubt: before it, reads tell nothing. */
function nextUsefulMs(turn: Turn): number {
  if (!nodeRow(turn).trusted) return believableMs(turn);
  let earliest = Number.POSITIVE_INFINITY;
  for (const operation of turn.state.all('operation'))
    if (operation.state === 'settling') earliest = Math.min(earliest, operation.notBeforeMs);
  return Number.isFinite(earliest) ? earliest : 0;
}

/** The journal was lost: it is rebuilt once two reads agree on everything. */
function trust(turn: Turn, doubt: boolean): void {
  const { listing } = turn.runtime;
  const node = nodeRow(turn);
  const readsAgree = listing.lastMs !== undefined && listing.lastMs >= believableMs(turn);
  if (!node.trusted && !doubt && (readsAgree || isFirstLife(turn))) {
    turn.tx.put('node', { ...node, trusted: true });
    turn.setRuntime({ fenced: [] });
  }
}

/**
 * Nothing in the kernel or on the primary is of an earlier life, so there is nothing that a second read could find: an
 * ENI that a lagging replica hides would show by its link. A fleet that starts together saves its second Describe.
 */
function isFirstLife(turn: Turn): boolean {
  if (turn.state.count('lease') > 0 || turn.state.count('deadLink') > 0 || turn.state.count('eni') !== 1) return false;
  const [primary] = turn.state.all('eni');
  if (primary === undefined || !isPresent(primary) || primary.kind !== 'primary') return false;
  const isAlone = [...turn.state.all('link')].every((link) => link.mac === primary.mac);
  return isAlone && turn.state.count('block') === 0 && primary.foreignBlocks.length === 0;
}

/**
 * From when on a read of a rebuilt world tells the truth. Where there was a life before this one (an ENI of ours, a pod),
 * its last calls may still land until their deadline.
 */
function believableMs(turn: Turn): number {
  const { listLagMs, callDeadlineMs } = turn.capabilities;
  const lived = turn.state.count('lease') > 0 || [...turn.state.all('eni')].some((eni) => eni.kind === 'secondary');
  return turn.runtime.startedMs + (lived ? Math.max(listLagMs, callDeadlineMs) : listLagMs);
}

/** Answers true when nothing about this ENI is left in doubt. */
function seenEni(turn: Turn, facts: EniFacts, row: EniRow | undefined, readMs: number): boolean {
  if (row === undefined) return unknownEni(turn, facts, readMs);
  if (!isPresent(row)) return true;
  if (row.kind === 'foreign' || row.state === 'gone') return true;
  return compare(turn, row, facts, readMs);
}

/** Compares a row with the cloud's view of it. */
function compare(turn: Turn, row: EniPresent, facts: EniFacts, readMs: number): boolean {
  const operation = turn.state.operationOn(row.key);
  if (operation?.state === 'flying') return true;
  const notBeforeMs = Math.max(row.writtenMs + turn.capabilities.listLagMs, operation?.notBeforeMs ?? 0);
  if (row.kind === 'secondary' && isElsewhere(turn, facts)) {
    // Somebody gave it to another instance. Whatever we meant to do with it would be done to that one.
    if (!agrees(turn, row.id, contents(facts), readMs, row.writtenMs + turn.capabilities.listLagMs)) return false;
    eniGone(turn, row);
    return true;
  }
  if (operation?.state === 'waiting')
    return row.state !== 'deleting' || !isHere(turn, facts) || attachedAfterAll(turn, row, facts, readMs);
  if (operation === undefined && inOrder(turn, row, facts)) return true;
  if (!agrees(turn, row.id, contents(facts), readMs, notBeforeMs)) return false;
  if (operation !== undefined) endSettling(turn, row, facts, operation);
  const now = turn.state.get('eni', row.key);
  if (now !== undefined && isPresent(now)) {
    matchAttachment(turn, now, facts);
    // It may be leaving since.
    const then = turn.state.get('eni', row.key);
    if (then !== undefined && isPresent(then)) matchBlocks(turn, then, facts, operation);
  }
  return true;
}

/** deleting -> detaching: an attach landed late, and the cloud refuses to delete what is attached. */
function attachedAfterAll(turn: Turn, row: EniPresent, facts: EniFacts, readMs: number): boolean {
  const operation = turn.state.operationOn(row.key);
  if (!agrees(turn, row.id, contents(facts), readMs, row.writtenMs + turn.capabilities.listLagMs)) return false;
  if (operation !== undefined) turn.tx.remove('operation', operation.id);
  startDetaching(turn, row, false);
  return true;
}

function endSettling(turn: Turn, row: EniPresent, facts: EniFacts, operation: OperationRow): void {
  turn.tx.remove('operation', operation.id);
  if (operation.call.action === 'attach') {
    if (facts.attachment !== undefined) return attached(turn, row, facts.attachment.deviceIndex);
    // The index is free again: kept, it would be taken from the next attach, its own.
    const { deviceIndex: _, ...rest } = row;
    turn.tx.put('eni', { ...rest, state: 'available' });
  }
}

/** True when the row says what the cloud says, so nothing needs a second read. */
function inOrder(turn: Turn, row: EniPresent, facts: EniFacts): boolean {
  if (row.state === 'detaching' || isLeaving(row)) return true;
  const wanted = row.state !== 'available';
  if (wanted !== isHere(turn, facts)) return false;
  if (row.kind === 'primary' && row.primary6 !== facts.primary6) return false;
  const listed = new Set<Cidr>(facts.blocks);
  const rows = turn.state.blocksOf(row.key).filter((block) => block.state !== 'missing');
  const known = [...rows.map((block) => block.id), ...row.foreignBlocks];
  return known.length === listed.size && known.every((block) => listed.has(block));
}

function matchAttachment(turn: Turn, row: EniPresent, facts: EniFacts): void {
  if (row.kind !== 'secondary') return;
  const here = isHere(turn, facts);
  if (row.state === 'available' && here) attached(turn, row, facts.attachment?.deviceIndex);
  else if ((row.state === 'linking' || row.state === 'ready' || row.state === 'draining') && !here)
    takenAway(turn, row);
}

/** The ENI is detached or gone behind our back: its pods are lost; it is deleted when they end. */
function takenAway(turn: Turn, row: EniPresent): void {
  for (const block of turn.state.blocksOf(row.key)) blockMissing(turn, block);
  detached(turn, row);
  turn.wantSync();
}

function matchBlocks(turn: Turn, row: EniPresent, facts: EniFacts, settled: OperationRow | undefined): void {
  if (isLeaving(row)) return;
  const listed = new Set<Cidr>(facts.blocks);
  for (const block of turn.state.blocksOf(row.key)) {
    if (block.state !== 'missing' && !listed.has(block.id)) blockMissing(turn, block);
  }
  const known = new Set<Cidr>([...row.foreignBlocks, ...turn.state.blocksOf(row.key).map((block) => block.id)]);
  const fresh = facts.blocks.filter((block) => !known.has(block));
  if (row.kind !== 'primary') return installBlocks(turn, row.key, facts.blocks);
  // Asked for by name for the pods that lost it, and here again.
  const found = facts.blocks.filter((block) => turn.state.get('block', block)?.state === 'missing');
  if (found.length > 0) installBlocks(turn, row.key, found);
  if (settled !== undefined && isAnswerTo(settled.call, fresh)) return installBlocks(turn, row.key, fresh);
  const before = fresh.filter((block) => turn.runtime.fenced.includes(block));
  if (before.length > 0) return installBlocks(turn, row.key, before);
  const foreignBlocks = facts.blocks.filter((block) => turn.state.get('block', block) === undefined);
  const { primary6: before6, ...rest } = row;
  turn.tx.put('eni', { ...rest, ...(facts.primary6 && { primary6: facts.primary6 }), foreignBlocks });
  if (before6 !== facts.primary6) turn.wantSync();
}

/**
 * Of the primary's addresses only those are ours that our own assign brought. That they are just what it asked for is all
 * that tells: an operator may have added others since the last read.
 */
function isAnswerTo(call: CloudCall, fresh: readonly Cidr[]): boolean {
  if (call.action !== 'assign' || fresh.length !== call.wish.count) return false;
  const { family, prefixLength } = call.wish;
  const isAsked = (block: Cidr): boolean =>
    call.blocks?.includes(block) ?? (familyOf(block) === family && cidrLength(block) === prefixLength);
  return fresh.every(isAsked);
}

/**
 * EC2 marks no IPv6 address as the own one of an ENI that an instance was born with, so the first that it lists is taken
 * for it. Where that is one of ours (by its row, or after a lost journal by the kernel's fence), the own one is the first
 * that is not, or there is none. One of an assign whose answer was lost may be an operator's: it is left to the node.
 */
function withOwnAddress(turn: Turn, facts: EniFacts): EniFacts {
  const { primary6, ...rest } = facts;
  const isOurs = (block: Cidr): boolean =>
    turn.state.get('block', block) !== undefined || turn.runtime.fenced.includes(block);
  if (primary6 === undefined || !isOurs(hostCidr(primary6))) return facts;
  const isSingle6 = (block: Cidr): boolean => familyOf(block) === 6 && cidrLength(block) === 128;
  const own = facts.blocks.find((block) => isSingle6(block) && !isOurs(block));
  const blocks = [hostCidr(primary6), ...facts.blocks.filter((block) => block !== own)];
  return { ...rest, ...(own && { primary6: cidrBase(own) }), blocks };
}

/** An ENI of ours that this read does not show. */
function notSeen(turn: Turn, row: EniPresent, readMs: number): boolean {
  const operation = turn.state.operationOn(row.key);
  if (row.kind === 'primary' || row.state === 'gone' || operation?.state === 'flying') return true;
  const settlesMs = operation?.state === 'settling' ? operation.notBeforeMs : 0;
  const notBeforeMs = Math.max(row.writtenMs + turn.capabilities.listLagMs, settlesMs);
  if (!agrees(turn, row.id, ABSENT, readMs, notBeforeMs)) return false;
  eniGone(turn, row);
  return true;
}

/** Creates whose answer was lost and which cannot be repeated: after two reads without them they were not done. */
function settleCreates(turn: Turn, readMs: number): boolean {
  let settled = true;
  for (const operation of turn.state.all('operation')) {
    if (operation.state !== 'settling' || operation.call.action !== 'create' || operation.eni === undefined) continue;
    if (agrees(turn, operation.eni as string as EniFacts['id'], ABSENT, readMs, operation.notBeforeMs)) {
      turn.tx.remove('operation', operation.id);
      countCreate(turn, -1);
      turn.tx.remove('eni', operation.eni);
      turn.tx.remove('sighting', operation.eni);
    } else settled = false;
  }
  return settled;
}

/**
 * The facts every plan needs: asked for when missing. A subnet that only the configuration names is none of them: what
 * the node holds serves without it.
 */
export function missingFacts(turn: Turn): 'node' | 'enis' | 'subnets' | undefined {
  if (nodeRow(turn).limits === undefined) return 'node';
  if (primaryOf(turn.state) === undefined) return 'enis';
  for (const id of turn.state.census.eniSubnets()) if (turn.state.get('subnet', id) === undefined) return 'subnets';
  return undefined;
}
