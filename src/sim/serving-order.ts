/**
 * First come, first served, as seen from outside: in the order in which their ADDs arrived, whatever the core noted
 * about them. There is one pool.
 */
import { type AttachmentKey, attachmentKey } from '../core/brand.ts';
import type { Event } from '../core/events.ts';
import type { LeaseRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { RowChange } from './row-watch.ts';

export class ServingOrder {
  private readonly breach: (text: string) => void;
  /** When those arrived that still wait, as a number that only grows. */
  private readonly arrivals = new Map<AttachmentKey, number>();
  private arrived = 0;

  constructor(breach: (text: string) => void) {
    this.breach = breach;
  }

  step(event: Event, changes: readonly RowChange[], state: State | undefined): void {
    if (event.kind === 'started') this.arrivals.clear();
    let served: { readonly key: AttachmentKey; readonly at: number } | undefined;
    for (const { table, key, before, after } of changes) {
      if (table === 'waiter' && before === undefined && after !== undefined)
        this.arrivals.set(key as AttachmentKey, ++this.arrived);
      if (table === 'lease' && before === undefined) {
        const lease = after as LeaseRow;
        const at = this.arrivals.get(lease.key);
        if (at !== undefined && (served === undefined || at > served.at)) served = { key: lease.key, at };
      }
      if (table === 'waiter' && after === undefined) this.leaves.push(key as AttachmentKey);
    }
    if (served !== undefined && state !== undefined) this.compare(served, state);
    for (const key of this.leaves) this.arrivals.delete(key);
    this.leaves.length = 0;
  }

  private readonly leaves: AttachmentKey[] = [];

  private compare(served: { readonly key: AttachmentKey; readonly at: number }, state: State): void {
    for (const waiter of state.all('waiter')) {
      const at = this.arrivals.get(attachmentKey(waiter.attachment));
      // One whose own DEL is still under way holds up nobody.
      if (at === undefined || at > served.at || state.leaseOf(waiter.key) !== undefined) continue;
      this.breach(`${served.key} was served before ${waiter.key}, which had come first`);
    }
  }
}
