/**
 * Whether a node asks the cloud for no more than it may, when a call goes out: never beyond its ceiling, and for an ENI
 * only where the slots of those that are there do not do; and for no less, when a pod is told that a limit is reached.
 * Counted row by row, without the core's tallies.
 */
import type { BlockWish, CloudCall } from '../core/cloud.ts';
import { type Family, familyOf } from '../core/ip.ts';
import { isBeingSetUp, serves } from '../core/pool.ts';
import type { ReasonCode } from '../core/reasons.ts';
import type { EniPresent, EniRow, OperationRow, PoolRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import { blockSize, wishSize } from '../core/tally.ts';
import { freeCount, hasRange, shortOf } from './cooldowns.ts';
import type { RowChange } from './row-watch.ts';

/** A subnet with fewer free addresses beyond what is asked of it may count as full. */
const ROOMY_COUNT = 8;

export interface GrowthOptions {
  readonly nowMs: () => number;
  /** Blocks that one call may ask for. */
  readonly blocksMax: number;
  readonly breach: (text: string) => void;
}

export class Growth {
  private readonly options: GrowthOptions;

  constructor(options: GrowthOptions) {
    this.options = options;
  }

  /** A batch was committed. */
  step(changes: readonly RowChange[], state: State): void {
    let calls: OperationRow[] = [];
    for (const { table, before, after } of changes) {
      if (table === 'operation' && before === undefined) calls.push(after as OperationRow);
      else if (table === 'pool' || table === 'link' || cameBack(table, before)) calls = [];
    }
    for (const pool of state.all('pool')) {
      if (changes.some(({ table }) => table === 'bound')) this.expected(state, pool);
      if (calls.some(({ call }) => asks(call) && sizeOf(call, 4) > 0)) this.ceiling(state, pool);
      for (const { id, call } of calls) if (call.action === 'create') this.needs(state, pool, id);
    }
  }

  /** What makes it untrue that the limit is reached; undefined where nothing does. */
  belies(code: ReasonCode, state: State): string | undefined {
    if (code !== 'CEILING' && code !== 'ADDRESS_LIMIT' && code !== 'ENI_LIMIT') return undefined;
    for (const pool of state.all('pool')) {
      const free = Math.min(...pool.families.map((family) => freeCount(state, pool, family)));
      // Where a ceiling was lowered, what is free beyond it is on its way back, and nobody's.
      const leased = [...state.all('lease')].filter((lease) => lease.pool === pool.id).length;
      const isUsed = code === 'CEILING' && leased >= pool.targets.ceiling;
      if (free > state.waiterCount(pool.id) && !isUsed) return `${free} addresses are free`;
      const short = shortOf(state, pool);
      const held = Math.max(...short.map((family) => heldBy(state, pool, family) + askedBy(state, pool, family)));
      if (code === 'CEILING' && held < pool.targets.ceiling) return `${held} are held`;
      const spared = short.every((family) => this.slots(state, pool, family, 1) > 0);
      if (code !== 'CEILING' && spared) return 'ENIs have free slots';
    }
    return undefined;
  }

  private expected(state: State, pool: PoolRow): void {
    const counted = state.expectedCount(pool.id);
    const there = expectedIn(state);
    if (counted !== there) this.options.breach(`${there} pods are expected, and ${counted} are counted`);
  }

  /** Of IPv4: nobody goes short of what a node does not use of an IPv6 prefix. */
  private ceiling(state: State, pool: PoolRow): void {
    const held = heldBy(state, pool, 4) + askedBy(state, pool, 4);
    const { ceiling } = pool.targets;
    if (held > ceiling) this.options.breach(`${held} IPv4 addresses are held and asked for, the ceiling is ${ceiling}`);
  }

  /** The create that just began brings what the ENIs that are there have no slots for. */
  private needs(state: State, pool: PoolRow, create: OperationRow['id']): void {
    const { floor, headroom } = pool.targets;
    if (headroom === 'auto') return;
    const pods = state.count('lease') + state.waiterCount(pool.id) + expectedIn(state);
    const spared = pool.families.every((family) => {
      const { cooling, quarantined } = restingOf(state, pool, family);
      const there = heldBy(state, pool, family) + askedBy(state, pool, family, isNotCreate) - quarantined;
      const lack = Math.max(floor, pods + headroom + cooling) - there;
      return lack <= this.slots(state, pool, family, lack);
    });
    if (spared)
      this.options.breach(`${create} makes an ENI, and those that are there have slots for all that is wanted`);
  }

  /** Free slots that can be filled beyond doubt. */
  private slots(state: State, pool: PoolRow, family: Family, lack: number): number {
    const limits = state.get('node', 'node')?.limits;
    if (limits === undefined) return 0;
    let count = 0;
    for (const eni of state.all('eni')) {
      if (!serves(state, eni, pool) || !hasRange(state, eni, family) || !this.isOpen(state, eni, { family, lack }))
        continue;
      const taken = state.blocksOf(eni.key).length + eni.foreignBlocks.length + 1;
      count += Math.max(0, Math.min(limits.slotsPerEni[family] - taken, this.options.blocksMax));
    }
    return count;
  }

  private isOpen(
    state: State,
    eni: EniPresent,
    { family, lack }: { readonly family: Family; readonly lack: number },
  ): boolean {
    const { nowMs } = this.options;
    // One call at a time: what an assign does not carry may be another ENI's. Others that leave the slots alone do not count.
    const action = state.operationOn(eni.key)?.call.action;
    if (action !== undefined && action !== 'modify' && action !== 'tag') return false;
    if ((eni.fullUntilMs?.[family] ?? 0) > nowMs()) return false;
    const subnet = state.get('subnet', eni.subnet);
    if (subnet?.freeCount4 === undefined || Math.max(subnet.exhaustedUntilMs[4], subnet.exhaustedUntilMs[6]) > nowMs())
      return false;
    const reserved = [...state.all('operation')].reduce((sum, { call }) => sum + sizeOf(call, 4), 0);
    return subnet.freeCount4 - reserved >= lack + ROOMY_COUNT;
  }
}

/** Pods that were bound and neither hold a lease nor wait; leases that name no pod are some of them. */
function expectedIn(state: State): number {
  const asking = [...state.all('lease'), ...state.all('waiter')];
  const names = new Set(asking.map(({ pod }) => pod?.name));
  const unnamed = new Set(asking.flatMap(({ pod, key }) => (pod === undefined ? [key] : [])));
  const silent = [...state.all('bound')].filter(({ pod }) => !names.has(pod.name));
  return Math.max(0, silent.length - unnamed.size);
}

const asks = (call: CloudCall): boolean =>
  call.action === 'create' || (call.action === 'assign' && call.again !== true);

const isNotCreate = (call: CloudCall): boolean => call.action !== 'create';

/** What did not count when the call was planned, and does from then on. */
const cameBack = (table: RowChange['table'], before: RowChange['before']): boolean =>
  (table === 'eni' && (before as EniRow | undefined)?.state === 'draining') ||
  (table === 'block' && ['missing', 'releasing'].includes((before as { state?: string } | undefined)?.state ?? ''));

const COMES_UP: readonly EniRow['state'][] = ['available', 'attaching', 'linking'];

const counts = (state: State, eni: EniRow, pool: PoolRow): boolean =>
  serves(state, eni, pool) || isBeingSetUp(eni, pool) || (eni.kind === 'secondary' && COMES_UP.includes(eni.state));

/** Addresses of the family on ENIs that serve, or will. */
function heldBy(state: State, pool: PoolRow, family: Family): number {
  let sum = 0;
  for (const eni of state.all('eni')) {
    if (!counts(state, eni, pool)) continue;
    for (const block of state.blocksOf(eni.key))
      if (familyOf(block.id) === family && (block.state === 'ready' || block.state === 'installing'))
        sum += blockSize(block);
  }
  return sum;
}

function restingOf(state: State, pool: PoolRow, family: Family): { cooling: number; quarantined: number } {
  const resting = { cooling: 0, quarantined: 0 };
  for (const { block, ip, state: is } of state.all('address')) {
    const eni = state.get('eni', state.get('block', block)?.eni ?? '');
    if (is === 'held' || familyOf(ip) !== family || eni === undefined || !counts(state, eni, pool)) continue;
    resting[is]++;
  }
  return resting;
}

/** Addresses of the family that calls under way ask for. */
function askedBy(state: State, pool: PoolRow, family: Family, fits = (_: CloudCall): boolean => true): number {
  let sum = 0;
  for (const { call, eni } of state.all('operation'))
    if (asks(call) && fits(call) && state.get('eni', eni ?? '')?.pool === pool.id) sum += sizeOf(call, family);
  return sum;
}

function sizeOf(call: CloudCall, family: Family): number {
  const wishes: readonly BlockWish[] =
    call.action === 'create' ? call.blocks : call.action === 'assign' ? [call.wish] : [];
  return wishes.reduce(
    (sum, wish) => sum + (wish.family === family ? wish.count * wishSize(family, wish.prefixLength) : 0),
    0,
  );
}
