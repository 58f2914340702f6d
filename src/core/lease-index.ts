/**
 * Indexes over leases, waiters and bound pods: whose lease, by attachment and by link; which are in a state; how many
 * distinct pods hold a lease, wait, or are expected. Called by State alone.
 */
import { type BoundRow, podName } from './bound.ts';
import type { AttachmentKey, LeaseId, PoolId } from './brand.ts';
import { linkName } from './link-name.ts';
import type { LeaseRow, WaiterRow } from './rows.ts';

/** Pods by name, or by attachment where no pod is named. */
interface PodCount {
  /** Leases and waiters of each. */
  readonly asking: Map<string, number>;
  readonly bound: Set<string>;
  /** How many of `asking` are attachments without a pod, and how many of `bound` are not in `asking`. */
  unnamed: number;
  silent: number;
}

export class LeaseIndex {
  private readonly byAttachment = new Map<AttachmentKey, LeaseId>();
  private readonly byLink = new Map<string, LeaseId>();
  private readonly byState = new Map<LeaseRow['state'], Set<LeaseId>>();
  private readonly wiring = new Set<LeaseId>();
  private readonly pods = new Map<PoolId, PodCount>();
  lastBoundMs = Number.NEGATIVE_INFINITY;
  private readonly waiters = new Map<PoolId, number>();

  ofAttachment(key: AttachmentKey): LeaseId | undefined {
    return this.byAttachment.get(key);
  }

  ofLink(name: string): LeaseId | undefined {
    return this.byLink.get(name);
  }

  inState(state: LeaseRow['state']): ReadonlySet<LeaseId> | undefined {
    return this.byState.get(state);
  }

  get wiringCount(): number {
    return this.wiring.size;
  }

  podCount(pool: PoolId): number {
    const pods = this.pods.get(pool);
    return pods === undefined ? 0 : pods.asking.size + this.expectedCount(pool);
  }

  expectedCount(pool: PoolId): number {
    const pods = this.pods.get(pool);
    // A lease that was adopted from its link names no pod: it is one of those that are bound.
    return pods === undefined ? 0 : Math.max(0, pods.silent - pods.unnamed);
  }

  waiterCount(pool: PoolId): number {
    return this.waiters.get(pool) ?? 0;
  }

  waiter(row: WaiterRow, add: boolean): void {
    this.waiters.set(row.pool, this.waiterCount(row.pool) + (add ? 1 : -1));
    this.countPod(row, add);
  }

  /** Most changes of a lease leave alone whose it is: only what differs is indexed anew. */
  replaced(before: LeaseRow | undefined, after: LeaseRow | undefined): void {
    const sameOwner = before !== undefined && after !== undefined && isSameOwner(before, after);
    if (before !== undefined) {
      indexInto(this.byState, before.state, before.id, false);
      this.wiring.delete(before.id);
      if (!sameOwner) this.owner(before, false);
    }
    if (after !== undefined) {
      indexInto(this.byState, after.state, after.id, true);
      if (after.busy === 'wire') this.wiring.add(after.id);
      if (!sameOwner) this.owner(after, true);
    }
  }

  private owner(lease: LeaseRow, add: boolean): void {
    const { id, key } = lease;
    this.countPod(lease, add);
    if (add) {
      this.byAttachment.set(key, id);
      this.byLink.set(linkName(key), id);
    } else {
      this.byAttachment.delete(key);
      this.byLink.delete(linkName(key));
    }
  }

  private countPod(row: Pick<LeaseRow, 'pool' | 'pod' | 'key'>, add: boolean): void {
    const pods = this.podsOf(row.pool);
    const name = row.pod === undefined ? row.key : podName(row.pod);
    const before = pods.asking.get(name) ?? 0;
    const count = before + (add ? 1 : -1);
    if (count > 0) pods.asking.set(name, count);
    else pods.asking.delete(name);
    if (count + before !== 1) return;
    if (row.pod === undefined) pods.unnamed += add ? 1 : -1;
    else if (pods.bound.has(name)) pods.silent += add ? -1 : 1;
  }

  bound({ pod, pool, sinceMs }: BoundRow, add: boolean): void {
    const pods = this.podsOf(pool);
    const name = podName(pod);
    if (add) {
      pods.bound.add(name);
      this.lastBoundMs = sinceMs;
    } else pods.bound.delete(name);
    if (!pods.asking.has(name)) pods.silent += add ? 1 : -1;
  }

  private podsOf(pool: PoolId): PodCount {
    const known = this.pods.get(pool);
    if (known !== undefined) return known;
    const pods = { asking: new Map(), bound: new Set<string>(), unnamed: 0, silent: 0 };
    this.pods.set(pool, pods);
    return pods;
  }
}

const isSameOwner = (a: LeaseRow, b: LeaseRow): boolean =>
  a.id === b.id && a.key === b.key && a.pool === b.pool && a.pod === b.pod;

export function indexInto<K, V>(index: Map<K, Set<V>>, key: K, value: V, add: boolean): void {
  const values = index.get(key);
  if (add) {
    if (values === undefined) index.set(key, new Set([value]));
    else values.add(value);
  } else if (values !== undefined) {
    values.delete(value);
    if (values.size === 0) index.delete(key);
  }
}
