/**
 * A lab with a container runtime on each node, and sandboxes as kubelet makes them. Whatever a test did, nothing of it is
 * left after `down`.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type CrashCount, countCrash } from '../../src/lab/demo/count.ts';
import { Ground } from '../../src/lab/demo/leftovers.ts';
import { inParallel } from '../../src/lab/demo/pods.ts';
import type { Instance } from '../../src/lab/instance.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { mountsUnder } from '../../src/lab/mounts.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { LabOptions } from '../../src/lab/options.ts';
import type { StatePage } from '../lab/crash/stage.ts';
import { found, PodLab, until } from '../lab/pod-lab.ts';
import { Containerd } from './containerd.ts';
import type { SandboxConfig } from './cri.ts';
import type { Runtime } from './installed.ts';
import { writePauseImage } from './pause-image.ts';
import { endRemains, killSandboxes, removeCgroups } from './remains.ts';

/** kubelet starts pods as fast as it can; on two cores more than these only wait for each other. */
const PARALLEL = 8;

export interface Sandbox {
  readonly id: string;
  readonly name: string;
  readonly netns: string;
  readonly addresses: readonly string[];
}

export interface RuntimeOptions extends Partial<LabOptions> {
  /** Another folder for conflists than the node's own, which its daemon writes to. */
  readonly conflists?: (node: LabNode) => string;
  /** Reference plugins that lie beside ours. */
  readonly plugins?: readonly string[];
}

export class RuntimeLab {
  readonly lab: Lab;
  readonly nodes: readonly RuntimeNode[];
  readonly #whole: PodLab;
  /** The nodes' kernels before the first sandbox. */
  #ground: Ground;

  private constructor(whole: PodLab, nodes: readonly RuntimeNode[]) {
    this.lab = whole.lab;
    this.nodes = nodes;
    this.#whole = whole;
    this.#ground = whole.ground;
  }

  /** One node and one VM, unless more are asked for; runtimes and daemons run. */
  static async up(runtime: Runtime, options: RuntimeOptions): Promise<RuntimeLab> {
    const { conflists = (node) => node.folder.cniConf, plugins = [], daemons = true, ...shape } = options;
    const whole = await PodLab.up({ nodeCount: 1, vmCount: 1, ...shape, daemons: false });
    const nodes = whole.lab.nodes.map((node) => {
      const containerd = new Containerd(runtime, {
        node,
        conflists: conflists(node),
        plugins: ['loopback', ...plugins],
      });
      return new RuntimeNode(whole.lab, { node, containerd });
    });
    const runtimeLab = new RuntimeLab(whole, nodes);
    try {
      await runtimeLab.#start({ daemons });
      return runtimeLab;
    } catch (error) {
      await runtimeLab.down();
      throw error;
    }
  }

  async #start({ daemons }: { readonly daemons: boolean }): Promise<void> {
    const archive = join(this.lab.folder.path, 'pause.tar');
    writePauseImage(archive);
    await Promise.all(
      this.nodes.map(async ({ containerd, node: { daemon } }) => {
        // It may have to read the plugins' folder first, where all of them are by now.
        if (daemons) daemon.start();
        await containerd.start();
        await containerd.importImage(archive);
        if (daemons) await daemon.ready();
      }),
    );
    this.#ground = await Ground.of(this.lab);
  }

  node(n: number): RuntimeNode {
    return found(this.nodes[n - 1], `node-${n}`);
  }

  get vm(): Instance {
    return found(this.lab.vms[0], 'VM');
  }

  /** By name, what sandboxes left in the node's kernel. */
  async leftovers({ node }: RuntimeNode): Promise<readonly string[]> {
    return (await this.#ground.left([node])).map(({ name }) => name);
  }

  async down(): Promise<void> {
    const errors = await Promise.all(this.nodes.map((node) => node.end()));
    await this.#whole.down();
    removeCgroups(`/${this.lab.name}`);
    expect(errors.flat()).toEqual([]);
  }
}

export class RuntimeNode {
  readonly node: LabNode;
  readonly containerd: Containerd;
  readonly #lab: Lab;
  /** Every sandbox that ever had an id. */
  readonly #ids = new Set<string>();
  #made = 0;

  constructor(lab: Lab, { node, containerd }: { readonly node: LabNode; readonly containerd: Containerd }) {
    this.#lab = lab;
    this.node = node;
    this.containerd = containerd;
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

  /** The addresses that its daemon has leased, sorted. */
  async leased(): Promise<string[]> {
    return (await this.#state()).lease.flatMap(({ addresses }): readonly string[] => addresses).toSorted();
  }

  /** How many ADDs wait for an address. */
  async waiting(): Promise<number> {
    return (await this.#state()).waiter.length;
  }

  /** How many calls of the cloud are under way or planned. */
  async calling(): Promise<number> {
    return (await this.#state()).operation.length;
  }

  async #state(): Promise<StatePage> {
    const page = found(await this.node.daemon.get('/v1/state'), `daemon of ${this.name}`);
    return JSON.parse(page.body) as StatePage;
  }

  /** Every process and every mount of the node's is gone, and what lay on /run; what lay on its disk is there. */
  async reboot(): Promise<void> {
    const { containerd, node } = this;
    await containerd.end('SIGKILL');
    await killSandboxes({ netns: node.instance.netns, cgroup: this.#cgroup });
    containerd.loseRun();
    await node.reboot();
    await containerd.start();
    await node.daemon.ready();
  }

  /** Paths of the sandboxes' network namespaces, those included that the runtime has forgotten. */
  namespaces(): string[] {
    const { state } = this.containerd.folder;
    return mountsUnder(join(state, 'io.containerd.grpc.v1.cri', 'netns'));
  }

  /** How many of the verb's requests the daemon has answered since it started. */
  async answered(verb: string): Promise<number> {
    const text = (await this.node.daemon.get('/metrics'))?.body ?? '';
    const ofVerb = new RegExp(`^underway_cni_request_duration_seconds_count\\{.*command="${verb}".*\\} (\\d+)$`, 'gm');
    return [...text.matchAll(ofVerb)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Removes every sandbox, ends the runtime, and then what that left. Answers what went wrong. */
  async end(): Promise<string[]> {
    const { containerd } = this;
    const errors: string[] = [];
    const note = (error: unknown) => void errors.push(String(error));
    if (containerd.pid === undefined) await containerd.start().catch(note);
    if (containerd.pid !== undefined)
      await this.ids()
        .then((ids) => this.remove(ids))
        .catch(note);
    await containerd.end('SIGTERM');
    containerd.cri.close();
    await endRemains(containerd.folder.path, {
      netns: this.node.instance.netns,
      cgroup: this.#cgroup,
      ids: [...this.#ids],
    });
    return errors;
  }
}
