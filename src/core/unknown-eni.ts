/**
 * ENIs that the cloud lists and no row knows: adopted where they are attached to this instance with our tags, foreign
 * where they are attached without, and swept where they are ours and nobody's any more.
 *
 * Invariants: what another cluster or instance owns by its tags, and what is attached to another instance, is never
 * touched; nothing is swept that was not seen unattached in two reads of this process SWEEP_AGE_MS apart. A restart
 * begins that time anew.
 */
import type { EniKey } from './brand.ts';
import type { EniFacts } from './cloud.ts';
import { attached, created, installBlocks, intentIn, nodeRow, presentFacts } from './eni.ts';
import { cidrContains } from './ip.ts';
import { isPresent } from './pool.ts';
import type { EniRow, PoolRow } from './rows.ts';
import { agrees, contents, seenForMs } from './sighting.ts';
import type { Turn } from './turn.ts';

/** Longer than any call takes, and than any process needs from an ENI's creation to its attachment. */
const SWEEP_AGE_MS = 600_000;

/** Attached to this instance, to stay. */
export const isHere = (turn: Turn, { attachment }: EniFacts): boolean =>
  attachment?.instance === nodeRow(turn).instanceId && attachment.state !== 'detaching';

export const isElsewhere = (turn: Turn, { attachment }: EniFacts): boolean =>
  attachment !== undefined && attachment.instance !== nodeRow(turn).instanceId;

/** Answers true when nothing about this ENI is left in doubt. */
export function unknownEni(turn: Turn, facts: EniFacts, readMs: number): boolean {
  if (isElsewhere(turn, facts)) return true;
  const intent = intentIn(turn, facts.tags);
  const waiting = intent === undefined ? undefined : turn.state.get('eni', intent);
  if (waiting?.state === 'creating') {
    const operation = turn.state.operationOn(waiting.key);
    // A create in flight will answer for itself, or be repeated with its token.
    if (operation?.state !== 'settling') return true;
    turn.tx.remove('operation', operation.id);
    adopt(turn, waiting, facts);
    return true;
  }
  const pool = firstPool(turn);
  if (pool === undefined) return false;
  if (facts.primary) {
    adoptPrimary(turn, facts, pool);
    return true;
  }
  // An unknown ENI may be one that we just deleted, shown by a replica that has not heard.
  const notBeforeMs = turn.runtime.startedMs + turn.capabilities.listLagMs;
  if (!agrees(turn, facts.id, contents(facts), readMs, notBeforeMs)) return false;
  const { key, common } = newRow(turn, facts, pool);
  if (intent === undefined) {
    if (facts.attachment !== undefined)
      turn.tx.put('eni', { ...common, kind: 'foreign', state: 'ready', ...attachmentIndex(facts), settled: true });
  } else if (isHere(turn, facts)) adopt(turn, { ...common, key, kind: 'secondary', state: 'creating' }, facts);
  else if (facts.attachment === undefined && seenForMs(turn, facts.id, readMs) >= SWEEP_AGE_MS)
    // (no row) -> deleting. Whoever made it did not come for it: its intent was lost with the power, or with the journal.
    turn.tx.put('eni', { ...common, key, kind: 'secondary', state: 'deleting', writtenMs: turn.nowMs, flushed: true });
  return true;
}

const attachmentIndex = ({ attachment }: EniFacts): { readonly deviceIndex?: number } => {
  const deviceIndex = attachment?.deviceIndex;
  return deviceIndex === undefined ? {} : { deviceIndex };
};

function newRow(turn: Turn, facts: EniFacts, pool: PoolRow) {
  const intent = intentIn(turn, facts.tags);
  // Tags can be copied: an intent names the one ENI that has its row.
  const isTaken = intent === undefined || turn.state.get('eni', intent) !== undefined;
  const key = isTaken ? turn.newId<EniKey>() : intent;
  const common = {
    key,
    pool: pool.id,
    subnet: facts.subnet,
    sinceMs: turn.nowMs,
    writtenMs: 0,
    ...presentFacts(facts),
    flushed: false,
    settled: false,
    force: false,
    foreignBlocks: [],
  } as const;
  return { key, common };
}

const firstPool = (turn: Turn): PoolRow | undefined => turn.state.all('pool').next().value;

/** The primary is born ready; of its blocks only those are ours that a pod of ours uses, or that our fences name. */
function adoptPrimary(turn: Turn, facts: EniFacts, pool: PoolRow): void {
  const { key, common } = newRow(turn, facts, pool);
  const { fenced } = turn.runtime;
  const ours = facts.blocks.filter(
    (block) =>
      fenced.includes(block) || [...turn.state.all('address')].some((address) => cidrContains(block, address.ip)),
  );
  const foreignBlocks = facts.blocks.filter((block) => !ours.includes(block));
  turn.tx.put('eni', {
    ...common,
    kind: 'primary',
    state: 'ready',
    number: 1,
    deviceIndex: 0,
    settled: true,
    sync: turn.wantSync(),
    foreignBlocks,
  });
  installBlocks(turn, key, ours);
}

/** An ENI of ours that no row knows: made by an intent whose answer, or whose journal, was lost. */
function adopt(turn: Turn, row: EniRow, facts: EniFacts): void {
  turn.tx.put('eni', row);
  created(turn, row, facts);
  const eni = turn.state.get('eni', row.key);
  if (eni !== undefined && isPresent(eni) && facts.attachment !== undefined)
    attached(turn, eni, facts.attachment.deviceIndex);
}
