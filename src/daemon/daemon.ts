/**
 * The node daemon: journal, core, driver, kernel and server put together, over ports.
 *
 * Start: the journal (its lock says that no other daemon lives), the socket, who this instance is, the kernel, the
 * spooled DELs, and only then requests. Requests that come before that wait, and hear at their deadline what for.
 * Stop: the other way round; a kill -9 at any moment is as good, only slower for whoever waited.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { type Identity, isOurs } from '../core/boot.ts';
import type { Event, KernelFailure } from '../core/events.ts';
import { hindrance } from '../core/explain.ts';
import type { Breach } from '../core/invariants.ts';
import { type Reason, reasonText, UnderwayError } from '../core/reasons.ts';
import type { State } from '../core/state.ts';
import type { Turn } from '../core/turn.ts';
import type { Datapath } from '../datapath/datapath.ts';
import { Driver, type Failpoint, type Observation } from '../driver/driver.ts';
import { runEffect } from '../driver/effects.ts';
import { hearKernel, startedEvent } from '../driver/kernel-events.ts';
import type { Clock, Entropy } from '../ports/clock.ts';
import type { Kernel } from '../ports/kernel.ts';
import type { BoundPods } from '../ports/pods.ts';
import type { Provider } from '../ports/provider.ts';
import { hearPods } from './bound-pods.ts';
import { BreachHistory, EXIT_BREACH, writeBreach } from './breach.ts';
import { type Config, needsRestart, poolsOf, settingsOf } from './config.ts';
import { Desk, type Handled } from './desk.ts';
import { Heartbeat } from './heartbeat.ts';
import { Inquiry, strangerWord } from './identity.ts';
import { Installation } from './installation.ts';
import { openJournal, type SqliteJournal } from './journal.ts';
import { logHandled, Narrator } from './logs.ts';
import type { Metrics } from './metrics.ts';
import { pagesOf } from './pages.ts';
import { Refusals } from './refusals.ts';
import { tellRemoval } from './removed-links.ts';
import { every, pause } from './rhythm.ts';
import { type Listening, listenOnPort, listenOnSocket, type Routes } from './server.ts';
import { SocketWatch } from './socket-watch.ts';
import { Spool } from './spool.ts';
import { refusedTargets, TargetsWord } from './targets-word.ts';
import { readingTurn } from './why.ts';

/** EX_TEMPFAIL of sysexits.h: another daemon serves this node. */
export const EXIT_LOCKED = 75;
const HEARTBEAT_MS = 10_000;
/** The shim may have spooled a DEL in the moment in which the daemon came up. */
const SECOND_SCAN_MS = 2_000;
const RETRY_MS = 1_000;
const CHECKPOINT_IDLE_MS = 1_000;
const STOP_GRACE_MS = 3_000;
const STOP_POLL_MS = 10;

export interface DaemonOptions {
  readonly config: Config;
  readonly kernel: Kernel;
  readonly provider: Provider;
  readonly datapath: Datapath;
  /** Left out where no cluster is known: then a pod is known when it asks. */
  readonly pods?: BoundPods;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Ends the process at once: after a breach nothing of this state may be used. */
  readonly exit: (code: number) => void;
  readonly failpoint?: (at: Failpoint) => void;
}

export class Daemon {
  private readonly options: DaemonOptions;
  private readonly journal: SqliteJournal;
  private readonly desk: Desk;
  private readonly spool: Spool;
  private readonly heartbeat: Heartbeat;
  private readonly narrator: Narrator;
  private readonly refusals = new Refusals();
  private readonly installation: Installation;
  private readonly targets: TargetsWord;
  private readonly abort = new AbortController();
  private readonly ends: (() => void)[] = [];
  private readonly listening: Listening[] = [];
  private config: Config;
  private driver: Driver | undefined;
  private watch: SocketWatch | undefined;
  private starting: Reason = { code: 'DAEMON_STARTING', detail: 'opening' };
  private cancelCheckpoint: (() => void) | undefined;
  private stopping: Promise<void> | undefined;

