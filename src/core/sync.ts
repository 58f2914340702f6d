/**
 * The node's part of the kernel state: ENIs, fences, rules. A change raises `sync.wanted`; one sync at a time carries
 * the whole plan, and what it brought (blocks, ENIs) serves only when it is done.
 */

import { nodeRow } from './eni.ts';
import type { Event, KernelFailure } from './events.ts';
import { eniServes } from './in-vain.ts';
import type { Ip } from './ip.ts';
import { learnRefill } from './learn.ts';
import { lookedAt, podPlan } from './lease.ts';
import { lookAtAll } from './look.ts';
import type { EniPlan, NodePlan } from './plan.ts';
import { isPresent } from './pool.ts';
import type { EniPresent, EniRow } from './rows.ts';
import type { Turn } from './turn.ts';

/** How far the kernel has the node's part. */
export interface SyncState {
  /** Counts changes. */
  readonly wanted: number;
  /** The last change that the kernel has. */
  readonly done: number;
  /** The last that others may have made, which pods' links are looked at for too. */
  readonly mend: number;
  readonly inFlight?: number;
  /** Busy pods are left to the next. */
  readonly partial?: boolean;
  readonly notBeforeMs: number;
  /** Why the kernel did not take the last one, and since when it takes none. */
  readonly failure?: KernelFailure;
  readonly failingSinceMs?: number;
  /** The node's own addresses that the host did not have when it was last read. */
  readonly absent?: readonly Ip[];
}

const MEND_DELAY_MS = 100;
const SYNC_RETRY_MS = 1_000;
/** A link that goes in the middle of a sync makes it fail too: what is gone by the next try is nobody's trouble. */
const UNMENDED_MS = 2_000;

/** ENIs whose kernel state is wanted: the primary, and what is attached with its link there until it is detached. */
const inPlan = (eni: EniRow): eni is EniPresent =>
  isPresent(eni) &&
  eni.kind !== 'foreign' &&
  (eni.state === 'ready' || eni.state === 'draining' || (eni.state === 'linking' && eni.sync !== undefined));

export function nodePlan(turn: Turn): NodePlan {
  const { masquerade, markMask } = turn.runtime.settings;
  const enis = [...turn.state.all('eni')].filter(inPlan).flatMap((eni): EniPlan[] => {
    const link = turn.state.get('link', eni.mac);
    if (link === undefined || eni.number === undefined) return [];
    const subnet = turn.state.get('subnet', eni.subnet);
    return [
      {
        number: eni.number,
        mac: eni.mac,
        link: link.name,
        ...(eni.primary4 && { primary4: eni.primary4 }),
        ...(eni.primary6 && { primary6: eni.primary6 }),
        ...(subnet?.gateway4 && { gateway4: subnet.gateway4 }),
        ...(subnet?.gateway6 && { gateway6: subnet.gateway6 }),
        blocks: turn.state.blockIdsOf(eni.key),
      },
    ];
  });
  enis.sort((a, b) => a.number - b.number);
  return { vpcCidrs: nodeRow(turn).vpcCidrs, masquerade, markMask, enis };
}

/**
 * Nothing can be planned before the primary's link, the VPC's CIDRs and the subnets' gateways are known. While a lost
 * journal is rebuilt nothing is either: the first read adopts the primary alone, and a plan without the other ENIs would
 * take the way out from the pods that run on them until two reads agree (pings were lost, test/lab/crash/journal.test.ts).
 */
function plannable(turn: Turn): boolean {
  const enis = [...turn.state.all('eni')].filter(inPlan);
  const primary = enis.find((eni) => eni.kind === 'primary');
  return (
    nodeRow(turn).trusted &&
    nodeRow(turn).limits !== undefined &&
    primary !== undefined &&
    turn.state.get('link', primary.mac) !== undefined &&
    enis.every((eni) => turn.state.get('subnet', eni.subnet) !== undefined)
  );
}

