/**
 * Which subnets are read, and when. Clouds leave a subnet that they do not know out of the answer: that is remembered,
 * so that a wrong name in the configuration neither asks without end nor keeps a node from serving what it has.
 */
import type { SubnetId } from './brand.ts';
import type { Priority } from './budget.ts';
import type { SubnetFacts } from './cloud.ts';
import { isFlying, startOperation } from './operation.ts';
import type { OperationRow } from './rows.ts';
import { heard, isUnknown, READ_SCARCE_MS, subnetsDue, UNLISTED_RETRY_MS } from './subnet.ts';
import type { Turn } from './turn.ts';

/** Subnets that are new; and, in the background, all of them from time to time: other nodes take from them too. */
export function readSubnets(turn: Turn, priority: Priority): void {
  if (isFlying(turn, 'listSubnets')) return;
  const unknown = unknownSubnets(turn);
  const ids = unknown.length > 0 || turn.runtime.phase !== 'serving' ? unknown : subnetsDue(turn);
  if (ids.length === 0) return;
  const isBackground = unknown.length === 0 && turn.state.count('waiter') === 0;
  startOperation(turn, { action: 'listSubnets', ids }, isBackground ? 'describe' : priority);
}

/** What the kernel's plan and the pools' placement miss, less what the cloud left out of its last answer. */
function unknownSubnets(turn: Turn): SubnetId[] {
  const unknown = new Set<SubnetId>();
  for (const id of turn.state.census.eniSubnets()) if (turn.state.get('subnet', id) === undefined) unknown.add(id);
  for (const { subnets } of turn.state.all('pool'))
    for (const id of subnets) if (isUnknown(turn, id, subnets)) unknown.add(id);
  return [...unknown].filter((id) => mayAsk(turn, id)).sort();
}

/** Nobody is held up where the node serves and no pod waits: a whole fleet may have the same wrong name. */
function mayAsk(turn: Turn, id: SubnetId): boolean {
  const unlisted = turn.state.get('unlisted', id);
  const isMissed = turn.runtime.phase !== 'serving' || turn.state.count('waiter') > 0;
  return unlisted === undefined || turn.due(unlisted.atMs + (isMissed ? UNLISTED_RETRY_MS : READ_SCARCE_MS));
}

export function subnetsListed(turn: Turn, { call, startedMs }: OperationRow, subnets: readonly SubnetFacts[]): void {
  subnetsObserved(turn, subnets, startedMs);
  const listed = new Set(subnets.map(({ id }) => id));
  for (const id of call.action === 'listSubnets' ? call.ids : []) if (!listed.has(id)) notListed(turn, id);
}

export function subnetsObserved(turn: Turn, subnets: readonly SubnetFacts[], readMs: number): void {
  for (const facts of subnets) {
    const known = turn.state.get('subnet', facts.id);
    turn.tx.put('subnet', heard(turn, facts, readMs));
    turn.tx.remove('unlisted', facts.id);
    if (known === undefined) turn.wantSync();
  }
}

/** One that was there keeps its row: a create in it says best what became of it. */
function notListed(turn: Turn, id: SubnetId): void {
  turn.tx.put('unlisted', { id, atMs: turn.nowMs });
  const known = turn.state.get('subnet', id);
  if (known !== undefined) turn.tx.put('subnet', { ...known, readAtMs: turn.nowMs + READ_SCARCE_MS });
}
