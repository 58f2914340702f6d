/** What a test does to a node over and over: pods that come and go in a seeded order, and pings that must not be lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Streams } from '../../../providers/memory/random.ts';
import type { Ip } from '../../../src/core/ip.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { ping } from '../../../src/lab/probe/probe.ts';
import type { Stage } from './stage.ts';

export interface ChurnOptions {
  readonly seed: number;
  /** So many ADDs, and as many DELs. */
  readonly pods: number;
  readonly parallel: number;
  /** After this many ADDs or DELs more are begun no more. */
  readonly live: number;
  /** Hears each pod that has its address, and the pods that run beside it. */
  readonly added?: (pod: DemoPod, live: readonly DemoPod[]) => Promise<void>;
}

/** Adds and deletes pods in random order. What ADD and DEL complained of. */
export async function churn(stage: Stage, options: ChurnOptions): Promise<string[]> {
  const dice = new Streams(options.seed);
  const live: DemoPod[] = [];
  const complaints: string[] = [];
  let toAdd = options.pods;
  let toDelete = options.pods;
  let coming = 0;
  const add = async () => {
    toAdd--;
    coming++;
    const [pod] = await stage.add(1, 1);
    coming--;
    if (pod === undefined) return;
    if (pod.error !== undefined) complaints.push(`ADD ${pod.name}: ${pod.error.msg}`);
    live.push(pod);
    if (pod.error === undefined) await options.added?.(pod, live);
  };
  const remove = async () => {
    toDelete--;
    const [pod] = live.splice(dice.pick('victim', live.length), 1);
    if (pod === undefined) return;
    for (const error of await stage.remove([pod])) complaints.push(`DEL ${pod.name}: ${error.msg}`);
  };
  const worker = async () => {
    while (toAdd > 0 || toDelete > 0) {
      const mayAdd = toAdd > 0 && live.length + coming < options.live;
      if (mayAdd && (live.length === 0 || dice.uniform('what') < 0.5)) await add();
      else if (live.length > 0) await remove();
      else await sleep(5);
    }
  };
  await Promise.all(Array.from({ length: options.parallel }, worker));
  return complaints;
}

export interface Route {
  readonly netns: string;
  readonly to: Ip;
}

const PAUSE_MS = 40;
/** A ping that is late because the machine is busy is not lost. */
const LATE_MS = 4_000;

/** Pings along each route until it is stopped. */
export class Pings {
  sent = 0;
  readonly lost: string[] = [];
  #going = true;
  readonly #ends: Promise<void>;

  constructor(routes: readonly Route[]) {
    this.#ends = Promise.all(routes.map((route) => this.#go(route))).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#ends;
  }

  async #go({ netns, to }: Route): Promise<void> {
    while (this.#going) {
      this.sent++;
      const answer = await ping({ netns, to, timeoutMs: LATE_MS });
      if (!answer.ok) this.lost.push(`${to} from ${netns}: ${answer.why}`);
      await sleep(PAUSE_MS);
    }
  }
}

/** Two pods and a VM, each to each, both families where they have them. */
export function mesh(stage: Stage, [one, two]: readonly DemoPod[]): Route[] {
  const { id, netns: vm } = stage.vm;
  const eni = stage.lab.cloud.truth.enisOf(id)[0];
  if (one === undefined || two === undefined || eni === undefined) throw new Error('two pods and a VM are wanted');
  const ends = [
    { netns: one.netns, ips: one.addresses },
    { netns: two.netns, ips: two.addresses },
    { netns: vm, ips: [eni.primary4, eni.primary6].filter((ip) => ip !== undefined) },
  ];
  return ends.flatMap((from) =>
    ends.filter((end) => end !== from).flatMap(({ ips }) => ips.map((ip) => ({ netns: from.netns, to: ip as Ip }))),
  );
}
