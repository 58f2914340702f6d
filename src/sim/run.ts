/**
 * One seed, from a fresh node through misfortune to a healed world that has to converge.
 */

import type { EniKey } from '../core/brand.ts';
import { bucketOf, refillMs } from '../core/budget.ts';
import type { CloudAction } from '../core/cloud.ts';
import { isPresent } from '../core/pool.ts';
import { Arrivals } from './arrivals.ts';
import { imbalances, roomForPods, type Scales } from './balance.ts';
import { Misfortunes } from './misfortunes.ts';
import { SWEEP_WITHIN_MS } from './oracle.ts';
import type { Pod } from './pods.ts';
import { drawScenario, type Overrides, type Scenario } from './scenario.ts';
import type { TraceLine } from './trace-log.ts';
import { World } from './world.ts';

const HOUR_MS = 3_600_000;
const EVENTS_MIN = 3_000;
const FAULTS_MIN = 10;
/** A seed without fault classes that strike has none to wait for; one that is never long enough has a bug. */
const UNWELL_MAX_MS = 24 * HOUR_MS;
const STRIDE_MS = 60_000;

/** What others took is asked for again every ten minutes, the cloud compared every six; two are for what follows. */
const HEAL_MS = 720_000;
const ASK_AGAIN_WITHIN_MS = 660_000;
const QUIET_MS = 600_000;
/** A node with nothing to do makes at most one call a minute, and one each 90 s for a subnet that runs short. */
const QUIET_CALLS_MAX = QUIET_MS / 60_000 + Math.ceil(QUIET_MS / 90_000);
/** Pods that come when all is well again. */
const LATE_PODS = 3;
const AGAIN_MS = 10_000;
/** From its first call until a pool is as it should be: a new ENI, or a minute of surplus and what goes then. */
const CATCH_UP_MS = 180_000;
/** The last place in the widest crowd of a bucket that takes 20 s to fill (core/budget.ts). */
const PUT_OFF_MAX_MS = 3_600_000;

export interface SeedReport {
  readonly seed: number;
  /** Invariants that broke while the world was unwell, or healed. */
  readonly breaches: readonly string[];
  /** What did not agree when the healed world had had its time. */
  readonly unconverged: readonly string[];
  /** Virtual minutes of misfortune until the first breach, or until the world healed. */
  readonly unwellMs: number;
  readonly events: number;
  readonly virtualMs: number;
  readonly faultsFired: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<string, number>;
  readonly pods: number;
  /** Over every event: changes from run to run mean that something depends on more than the seed. */
  readonly traceHash: string;
  /** What of transitions.ts occurred. */
  readonly seen: readonly string[];
  readonly trace: readonly TraceLine[];
}

export async function runSeed(
  seed: number,
  overrides: Overrides & { readonly keepTrace?: boolean } = {},
): Promise<SeedReport> {
  return new Run(drawScenario(seed, overrides), overrides.keepTrace === true).run();
}

/** A pod that was refused gets a new sandbox. */
const isWanted = (pod: Pod): boolean => pod.state === 'adding' || pod.state === 'running';

class Run {
  private readonly scenario: Scenario;
  private readonly world: World;
  private readonly arrivals: Arrivals;
  private readonly misfortunes: Misfortunes;
  private readonly beganMs: number;
  private readonly late: Pod[] = [];

  constructor(scenario: Scenario, keepTrace: boolean) {
    this.scenario = scenario;
    this.world = new World(scenario, keepTrace);
    this.arrivals = new Arrivals(this.world);
    this.misfortunes = new Misfortunes(this.world);
    this.beganMs = this.world.clock.nowMs();
  }

  async run(): Promise<SeedReport> {
    const { world, scenario } = this;
    world.start();
    this.arrivals.start();
    this.misfortunes.start();
    let unwellMs = 0;
    let breaches: readonly string[] = [];
    try {
      await this.beUnwell();
      unwellMs = world.clock.nowMs() - this.beganMs;
      if (!world.broken) await this.heal();
      breaches = [...world.oracle.breaches];
      if (!world.broken) await this.converge();
    } catch (error) {
      world.failed(error);
    }
    return {
      seed: scenario.seed,
      breaches,
      unconverged: world.oracle.breaches.slice(breaches.length),
      unwellMs,
      events: world.events,
      virtualMs: world.clock.nowMs() - this.beganMs,
      faultsFired: world.faultsFired,
      refusals: world.pods.refusals,
      pods: world.pods.waitsMs.length,
      traceHash: world.trace.hash,
      seen: [...world.coverage.seen],
      trace: world.trace.lines,
    };
  }

  private pass(ms: number): Promise<void> {
    const { clock } = this.world;
    return clock.run(clock.nowMs() + ms, () => this.world.broken);
  }

