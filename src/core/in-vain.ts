/**
 * How many ENIs may be made: as many as the instance takes, and not one after the other without end where none serves.
 */
import { budgetOf } from './budget.ts';
import type { EniRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** A new ENI that never served may be bad luck; this many in a row are a fault that more of them do not mend. */
const IN_VAIN_MAX = 3;
const IN_VAIN_PAUSE_MS = 30_000;
const IN_VAIN_PAUSE_MAX_MS = 240_000;
/** After so long without a create the count begins anew; longer than the longest pause. */
const IN_VAIN_WINDOW_MS = 2 * IN_VAIN_PAUSE_MAX_MS;

/**
 * A bug, ours or the cloud's, must not create ENIs without end: never more of them at once than the instance takes (one
 * that is being deleted counts until it is gone), and a pause that doubles when one after the other never served.
 */
export function mayCreate(turn: Turn): boolean {
  if (!instanceTakesOneMore(turn)) return false;
  let onTheWay = 0;
  for (const { state } of turn.state.all('eni')) if (ON_THE_WAY.includes(state)) onTheWay++;
  const { inVain } = budgetOf(turn, 'create');
  const count = (inVain?.count ?? 0) - onTheWay;
  if (inVain === undefined || count < IN_VAIN_MAX || turn.nowMs - inVain.atMs > IN_VAIN_WINDOW_MS) return true;
  const pauseMs = Math.min(IN_VAIN_PAUSE_MAX_MS, IN_VAIN_PAUSE_MS * 2 ** (count - IN_VAIN_MAX));
  const notBeforeMs = inVain.atMs + pauseMs;
  if (notBeforeMs <= turn.nowMs) return true;
  if (turn.state.get('failure', 'create')?.notBeforeMs !== notBeforeMs) {
    const failure = { kind: 'bug', code: 'ENIS_IN_VAIN', message: `${count} new ENIs in a row never served` } as const;
    turn.tx.put('failure', { action: 'create', failure, atMs: turn.nowMs, notBeforeMs, count, inVain: count });
  }
  return turn.due(notBeforeMs);
}

/** An ENI that is being deleted counts until it is gone. */
export function instanceTakesOneMore(turn: Turn): boolean {
  let there = 0;
  for (const { state } of turn.state.all('eni')) if (state !== 'gone') there++;
  return there < (turn.state.get('node', 'node')?.limits?.eniCountMax ?? 0);
}

const ON_THE_WAY: readonly EniRow['state'][] = ['creating', 'available', 'attaching', 'linking'];

/** A create goes out, or turns out surely not done. */
export function countCreate(turn: Turn, by: 1 | -1): void {
  const row = budgetOf(turn, 'create');
  const isOld = row.inVain === undefined || turn.nowMs - row.inVain.atMs > IN_VAIN_WINDOW_MS;
  const count = Math.max(0, (isOld ? 0 : (row.inVain?.count ?? 0)) + by);
  turn.tx.put('budget', { ...row, inVain: { count, atMs: by > 0 ? turn.nowMs : (row.inVain?.atMs ?? turn.nowMs) } });
}

/** A new ENI serves: what was created was not in vain. */
export function eniServes(turn: Turn): void {
  const { inVain, ...row } = budgetOf(turn, 'create');
  if (inVain !== undefined) turn.tx.put('budget', row);
}
