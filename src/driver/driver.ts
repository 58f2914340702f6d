/**
 * Turns steps into deeds. Order is a law: journal before kernel, kernel before reply.
 *
 * At most BATCH_MAX queued events are stepped in one transaction; their rows are committed once; only then do the
 * other effects run. A failed commit undoes the batch, runs none of its effects, and steps it again with the journal
 * down: ADDs are refused, DELs are fenced and kept in memory, cloud calls stop, and the commit is tried every second.
 */
import { type Identity, openState } from '../core/boot.ts';
import { bringsToPrimary, needsDisk } from '../core/durability.ts';
import type { Effect, Event } from '../core/events.ts';
import { type Breach, breaches, touchedBreaches } from '../core/invariants.ts';
import { UnderwayError } from '../core/reasons.ts';
import { type State, Tx } from '../core/state.ts';
import { step } from '../core/step.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal, RowChange } from '../ports/journal.ts';
import type { Provider } from '../ports/provider.ts';

const BATCH_MAX = 64;
const JOURNAL_PROBE_MS = 1_000;
const CHECK_ALL_EVERY = 1_000;

/** Named places where a test may end the process: before and after each commit and each effect. */
export type Failpoint = 'before-commit' | 'after-commit' | `before-${Effect['kind']}` | `after-${Effect['kind']}`;

export interface DriverOptions {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly provider: Pick<Provider, 'capabilities'>;
  /** Runs one effect; its result comes back through `enqueue`. Replies are among them. */
  readonly run: (effect: Effect) => void;
  /** Hears of everything, for logs and metrics; must not throw. */
  readonly observe?: (seen: Observation) => void;
  readonly failpoint?: (at: Failpoint) => void;
  /** All rows are checked every so many events (default 1,000); those that a step touched are after every one. */
  readonly checkAllEvery?: number;
  /** Called with a breach; the default throws. */
  readonly onBreach?: (breach: Breach, recent: readonly Event[]) => void;
}

export type Observation =
  | { readonly kind: 'event'; readonly event: Event; readonly nowMs: number }
  /** Just before it runs. */
  | { readonly kind: 'effect'; readonly effect: Effect; readonly nowMs: number }
  | { readonly kind: 'step'; readonly events: number; readonly ms: number }
  | { readonly kind: 'commit'; readonly rows: number; readonly ms: number }
  | { readonly kind: 'journal'; readonly up: boolean; readonly detail: string };

export class Driver {
  readonly state: State;
  private readonly options: DriverOptions;
  private readonly queue: Event[] = [];
  private readonly recent: Event[] = [];
  /** Rows that are in memory and not in the journal, while it is down: the newest of each. */
  private readonly unwritten = new Map<string, RowChange>();
  private journalUp = true;
  private cancelTimer: (() => void) | undefined;
  private cancelProbe: (() => void) | undefined;
  private draining = false;
  private stopped = false;
  private eventCount = 0;

  private constructor(state: State, options: DriverOptions) {
    this.state = state;
    this.options = options;
  }

  /** Opens the state from the journal and commits the new epoch; throws when even that cannot be written. */
  static open(options: DriverOptions & { readonly identity: Identity; readonly rows: readonly RowChange[] }): Driver {
    const { state, first } = openState({
      rows: options.rows,
      identity: options.identity,
      nowMs: options.clock.nowMs(),
    });
    try {
      options.journal.commit(first);
    } catch (cause) {
      throw new UnderwayError({ code: 'JOURNAL_UNWRITABLE', detail: messageOf(cause) }, { cause });
    }
    return new Driver(state, options);
  }

  /** Takes events; they are stepped in this turn of the loop, in order of arrival, those of one call in one batch. */
  enqueue(...events: readonly Event[]): void {
    if (this.stopped) return;
    this.queue.push(...events);
    if (!this.draining) this.drain();
  }

  /** No event is taken any more, no timer fires. */
  stop(): void {
    this.stopped = true;
    this.cancelTimer?.();
    this.cancelProbe?.();
  }

  get journalIsUp(): boolean {
    return this.journalUp;
  }

  private drain(): void {
    this.draining = true;
    try {
      while (this.queue.length > 0 && !this.stopped) this.batch(this.queue.splice(0, BATCH_MAX));
    } finally {
      this.draining = false;
    }
  }

  private batch(events: readonly Event[]): void {
    const tx = new Tx(this.state);
    const nowMs = this.options.clock.nowMs();
    const outcome = this.stepAll(tx, events, nowMs);
    this.options.observe?.({ kind: 'step', events: events.length, ms: this.options.clock.nowMs() - nowMs });
    const rows = tx.journalRows();
    if (!this.journalUp) {
      for (const row of rows) this.unwritten.set(`${row.table} ${row.key}`, row);
    } else if (rows.length > 0) {
      // Outside of the try: what a failpoint throws ends the process, it is no journal that cannot be written.
      this.options.failpoint?.('before-commit');
      try {
        this.commit(rows);
      } catch (cause) {
        tx.undo();
        this.journalDown(messageOf(cause), events);
        return;
      }
      this.options.failpoint?.('after-commit');
      if (bringsToPrimary(this.state, rows)) this.keepIfItCan();
    }
    for (const event of events) this.options.observe?.({ kind: 'event', event, nowMs });
    this.arm(outcome.wakeAtMs);
    for (const effect of this.safeEffects(outcome.effects)) this.runEffect(effect);
  }

