/** How long ADD, CHECK and DEL take and how many a second are done: all contenders in turns, in one run. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lab } from '../../src/lab/lab.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { Bench } from './bench.ts';
import {
  type BenchPod,
  type Contender,
  emptyProgram,
  hostLocal,
  hostNamespace,
  minimum,
  reference,
  underway,
  type Verb,
} from './contenders.ts';
import { type BatchCost, daemonTimes, type PhaseRow, phaseRow, spent } from './phases.ts';
import { compile } from './programs.ts';
import { mean, median, type Summary, summary } from './quantile.ts';
import { Stopwatch } from './stopwatch.ts';

export const WAYS = [1, 4, 16] as const;
export type Ways = (typeof WAYS)[number];

/** Enough that a batch of many at a time is mostly spent with so many at work. */
const PODS: Readonly<Record<Ways, number>> = { 1: 12, 4: 24, 16: 64 };
const PODS_MAX = Math.max(...Object.values(PODS));
/** The daemon's code is compiled as it is used; a node's has seen some pods. Of all contenders alike. */
const ROUNDS = { warmUp: 2, quick: 6, full: 24 };
/** The namespaces of a batch that was deleted are taken down by the kernel meanwhile, not during the next one's batch. */
const SETTLE_MS = 120;

/** Of one contender's one verb, so many at a time. */
export interface LatencyRow extends Summary {
  readonly contender: Contender['name'];
  readonly verb: Verb | 'exec';
  readonly ways: Ways;
  /** A second, the middle batch's. */
  readonly perSecond: number;
  /** Without exec and exit; the netlink-only minimum's alone. */
  readonly insideMs?: number;
}

export interface LatencyFigures {
  readonly rows: readonly LatencyRow[];
  readonly phases: readonly PhaseRow[];
}

/** What was measured so far of one row. */
interface Samples {
  readonly ms: number[];
  readonly rates: number[];
  readonly insideMs: number[];
  /** Of each batch of ours, one at a time. */
  readonly costs: BatchCost[];
}

export async function measureLatency(bench: Bench): Promise<LatencyFigures> {
  // All addresses that it may have, so that nothing but the pods is its daemon's business; they come back after 2 s.
  const size = 3 * PODS_MAX + 16;
  const lab = await bench.lab({
    nodeCount: 1,
    vmCount: 0,
    // As the others, which have one range.
    ipv6: false,
    instanceType: 'm5.4xlarge',
    daemonConfig: { cooldownMs: 2_000, pool: { targets: { floor: size, headroom: 0, ceiling: size } } },
  });
  const scratch = join(bench.scratch, 'latency');
  mkdirSync(scratch);
  const stopwatch = new Stopwatch(scratch);
  try {
    return await new Latency(bench, { lab, stopwatch, contenders: await contendersIn(lab, scratch) }).run();
  } finally {
    stopwatch.close();
    await bench.close(lab);
  }
}

async function contendersIn(lab: Lab, scratch: string): Promise<Contender[]> {
  const [node] = lab.nodes;
  if (node === undefined) throw new Error('the lab has no node');
  return [
    underway(node),
    reference('ptp', { netns: await hostNamespace(lab, 'ptp'), ipam: hostLocal('10.99.0.0/16', join(scratch, 'ptp')) }),
    reference('bridge', {
      netns: await hostNamespace(lab, 'bridge'),
      ipam: hostLocal('10.97.0.0/16', join(scratch, 'bridge')),
    }),
    await minimum({ lab, program: compile('minimum', scratch), count: PODS_MAX }),
    emptyProgram(compile('empty', scratch), node.instance.netns),
  ];
}

class Latency {
  readonly #bench: Bench;
  readonly #lab: Lab;
  readonly #stopwatch: Stopwatch;
  readonly #contenders: readonly Contender[];
  readonly #samples = new Map<string, Samples>();
  #nextId = 1;

  constructor(bench: Bench, parts: { lab: Lab; stopwatch: Stopwatch; contenders: readonly Contender[] }) {
    this.#bench = bench;
    this.#lab = parts.lab;
    this.#stopwatch = parts.stopwatch;
    this.#contenders = parts.contenders;
  }

