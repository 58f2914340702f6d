/**
 * A node whose daemon is told where to die: it does a deed once to learn the places that the deed passes, or dies at one
 * of them, is started again by its supervisor, and must come to the same end.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EniRecord } from '../../../providers/memory/records.ts';
import { NFT_TABLE } from '../../../src/datapath/numbering.ts';
import { type DemoPod, type DemoPods, hostOf } from '../../../src/lab/demo/pods.ts';
import type { Lab } from '../../../src/lab/lab.ts';
import type { LabNode } from '../../../src/lab/node/node.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { found } from '../pod-lab.ts';
import { neutralText } from './points-text.ts';
import { Stage, type StatePage } from './stage.ts';

/** What comes after a deed is at rest: a list's answer, a last commit. */
const TAIL_MS = 1_000;
/** A place that was passed in the tail is waited for this long. */
const LATE_MS = 4_000;
const RETRY_MS = 200;
const POLL_MS = 10;
/** A look costs the daemon a page of all its rows. */
const LOOK_MS = 250;
/** A node is at rest, and is told where to die, before anything goes back. */
const SURPLUS_MS = 15_000;
/** No read of the cloud comes by itself for this long. */
const QUIET_MS = 15_000;
/** Above what an assign without an answer takes to settle, twice, or an attach (45 s, and half of it before the next). */
const REST_MS = 120_000;

/** Nodes in one subnet, whose daemons wait to be told where to die. */
export const pointStage = ({
  nodeCount,
  pool,
}: {
  readonly nodeCount: number;
  readonly pool: object;
}): Promise<Stage> =>
  Stage.up({
    nodeCount,
    subnetCount: 1,
    daemons: false,
    instanceType: 't3.xlarge',
    daemonConfig: { cooldownMs: 1_000, cooldownUnderPressureMs: 1_000, surplusMs: SURPLUS_MS, pool },
  });

export type Deed = (node: PointNode) => Promise<void>;

