/**
 * One containerd on a node of the lab: in the instance's namespace, with everything of its own (root, state, socket, shims'
 * state, CNI folders) in the node's folder, so that several live side by side and beside the machine's own.
 */
import { type ChildProcess, execFile } from 'node:child_process';
import { closeSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { spawnIn } from '../../src/lab/launch.ts';
import { mountTmpfs, unmountUnder } from '../../src/lab/mounts.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { makeFolder } from '../../src/lab/state-folder.ts';
import { until } from '../lab/pod-lab.ts';
import { Cri } from './cri.ts';
import { type Runtime, referencePlugin } from './installed.ts';
import { PAUSE_IMAGE } from './pause-image.ts';

const run = promisify(execFile);

const START_LIMIT_MS = 30_000;

export interface ContainerdFolder {
  readonly path: string;
  readonly socket: string;
  readonly log: string;
  readonly state: string;
  readonly runc: string;
}

export interface ContainerdOptions {
  readonly node: LabNode;
  /** The folder that it reads its networks from. */
  readonly conflists: string;
  /** Reference plugins that lie beside ours. */
  readonly plugins: readonly string[];
}

export class Containerd {
  readonly runtime: Runtime;
  readonly folder: ContainerdFolder;
  readonly cri: Cri;
  readonly #netns: string;
  readonly #config: string;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, { node, conflists, plugins }: ContainerdOptions) {
    const path = join(node.folder.path, 'containerd');
    this.runtime = runtime;
    this.#netns = node.instance.netns;
    this.folder = {
      path,
      socket: join(path, 'sock'),
      log: join(path, 'log'),
      state: join(path, 'state'),
      runc: join(path, 'runc'),
    };
    makeFolder(path);
    makeFolder(conflists);
    // In memory: what it keeps is synced at each change, and nobody will read it after a power cut.
    mountTmpfs(path, 'mode=0711');
    const config = runtime.major === 1 ? configOf1 : configOf2;
    this.#config = join(path, 'config.toml');
    writeFileSync(this.#config, config({ path, bin: node.folder.cniBin, conflists }));
    for (const name of plugins) {
      const plugin = referencePlugin(name);
      if (plugin !== undefined) symlinkSync(plugin, join(node.folder.cniBin, name));
    }
    this.cri = new Cri(this.folder.socket);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when it answers; rejects with the end of its log. */
  async start(): Promise<void> {
    const log = openSync(this.folder.log, 'a');
    const { program } = this.runtime;
    const child = spawnIn(this.#netns, [program, '--config', this.#config], {
      stdio: ['ignore', log, log],
      env: { PATH: [dirname(program), process.env.PATH].join(delimiter) },
    });
    closeSync(log);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => {
        this.#child = undefined;
        resolve();
      });
    });
    try {
      await until(`${this.runtime.name} answers`, () => this.#child === undefined || this.cri.isUp(), START_LIMIT_MS);
      if (this.#child === undefined) throw new Error(`${this.runtime.name} ended`);
    } catch (error) {
      throw new Error(`${Error.isError(error) ? error.message : error}: ${this.#lastWords()}`);
    }
  }

  /** Makes the archive's image known to it. */
  async importImage(archive: string): Promise<void> {
    await run('ctr', ['--address', this.folder.socket, '--namespace', 'k8s.io', 'images', 'import', archive]);
    await until('the pause image is there', async () => (await this.cri.images()).includes(PAUSE_IMAGE));
  }

  /** Its sandboxes live on. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** What a boot takes from one that does not run: its state, its sandboxes' mounts and namespaces. */
  loseRun(): void {
    for (const path of [this.folder.state, this.folder.runc]) {
      unmountUnder(path);
      rmSync(path, { recursive: true, force: true });
    }
  }

  /** Lines of its log with this text. */
  said(text: string): string[] {
    return readFileSync(this.folder.log, 'utf8')
      .split('\n')
      .filter((line) => line.includes(text));
  }

  #lastWords(): string {
    return readFileSync(this.folder.log, 'utf8').trim().split('\n').slice(-5).join('\n');
  }
}

interface Places {
  readonly path: string;
  readonly bin: string;
  readonly conflists: string;
}

/** `restrict_oom_score_adj`: for who lacks CAP_SYS_RESOURCE, as a container's root does. */
const SANDBOXES = `
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
enable_unprivileged_icmp = true`;

const common = (version: number, { path }: Places) => `version = ${version}
root = "${path}/root"
state = "${path}/state"
[grpc]
address = "${path}/sock"
[plugins."io.containerd.internal.v1.opt"]
path = "${path}/opt"
`;

const configOf1 = (places: Places): string => {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `${common(2, places)}
[${cri}]
sandbox_image = "${PAUSE_IMAGE}"${SANDBOXES}
[${cri}.cni]
bin_dir = "${places.bin}"
conf_dir = "${places.conflists}"
[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
Root = "${places.path}/runc"
`;
};

/** NRI's socket has one place on a machine. */
const configOf2 = (places: Places): string => {
  const cri = 'plugins."io.containerd.cri.v1.runtime"';
  return `${common(3, places)}
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${PAUSE_IMAGE}"
[${cri}]${SANDBOXES}
[${cri}.cni]
bin_dirs = ["${places.bin}"]
conf_dir = "${places.conflists}"
[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[${cri}.containerd.runtimes.runc.options]
Root = "${places.path}/runc"
`;
};