  /** Without it a power loss leaves the intent, by which most of what the answer brought is found again. */
  private keepIfItCan(): void {
    try {
      this.options.journal.checkpoint();
    } catch {
      // A full disk: the next commit says so.
    }
  }

  /** Where the disk cannot promise to keep an intent that must survive a power loss, its call is answered as not done. */
  private safeEffects(effects: readonly Effect[]): readonly Effect[] {
    const onDisk = (effect: Effect): effect is CloudEffect =>
      effect.kind === 'cloud' && needsDisk(this.state, effect.call);
    if (!effects.some(onDisk)) return effects;
    try {
      this.options.journal.checkpoint();
      return effects;
    } catch (cause) {
      for (const effect of effects) {
        if (!onDisk(effect)) continue;
        const failure = { kind: 'transient', code: 'JOURNAL', message: messageOf(cause) } as const;
        this.queue.push({ kind: 'cloud-answered', operation: effect.operation, answer: { ok: false, failure } });
      }
      return effects.filter((effect) => !onDisk(effect));
    }
  }

  private stepAll(
    tx: Tx,
    events: readonly Event[],
    nowMs: number,
  ): { effects: Effect[]; wakeAtMs: number | undefined } {
    const effects: Effect[] = [];
    let wakeAtMs: number | undefined;
    for (const event of events) {
      this.remember(event);
      const result = step(tx, event, {
        nowMs,
        wallMs: this.options.clock.wallMs(),
        capabilities: this.options.provider.capabilities,
      });
      effects.push(...result.effects);
      wakeAtMs = result.wakeAtMs;
      this.check(touchedBreaches(this.state, tx.touched(), nowMs));
      if (this.eventCount % (this.options.checkAllEvery ?? CHECK_ALL_EVERY) === 0)
        this.check(breaches(this.state, nowMs));
    }
    return { effects, wakeAtMs };
  }

  private remember(event: Event): void {
    this.eventCount++;
    this.recent.push(event);
    if (this.recent.length > 2 * CHECK_ALL_EVERY) this.recent.splice(0, CHECK_ALL_EVERY);
  }

  private check([first]: readonly Breach[]): void {
    if (first === undefined) return;
    if (this.options.onBreach === undefined) throw new Error(`invariant broken: ${first.invariant}: ${first.detail}`);
    this.options.onBreach(first, this.recent.slice(-CHECK_ALL_EVERY));
  }

  private commit(rows: readonly RowChange[]): void {
    const beganMs = this.options.clock.nowMs();
    this.options.journal.commit(rows);
    this.options.observe?.({ kind: 'commit', rows: rows.length, ms: this.options.clock.nowMs() - beganMs });
  }

  private runEffect(effect: Effect): void {
    this.options.failpoint?.(`before-${effect.kind}`);
    this.options.observe?.({ kind: 'effect', effect, nowMs: this.options.clock.nowMs() });
    this.options.run(effect);
    this.options.failpoint?.(`after-${effect.kind}`);
  }

  private journalDown(detail: string, events: readonly Event[]): void {
    this.journalUp = false;
    this.options.observe?.({ kind: 'journal', up: false, detail });
    this.queue.unshift({ kind: 'journal', up: false, detail }, ...events);
    this.probe();
  }

  /** Tries every second to write what is only in memory; the journal is up again when that succeeds. */
  private probe(): void {
    this.cancelProbe = this.options.clock.timer(this.options.clock.nowMs() + JOURNAL_PROBE_MS, () => {
      if (this.stopped) return;
      try {
        // The node's row goes along, so that a probe always writes something.
        this.options.journal.commit([
          { table: 'node', key: 'node', row: this.state.get('node', 'node') },
          ...this.unwritten.values(),
        ]);
      } catch {
        this.probe();
        return;
      }
      this.unwritten.clear();
      this.journalUp = true;
      this.options.observe?.({ kind: 'journal', up: true, detail: '' });
      this.enqueue({ kind: 'journal', up: true, detail: '' });
    });
  }

  private arm(wakeAtMs: number | undefined): void {
    this.cancelTimer?.();
    this.cancelTimer =
      wakeAtMs === undefined ? undefined : this.options.clock.timer(wakeAtMs, () => this.enqueue({ kind: 'wake' }));
  }
}

type CloudEffect = Extract<Effect, { kind: 'cloud' }>;

const messageOf = (cause: unknown): string => (Error.isError(cause) ? cause.message : String(cause));
