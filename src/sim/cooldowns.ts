/**
 * Whether addresses rest long enough between two pods, by the runtime's and the kernel's word: when a pod ended, and when
 * the address's connections were flushed. One that was flushed may be handed out after the least rest if the core freed
 * it in need: more pods waited than addresses of its family were free, and nothing could be asked for. That is counted
 * row by row at the moment at which the address is freed, without the core's tallies.
 */
import { type CloudCall, isRead } from '../core/cloud.ts';
import { type Cidr, cidrContains, cidrSize, type Family, familyOf, type Ip } from '../core/ip.ts';
import { serves } from '../core/pool.ts';
import type { EniRow, PoolRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { FakeKernel } from './kernel.ts';
import type { Pod } from './pods.ts';

/** How long an address rests: in need where its connections were flushed, without need, and for a SYN's life. */
const REST_MS = { inNeed: 5_000, flushed: 30_000, unflushed: 120_000 };
/** A subnet with fewer free addresses may count as full. */
const ROOMY_COUNT = 2;

export interface CooldownsOptions {
  /** World time, and the node's own, which stands still with its machine. */
  readonly nowMs: () => number;
  readonly nodeNowMs: () => number;
  readonly kernel: FakeKernel;
}

export class Cooldowns {
  private readonly options: CooldownsOptions;
  /** When the last pod on an address ended, and who it was. */
  private readonly ended = new Map<Ip, { readonly atMs: number; readonly pod: Pod }>();
  private readonly freedInNeed = new Set<Ip>();

  constructor(options: CooldownsOptions) {
    this.options = options;
  }

  stopped(ip: Ip, pod: Pod): void {
    this.ended.set(ip, { atMs: this.options.nowMs(), pod });
    this.freedInNeed.delete(ip);
  }

  /** Whoever used the block's addresses, the cloud has taken them from him. */
  forgetBlock(block: Cidr): void {
    for (const ip of this.ended.keys()) if (cidrContains(block, ip)) this.ended.delete(ip);
  }

  /** Nobody can know any more which addresses rested. */
  forget(): void {
    this.ended.clear();
  }

  /** The row of a cooling address is about to go. */
  freeing(state: State, ip: Ip): void {
    if ([...state.all('pool')].some((pool) => this.isInNeed(state, pool, familyOf(ip)))) this.freedInNeed.add(ip);
  }

  private isInNeed(state: State, pool: PoolRow, family: Family): boolean {
    const waiting = state.waiterCount(pool.id);
    return waiting > 0 && waiting > freeCount(state, pool, family) && !this.canGrow(state, pool);
  }

  /** What is wrong with the pod's having the address; undefined where nothing is. */
  handedOut(ip: Ip, pod: Pod): string | undefined {
    const before = this.ended.get(ip);
    this.ended.delete(ip);
    if (before === undefined) return undefined;
    const restMs = this.options.nowMs() - before.atMs;
    const flushedMs = this.options.kernel.flushedMs.get(ip);
    const isFlushed = flushedMs !== undefined && flushedMs >= before.atMs;
    const said = `${ip} went from ${before.pod.name} to ${pod.name} after ${Math.round(restMs)} ms`;
    if (!isFlushed) return restMs < REST_MS.unflushed ? `${said}, and was not flushed` : undefined;
    if (restMs < REST_MS.inNeed) return said;
    return restMs < REST_MS.flushed && !this.freedInNeed.has(ip) ? `${said}, and nobody was in need` : undefined;
  }

  /** Beyond doubt: the node is at rest, and neither the ceiling, nor the subnets, nor the instance's limits are reached. */
  private canGrow(state: State, pool: PoolRow): boolean {
    const { limits } = state.get('node', 'node') ?? {};
    if (limits === undefined || !isAtRest(state, this.options.nodeNowMs())) return false;
    const enis = [...state.all('eni')];
    const ours = enis.filter((eni) => eni.kind !== 'foreign');
    const held = (eni: EniRow, family: Family): readonly Cidr[] =>
      state.blocksOf(eni.key).flatMap(({ id }) => (familyOf(id) === family ? id : []));
    const isBelowCeiling = (family: Family): boolean =>
      ours.flatMap((eni) => held(eni, family)).reduce((sum, id) => sum + cidrSize(id), 0) < pool.targets.ceiling;
    const short = shortOf(state, pool);
    if (!short.every(isBelowCeiling)) return false;
    // One is the ENI's own; what others have on it takes slots too.
    const hasSlot = (eni: EniRow, family: Family): boolean =>
      'foreignBlocks' in eni && 1 + held(eni, family).length + eni.foreignBlocks.length < limits.slotsPerEni[family];
    const serving = enis.filter((eni) => serves(state, eni, pool));
    return (
      enis.length < limits.eniCountMax ||
      short.every((family) => serving.some((eni) => hasRange(state, eni, family) && hasSlot(eni, family)))
    );
  }
}

/** The ENI's subnet has addresses of the family. */
export function hasRange(state: State, { subnet }: EniRow, family: Family): boolean {
  const row = state.get('subnet', subnet);
  return (family === 4 ? row?.cidr4 : row?.cidr6) !== undefined;
}

/** Families of which nothing could be handed out now: what pods wait for. All, where there is some of each. */
export function shortOf(state: State, pool: PoolRow): readonly Family[] {
  const short = pool.families.filter((family) => freeCount(state, pool, family) === 0);
  return short.length > 0 ? short : pool.families;
}

/** Addresses of the family that could be handed out now. */
export function freeCount(state: State, pool: PoolRow, family: Family): number {
  let free = 0;
  for (const eni of state.all('eni')) {
    if (!serves(state, eni, pool)) continue;
    for (const { id, state: is } of state.blocksOf(eni.key))
      if (is === 'ready' && familyOf(id) === family) free += cidrSize(id) - state.addressesOf(id).length;
  }
  return free;
}

/** No ENI is on its way, no write under way, nothing was refused, and no subnet is short of addresses. */
function isAtRest(state: State, nowMs: number): boolean {
  const isWrite = (call: CloudCall): boolean => !isRead(call.action);
  return (
    [...state.all('eni')].every((eni) => eni.state === 'ready') &&
    ![...state.all('operation')].some(({ call }) => isWrite(call)) &&
    state.count('failure') === 0 &&
    [...state.all('subnet')].every(
      ({ exhaustedUntilMs, freeCount4 }) =>
        Math.max(exhaustedUntilMs[4], exhaustedUntilMs[6]) <= nowMs && (freeCount4 ?? 0) >= ROOMY_COUNT,
    )
  );
}
