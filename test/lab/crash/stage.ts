/**
 * One node of a lab with its shipped daemon, for tests that break it: pods through the shim, and what kernel, cloud and
 * daemon each say of them.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { OWNER_TAGS } from '../../../src/core/cloud.ts';
import { type Cidr, cidrBase } from '../../../src/core/ip.ts';
import { isLinkName } from '../../../src/core/link-name.ts';
import type { Rows, Table } from '../../../src/core/rows.ts';
import type { KernelState } from '../../../src/datapath/kernel-state.ts';
import { NFT_TABLE } from '../../../src/datapath/numbering.ts';
import type { CniError } from '../../../src/lab/demo/cni.ts';
import { type CrashCount, countCrash } from '../../../src/lab/demo/count.ts';
import { type DemoPod, type DemoPods, hostOf } from '../../../src/lab/demo/pods.ts';
import type { Instance } from '../../../src/lab/instance.ts';
import type { Lab } from '../../../src/lab/lab.ts';
import type { LabNode } from '../../../src/lab/node/node.ts';
import type { LabOptions } from '../../../src/lab/options.ts';
import { found, logOf, PARALLEL, PodLab, until } from '../pod-lab.ts';

/** The daemon's rows as `GET /v1/state` gives them. */
export type StatePage = { readonly [T in Table]: readonly Rows[T][] };

const POLL_MS = 50;
const LINK_GOES_MS = 2_000;

export class Stage {
  readonly lab: Lab;
  readonly pods: DemoPods;
  readonly node: LabNode;
  readonly #whole: PodLab;

  private constructor(whole: PodLab, node: LabNode) {
    this.lab = whole.lab;
    this.pods = whole.pods;
    this.node = node;
    this.#whole = whole;
  }

  /** One node, unless more are asked for. */
  static async up(options: Partial<LabOptions> = {}): Promise<Stage> {
    const whole = await PodLab.up({ nodeCount: 1, vmCount: 0, ...options });
    return new Stage(whole, found(whole.lab.nodes[0], 'node'));
  }