  /**
   * Resolves when the socket is there; serving begins when kernel and (without a journal) cloud have answered.
   * Throws JournalLockedError or SocketTakenError while another daemon lives, any other Error where journal or socket cannot be had.
   */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const { config, clock, log } = options;
    const path = join(config.stateDir, 'underway.db');
    const journal = await openJournal({ path, clock, lockWaitMs: config.lockWaitMs });
    const { origin, detail, rows } = journal.load();
    if (origin === 'set-aside') log.error({ why: detail }, 'the journal was set aside');
    else log.info({ origin, rows: rows.length }, 'journal opened');
    const daemon = new Daemon(options, journal);
    try {
      await daemon.listen();
    } catch (error) {
      journal.close();
      throw error;
    }
    daemon.open().catch((error) => daemon.fail(error));
    options.kernel.failed.then((error) => daemon.fail(error));
    return daemon;
  }

  private constructor(options: DaemonOptions, journal: SqliteJournal) {
    this.options = options;
    this.config = options.config;
    this.journal = journal;
    const { clock, kernel, log, metrics, config } = options;
    this.heartbeat = new Heartbeat({ stateDir: config.stateDir, clock });
    this.narrator = new Narrator(log, metrics.repaired);
    this.installation = new Installation(options);
    this.targets = new TargetsWord(log);
    this.desk = new Desk({
      clock,
      kernel,
      hostNetns: config.netns ?? '/proc/self/ns/net',
      addDeadlineMs: () => this.config.addDeadlineMs,
      servedBefore: () => this.heartbeat.isFresh,
      handled: (seen) => this.handled(seen),
    });
    this.spool = new Spool({
      stateDir: config.stateDir,
      clock,
      replay: (request, askedMs) => this.desk.replay(request, askedMs),
      log: (file, outcome, detail) =>
        log[outcome === 'replayed' ? 'info' : 'warn'](
          { file, ...(detail && { why: detail }) },
          `spooled DEL ${outcome}`,
        ),
    });
  }

  get isServing(): boolean {
    return this.driver?.state.runtime.phase === 'serving';
  }

  /** Takes a new configuration, or says in one sentence why not. */
  reload(next: Config): string | undefined {
    const keys = needsRestart(this.config, next);
    if (keys.length > 0) return `${keys.join(', ')} can only be changed by a restart: nothing was changed`;
    const impossible = this.driver && refusedTargets(this.reading(this.driver.state), next);
    if (impossible !== undefined) return impossible;
    this.config = next;
    this.driver?.enqueue({ kind: 'configured', pools: poolsOf(next), settings: settingsOf(next) });
    return undefined;
  }

  /** Answers who waits, lets the kernel finish, gives journal and socket back. Safe to call twice. */
  stop(): Promise<void> {
    this.stopping ??= this.stopNow();
    return this.stopping;
  }

  /** A bug, or a port that is gone: the supervisor starts a new process from truth. */
  fail(error: unknown): void {
    this.options.log.fatal({ err: error }, 'the daemon ends: a new one starts from journal, kernel and cloud');
    this.options.exit(EXIT_BREACH);
  }

  private async listen(): Promise<void> {
    this.installation.keepBinary({ isStart: true });
    const { metricsListen, socket } = this.config;
    const { log } = this.options;
    const pages = pagesOf({
      metrics: this.options.metrics,
      state: () => this.driver?.state,
      unheard: () => this.watch?.unheard,
      missing: () => this.installation.missing,
      why: {
        state: () => this.driver?.state,
        starting: () => this.starting,
        early: () => this.desk.adds,
        refusals: () => this.refusals.all,
        clock: this.options.clock,
        capabilities: this.options.provider.capabilities,
      },
    });
    const cni: Routes['cni'] = (body, respond) => this.desk.ask(body, respond);
    const listening = await listenOnSocket(socket, { cni, pages });
    this.listening.push(listening);
    this.watch = new SocketWatch({ socket, listening, clock: this.options.clock, log });
    log.info({ socket }, 'listening');
    if (metricsListen === null) return;
    // A port that somebody else has must not keep pods from their network.
    const { '/v1/state': _, '/v1/why': _why, ...safe } = pages;
    await listenOnPort(metricsListen, safe).then(
      (port) => this.listening.push(port),
      (error) => log.error({ metricsListen, why: String(error) }, 'no metrics on this port; the socket has them too'),
    );
  }

  /** From the journal's rows to a core that serves. */
  private async open(): Promise<void> {
    const { clock, kernel, datapath } = this.options;
    const identity = await this.identify();
    if (identity === undefined) return;
    const driver = await this.openDriver(identity);
    if (driver === undefined) return;
    this.driver = driver;
    const enqueue = (...events: readonly Event[]): void => driver.enqueue(...events);
    const hear = (event: Event): void => {
      tellRemoval(event, driver.state, { ...this.options, refusals: this.refusals });
      enqueue(event);
    };
    this.ends.push(hearKernel({ kernel, clock, state: driver.state, enqueue: hear }));
    this.setApart(identity, enqueue);
    enqueue({ kind: 'configured', pools: poolsOf(this.config), settings: settingsOf(this.config) });
    enqueue(await startedEvent(driver.state, kernel, datapath));
    if (this.abort.signal.aborted) return;
    this.inStateFolder(() => this.spool.replay());
    this.desk.open({ state: driver.state, enqueue });
    this.ends.push(hearPods({ ...this.options, enqueue }));
    this.ends.push(clock.timer(clock.nowMs() + SECOND_SCAN_MS, () => this.housekeeping()));
    this.ends.push(every(clock, HEARTBEAT_MS, () => this.housekeeping()));
  }

  /** Starting anew did not help: what the last breaches named is used for nothing any more. */
  private setApart({ bootId }: Identity, enqueue: (event: Event) => void): void {
    const addresses = new BreachHistory(this.config.stateDir).doubted({ bootId, nowMs: this.options.clock.nowMs() });
    if (addresses.length === 0) return;
    this.options.log.error({ addresses }, 'quarantined: invariants that name these addresses broke again and again');
    enqueue({ kind: 'doubted', addresses });
  }

  /** Which instance this is, and its journal: another one's is set aside. Undefined when it is stopped before. */
  private async identify(): Promise<Identity | undefined> {
    const { provider, clock, entropy, log } = this.options;
    const { cluster, nodeName, bootIdFile, stateDir } = this.config;
    const self = { cluster, nodeName, bootId: readFileSync(bootIdFile, 'utf8').trim() };
    const { signal } = this.abort;
    const inquiry = new Inquiry({ self, stateDir, journal: this.journal, provider, clock, signal });
    const found = await inquiry.find((reason) => this.wait(reason));
    if (found === undefined) return undefined;
    const identity = { ...self, instanceId: found.instanceId, epoch: entropy.epoch() };
    const { rows } = this.journal.load();
    if (rows.length > 0 && !isOurs(rows, identity)) this.setAside(strangerWord(rows, self));
    log.info({ instance: found.instanceId, sure: found.sure, epoch: identity.epoch }, 'this instance');
    if (!found.sure) {
      inquiry.verify(found.instanceId, (other) => {
        this.driver?.stop();
        this.setAside('other-instance');
        this.fail(new Error(`the journal was ${found.instanceId}'s, and this is ${other}`));
      });
    }
    return identity;
  }

  private setAside(word: string): void {
    const aside = this.journal.setAside(word);
    this.options.log.error({ aside }, `the journal is not this instance's (${word}) and was set aside`);
  }

  /** The first commit holds the new epoch; while it cannot be written nothing else may be done. */
  private async openDriver(identity: Identity): Promise<Driver | undefined> {
    const { clock, provider, failpoint } = this.options;
    while (!this.abort.signal.aborted) {
      try {
        const driver = Driver.open({
          clock,
          journal: this.journal,
          provider,
          identity,
          rows: this.journal.load().rows,
          run: (effect) =>
            runEffect(effect, {
              ...this.options,
              reply: (request, reply) => this.desk.reply(request, reply),
              enqueue: (event) => driver.enqueue(event),
              signal: this.abort.signal,
            }),
          observe: (seen) => this.observe(driver, seen),
          onBreach: (breach, recent) => this.broken(driver, breach, recent),
          ...(failpoint && { failpoint }),
        });
        return driver;
      } catch (error) {
        if (!(error instanceof UnderwayError)) throw error;
        this.wait(error.reason);
        await pause(clock, RETRY_MS);
      }
    }
    return undefined;
  }

  private wait(reason: Reason): void {
    if (JSON.stringify(reason) !== JSON.stringify(this.starting))
      this.options.log.warn({ reason: reason.code, why: reasonText(reason) }, 'not serving yet');
    this.starting = reason;
    this.desk.startingBecause(reason);
  }

  private observe(driver: Driver, seen: Observation): void {
    this.options.metrics.observe(seen);
    this.narrator.observe(seen, driver.state);
    if (seen.kind === 'commit') this.checkpointSoon();
    if (seen.kind !== 'event') return;
    if (seen.event.kind === 'synced' && isTableTaken(seen.event.failure)) this.giveWay();
    if (this.heartbeat.isSilent || seen.event.kind === 'journal') this.beat();
    if (seen.event.kind === 'configured') this.targets.changed();
    if (this.isServing) this.targets.say(() => this.reading(driver.state));
  }

  /** Two daemons with nothing in common but the kernel would go on undoing each other's rules. */
  private giveWay(): void {
    if (this.stopping !== undefined) return;
    const why =
      'another process owns the nf_tables table of this network namespace, such as a second underwayd: one serves a node, so this one ends (or it lacks the capability NET_ADMIN)';
    this.options.log.fatal({ why }, 'the daemon ends');
    this.stop().then(() => this.options.exit(EXIT_LOCKED));
  }

  private reading(state: State): Turn {
    const { clock, provider } = this.options;
    return readingTurn({ clock, capabilities: provider.capabilities }, state);
  }

  private housekeeping(): void {
    this.inStateFolder(() => {
      this.spool.scan();
      this.installation.keepBinary({ isStart: false });
      this.beat();
    });
  }

  private inStateFolder(deed: () => void): void {
    try {
      deed();
    } catch (error) {
      // A full or sick disk: pods are served all the same, and the journal says so where it matters.
      this.options.log.warn({ err: error }, 'the state folder cannot be used');
    }
  }

  private beat(): void {
    if (this.driver === undefined) return;
    const able = this.watch?.unheard === undefined && hindrance(this.reading(this.driver.state)) === undefined;
    this.heartbeat[able ? 'beat' : 'end']();
    if (able) this.installation.list();
  }

  /** A second after the last commit nobody waits for the disk. */
  private checkpointSoon(): void {
    const { clock } = this.options;
    this.cancelCheckpoint?.();
    this.cancelCheckpoint = clock.timer(clock.nowMs() + CHECKPOINT_IDLE_MS, () => this.journal.tidy());
  }

  private handled(seen: Handled): void {
    this.options.metrics.handled(seen);
    this.refusals.note(seen, this.options.clock.nowMs());
    logHandled(this.options.log, seen);
  }

  private broken(driver: Driver, breach: Breach, recent: readonly Event[]): void {
    this.options.metrics.broke();
    const bootId = driver.state.get('node', 'node')?.bootId ?? '';
    new BreachHistory(this.config.stateDir).note(breach, { bootId, nowMs: this.options.clock.nowMs() });
    const file = writeBreach({ stateDir: this.config.stateDir, breach, recent, state: driver.state });
    this.options.log.fatal(
      { ...breach, file },
      'an invariant is broken: this is a bug, please report it with this file',
    );
    driver.stop();
    this.options.exit(EXIT_BREACH);
  }

  private async stopNow(): Promise<void> {
    const { clock, log, metrics } = this.options;
    log.info('stopping');
    this.desk.close();
    this.watch?.end();
    const untilMs = clock.nowMs() + STOP_GRACE_MS;
    while (!this.desk.isIdle && clock.nowMs() < untilMs) await pause(clock, STOP_POLL_MS);
    await Promise.all(this.listening.map((one) => one.close()));
    for (const end of this.ends) end();
    this.cancelCheckpoint?.();
    this.driver?.stop();
    this.abort.abort();
    this.journal.tidy();
    this.journal.close();
    metrics.close();
    log.info('stopped');
  }
}

/** Only the owner of a table may put it again; the kernel refuses everybody else. */
const isTableTaken = (failure: KernelFailure | undefined): boolean =>
  failure?.errno === 'EPERM' && failure.step.startsWith('put nft-table');
