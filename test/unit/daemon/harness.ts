/**
 * A node with a real daemon on a real socket and disk, over a kernel and a cloud in memory on real time.
 * Starting a daemon again on the same node is a restart; `kill` leaves it as kill -9 would, but for the lock.
 */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026, type Figures, withoutLatency } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import type { InstanceId, SubnetId } from '../../../src/core/brand.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { type Config, parseConfig } from '../../../src/daemon/config.ts';
import { Daemon, type DaemonOptions } from '../../../src/daemon/daemon.ts';
import { openLog } from '../../../src/daemon/logs.ts';
import { Metrics } from '../../../src/daemon/metrics.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { type Clock, systemClock, systemEntropy } from '../../../src/ports/clock.ts';
import type { Provider } from '../../../src/ports/provider.ts';
import { FakeKernel } from '../../../src/sim/kernel.ts';

/** Real time, but what is due now is not a millisecond late: a timer's least delay would hide the daemon's own. */
const promptClock: Clock = {
  ...systemClock,
  timer: (atMs, callback) => {
    if (atMs > systemClock.nowMs()) return systemClock.timer(atMs, callback);
    const immediate = setImmediate(callback);
    return () => clearImmediate(immediate);
  },
};

export interface Answer {
  readonly status: number;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: Record<string, unknown> | undefined;
}

export type LogLine = Record<string, unknown> & { readonly msg: string };

export class TestNode {
  readonly folder = mkdtempSync(join(tmpdir(), 'underway-daemon-'));
  readonly socket = join(this.folder, 'run', 'cni.sock');
  readonly stateDir = join(this.folder, 'state');
  readonly bootIdFile = join(this.folder, 'boot_id');
  readonly kernel = new FakeKernel({ clock: promptClock, batchMs: 0 });
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly subnet: SubnetId;
  readonly log: LogLine[] = [];
  readonly exits: number[] = [];
  provider: Provider;
  daemon: Daemon | undefined;
  private links = 0;

