/**
 * One node in the simulator: the real core, driver and datapath over a kernel and a journal in memory. It can crash
 * before and after each commit and effect, and in the middle of a batch of kernel steps; what its dead process had
 * asked of the cloud still lands.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import { DEFAULT_SETTINGS, type Identity, isOurs } from '../core/boot.ts';
import type { InstanceId, PoolId, RequestId } from '../core/brand.ts';
import type { Effect, Event, Reply } from '../core/events.ts';
import type { PoolRow, Settings } from '../core/rows.ts';
import { veth } from '../datapath/veth.ts';
import { Driver, type Failpoint } from '../driver/driver.ts';
import { runEffect } from '../driver/effects.ts';
import { coreEvent, startedEvent } from '../driver/kernel-events.ts';
import type { BudgetBroker } from '../ports/budget-broker.ts';
import type { Clock } from '../ports/clock.ts';
import type { Provider } from '../ports/provider.ts';
import type { VirtualClock } from './clock.ts';
import type { MemoryJournal } from './journal.ts';
import type { FakeKernel } from './kernel.ts';

/** Thrown through the process's own stack; nothing of it goes on. */
class Crash extends Error {}

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
}

export class SimNode {
  bootId = 'boot-1';
  private readonly options: NodeOptions;
  private process:
    | { readonly driver: Driver; readonly abort: AbortController; readonly unlisten: () => void }
    | undefined;
  private starts = 0;

  constructor(options: NodeOptions) {
    this.options = options;
  }

  get driver(): Driver | undefined {
    return this.process?.driver;
  }

  /** Starts a daemon process: opens the journal, reads the kernel, serves. */
  async start(): Promise<void> {
    const { journal, kernel, provider, instance, pool, broker, name = '' } = this.options;
    const number = ++this.starts;
    const identity: Identity = {
      cluster: 'sim',
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
          if (seen.kind === 'event') this.options.onEvent(seen.event);
        },
      });
    } catch {
      // A full disk: the supervisor tries again.
      this.options.onCrash();
      return;
    }
    const deafen = [
      kernel.listen((heard) => {
        const event = coreEvent(heard);
        if (event !== undefined) enqueue(event);
      }),
      broker?.listen((lease) => enqueue({ kind: 'budget-leased', lease })),
    ];
    const unlisten = (): void => {
      for (const stop of deafen) stop?.();
    };
    this.process = { driver, abort, unlisten };
    kernel.beforeStep = () => {
      if (!this.options.crashHere('kernel-step')) return false;
      this.crash();
      return true;
    };
    const settings = { ...DEFAULT_SETTINGS, brokered: broker !== undefined, ...this.options.settings };
    enqueue({ kind: 'configured', pools: [{ id: 'default' as PoolId, ...pool }], settings });
    const started = await startedEvent(driver.state, kernel, veth);
    if (this.starts === number) enqueue(started);
  }

  send(event: Event): void {
    this.alive(this.starts, () => this.process?.driver.enqueue(event));
  }

  crash(): void {
    const dead = this.process;
    if (dead === undefined) return;
    this.process = undefined;
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
    if (number !== this.starts || this.process === undefined) return;
    try {
      deed();
    } catch (error) {
      if (error instanceof Crash) this.crash();
      else this.options.onError(error);
    }
  }

  private mortalClock(number: number): Clock {
    const { clock } = this.options;
    return {
      nowMs: () => clock.nowMs(),
      wallMs: () => clock.wallMs(),
      timer: (atMs, callback) => clock.timer(atMs, () => this.alive(number, callback)),
    };
  }
}