  async run(): Promise<LatencyFigures> {
    for (const round of this.#bench.rounds('latency', ROUNDS)) {
      if (round === 0) this.#samples.clear();
      for (const ways of WAYS) {
        // Who is first takes turns, and so does who works beside what the other left to do.
        const first = (round + ROUNDS.warmUp) % this.#contenders.length;
        const inTurn = [...this.#contenders.slice(first), ...this.#contenders.slice(0, first)];
        for (const contender of inTurn) await this.#batch(contender, ways);
      }
    }
    return { rows: this.#rows(), phases: this.#phases() };
  }

  /** As many pods as belong to so many ways: each verb for all of them, and their namespaces go. */
  async #batch(contender: Contender, ways: Ways): Promise<void> {
    const pods: BenchPod[] = [];
    for (let n = 0; n < PODS[ways]; n++) pods.push(await this.#pod(contender, n));
    for (const verb of contender.verbs) {
      const node = contender.name === 'underway' && ways === 1 ? this.#lab.nodes[0] : undefined;
      const before = node && (await daemonTimes(node, verb));
      const samples = await this.#time(contender, { verb, ways, pods });
      if (node === undefined || before === undefined) continue;
      const wholeMs = mean(samples.ms.slice(-pods.length));
      samples.costs.push({ wholeMs, daemon: spent(before, await daemonTimes(node, verb), pods.length) });
    }
    for (const { netns } of pods) await this.#lab.networks.deleteNamespace(netns);
    await sleep(SETTLE_MS);
  }

  async #pod({ name }: Contender, n: number): Promise<BenchPod> {
    const id = `${name}${this.#nextId++}`;
    const netns = netnsPath(this.#lab.name, id);
    if (name !== 'exec') await this.#lab.networks.createNamespace(netns);
    return { n, id, netns };
  }

  async #time(
    contender: Contender,
    { verb, ways, pods }: { readonly verb: Verb; readonly ways: Ways; readonly pods: readonly BenchPod[] },
  ): Promise<Samples> {
    const { calls, wallMs } = await this.#stopwatch.run(
      pods.map((pod) => contender.call(verb, pod)),
      { netns: contender.netns, ways },
    );
    const samples = this.#samplesOf(contender, verb, ways);
    const { ms, rates, insideMs } = samples;
    rates.push((1_000 * calls.length) / wallMs);
    for (const [at, call] of calls.entries()) {
      if (call.code !== 0) throw new Error(`${contender.name}: ${verb} failed with ${call.code}: ${call.said}`);
      ms.push(call.ms);
      const pod = pods[at];
      if (contender.name === 'minimum') insideMs.push(Number(call.said));
      else if (verb === 'ADD' && pod !== undefined) pod.result = call.said;
    }
    return samples;
  }

  /** In the order of the contenders, which took turns. */
  #rows(): LatencyRow[] {
    const names = this.#contenders.map(({ name }) => name);
    return [...this.#samples]
      .map(([key, samples]) => rowOf(key, samples))
      .toSorted((one, other) => one.ways - other.ways || names.indexOf(one.contender) - names.indexOf(other.contender));
  }

  #phases(): PhaseRow[] {
    const execMs = median(this.#samples.get('exec exec 1')?.ms ?? []);
    return (['ADD', 'CHECK', 'DEL'] as const).flatMap((verb) => {
      const costs = this.#samples.get(`underway ${verb} 1`)?.costs ?? [];
      const middle = median(costs.map(({ wholeMs }) => wholeMs));
      const cost = costs.find(({ wholeMs }) => wholeMs === middle);
      return cost === undefined ? [] : [phaseRow(verb, { ...cost, execMs })];
    });
  }

  #samplesOf({ name }: Contender, verb: Verb, ways: Ways): Samples {
    const key = [name, name === 'exec' ? 'exec' : verb, ways].join(' ');
    const known = this.#samples.get(key);
    const samples = known ?? {
      ms: [],
      rates: [],
      insideMs: [],
      costs: [],
    };
    if (known === undefined) this.#samples.set(key, samples);
    return samples;
  }
}

function rowOf(key: string, { ms, rates, insideMs }: Samples): LatencyRow {
  const [contender, verb, ways] = key.split(' ') as [LatencyRow['contender'], LatencyRow['verb'], string];
  return {
    contender,
    verb,
    ways: Number(ways) as Ways,
    ...summary(ms),
    perSecond: summary(rates).p50,
    ...(insideMs.length > 0 && { insideMs: summary(insideMs).p50 }),
  };
}
