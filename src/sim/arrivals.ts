/**
 * Pods come in busy times, calm times and bursts, and the runtime asks CHECK, GC and STATUS now and then.
 */
import { exponential } from './exponential.ts';
import type { Pod } from './pods.ts';
import type { World } from './world.ts';

const PHASE_MS = 300_000;
const CALM_FACTOR = 8;
const BURST_RATE = 0.05;
const VERB_MS = 20_000;
/** GC spares what was added within 60 s; ten of them are left for the list to arrive. */
const GC_LIST_AGE_MS = 50_000;

export class Arrivals {
  private readonly world: World;
  private calm = false;
  private ended = false;

  constructor(world: World) {
    this.world = world;
  }

  start(): void {
    this.nextPhase();
    this.nextPods();
    this.nextVerb();
  }

  end(): void {
    this.ended = true;
  }

  private nextPhase(): void {
    const { clock, streams } = this.world;
    if (this.ended) return;
    clock.after(exponential(streams.uniform('pods/phase'), PHASE_MS), () => {
      this.calm = !this.calm;
      this.nextPhase();
    });
  }

  private nextPods(): void {
    const { clock, streams, scenario, pods } = this.world;
    if (this.ended) return;
    const room = scenario.podsAtOnceMax - pods.liveCount;
    const isBurst = streams.uniform('pods/burst') < BURST_RATE;
    for (let n = 0; n < (isBurst ? room : Math.min(1, room)); n++)
      pods.create(exponential(streams.uniform('pods/life'), scenario.podLifeMs));
    const meanMs = scenario.arrivalMs * (this.calm ? CALM_FACTOR : 1);
    clock.after(exponential(streams.uniform('pods/arrival'), meanMs), () => this.nextPods());
  }

  private nextVerb(): void {
    const { clock, streams, pods } = this.world;
    clock.after(exponential(streams.uniform('verbs/gap'), VERB_MS), () => {
      if (this.ended) return;
      const verb = streams.uniform('verbs/which');
      const running = [...pods.all.values()].filter((pod) => pod.state === 'running');
      const pod = running[streams.pick('verbs/pod', running.length)];
      if (verb < 0.7 && pod !== undefined) pods.check(pod);
      else if (verb < 0.85) this.gc();
      else pods.status();
      this.nextVerb();
    });
  }

  /**
   * A sandbox whose namespace is gone may be missing in the list; in a stale one also what was added a moment ago or is
   * being added; and the list of another network names none of ours. No pod that runs may end by any of them.
   */
  private gc(): void {
    const { clock, streams, pods, node } = this.world;
    const kind = streams.uniform('verbs/gc');
    if (kind < 0.2) return pods.gc({ network: 'another', unnamed: () => true });
    // A node that stands still hears of it when it goes on: by then a stale list would be older than what it spares.
    const isStale = kind < 0.6 && !node.standsStill;
    const isNew = ({ state, addedMs }: Pod): boolean =>
      isStale && (state === 'adding' || addedMs > clock.nowMs() - GC_LIST_AGE_MS);
    pods.gc({ network: 'underway', unnamed: (pod) => isNew(pod) || (pod.state === 'running' && pod.vanished) });
  }
}