/** So many start at a time: a start is all work for the processor. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(width: number) {
    this.#free = width;
  }

  async through<T>(deed: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await deed();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

export class PointNode {
  readonly running: DemoPod[] = [];
  readonly #lab: Lab;
  readonly #node: LabNode;
  readonly #pods: DemoPods;
  readonly #gate: Gate;

  constructor(node: LabNode, { lab, pods, gate }: { readonly lab: Lab; readonly pods: DemoPods; readonly gate: Gate }) {
    this.#node = node;
    this.#lab = lab;
    this.#pods = pods;
    this.#gate = gate;
  }

  get name(): string {
    return this.#node.name;
  }

  start(): Promise<void> {
    return this.#gate.through(async () => {
      this.#node.daemon.start({ UNDERWAY_FAILPOINT: `@${this.#point}` });
      await this.#node.daemon.ready();
    });
  }

  stop(): Promise<void> {
    return this.#node.daemon.stop();
  }

  /** The places that the deed passes, as `<name>:<nth>`, in their order. */
  async record(deed: Deed): Promise<string[]> {
    // A daemon that has just started reads the cloud in the background, which is not the deed's.
    await this.rest();
    writeFileSync(this.#point, 'record');
    await deed(this);
    await this.rest();
    await sleep(TAIL_MS);
    rmSync(this.#point);
    const passed = readFileSync(`${this.#point}.passed`, 'utf8').trim().split('\n');
    rmSync(`${this.#point}.passed`);
    // What comes next is counted from its own beginning.
    await this.stop();
    await this.start();
    return passed;
  }

  /** Does the deed, dies at the place, is started again, and comes to rest. False when it came to rest without dying. */
  async dieAt(point: string, deed: Deed): Promise<boolean> {
    writeFileSync(this.#point, point);
    const done = deed(this);
    const over = new AbortController();
    const hit = await Promise.race([this.#death(over.signal), this.#unharmed(done, over.signal)]);
    over.abort();
    rmSync(this.#point);
    if (!hit) await this.stop();
    await this.start();
    await done;
    await this.rest();
    return hit;
  }

  /** A new pod, asked for again and again as kubelet does. */
  async add(): Promise<void> {
    const pod = found((await this.#pods.add(hostOf(this.#node), 1, 1))[0], 'pod');
    this.running.push(pod);
    for (const endMs = performance.now() + REST_MS; pod.error !== undefined; await this.#pods.addOne(pod)) {
      if (performance.now() > endMs) throw new Error(`${pod.name} on ${this.name}: ${JSON.stringify(pod.error)}`);
      await sleep(RETRY_MS);
    }
  }

  async remove(count: number): Promise<void> {
    const errors = await this.#pods.remove(this.running.splice(-count), count);
    if (errors.length > 0) throw new Error(`DEL on ${this.name}: ${JSON.stringify(errors)}`);
  }

  /** Nothing is under way, and nothing cools down. */
  rest(): Promise<void> {
    return this.#resting(new AbortController().signal);
  }

  /** This instance's, in the cloud. */
  get enis(): readonly EniRecord[] {
    return this.#lab.cloud.truth.enisOf(this.#node.instance.id);
  }

  /** The kernel as it is, for a comparison with the same node later. */
  async text(): Promise<string[]> {
    const { links, objects } = await this.#kernel(this.#node.instance.netns);
    return [...links, ...objects].map((each) => JSON.stringify(each)).toSorted();
  }

  /** The kernel of host and pods, for a comparison with another node. */
  async neutralText(): Promise<string[]> {
    const pods = await Promise.all(
      this.running.map(async ({ containerId, addresses, netns }) => ({
        containerId,
        addresses,
        inside: await this.#kernel(netns),
      })),
    );
    return neutralText(await this.#kernel(this.#node.instance.netns), { enis: this.enis, pods });
  }

  /** Where the daemon's rows say another thing than the cloud, or than the runtime was told. */
  async disagreements(): Promise<string[]> {
    const { eni, block, lease } = await this.#state();
    const idOf = new Map(eni.map((row) => [row.key, 'id' in row ? row.id : row.state] as const));
    const pairs = {
      ENIs: [[...idOf.values()], this.enis.map(({ id }) => id)],
      blocks: [
        block.map(({ id, eni: key }) => `${id} on ${idOf.get(key)}`),
        this.enis.flatMap(({ id, blocks }) => blocks.map((each) => `${each} on ${id}`)),
      ],
      addresses: [lease.flatMap(({ addresses }) => addresses), this.running.flatMap(({ addresses }) => addresses)],
    };
    return Object.entries(pairs).flatMap(([what, [ours = [], theirs = []]]) => {
      const [one, other] = [ours, theirs].map((each) => [...each].toSorted().join(', '));
      return one === other ? [] : [`${what}: the daemon has ${one || 'none'}, the others ${other || 'none'}`];
    });
  }

  get #point(): string {
    return join(this.#node.folder.path, 'failpoint');
  }

  /** False when the deed is done and nothing is to come any more; also when nobody wants to know. */
  async #unharmed(done: Promise<void>, over: AbortSignal): Promise<false> {
    await done;
    await this.#resting(over);
    await sleep(LATE_MS, undefined, { signal: over }).catch(() => undefined);
    return false;
  }

  async #death(over: AbortSignal): Promise<boolean> {
    while (this.#node.daemon.pid !== undefined && !over.aborted) await sleep(POLL_MS);
    if (over.aborted) return false;
    const { ending } = this.#node.daemon;
    if (ending !== 'SIGKILL') throw new Error(`the daemon of ${this.name} ended by itself: ${ending}`);
    return true;
  }

  async #resting(over: AbortSignal): Promise<void> {
    for (const endMs = performance.now() + REST_MS; !over.aborted && !(await this.#isAtRest()); await sleep(LOOK_MS))
      if (performance.now() > endMs)
        throw new Error(`${this.name} is not at rest after ${REST_MS} ms: ${JSON.stringify(await this.#state())}`);
  }

  async #isAtRest(): Promise<boolean> {
    const { eni, block, lease, address, operation, waiter, look, runtime } = await this.#state();
    if (runtime === undefined || operation.length + waiter.length + look.length > 0) return false;
    const synced = runtime.every(({ phase, sync }) => phase === 'serving' && sync.done === sync.wanted);
    const ready = [...eni, ...block, ...lease].every(({ state }) => state === 'ready');
    // The daemon's clock is the machine's, and its background read is minutes away.
    const quietUntilMs = systemClock.nowMs() + QUIET_MS;
    const read = runtime.every(({ listing }) => (listing.wantedFromMs ?? 0) > quietUntilMs);
    return synced && ready && read && address.every(({ state }) => state === 'held');
  }

  async #state(): Promise<StatePage> {
    const page = await this.#node.daemon.get('/v1/state');
    return JSON.parse(page?.body ?? '{}') as StatePage;
  }

  async #kernel(netns: string) {
    return found(await this.#lab.networks.read(netns, { nftTables: [NFT_TABLE] }), netns);
  }
}
