/**
 * A lab with a container runtime on each node, and sandboxes as kubelet makes them. Whatever a test did, nothing of it is
 * left after `down`, which says what the runtime itself left.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type CrashCount, countCrash } from '../../src/lab/demo/count.ts';
import type { Ground } from '../../src/lab/demo/leftovers.ts';
import { inParallel } from '../../src/lab/demo/pods.ts';
import type { Instance } from '../../src/lab/instance.ts';
import type { Lab } from '../../src/lab/lab.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { LabOptions } from '../../src/lab/options.ts';
import { found, PodLab, until } from '../lab/pod-lab.ts';
import { Containerd } from './containerd.ts';
import type { SandboxConfig } from './cri.ts';
import type { Runtime } from './installed.ts';
import { writePauseImage } from './pause-image.ts';
import { endRemains, removeCgroups } from './remains.ts';

/** kubelet starts pods as fast as it can; on two cores more than these only wait for each other. */
const PARALLEL = 8;

export interface Sandbox {
  readonly id: string;
  readonly name: string;
  readonly netns: string;
  readonly addresses: readonly string[];
}

export class RuntimeLab {
  readonly lab: Lab;
  readonly nodes: readonly RuntimeNode[];
  readonly #whole: PodLab;

  private constructor(whole: PodLab, nodes: readonly RuntimeNode[]) {
    this.lab = whole.lab;
    this.nodes = nodes;
    this.#whole = whole;
  }

  /** `conflists` chooses another folder than the node's own. */
  static async up(
    runtime: Runtime,
    options: Partial<LabOptions> & { readonly conflists?: (node: LabNode) => string },
  ): Promise<RuntimeLab> {
    const { conflists = (node) => node.folder.cniConf, ...shape } = options;
    const whole = await PodLab.up({ nodeCount: 1, vmCount: 1, ...shape });
    const { lab } = whole;
    const nodes = lab.nodes.map((node) => new RuntimeNode(whole, { node, runtime, conflists: conflists(node) }));
    const runtimeLab = new RuntimeLab(whole, nodes);
    try {
      const archive = join(lab.folder.path, 'pause.tar');
      writePauseImage(archive);
      await Promise.all(
        nodes.map(async ({ containerd }) => {
          await containerd.start();
          await containerd.importImage(archive);
        }),
      );
      return runtimeLab;
    } catch (error) {
      await runtimeLab.down();
      throw error;
    }
  }

  node(n: number): RuntimeNode {
    return found(this.nodes[n - 1], `node-${n}`);
  }

  get vm(): Instance {
    return found(this.lab.vms[0], 'VM');
  }

  async down(): Promise<void> {
    const remains = await Promise.all(this.nodes.map((node) => node.end()));
    await this.#whole.down();
    removeCgroups(`/${this.lab.name}`);
    const nothing = { errors: [], processes: [], mounts: [], caches: [] };
    expect(remains).toEqual(remains.map(() => nothing));
  }
}

export class RuntimeNode {
  readonly node: LabNode;
  readonly containerd: Containerd;
  readonly #lab: Lab;
  readonly #ground: Ground;
  /** Every sandbox that ever had an id. */
  readonly #ids = new Set<string>();
  #made = 0;

  constructor(
    { lab, ground }: PodLab,
    { node, runtime, conflists }: { readonly node: LabNode; readonly runtime: Runtime; readonly conflists: string },
  ) {
    this.#lab = lab;
    this.#ground = ground;
    this.node = node;
    this.containerd = new Containerd(runtime, { node, conflists });
  }

  get name(): string {
    return this.node.name;
  }

  /** That all of its sandboxes are under. */
  get #cgroup(): string {
    return `/${this.#lab.name}/${this.name}`;
  }

  /** Of a pod that never was before. */
  config(over: Partial<SandboxConfig> = {}): SandboxConfig {
    const name = `${this.name}-pod-${++this.#made}`;
    const log_directory = join(this.containerd.folder.path, 'pods', name);
    mkdirSync(log_directory, { recursive: true });
    return {
      metadata: { name, uid: `${this.#lab.name}-${name}`, namespace: 'default', attempt: 0 },
      hostname: name,
      log_directory,
      port_mappings: [],
      annotations: {},
      linux: { cgroup_parent: this.#cgroup },
      ...over,
    };
  }

  async run(config: SandboxConfig = this.config()): Promise<Sandbox> {
    const id = await this.containerd.cri.run(config);
    return this.look(id, config.metadata.name);
  }

  async look(id: string, name = id): Promise<Sandbox> {
    this.#ids.add(id);
    const { addresses, netns } = await this.containerd.cri.status(id);
    return { id, name, netns, addresses };
  }

  async runMany(count: number): Promise<Sandbox[]> {
    const sandboxes: Sandbox[] = [];
    const configs = Array.from({ length: count }, () => this.config());
    await inParallel(configs, PARALLEL, async (config) => sandboxes.push(await this.run(config)));
    return sandboxes;
  }

  /** As kubelet ends a pod. */
  async remove(ids: Iterable<string>): Promise<void> {
    await inParallel([...ids], PARALLEL, async (id) => {
      this.#ids.add(id);
      await this.containerd.cri.stop(id);
      await this.containerd.cri.remove(id);
    });
  }

  /** What the runtime lists. */
  async ids(): Promise<string[]> {
    return [...(await this.containerd.cri.list()).keys()];
  }

  /** Lost, doubled and leaked, counted from kernel and cloud: a removed sandbox's link goes a moment after it. */
  async count(running: readonly Sandbox[]): Promise<CrashCount> {
    const { networks, cloud } = this.#lab;
    const nodes = [{ netns: this.node.instance.netns, instance: this.node.instance.id }];
    const count = () => countCrash({ networks, cloud, nodes }, running);
    await until('nothing is left', async () => (await count()).leaked === 0, 5_000).catch(() => {});
    return count();
  }

  /** By name, what its sandboxes left in the kernel. */
  async leftovers(): Promise<readonly string[]> {
    return (await this.#ground.left([this.node])).map(({ name }) => name);
  }

  /** The addresses that its daemon has leased, sorted. */
  async leased(): Promise<string[]> {
    const page = await this.node.daemon.get('/v1/state');
    const { lease }: { readonly lease: readonly { readonly addresses: readonly string[] }[] } = JSON.parse(
      page?.body ?? '{"lease":[]}',
    );
    return lease.flatMap(({ addresses }) => addresses).toSorted();
  }

  /** How many of the verb's requests the daemon has answered since it started. */
  async answered(verb: string): Promise<number> {
    const text = (await this.node.daemon.get('/metrics'))?.body ?? '';
    const ofVerb = new RegExp(`^underway_cni_request_duration_seconds_count\\{.*command="${verb}".*\\} (\\d+)$`, 'gm');
    return [...text.matchAll(ofVerb)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Removes every sandbox, ends the runtime, and then what it left: which is named. */
  async end() {
    const { containerd } = this;
    const errors: string[] = [];
    if (containerd.pid === undefined) await containerd.start().catch((error) => errors.push(String(error)));
    if (containerd.pid !== undefined)
      await this.ids()
        .then((ids) => this.remove(ids))
        .catch((error) => errors.push(String(error)));
    await containerd.end('SIGTERM');
    containerd.cri.close();
    const { netns } = this.node.instance;
    return { errors, ...(await endRemains(containerd, { netns, cgroup: this.#cgroup, ids: [...this.#ids] })) };
  }
}
