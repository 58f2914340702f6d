/**
 * When a pool's next address is expected, and what brings it: for people who ask why a pod waits. Nothing is
 * decided by it.
 */
import type { CloudAction } from './cloud.ts';
import { nextCooledMs, tokenAtMs } from './explain.ts';
import { roomForEnis } from './grow.ts';
import { enisOf, isBeingSetUp, isCeilingUsed } from './pool.ts';
import { hasRoom, isAtCeiling, shortOf } from './room.ts';
import type { EniRow, OperationRow, PoolRow } from './rows.ts';
import { closedUntilMs, openForEniMs, servingSubnets } from './subnet.ts';
import type { Turn } from './turn.ts';
import { ASSIGN_MS, ATTACH_MS, CREATE_MS, LINK_MS } from './usual-durations.ts';

/** Two reads that agree, and a call after them. */
const READS_MS = 500;

export interface Prospect {
  /** At least 0: what should have come by now is expected at any moment. */
  readonly inMs: number;
  readonly by: CloudAction | 'link' | 'kernel' | 'cooldown';
  /** How long ago it should have come. */
  readonly lateMs?: number;
}

interface Candidate {
  readonly atMs: number;
  readonly by: Prospect['by'];
}

/** The soonest; undefined where only a pod's end brings an address. */
export function prospect(turn: Turn, pool: PoolRow): Prospect | undefined {
  if (isCeilingUsed(turn.state, pool)) return undefined;
  const candidates = [...underWay(turn, pool), ...planned(turn, pool), ...cooled(turn, pool)];
  const [soonest] = candidates.sort((a, b) => a.atMs - b.atMs || (a.by < b.by ? -1 : 1));
  if (soonest === undefined) return undefined;
  const inMs = Math.ceil(soonest.atMs - turn.nowMs);
  return { inMs: Math.max(0, inMs), by: soonest.by, ...(inMs < 0 && { lateMs: -inMs }) };
}

/** ENIs and blocks on their way. */
function underWay(turn: Turn, pool: PoolRow): Candidate[] {
  return enisOf(turn.state, pool).flatMap((eni): Candidate[] => {
    const operation = turn.state.operationOn(eni.key);
    if (operation !== undefined && ['create', 'attach', 'assign'].includes(operation.call.action))
      return [called(operation)];
    const isInstalling = eni.state === 'ready' && turn.state.installingOn(eni.key) > 0;
    if (isInstalling || isBeingSetUp(eni, pool)) return [{ atMs: turn.nowMs, by: 'kernel' }];
    return risen(eni);
  });
}

function called({ call, state, startedMs, notBeforeMs }: OperationRow): Candidate {
  if (state === 'settling') return { atMs: notBeforeMs + READS_MS, by: 'listEnis' };
  const tookMs = call.action === 'assign' ? ASSIGN_MS : call.action === 'create' ? CREATE_MS : ATTACH_MS;
  return { atMs: (state === 'waiting' ? notBeforeMs : startedMs) + tookMs, by: call.action };
}

/** An ENI that waits for its token or its link. */
function risen(eni: EniRow): Candidate[] {
  if (eni.state === 'available') return [{ atMs: eni.sinceMs + ATTACH_MS, by: 'attach' }];
  return eni.state === 'linking' ? [{ atMs: eni.sinceMs + LINK_MS, by: 'link' }] : [];
}

/** The next call that the planner would make, when token, back-off and subnet allow it. */
function planned(turn: Turn, pool: PoolRow): Candidate[] {
  if (isAtCeiling(turn, pool)) return [];
  const short = shortOf(turn, pool);
  const roomy = enisOf(turn.state, pool).filter(
    (eni) => short.some((family) => hasRoom(turn, pool, eni, family)) && turn.state.operationOn(eni.key) === undefined,
  );
  const open = (id: string): number => {
    const subnet = turn.state.get('subnet', id);
    return subnet === undefined ? 0 : Math.max(...short.map((family) => closedUntilMs(turn, subnet, family)));
  };
  const candidates: Candidate[] = roomy.map((eni) => ({
    atMs: Math.max(readyMs(turn, 'assign'), open(eni.subnet)) + ASSIGN_MS,
    by: 'assign',
  }));
  if (roomForEnis(turn) > 0)
    for (const subnet of servingSubnets(turn, pool)) {
      const atMs = Math.max(readyMs(turn, 'create'), openForEniMs(turn, pool, subnet)) + CREATE_MS;
      candidates.push({ atMs, by: 'create' });
    }
  return candidates;
}

const readyMs = (turn: Turn, action: CloudAction): number =>
  Math.max(tokenAtMs(turn, action), turn.state.get('failure', action)?.notBeforeMs ?? 0);

function cooled(turn: Turn, pool: PoolRow): Candidate[] {
  const atMs = nextCooledMs(turn, pool);
  return Number.isFinite(atMs) ? [{ atMs, by: 'cooldown' }] : [];
}
