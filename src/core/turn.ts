/**
 * One step's working context: the transaction, the time, what the cloud can do, and the effects decided so far.
 * Every armed deadline of a step goes through `wakeAt`, so the driver needs one timer.
 */
import type { Capabilities } from './cloud.ts';
import type { Effect } from './events.ts';
import type { RuntimeRow } from './rows.ts';
import type { State, Tx } from './state.ts';

export interface TurnContext {
  readonly nowMs: number;
  /** For tags, which people read; nothing is decided by it. */
  readonly wallMs: number;
  readonly capabilities: Capabilities;
}

export class Turn {
  readonly tx: Tx;
  readonly state: State;
  readonly nowMs: number;
  readonly wallMs: number;
  readonly capabilities: Capabilities;
  readonly effects: Effect[] = [];
  wakeAtMs: number | undefined;

  constructor(tx: Tx, { nowMs, wallMs, capabilities }: TurnContext) {
    this.tx = tx;
    this.state = tx.state;
    this.nowMs = nowMs;
    this.wallMs = wallMs;
    this.capabilities = capabilities;
  }

  emit(effect: Effect): void {
    this.effects.push(effect);
  }

  /** Asks for a wake at that time; one that has passed is for the next millisecond, never for the past. */
  wakeAt(atMs: number): void {
    const at = Math.max(atMs, this.nowMs + 1);
    if (this.wakeAtMs === undefined || at < this.wakeAtMs) this.wakeAtMs = at;
  }

  /** True when the time has come; otherwise arms the wake for it. */
  due(atMs: number): boolean {
    if (atMs <= this.nowMs) return true;
    this.wakeAt(atMs);
    return false;
  }

  get runtime(): RuntimeRow {
    return this.state.runtime;
  }

  setRuntime(change: Partial<RuntimeRow>): void {
    this.tx.put('runtime', { ...this.runtime, ...change });
  }

  /** `<epoch>-<n>`: never used twice, because the epoch is drawn at each start and committed before use. */
  newId<Id extends string>(): Id {
    const { nextId } = this.runtime;
    this.setRuntime({ nextId: nextId + 1 });
    return `${this.state.get('node', 'node')?.epoch}-${nextId}` as Id;
  }

  /** Marks the node's kernel state as changed; answers the sync that will carry the change. */
  wantSync(): number {
    const { sync } = this.runtime;
    // A sync in flight carries an older plan, so a change rides on the next one; changes before it share one.
    const base = sync.inFlight ?? sync.done;
    if (sync.wanted > base) return sync.wanted;
    this.setRuntime({ sync: { ...sync, wanted: base + 1 } });
    return base + 1;
  }

  /** Asks for a list of the ENIs no later than that time. */
  wantListing(fromMs: number): void {
    const { listing } = this.runtime;
    if (listing.wantedFromMs === undefined || fromMs < listing.wantedFromMs) {
      this.setRuntime({ listing: { ...listing, wantedFromMs: fromMs } });
    }
  }
}
