/** What the shipped daemon takes on a node of 250 pods: memory and CPU, at rest and while pods come and go. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ip } from '../../src/core/ip.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { type NamespaceServer, serveIn } from '../../src/lab/namespace-server.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { ApiServer } from '../kube/api-server.ts';
import type { Bench } from './bench.ts';
import { type BenchPod, POD_NAMESPACE, underway, type Verb } from './contenders.ts';
import { Stopwatch } from './stopwatch.ts';

const PODS = 250;
const IDLE_MS = 30_000;
const CHURN_MS = 10_000;
const CHURN_PODS = 32;
const WAYS = 8;
const LOOPBACK = '127.0.0.1' as Ip;
/** USER_HZ, in which /proc counts on every machine. */
const TICK_MS = 10;

export interface Resident {
  /** 10^6 bytes, as /proc/PID/smaps_rollup has them. */
  readonly rssMb: number;
  /** What is shared with other processes counts in part. */
  readonly pssMb: number;
}

export interface MemoryFigures {
  readonly pods: number;
  readonly idle: Resident & {
    /** User and system time of the last 30 s, of one CPU. */
    readonly cpuPercent: number;
  };
  readonly churn: Resident & {
    readonly cpuPercent: number;
    /** Each an ADD and a DEL. */
    readonly podsPerSecond: number;
    readonly cpuMsPerPod: number;
  };
}

/** Both families, an API server that tells of each pod, and all else as a node has it without a word said. */
export async function measureMemory(bench: Bench): Promise<MemoryFigures> {
  const api = new ApiServer();
  const port = await api.listen();
  const kubernetes = { kubeconfig: api.kubeconfigIn(bench.scratch) };
  const lab = await bench.lab({
    nodeCount: 1,
    vmCount: 0,
    instanceType: 'm5.16xlarge',
    daemons: false,
    daemonConfig: { kubernetes },
  });
  const stopwatch = new Stopwatch(bench.scratch);
  let relay: NamespaceServer | undefined;
  try {
    const [node] = lab.nodes;
    if (node === undefined) throw new Error('the lab has no node');
    relay = await serveIn(lab.networks, { netns: node.instance.netns, address: LOOPBACK, port }, (socket) => {
      const other = connect(port, LOOPBACK).on('error', () => socket.destroy());
      socket
        .on('close', () => other.destroy())
        .pipe(other)
        .pipe(socket);
    });
    node.daemon.start();
    await node.daemon.ready();
    return await measure(bench, node, new Churner({ lab, node, stopwatch, api }));
  } finally {
    stopwatch.close();
    await relay?.close();
    await bench.close(lab);
    await api.close();
  }
}

async function measure(bench: Bench, node: LabNode, churner: Churner): Promise<MemoryFigures> {
  bench.progress(`memory: ${PODS} pods`);
  for (let left = PODS; left > 0; left -= CHURN_PODS) await churner.add(Math.min(left, CHURN_PODS));
  bench.progress(`memory: ${IDLE_MS / 1_000} s of rest`);
  const idle = await during(node, () => sleep(IDLE_MS));
  bench.progress('memory: pods come and go');
  const { podCount, ...churn } = await churned(node, churner);
  return {
    pods: PODS,
    idle: { ...idle.resident, cpuPercent: (100 * idle.cpuMs) / idle.ms },
    churn: {
      ...churn.resident,
      cpuPercent: (100 * churn.cpuMs) / churn.ms,
      podsPerSecond: (1_000 * podCount) / churn.ms,
      cpuMsPerPod: churn.cpuMs / podCount,
    },
  };
}

async function churned(node: LabNode, churner: Churner) {
  let podCount = 0;
  const seen = await during(node, async () => {
    for (const endMs = performance.now() + CHURN_MS; performance.now() < endMs; podCount += CHURN_PODS) {
      const pods = await churner.add(CHURN_PODS);
      await churner.remove(pods);
    }
  });
  return { ...seen, podCount };
}

/** What the daemon used meanwhile, and what it has at the end. */
async function during({ daemon }: LabNode, deed: () => Promise<unknown>) {
  const beganMs = performance.now();
  const before = cpuMs(daemon.pid);
  await deed();
  return { ms: performance.now() - beganMs, cpuMs: cpuMs(daemon.pid) - before, resident: residentOf(daemon.pid) };
}

/** User and system time of all its threads: fields 14 and 15; the name before them may hold blanks. */
function cpuMs(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11]) + Number(fields[12]));
}

function residentOf(pid: number | undefined): Resident {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const mb = (name: string) => (Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1_024) / 1e6;
  return { rssMb: mb('Rss'), pssMb: mb('Pss') };
}

interface ChurnerOptions {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly stopwatch: Stopwatch;
  readonly api: ApiServer;
}

class Churner {
  readonly #options: ChurnerOptions;
  #nextId = 1;

  constructor(options: ChurnerOptions) {
    this.#options = options;
  }

  async add(count: number): Promise<BenchPod[]> {
    const { lab, node, api } = this.#options;
    if (api.watching === 0) throw new Error('the daemon does not watch its pods');
    const pods: BenchPod[] = [];
    for (let n = 0; n < count; n++) {
      const id = `memory${this.#nextId++}`;
      const netns = netnsPath(lab.name, id);
      await lab.networks.createNamespace(netns);
      api.bind({ name: id, namespace: POD_NAMESPACE, node: node.name });
      pods.push({ n, id, netns });
    }
    await this.#all('ADD', pods);
    for (const { id } of pods) api.finish(id, 'Running', POD_NAMESPACE);
    return pods;
  }

  async remove(pods: readonly BenchPod[]): Promise<void> {
    const { lab, api } = this.#options;
    for (const { id } of pods) api.markDeleted(id, POD_NAMESPACE);
    await this.#all('DEL', pods);
    for (const { id, netns } of pods) {
      await lab.networks.deleteNamespace(netns);
      api.remove(id, POD_NAMESPACE);
    }
  }

  async #all(verb: Verb, pods: readonly BenchPod[]): Promise<void> {
    const { node, stopwatch } = this.#options;
    const contender = underway(node);
    const calls = pods.map((pod) => contender.call(verb, pod));
    const answers = await stopwatch.run(calls, { netns: contender.netns, ways: WAYS });
    const failed = answers.calls.find(({ code }) => code !== 0);
    if (failed !== undefined) throw new Error(`${verb} failed with ${failed.code}: ${failed.said}`);
  }
}
