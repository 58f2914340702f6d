/**
 * The account's rate limits as arithmetic on `nowMs`: one token bucket an action, cut by throttling (AIMD), with a
 * reserve that lower priorities may not touch. A call becomes an effect only when it has its token here, so the
 * planner sees all that waits and can say when.
 *
 * The bucket is the account's, and every node of it counts alone: a throttled answer is how a node learns of the
 * others. Calls that nobody waits for then queue up at a place drawn from a hash; docs/design/004-budgets.md derives
 * the window. A pod that waits comes back within seconds, so it overtakes other nodes' calls too.
 */
import { askFor, goesAloneMs, spendLease, wentAlone } from './budget-lease.ts';
import type { CloudAction, Rate, WindowRate } from './cloud.ts';
import type { BudgetRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** What the call is for; the first is served first. */
export type Priority = 'blocked-pod' | 'predicted' | 'top-up' | 'release' | 'describe';

/** Share of the burst that must remain after a call of this priority. */
export const RESERVE: Readonly<Record<Priority, number>> = {
  'blocked-pod': 0,
  predicted: 0.05,
  'top-up': 0.1,
  release: 0.3,
  describe: 0.3,
};

const SHARE_MIN = 1 / 32;
/** Share regained with each call that is not throttled. */
const SHARE_STEP = 0.05;
const THROTTLE_BACKOFF_MS = 1_000;
const THROTTLE_BACKOFF_MAX_MS = 30_000;
/** Refill times that a throttled node leaves to the bucket before the crowd's first call, and that the crowd spreads over. */
const CROWD_CUSHION = 0.5;
const CROWD_SPREAD = 9;

/** The bucket that never breaks the limit: in any window at most its burst and one window's refill are called. */
export const bucketOf = (rate: Rate | WindowRate): Rate =>
  'perSecond' in rate ? rate : { burst: rate.max / 2, perSecond: (rate.max / 2 / rate.windowMs) * 1000 };

/** How long an empty bucket takes to fill. */
export const refillMs = ({ burst, perSecond }: Rate): number => (burst / perSecond) * 1000;

/** Where in a crowd the caller that the text names queues up, in refill times of the bucket. */
export const crowdPlace = (text: string): number => CROWD_CUSHION + CROWD_SPREAD * uniformOf(text);

type Bucket = Pick<BudgetRow, 'tokens' | 'atMs' | 'share'>;

/** Tokens at `nowMs`, grown since the row was written. */
export function tokensAt(row: Bucket, rate: Rate | WindowRate, nowMs: number): number {
  const { burst, perSecond } = bucketOf(rate);
  return Math.min(burst, row.tokens + ((nowMs - row.atMs) / 1000) * perSecond * row.share);
}

/** When the bucket has a token for a call of this priority: `nowMs` when it has one now. */
export function refilledAtMs(row: Bucket, rate: Rate | WindowRate, priority: Priority, nowMs: number): number {
  const { burst, perSecond } = bucketOf(rate);
  const missing = 1 + RESERVE[priority] * (burst - 1) - tokensAt(row, rate, nowMs);
  return missing <= 0 ? nowMs : nowMs + Math.ceil((missing / (perSecond * row.share)) * 1000);
}

/** When a call of this priority may go: `nowMs` when it may go at once. */
export function readyAtMs(row: BudgetRow, rate: Rate | WindowRate, priority: Priority, nowMs: number): number {
  const { crowd } = row;
  const placeMs =
    crowd === undefined || priority === 'blocked-pod' ? 0 : crowd.sinceMs + crowd.place * refillMs(bucketOf(rate));
  return Math.max(refilledAtMs(row, rate, priority, nowMs), row.notBeforeMs, placeMs);
}

export function budgetOf(turn: Turn, action: CloudAction): BudgetRow {
  const known = turn.state.get('budget', action);
  if (known !== undefined) return known;
  const { burst } = bucketOf(turn.capabilities.rates[action]);
  return { action, tokens: burst, atMs: turn.nowMs, share: 1, notBeforeMs: 0, ...newestCrowd(turn) };
}

/** Who was throttled at one action meets the same nodes at the next: its first call there queues up at the same place. */
function newestCrowd(turn: Turn): Pick<BudgetRow, 'crowd'> {
  let crowd: BudgetRow['crowd'];
  for (const row of turn.state.all('budget'))
    if (row.crowd !== undefined && (crowd === undefined || row.crowd.sinceMs > crowd.sinceMs)) crowd = row.crowd;
  return crowd === undefined ? {} : { crowd };
}

/** Takes one token; false (and a wake armed) when it has to wait. Also waits out the action's back-off after failures. */
export function takeToken(turn: Turn, action: CloudAction, priority: Priority): boolean {
  if (turn.runtime.journal === 'down') return false;
  if (!turn.due(turn.state.get('failure', action)?.notBeforeMs ?? 0)) return false;
  const row = budgetOf(turn, action);
  const taken =
    turn.runtime.settings.brokered === true ? takeLeased(turn, row, priority) : takeOwn(turn, row, priority);
  if (taken === undefined) return false;
  turn.tx.put('budget', taken);
  return true;
}

/** A token of the broker's; of the node's own count once the broker is found silent. */
function takeLeased(turn: Turn, row: BudgetRow, priority: Priority): BudgetRow | undefined {
  if (!turn.due(row.notBeforeMs)) return undefined;
  const spent = spendLease(row, turn.nowMs);
  if (spent !== undefined) return spent;
  const asked = askFor(turn, row, priority);
  if (!turn.due(goesAloneMs(turn, asked, priority))) return undefined;
  const own = takeOwn(turn, asked, priority);
  return own && wentAlone(own, turn.nowMs);
}

/** A token by this node's own count. */
function takeOwn(turn: Turn, row: BudgetRow, priority: Priority): BudgetRow | undefined {
  const rate = turn.capabilities.rates[row.action];
  if (!turn.due(readyAtMs(row, rate, priority, turn.nowMs))) return undefined;
  return { ...row, tokens: tokensAt(row, rate, turn.nowMs) - 1, atMs: turn.nowMs };
}

/**
 * A throttled answer empties the bucket and halves the share, once for all calls that were out together. The wait is
 * the cloud's, if it named one, and full jitter on top of it: a thousand nodes are told the same time.
 */
export function throttled(
  turn: Turn,
  call: { readonly action: CloudAction; readonly startedMs: number; readonly id: string },
  retryAfterMs: number | undefined,
): void {
  const row = budgetOf(turn, call.action);
  if (row.crowd !== undefined && row.crowd.sinceMs >= call.startedMs) return;
  const backoffMs = Math.min(THROTTLE_BACKOFF_MAX_MS, THROTTLE_BACKOFF_MS / row.share);
  const share = Math.max(SHARE_MIN, row.share / 2);
  const place = crowdPlace(`${call.id}/place`) * (0.5 / share);
  turn.tx.put('budget', {
    ...row,
    tokens: 0,
    atMs: turn.nowMs,
    share,
    notBeforeMs: turn.nowMs + (retryAfterMs ?? 0) + Math.ceil(backoffMs * uniformOf(`${call.id}/retry`)),
    crowd: { sinceMs: turn.nowMs, place },
  });
}

export function answered(turn: Turn, action: CloudAction): void {
  const row = turn.state.get('budget', action);
  if (row === undefined || row.share >= 1) return;
  const tokens = tokensAt(row, turn.capabilities.rates[action], turn.nowMs);
  turn.tx.put('budget', { ...row, tokens, atMs: turn.nowMs, share: Math.min(1, row.share + SHARE_STEP) });
}

/**
 * A number in [0, 1) that depends only on the text: chance without a die, so that a run can be replayed. The text names
 * the node's epoch, so that nodes differ. FNV-1a, then murmur3's finalizer: ids that differ in one digit land far apart.
 */
export function uniformOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