  constructor(
    { figures = withoutLatency(AWS_2026), instanceType = 'm5.4xlarge', cidr = '10.0.0.0/20', hasIpv6 = true } = {} as {
      readonly figures?: Figures;
      readonly instanceType?: string;
      readonly cidr?: string;
      readonly hasIpv6?: boolean;
    },
  ) {
    this.cloud = new MemoryCloud({ clock: promptClock, seed: 1, figures });
    const vpc = this.cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: ['2001:db8:1::/56' as Cidr] });
    this.subnet = this.cloud.addSubnet({
      vpc: vpc.id,
      zone: 'a',
      cidr4: cidr as Cidr,
      ...(hasIpv6 && { cidr6: '2001:db8:1::/64' as Cidr }),
    }).id;
    this.cloud.listen((fact) => {
      if (fact.kind === 'link-seen') this.kernel.plug(`eth${this.links++}`, fact.eni.mac);
      else if (fact.kind === 'link-gone') this.kernel.unplug(fact.eni.mac);
    });
    const { id, primaryEni } = this.cloud.launch({ instanceType, subnet: this.subnet });
    this.instance = id;
    const primary = this.cloud.truth.eni(primaryEni);
    if (primary === undefined) throw new Error('an instance has a primary ENI');
    this.kernel.configure(primary);
    if (!this.kernel.nics().some(({ mac }) => mac === primary.mac)) this.kernel.plug(`eth${this.links++}`, primary.mac);
    const capabilities = ec2Capabilities(figures);
    this.provider = new MemoryProvider({ cloud: this.cloud, instance: id, capabilities, clock: promptClock });
    this.boot('b0000000-0000-4000-8000-000000000001');
  }

  boot(id: string): void {
    writeFileSync(this.bootIdFile, `${id}\n`);
  }

  config(change: Record<string, unknown> = {}): Config {
    const { socket, stateDir, bootIdFile } = this;
    const file = {
      cluster: 'test',
      nodeName: 'n1',
      socket,
      stateDir,
      bootIdFile,
      metricsListen: null,
      lockWaitMs: 300,
    };
    const checked = parseConfig({ file: JSON.stringify({ ...file, ...change }), sets: [], providers: ['memory'] });
    if ('errors' in checked) throw new Error(checked.errors.join('\n'));
    return checked.config;
  }

  /** Starts a daemon; resolves when it listens. */
  async start(change: Record<string, unknown> = {}, options: Partial<DaemonOptions> = {}): Promise<Daemon> {
    const log = openLog({
      level: 'debug',
      base: {},
      destination: { write: (line: string) => void this.log.push(JSON.parse(line)) },
    });
    this.daemon = await Daemon.start({
      config: this.config(change),
      kernel: this.kernel,
      provider: this.provider,
      datapath: veth,
      clock: promptClock,
      entropy: systemEntropy,
      log,
      metrics: new Metrics('test'),
      exit: (code) => void this.exits.push(code),
      ...options,
    });
    return this.daemon;
  }

  /** Starts one and waits until it serves and has its floor of addresses. */
  async serve(change: Record<string, unknown> = {}): Promise<Daemon> {
    const daemon = await this.start(change);
    await this.until(async () => (await this.get('/readyz?verbose')).text.includes('[+]addresses'));
    return daemon;
  }

  async until(true_: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
    const endMs = systemClock.nowMs() + withinMs;
    while (!(await true_())) {
      if (systemClock.nowMs() > endMs)
        throw new Error(
          `not within ${withinMs} ms: ${true_}\n${this.log
            .slice(-20)
            .map((line) => JSON.stringify(line))
            .join('\n')}`,
        );
      await new Promise<void>((resolve) => systemClock.timer(systemClock.nowMs() + 5, resolve));
    }
  }

  async close(): Promise<void> {
    await this.daemon?.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A pod's sandbox. */
  sandbox(id: string): string {
    const path = `/run/netns/${id}`;
    this.kernel.addNamespace(path);
    return path;
  }

  envelope(command: string, id: string, change: Record<string, unknown> = {}): Record<string, unknown> {
    return {
      command,
      containerId: id,
      netns: `/run/netns/${id}`,
      ifname: 'eth0',
      args: `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=pod-${id};K8S_POD_UID=u-${id}`,
      config: '{"cniVersion":"1.0.0","name":"underway","type":"underway"}',
      deadlineMs: 5_000,
      ...change,
    };
  }

  cni(command: string, id: string, change: Record<string, unknown> = {}): Promise<Answer> {
    return this.post(JSON.stringify(this.envelope(command, id, change)));
  }

  /** Writes a DEL down as the shim does, some time ago. */
  spool(id: string, agoMs = 0): string {
    const file = join(this.stateDir, 'del', `${id}@eth0.json`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, JSON.stringify(this.envelope('DEL', id)));
    // The kernel's own time of it may be a tick old.
    const wall = (promptClock.wallMs() - agoMs) / 1_000;
    utimesSync(file, wall, wall);
    return file;
  }

  async add(id: string): Promise<string> {
    this.sandbox(id);
    const answer = await this.cni('ADD', id);
    if (answer.status !== 200) throw new Error(answer.text);
    return ipIn(answer);
  }

  post(body: string | Buffer, signal?: AbortSignal): Promise<Answer> {
    return this.http('POST', '/v1/cni', body, signal);
  }

  get(path: string): Promise<Answer> {
    return this.http('GET', path);
  }

  http(method: string, path: string, body?: string | Buffer, signal?: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.socket, method, path, agent: false as const, ...(signal && { signal }) };
      const asked = request(options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, text, json: jsonIn(text) });
        });
      });
      asked.on('error', reject);
      asked.end(body);
    });
  }

  async rows(table: string): Promise<Record<string, unknown>[]> {
    const { json } = await this.get('/v1/state');
    return (json?.[table] ?? []) as Record<string, unknown>[];
  }
}

function jsonIn(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function ipIn({ json }: Answer): string {
  const [first] = (json?.ips ?? []) as { readonly address: string }[];
  return first?.address ?? 'none';
}
