/**
 * A machine for the daemon as a process: a network namespace with the real kernel, against the lab's EC2 and instance
 * metadata on a loopback port. Namespaces are named `uwd-<process>-…`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MemoryCloud } from '../../providers/memory/cloud.ts';
import { AWS_2026, withoutLatency } from '../../providers/memory/figures.ts';
import type { InstanceId } from '../../src/core/brand.ts';
import type { Cidr } from '../../src/core/ip.ts';
import { createEc2Endpoint } from '../../src/lab/ec2/endpoint.ts';
import { createImds } from '../../src/lab/imds/imds.ts';
import { systemClock } from '../../src/ports/clock.ts';

export const program = process.env.UNDERWAYD ?? fileURLToPath(new URL('../../src/daemon/main.ts', import.meta.url));

export const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

/** Namespaces can be made and `ip` is there to look. */
function canMakeNamespaces(): boolean {
  try {
    ip('netns', 'add', `uwd-${process.pid}-probe`);
    ip('netns', 'del', `uwd-${process.pid}-probe`);
    return true;
  } catch {
    return false;
  }
}

/** Needs root (or a user namespace with a network one in it) and iproute2. */
export const describeProcess = canMakeNamespaces() ? describe : describe.skip;

export class Machine {
  readonly folder = mkdtempSync(join(tmpdir(), 'underwayd-'));
  readonly host = `uwd-${process.pid}-host`;
  readonly cloud = new MemoryCloud({ clock: systemClock, seed: 1, figures: withoutLatency(AWS_2026) });
  readonly instance: InstanceId;
  readonly socket = join(this.folder, 'run', 'cni.sock');
  private readonly servers: Server[] = [];
  private readonly pods = new Set<string>();
  private readonly children = new Set<ChildProcess>();
  output = '';

  constructor() {
    const vpc = this.cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr] });
    const subnet = this.cloud.addSubnet({ vpc: vpc.id, zone: 'eu-central-1a', cidr4: '10.0.1.0/24' as Cidr });
    const { id, primaryEni } = this.cloud.launch({ instanceType: 'm5.large', subnet: subnet.id });
    this.instance = id;
    const eni = this.cloud.truth.eni(primaryEni);
    ip('netns', 'add', this.host);
    ip('-n', this.host, 'link', 'add', 'eth0', 'address', eni?.mac ?? '', 'type', 'veth', 'peer', 'name', 'cloud');
    ip('-n', this.host, 'link', 'set', 'cloud', 'up');
    ip('-n', this.host, 'address', 'add', `${eni?.primary4}/24`, 'dev', 'eth0');
    ip('-n', this.host, 'link', 'set', 'eth0', 'up');
    ip('-n', this.host, 'link', 'set', 'lo', 'up');
    writeFileSync(join(this.folder, 'boot_id'), 'boot-1\n');
  }

  async endpoints(): Promise<void> {
    const options = { cloud: this.cloud, clock: systemClock, region: 'eu-central-1' };
    const imds = createServer(createImds({ ...options, instance: this.instance }).listener);
    const urls: string[] = [];
    for (const server of [createEc2Endpoint(options), imds]) {
      this.servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
    const [endpoint, metadataEndpoint] = urls;
    this.configure({ provider: { name: 'aws', endpoint, metadataEndpoint } });
  }

  private settings: Record<string, unknown> = {};

  configure(change: Record<string, unknown>): void {
    const { folder, socket } = this;
    this.settings = {
      cluster: 'test',
      nodeName: 'n1',
      socket,
      stateDir: join(folder, 'state'),
      bootIdFile: join(folder, 'boot_id'),
      netns: `/run/netns/${this.host}`,
      metricsListen: null,
      lockWaitMs: 500,
      // Pods are on the primary only: nobody plugs in another ENI's link here.
      pool: { targets: { floor: 6, headroom: 0, ceiling: 9 } },
      ...this.settings,
      ...change,
    };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(this.settings));
  }

  start(env: Readonly<Record<string, string>> = {}): ChildProcess {
    const child = spawn(process.execPath, [program, '--config', join(this.folder, 'config.json')], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.children.add(child);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (this.output += chunk));
    return child;
  }

  async ready(): Promise<void> {
    for (let n = 0; n < 400; n++) {
      if ((await this.http('GET', '/readyz').catch(() => undefined))?.status === 200) return;
      await pause(25);
    }
    throw new Error(`not ready: ${this.output.slice(-4_000)}`);
  }

  pod(name: string): string {
    const netns = `uwd-${process.pid}-${name}`;
    this.pods.add(netns);
    ip('netns', 'add', netns);
    return netns;
  }

  /** Its namespace goes, as a sandbox's that ends. */
  endPod(name: string): void {
    const netns = `uwd-${process.pid}-${name}`;
    this.pods.delete(netns);
    ip('netns', 'del', netns);
  }

  cni(command: string, name: string): Promise<{ readonly status: number; readonly text: string }> {
    const body = {
      command,
      containerId: name,
      netns: `/run/netns/uwd-${process.pid}-${name}`,
      ifname: 'eth0',
      args: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name};K8S_POD_UID=u`,
      config: '{"cniVersion":"1.0.0","name":"underway","type":"underway"}',
      deadlineMs: 40_000,
    };
    return this.http('POST', '/v1/cni', JSON.stringify(body));
  }

  http(method: string, path: string, body?: string): Promise<{ readonly status: number; readonly text: string }> {
    return new Promise((resolve, reject) => {
      const asked = request({ socketPath: this.socket, method, path, agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      asked.on('error', reject).end(body);
    });
  }

  /** Ways to pods, sorted. */
  podRoutes(): string[] {
    return ip('-n', this.host, 'route', 'show', 'table', 'local', 'type', 'unicast').trim().split('\n').sort();
  }

  async close(): Promise<void> {
    for (const child of this.children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    for (const netns of [...this.pods, this.host]) ip('netns', 'del', netns);
    for (const server of this.servers) {
      server.closeAllConnections();
      server.close();
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => systemClock.timer(systemClock.nowMs() + ms, resolve));

export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 200; n++) {
    if (await holds()) return;
    await pause(25);
  }
  throw new Error(`not within 5 s: ${holds}`);
}

/** That an ADD was answered with. */
export const addressIn = (answer: { readonly text: string }): string =>
  JSON.parse(answer.text).ips[0].address.split('/')[0];
