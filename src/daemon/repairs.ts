/**
 * What others undid and the daemon put back, on the host and in pods: one line and one count for what was undone
 * together, such as by one flush, told when all of it is there again.
 */
import type { Logger } from 'pino';
import type { LeaseId } from '../core/brand.ts';
import { type Event, NO_REPAIR, type PodRepair, type Repair } from '../core/events.ts';
import { AT_ONCE_COUNT_MAX, isLooking } from '../core/look.ts';
import { reasonText } from '../core/reasons.ts';
import type { State } from '../core/state.ts';
import { whoIs } from './refusals.ts';

/** Who changes things all the time must not keep it from being told. */
const TELL_WITHIN_MS = 1_000;
/** Of names and of pods; the line says how many there are. */
const NAMES_MAX = 32;

export class Repairs {
  private readonly log: Logger;
  private readonly onRepair: (repair: Repair) => void;
  /** The plan of the sync in flight, and of the last one that the kernel has: equal when only others changed it. */
  private planAsked = '';
  private planDone: string | undefined;
  /** Put back, or found undone by a sync that failed half way: the next finds only the rest. */
  private host: Repair = NO_REPAIR;
  private readonly pods = new Map<LeaseId, PodRepair>();
  private sinceMs: number | undefined;

  constructor(log: Logger, onRepair: (repair: Repair) => void) {
    this.log = log;
    this.onRepair = onRepair;
  }

  asked(plan: object): void {
    this.planAsked = JSON.stringify(plan);
  }

  heard(event: Event, state: State, nowMs: number): void {
    if (event.kind === 'synced') this.synced(event);
    else if (event.kind === 'looked') this.looked(event, state);
    // What the kernel refuses to put back is not told as if it were there.
    if (this.host.count + this.pods.size === 0 || state.runtime.sync.failure !== undefined) return;
    this.sinceMs ??= nowMs;
    const isOver = state.runtime.sync.done >= state.runtime.sync.mend && !isLooking(state, nowMs);
    if (isOver || nowMs - this.sinceMs >= TELL_WITHIN_MS) this.tell(state);
  }

  /** A sync of the same plan as the last one took steps: somebody else had undone them. */
  private synced({ changed, damaged, failure, podFailure }: Extract<Event, { kind: 'synced' }>): void {
    const isSamePlan = this.planDone === this.planAsked;
    if (podFailure !== undefined)
      this.log.warn(
        { failure: podFailure, leases: damaged.map(({ lease }) => lease) },
        "kernel refused: pods' links are not as they were wired",
      );
    if (this.host.count === 0 && isSamePlan) this.host = changed;
    for (const pod of damaged) this.note(pod);
    if (failure === undefined) this.planDone = this.planAsked;
    else {
      if (!isSamePlan) this.planDone = undefined;
      this.log.warn({ failure }, 'kernel refused: the node is not in sync');
    }
  }

  private looked({ pods }: Extract<Event, { kind: 'looked' }>, state: State): void {
    for (const { failure, ...pod } of pods) {
      if (failure !== undefined)
        this.log.warn({ lease: pod.lease, failure }, 'kernel refused: a pod is not as it was wired');
      if (pod.count === 0) continue;
      this.note(pod);
      const { count = 0 } = state.get('look', pod.lease) ?? {};
      if (count < AT_ONCE_COUNT_MAX) continue;
      this.log.warn(
        { reason: 'NOT_AS_WIRED', pod: nameOf(pod, state), missing: pod.names, repairs: count },
        'something keeps undoing a pod’s own network: it is put back ever more seldom',
      );
    }
  }

  private note(pod: PodRepair): void {
    this.pods.set(pod.lease, { ...sumOf([this.pods.get(pod.lease) ?? NO_REPAIR, pod]), lease: pod.lease });
  }

  private tell(state: State): void {
    const repair = sumOf([this.host, ...this.pods.values()]);
    const pods = [...this.pods.values()].map((pod) => nameOf(pod, state));
    this.host = NO_REPAIR;
    this.pods.clear();
    this.sinceMs = undefined;
    this.onRepair(repair);
    const { count: steps, names: missing } = repair;
    this.log.warn(
      {
        reason: 'DATAPATH_REPAIRED',
        steps,
        kinds: repair.kinds,
        missing,
        podCount: pods.length,
        pods: pods.slice(0, NAMES_MAX),
      },
      reasonText({ code: 'DATAPATH_REPAIRED', steps, restored: missing }),
    );
  }
}

function nameOf({ lease: id }: PodRepair, state: State): string {
  const lease = state.get('lease', id);
  return lease === undefined ? id : whoIs(lease);
}

function sumOf(repairs: readonly Repair[]): Repair {
  const kinds: Record<string, number> = {};
  for (const repair of repairs)
    for (const [kind, count] of Object.entries(repair.kinds)) kinds[kind] = (kinds[kind] ?? 0) + count;
  return {
    count: repairs.reduce((sum, { count }) => sum + count, 0),
    kinds,
    names: repairs.flatMap(({ names }) => names).slice(0, NAMES_MAX),
  };
}
