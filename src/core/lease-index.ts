/**
 * Indexes over leases and waiters: whose lease, by attachment and by link; which are in a state; how many distinct pods
 * hold a lease or wait. Called by State alone.
 */
import type { AttachmentKey, LeaseId, PoolId } from './brand.ts';
import { linkName } from './link-name.ts';
import type { LeaseRow, WaiterRow } from './rows.ts';

export class LeaseIndex {
  private readonly byAttachment = new Map<AttachmentKey, LeaseId>();
  private readonly byLink = new Map<string, LeaseId>();
  private readonly byState = new Map<LeaseRow['state'], Set<LeaseId>>();
  private readonly wiring = new Set<LeaseId>();
  /** Leases and waiters of each pod. */
  private readonly pods = new Map<PoolId, Map<string, number>>();
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
    return this.pods.get(pool)?.size ?? 0;
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
    const pods = this.pods.get(row.pool) ?? new Map<string, number>();
    this.pods.set(row.pool, pods);
    const name = row.pod === undefined ? row.key : `${row.pod.namespace}/${row.pod.name}`;
    const count = (pods.get(name) ?? 0) + (add ? 1 : -1);
    if (count > 0) pods.set(name, count);
    else pods.delete(name);
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