  /** The same lab as another of its nodes sees it. */
  on(n: number): Stage {
    return new Stage(this.#whole, found(this.lab.nodes[n - 1], `node-${n}`));
  }

  down(): Promise<void> {
    return this.#whole.down();
  }

  get vm(): Instance {
    return found(this.lab.vms[0], 'VM');
  }

  /** This node's pods that have an address. */
  get running(): DemoPod[] {
    return this.pods.running.filter(({ host }) => host.name === this.node.name);
  }

  /** New pods through the shim, whether or not they got an address. */
  add(count = 1, parallel = PARALLEL): Promise<DemoPod[]> {
    return this.pods.add(hostOf(this.node), count, parallel);
  }

  /** New pods, all of which must have an address. */
  async run(count: number, parallel = PARALLEL): Promise<DemoPod[]> {
    const pods = await this.add(count, parallel);
    expect(pods.flatMap(({ error }) => error ?? [])).toEqual([]);
    return pods;
  }

  remove(pods: readonly DemoPod[]): Promise<CniError[]> {
    return this.pods.remove(pods, PARALLEL);
  }

  /** Again and again, as kubelet does. */
  async addInTheEnd(pod: DemoPod, limitMs = 20_000): Promise<void> {
    await until(`${pod.name} has an address`, async () => (await this.pods.addOne(pod)).ok, limitMs);
  }

  /** `ok`, or the reason's code as the pod's event shows it. */
  async hears(pod: DemoPod): Promise<string> {
    const { error } = await this.pods.addOne(pod);
    return error === undefined ? 'ok' : reasonOf(error);
  }

  async state(): Promise<StatePage> {
    const page = await this.node.daemon.get('/v1/state');
    return JSON.parse(page?.body ?? '{}') as StatePage;
  }

  /** A metric's value, such as `underway_datapath_repairs_total`: the sum over its series with this label. */
  async metric(name: string, label = ''): Promise<number> {
    const text = (await this.node.daemon.get('/metrics'))?.body ?? '';
    const series = text.split('\n').filter((line) => line.startsWith(name) && line.includes(label));
    return series.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  /** Lines of the daemon's log with this text. */
  said(text: string): string[] {
    return logOf(this.node, text);
  }

  /** What the node's namespace holds: links, addresses, routes, rules, neighbours, nft, as sorted lines. */
  async kernelText(): Promise<string[]> {
    const { links, objects } = await this.kernel();
    return [...links, ...objects].map((each) => JSON.stringify(each)).toSorted();
  }

  async kernel(): Promise<KernelState> {
    return found(await this.lab.networks.read(this.node.instance.netns, { nftTables: [NFT_TABLE] }), 'namespace');
  }

  /** The blocks on the node's ENIs in the cloud, sorted. */
  cloudBlocks(): string[] {
    return this.lab.cloud.truth
      .enisOf(this.node.instance.id)
      .flatMap(({ id, blocks }) => blocks.map((block) => `${id} ${block}`))
      .toSorted();
  }

  /** Every ENI of the cloud, also one that is attached to nothing. */
  cloudEnis(): string[] {
    return this.lab.cloud.truth
      .enis()
      .map(({ id }): string => id)
      .toSorted();
  }

  /** Lost, doubled and leaked, counted from kernel and cloud. A deleted pod's link goes a moment after its namespace. */
  async count(): Promise<CrashCount> {
    const { lab, node } = this;
    const nodes = [{ netns: node.instance.netns, instance: node.instance.id }];
    const count = () => countCrash({ networks: lab.networks, cloud: lab.cloud, nodes }, this.running);
    for (let waitedMs = 0; waitedMs < LINK_GOES_MS && (await count()).leaked > 0; waitedMs += POLL_MS)
      await sleep(POLL_MS);
    return count();
  }

  /** By name, what pods left in the kernel. */
  async leftovers(): Promise<readonly string[]> {
    return (await this.#whole.ground.left([this.node])).map(({ name }) => name);
  }

  /** The addresses that are in the pods' namespaces, each with the pods that have it. */
  async owners(pods: readonly DemoPod[]): Promise<Map<string, string[]>> {
    const owners = new Map<string, string[]>();
    for (const pod of pods) {
      const inside = await this.lab.networks.read(pod.netns);
      for (const object of inside?.objects ?? []) {
        if (object.kind !== 'address' || object.link !== 'eth0' || object.scope !== 'global') continue;
        owners.set(object.address, [...(owners.get(object.address) ?? []), pod.name]);
      }
    }
    return owners;
  }

  /** The pool is at its size and at rest: `blocks` secondary addresses, nothing under way. */
  async atRest({ blocks, limitMs }: { readonly blocks?: number; readonly limitMs?: number } = {}): Promise<void> {
    const isAtRest = async () => {
      const { eni, block, operation, runtime } = await this.state();
      const ready = [...(eni ?? []), ...(block ?? [])].every((row) => row.state === 'ready');
      const synced = runtime?.every(({ sync }) => sync.done === sync.wanted) === true;
      return ready && synced && operation.length === 0 && (blocks === undefined || block.length === blocks);
    };
    await until(`${blocks ?? 'all'} blocks and nothing under way`, isAtRest, limitMs);
  }

  /** Rejects where daemon, cloud and kernel do not say the same of blocks, ENIs and running pods. */
  async agree(): Promise<void> {
    const { eni, block, lease, waiter, operation } = await this.state();
    const { objects } = await this.kernel();
    const routes = objects.flatMap((object) => (object.kind === 'route' && object.protocol === 117 ? [object] : []));
    const idOf = new Map(eni.map((row) => [row.key, 'id' in row ? row.id : row.state] as const));
    const destinations = (wanted: (route: (typeof routes)[number]) => boolean): string[] =>
      routes
        .filter(wanted)
        .map(({ destination }): string => destination)
        .toSorted();
    expect({
      enis: [...idOf.values()].toSorted(),
      blocks: block.map(({ id, eni: key }) => `${idOf.get(key)} ${id}`).toSorted(),
      fences: block.map(({ id }): string => id).toSorted(),
      leased: lease.flatMap(({ addresses }): readonly string[] => addresses).toSorted(),
      waiting: [...waiter, ...operation],
    }).toEqual({
      enis: this.lab.cloud.truth
        .enis()
        .filter(({ attachment, tags }) => (attachment?.instance ?? tags[OWNER_TAGS.instance]) === this.node.instance.id)
        .map(({ id }) => id)
        .toSorted(),
      blocks: this.cloudBlocks(),
      fences: destinations(({ type, destination }) => type === 'unreachable' && !destination.endsWith('/0')),
      leased: this.running.flatMap(({ addresses }) => addresses).toSorted(),
      waiting: [],
    });
    const wired = destinations(({ link }) => link !== undefined && isLinkName(link));
    expect(wired.map((each) => cidrBase(each as Cidr)).filter((ip) => !ip.startsWith('fe80'))).toEqual(
      this.running.flatMap(({ addresses }) => addresses).toSorted(),
    );
  }
}

/** `THROTTLED, see docs/errors.md#throttled`: the code; of an error without one, its sentence. */
export const reasonOf = ({ details, msg }: CniError): string => details?.split(',')[0] ?? msg;