  private async beUnwell(): Promise<void> {
    const { world, scenario } = this;
    if (scenario.unwellMs !== undefined) return this.pass(scenario.unwellMs);
    const strikes = [...scenario.faults].some((fault) => fault !== 'no-flush');
    for (let ms = 0; ms < UNWELL_MAX_MS && !world.broken; ms += STRIDE_MS) {
      const fired = [...world.faultsFired.values()].reduce((sum, count) => sum + count, 0);
      if (ms >= HOUR_MS && world.events >= EVENTS_MIN && (fired >= FAULTS_MIN || !strikes)) return;
      await this.pass(STRIDE_MS);
    }
  }

  /** Everything works again. */
  private async heal(): Promise<void> {
    const { world } = this;
    this.arrivals.end();
    world.scheduler?.end();
    this.misfortunes.end();
    const healedMs = world.clock.nowMs();
    world.refusals.healed(() => world.clock.nowMs() - healedMs);
    await this.pass(HEAL_MS / 2);
    if (world.broken) return;
    // Whoever still runs stays, so that targets can be compared. A healed node serves: these must run, and still do when everything is compared.
    world.pods.stay();
    for (let ms = 0; ms < HEAL_MS / 2; ms += AGAIN_MS) {
      for (let n = this.late.filter(isWanted).length; n < LATE_PODS; n++)
        this.late.push(world.pods.create(Number.POSITIVE_INFINITY));
      await this.pass(AGAIN_MS);
    }
  }

  /** Within twelve minutes all must agree, and then it must be quiet. */
  private async converge(): Promise<void> {
    const { world } = this;
    const { oracle, node, pods } = world;
    const cameUp = this.late.filter((pod) => pod.state === 'running').length;
    if (cameUp < LATE_PODS && roomForPods(this.scales()) > 0)
      oracle.breach(`pods made after healing: ${this.late.slice(-LATE_PODS).map((pod) => `${pod.name} ${pod.state}`)}`);
    for (const pod of pods.all.values())
      if (pod.state === 'adding') oracle.breach(`${pod.name} still asks for an address`);
    if (world.broken) return;
    const state = node.driver?.state;
    if (state === undefined) return oracle.breach('the daemon does not run');
    if (oracle.strays(state).length > 0) await this.pass(SWEEP_WITHIN_MS);
    // A node that was throttled puts off what nobody waits for.
    for (let ms = 0; ms < PUT_OFF_MAX_MS && this.givesWay(); ms += STRIDE_MS) await this.pass(STRIDE_MS);
    const before = world.calls();
    await this.pass(QUIET_MS);
    const made = world.calls() - before;
    // Whoever took a pod's address may have let go of it just now.
    if (oracle.claimable(state).length > 0) await this.pass(ASK_AGAIN_WITHIN_MS);
    if (made > QUIET_CALLS_MAX) oracle.breach(`${made} cloud calls in ${QUIET_MS / 60_000} quiet minutes`);
    oracle.settled(state, { putsOffRemoval: this.putsOff('detach') || this.putsOff('delete') });
    oracle.podsAgree(state, pods.all.values());
    this.balance();
  }

  private balance(): void {
    for (const problem of imbalances(this.scales())) this.world.oracle.breach(problem);
  }

  private scales(): Scales {
    const { cloud, instance, node, pods, neighbours } = this.world;
    const present = [...(node.driver?.state.all('eni') ?? [])].filter(isPresent);
    const missing = [...(node.driver?.state.all('block') ?? [])].filter(({ state }) => state === 'missing');
    const lostOf = (key: EniKey) => missing.filter(({ eni }) => eni === key).map(({ id }) => id);
    const running = [...pods.all.values()].filter((pod) => pod.state === 'running').flatMap((pod) => pod.addresses);
    const apart = [...(node.driver?.state.all('address') ?? [])].filter(({ state }) => state === 'quarantined');
    return {
      cloud,
      instance,
      pool: node.configuredPool,
      used: new Set(running),
      apart: new Set(apart.map(({ ip }) => ip)),
      foreignBlocks: new Set(present.flatMap((eni) => eni.foreignBlocks)),
      lost: new Map(present.map(({ id, key }) => [id, lostOf(key)])),
      isForeign: (eni) => neighbours.isForeign(eni.id),
      givesWay: this.givesWay(),
    };
  }

  /** The node puts off calls that nobody waits for, or did until just now. */
  private givesWay(): boolean {
    const actions = Object.keys(this.world.provider.capabilities.rates) as CloudAction[];
    return actions.some((action) => this.putsOff(action));
  }

  private putsOff(action: CloudAction): boolean {
    const { node, provider } = this.world;
    const state = node.driver?.state;
    const rows = [...(state?.all('budget') ?? [])];
    const newest = rows.flatMap(({ crowd }) => crowd ?? []).sort((a, b) => b.sinceMs - a.sinceMs)[0];
    // An action that was not called yet queues up where the last that was throttled did.
    const row = state?.get('budget', action);
    const crowd = row === undefined ? newest : row.crowd;
    if (crowd === undefined) return false;
    const untilMs = crowd.sinceMs + crowd.place * refillMs(bucketOf(provider.capabilities.rates[action]));
    return untilMs > node.nowMs() - CATCH_UP_MS;
  }
}