/** Somebody's changes come in bursts (a flush of all rules): one sync a moment later mends them together. */
export function kernelChanged(turn: Turn, { lost = false }: { readonly lost?: boolean } = {}): void {
  const { wanted: before } = turn.runtime.sync;
  const mend = turn.wantSync();
  const { sync } = turn.runtime;
  // Only the first of a burst puts it off: somebody who never stops must not keep it from ever running.
  const delayMs = sync.wanted === before ? 0 : MEND_DELAY_MS;
  turn.setRuntime({ sync: { ...sync, mend, notBeforeMs: Math.max(sync.notBeforeMs, turn.nowMs + delayMs) } });
  if (lost) lookAtAll(turn);
}

export function planSync(turn: Turn): void {
  const { sync } = turn.runtime;
  if (sync.inFlight !== undefined || sync.wanted <= sync.done || !plannable(turn) || !turn.due(sync.notBeforeMs))
    return;
  const isMend = sync.mend > sync.done;
  const ready = isMend ? turn.state.leasesIn('ready') : [];
  const pods = ready.filter((lease) => lease.busy === undefined);
  turn.setRuntime({ sync: { ...sync, inFlight: sync.wanted, partial: pods.length < ready.length } });
  // A fence that came in between would be undone by what was read before it.
  for (const lease of pods) turn.tx.put('lease', { ...lease, busy: 'mend' });
  const plans = pods.map((lease) => podPlan(turn, lease));
  turn.emit({ kind: 'sync', sync: sync.wanted, plan: nodePlan(turn), pods: plans });
}

/** Why the kernel will not take back what others changed: pods that run may be cut off, and new ones would be. */
export function unmended({ runtime: { sync }, nowMs }: Pick<Turn, 'runtime' | 'nowMs'>): KernelFailure | undefined {
  const { failure, failingSinceMs = nowMs } = sync;
  return sync.mend > sync.done && nowMs - failingSinceMs >= UNMENDED_MS ? failure : undefined;
}

export function synced(turn: Turn, event: Extract<Event, { kind: 'synced' }>): void {
  const { sync: number, failure, absent = turn.runtime.sync.absent } = event;
  const { sync } = turn.runtime;
  if (sync.inFlight !== number) return;
  for (const lease of turn.state.all('lease')) if (lease.busy === 'mend') lookedAt(turn, lease);
  const { inFlight: _, failure: _last, failingSinceMs = turn.nowMs, ...others } = sync;
  const rest = absent === undefined ? others : { ...others, absent };
  if (failure !== undefined) {
    // A plan that has changed since (a link has another name) may well be taken.
    const notBeforeMs = sync.wanted > number ? sync.notBeforeMs : turn.nowMs + SYNC_RETRY_MS;
    turn.setRuntime({ sync: { ...rest, failure, failingSinceMs, notBeforeMs } });
    return;
  }
  turn.setRuntime({ sync: { ...rest, done: number, notBeforeMs: 0 } });
  if (rest.partial) kernelChanged(turn);
  serveWhatIsDone(turn, number);
}

/** linking -> ready for ENIs, installing -> ready for blocks that this sync carried. */
function serveWhatIsDone(turn: Turn, done: number): void {
  for (const eni of turn.state.all('eni')) {
    if (!isPresent(eni) || eni.sync === undefined || eni.sync > done) continue;
    const { sync: _sync, ...setUp } = eni;
    if (eni.state !== 'linking') {
      turn.tx.put('eni', setUp);
      continue;
    }
    const { deadlineMs: _, decidedMs, ...rest } = setUp;
    turn.tx.put('eni', { ...rest, state: 'ready', sinceMs: turn.nowMs });
    turn.tx.remove('failure', 'attach');
    eniServes(turn);
    if (decidedMs !== undefined) learnRefill(turn, eni.pool, decidedMs);
  }
  for (const { key, state } of turn.state.all('eni')) {
    if ((state !== 'ready' && state !== 'draining') || turn.state.installingOn(key) === 0) continue;
    for (const block of turn.state.blocksOf(key))
      if (block.state === 'installing' && block.sync <= done)
        turn.tx.put('block', { ...block, state: 'ready', idleSinceMs: turn.nowMs });
  }
}
