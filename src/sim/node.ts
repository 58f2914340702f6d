/**
 * One node in the simulator: the real core, driver and datapath over a kernel and a journal in memory. It can crash
 * before and after each commit and effect, and in the middle of a batch of kernel steps; what its dead process had
 * asked of the cloud still lands.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import { DEFAULT_SETTINGS, type Identity, isOurs } from '../core/boot.ts';
import type { InstanceId, PoolId, RequestId } from '../core/brand.ts';
import type { Effect, Event, Reply } from '../core/events.ts';
import type { Ip } from '../core/ip.ts';
import type { PoolRow, Settings } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import { veth } from '../datapath/veth.ts';
import { Driver, type Failpoint, type Observation } from '../driver/driver.ts';
import { runEffect } from '../driver/effects.ts';
import { hearKernel, startedEvent } from '../driver/kernel-events.ts';
import type { BudgetBroker } from '../ports/budget-broker.ts';
import type { Clock } from '../ports/clock.ts';
import type { Provider } from '../ports/provider.ts';
import type { VirtualClock } from './clock.ts';
import type { MemoryJournal } from './journal.ts';
import type { FakeKernel } from './kernel.ts';

/** Times are fractions: one that is moved to another boot's and back may come out a little earlier. */
const ROUNDING_MS = 1e-3;

/** Thrown through the process's own stack; nothing of it goes on. */
class Crash extends Error {}

/** Of every node here. */
export const CLUSTER = 'sim';

export interface NodeOptions {
  readonly clock: VirtualClock;
  readonly cloud: MemoryCloud;
  readonly provider: Provider;
  readonly instance: InstanceId;
  readonly kernel: FakeKernel;
  readonly journal: MemoryJournal;
  readonly pool: Omit<PoolRow, 'id'>;
  readonly settings?: Partial<Settings>;
  /** Tells the nodes of one world apart: their ids, and with them their jitter, differ. */
  readonly name?: string;
  readonly broker?: BudgetBroker;
  /** Asked at each failpoint and before each kernel step: true ends the process there. */
  readonly crashHere: (at: Failpoint | 'kernel-step') => boolean;
  readonly onReply: (request: RequestId, reply: Reply) => void;
  readonly onCrash: () => void;
  /** A bug: the daemon threw. */
  readonly onError: (error: unknown) => void;
  readonly onEvent: (event: Event) => void;
  /** Everything the driver tells of itself, `onEvent`'s events among it. */
  readonly observe?: (seen: Observation) => void;
  /** What was kept for a daemon while there was none: the first that a process hears of requests. */
  readonly spooled?: () => readonly Event[];
  /** A process opened the journal and has this state; its first event is yet to come. */
  readonly onOpen?: (state: State) => void;
}

/** What the process would have done while it stood still, in order. */
interface Pause {
  readonly sinceMs: number;
  /** The whole machine stands still, and with it the time of its boot (a VM that is suspended). */
  readonly machine: boolean;
  readonly deeds: (() => void)[];
}

export class SimNode {
  bootId = 'boot-1';
  private readonly options: NodeOptions;
  private process:
    | { readonly driver: Driver; readonly abort: AbortController; readonly unlisten: () => void }
    | undefined;
  private starts = 0;
  private pool: NodeOptions['pool'];
  private settings: Partial<Settings>;
  private pause: Pause | undefined;
  /** Requests that came before the process had read the kernel; undefined once it has. */
  private early: Event[] | undefined;
  /** World time at which this boot's monotonic time was 0; suspends move it on. */
  private doubted: readonly Ip[] = [];
  private epochMs = 0;

  constructor(options: NodeOptions) {
    this.options = options;
    this.pool = options.pool;
    this.settings = options.settings ?? {};
  }

  get configuredPool(): NodeOptions['pool'] {
    return this.pool;
  }

  /** Monotonic since boot, as the daemon sees it. */
  nowMs(): number {
    return this.options.clock.nowMs() - this.epochMs;
  }

  /** A new boot, up for so long already: its time begins anew. */
  boot(bootId: string, uptimeMs: number): void {
    this.bootId = bootId;
    this.doubted = [];
    this.epochMs = this.options.clock.nowMs() - uptimeMs;
  }

  /** Invariants broke over these again and again: each process of this boot is told so before anything else. */
  doubt(addresses: readonly Ip[]): void {
    this.doubted = [...this.doubted, ...addresses];
  }

  /** The configuration changes: now where the daemon runs, and for all that start later. */
  configure(change: Partial<NodeOptions['pool']>): void {
    this.pool = { ...this.pool, ...change };
    this.alive(this.starts, () => this.process?.driver.enqueue(this.configured()));
  }

  private configured(): Event {
    const settings = { ...DEFAULT_SETTINGS, brokered: this.options.broker !== undefined, ...this.settings };
    return { kind: 'configured', pools: [{ id: 'default' as PoolId, ...this.pool }], settings };
  }

  /** SIGSTOP, or the machine's suspend: nothing of the process runs, and all that comes for it waits. */
  standStill({ machine }: { readonly machine: boolean }): void {
    if (this.process === undefined || this.pause !== undefined) return;
    this.pause = { sinceMs: this.options.clock.nowMs(), machine, deeds: [] };
    this.options.kernel.hold();
  }

  get standsStill(): boolean {
    return this.pause !== undefined;
  }

  /** All that waited is done in its order; what comes meanwhile comes behind it. */
  goOn(): void {
    const { pause } = this;
    if (pause === undefined) return;
    if (pause.machine) this.epochMs += this.options.clock.nowMs() - pause.sinceMs;
    const { deeds } = pause;
    this.pause = { sinceMs: this.options.clock.nowMs(), machine: false, deeds };
    for (const deed of deeds) deed();
    this.pause = undefined;
    this.options.kernel.letGo();
  }

  get driver(): Driver | undefined {
    return this.process?.driver;
  }

  /** Starts a daemon process: opens the journal, reads the kernel, serves. */
  async start(): Promise<void> {
    const { journal, kernel, provider, instance, broker, name = '' } = this.options;
    const number = ++this.starts;
    const identity: Identity = {
      cluster: CLUSTER,
      nodeName: 'node',
      instanceId: instance,
      bootId: this.bootId,
      epoch: `${name}e${number}`,
    };
    const { rows } = journal.load();
    const abort = new AbortController();
    const clock = this.mortalClock(number);
    const enqueue = (event: Event): void => this.alive(number, () => this.process?.driver.enqueue(event));
    const run = (effect: Effect): void =>
      runEffect(effect, {
        kernel,
        datapath: veth,
        provider,
        ...(broker && { broker }),
        reply: this.options.onReply,
        enqueue,
        signal: abort.signal,
      });
    let driver: Driver;
    try {
      driver = Driver.open({
        clock,
        journal,
        provider,
        identity,
        run,
        rows: isOurs(rows, identity) ? rows : [],
        checkAllEvery: 100,
        failpoint: (at) => this.maybeCrash(at),
        observe: (seen) => {
          this.options.observe?.(seen);
          if (seen.kind === 'event') this.options.onEvent(seen.event);
        },
      });
    } catch {
      // A full disk: the supervisor tries again.
      this.options.onCrash();
      return;
    }
    const deafen = [
      hearKernel({ kernel, clock, state: driver.state, enqueue }),
      broker?.listen((lease) => enqueue({ kind: 'budget-leased', lease })),
    ];
    const unlisten = (): void => {
      for (const stop of deafen) stop?.();
    };
    this.early = [];
    this.process = { driver, abort, unlisten };
    this.options.onOpen?.(driver.state);
    kernel.beforeStep = () => {
      if (!this.options.crashHere('kernel-step')) return false;
      this.crash();
      return true;
    };
    if (this.doubted.length > 0) enqueue({ kind: 'doubted', addresses: this.doubted });
    enqueue(this.configured());
    const started = await startedEvent(driver.state, kernel, veth);
    if (this.starts !== number || this.process?.driver !== driver) return;
    enqueue(started);
    // What comes meanwhile, because of an answer, comes behind those that waited.
    this.early.unshift(...(this.options.spooled?.() ?? []));
    for (const event of this.early ?? []) this.alive(number, () => this.deliver(event));
    if (this.starts === number) this.early = undefined;
  }

  /** A request waits until the kernel was read, as at the daemon's desk. Deadlines in it are of the world's time. */
  send(event: Event): void {
    this.alive(this.starts, () => {
      if (this.early === undefined) this.deliver(event);
      else this.early.push(event);
    });
  }

  private deliver(event: Event): void {
    const local = event.kind === 'add' ? { ...event, deadlineMs: event.deadlineMs - this.epochMs } : event;
    this.process?.driver.enqueue(local);
  }

  crash(): void {
    const dead = this.process;
    if (dead === undefined) return;
    this.process = undefined;
    if (this.pause?.machine) this.epochMs += this.options.clock.nowMs() - this.pause.sinceMs;
    this.pause = undefined;
    dead.driver.stop();
    dead.unlisten();
    dead.abort.abort();
    this.options.kernel.abandon();
    this.options.onCrash();
  }

  private maybeCrash(at: Failpoint): void {
    if (this.options.crashHere(at)) throw new Crash();
  }

  /** Runs something of process `number`; a crash in it ends that process, a dead process runs nothing. */
  private alive(number: number, deed: () => void): void {
    if (this.pause === undefined) this.run(number, deed);
    else this.pause.deeds.push(() => this.run(number, deed));
  }

  private run(number: number, deed: () => void): void {
    if (number !== this.starts || this.process === undefined) return;
    try {
      deed();
    } catch (error) {
      if (error instanceof Crash) this.crash();
      else this.options.onError(error);
    }
  }

  /** The boot's own time; a timer never fires before its time, also when the machine stood still meanwhile. */
  private mortalClock(number: number): Clock {
    const { clock } = this.options;
    return {
      nowMs: () => this.nowMs(),
      wallMs: () => clock.wallMs(),
      timer: (atMs, callback) => {
        let isCancelled = false;
        const fire = (): void => {
          if (isCancelled) return;
          if (this.nowMs() < atMs - ROUNDING_MS) cancel = arm();
          else callback();
        };
        const arm = () => clock.timer(atMs + this.epochMs, () => this.alive(number, fire));
        let cancel = arm();
        return () => {
          isCancelled = true;
          cancel();
        };
      },
    };
  }
}
