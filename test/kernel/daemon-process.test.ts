/**
 * The program itself: flags, exit codes, signals, and (root) the real kernel in namespaces of this test's own, against
 * the lab's EC2 and instance metadata on a loopback port. Namespaces are named `uwd-<process>-…`.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
import { ApiServer } from '../kube/api-server.ts';

const program = process.env.UNDERWAYD ?? fileURLToPath(new URL('../../src/daemon/main.ts', import.meta.url));
const underwayd = (...args: readonly string[]) => spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });

describe('flags', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'underwayd-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test('--help, --version', () => {
    expect(underwayd('--help').stdout).toContain('--print-config');
    expect(underwayd('--version').stdout).toMatch(/^underwayd \S+\n$/);
  });

  test('--print-config shows what is in effect, and what it shows is a configuration', () => {
    const first = underwayd('--print-config', '--set', 'cluster=prod', '--set', 'pool.targets.floor=4');
    expect(JSON.parse(first.stdout)).toMatchObject({ cluster: 'prod', pool: { targets: { floor: 4, headroom: 8 } } });
    writeFileSync(join(folder, 'c.json'), first.stdout);
    expect(underwayd('--print-config', '--config', join(folder, 'c.json')).stdout).toBe(first.stdout);
  });

  test.each([
    [['--colour'], 64, /--colour/],
    [[], 78, /underwayd: cluster is missing/],
    [['--config', '/nowhere.json'], 78, /cannot read \/nowhere.json/],
    [['--set', 'cluster=x', '--set', 'mtu=5'], 78, /underwayd: mtu must be a whole number from 1280/],
    [
      ['--set', 'cluster=x', '--set', 'stateDir=/etc/passwd'],
      78,
      /^underwayd: stateDir \/etc\/passwd cannot hold .*: name a/,
    ],
    [
      ['--set', 'cluster=x', '--set', `stateDir=${tmpdir()}`, '--set', 'bootIdFile=/nowhere'],
      78,
      /^underwayd: bootIdFile \/nowhere cannot be read \(ENOENT.*\): leave bootIdFile out for the kernel’s own\n$/,
    ],
    [
      ['cluster=x', `stateDir=${tmpdir()}`, 'cni.binDir=/x', 'cni.binary=/nowhere/underway'].flatMap((set) => [
        '--set',
        set,
      ]),
      78,
      /^underwayd: the CNI binary \/nowhere\/underway is not there: `npm run build:shim` builds it\n$/,
    ],
  ])('%j ends with %i and a sentence', (args, code, sentence) => {
    const { status, stderr } = underwayd(...args);
    expect(stderr).toMatch(sentence);
    expect(status).toBe(code);
  });
});

const ip = (...args: readonly string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' });

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

class Machine {
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

/** Needs root (or a user namespace with a network one in it) and iproute2. */
const describeProcess = canMakeNamespaces() ? describe : describe.skip;

describeProcess('the daemon on the real kernel, with EC2 over HTTP', () => {
  let machine: Machine;
  beforeEach(async () => {
    machine = new Machine();
    await machine.endpoints();
  });
  afterEach(() => machine.close());

  const address = (answer: { readonly text: string }): string => JSON.parse(answer.text).ips[0].address.split('/')[0];
  const podRoutes = () =>
    ip('-n', machine.host, 'route', 'show', 'table', '7700', 'type', 'unicast').trim().split('\n').sort();

  test('wires a pod, answers again after a restart without touching it, unwires it, stops on SIGTERM', async () => {
    const first = machine.start();
    await machine.ready();
    const netns = machine.pod('p1');
    const added = await machine.cni('ADD', 'p1');
    expect(added.status).toBe(200);
    const given = address(added);
    expect(ip('-n', netns, '-4', 'address', 'show', 'dev', 'eth0')).toContain(`inet ${given}/32`);
    expect(ip('-n', netns, 'route', 'show', 'default')).toContain('default via 169.254.1.1 dev eth0');
    expect(podRoutes()).toEqual([expect.stringContaining(`${given} dev uw`)]);

    first.kill('SIGTERM');
    expect(await once(first, 'exit')).toEqual([0, null]);
    expect(existsSync(machine.socket)).toBe(false);
    machine.start();
    await machine.ready();
    expect(address(await machine.cni('ADD', 'p1'))).toBe(given);
    expect((await machine.cni('DEL', 'p1')).status).toBe(200);
    expect(podRoutes()).toEqual(['']);
  }, 30_000);

  test('a pod that has an eth0 is left as it is, and told so', async () => {
    machine.start();
    await machine.ready();
    const netns = machine.pod('p1');
    ip('-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'other');
    const before = ip('-n', netns, 'address');
    const { text } = await machine.cni('ADD', 'p1');
    expect(JSON.parse(text)).toMatchObject({ code: 104, msg: expect.stringContaining(`eth0 already exists in /run/`) });
    expect(ip('-n', netns, 'address')).toBe(before);
    expect(podRoutes()).toEqual(['']);
  }, 30_000);

  test('a second daemon ends with 75 and a sentence, the first goes on', async () => {
    machine.start();
    await machine.ready();
    const second = machine.start();
    const [code] = await once(second, 'exit');
    expect(machine.output).toContain('another daemon has the journal');
    expect(code).toBe(75);
    expect((await machine.http('GET', '/livez')).status).toBe(200);
  }, 30_000);

  test('the link of a pod that runs, removed by somebody, is told; that of a pod that ended is not', async () => {
    machine.start();
    await machine.ready();
    for (const name of ['p1', 'p2']) {
      machine.pod(name);
      expect((await machine.cni('ADD', name)).status).toBe(200);
    }
    const why = async (name: string) => JSON.parse((await machine.http('GET', `/v1/why?pod=shop/${name}`)).text);
    const { addresses } = await why('p1');
    const link =
      podRoutes()
        .find((route) => route.startsWith(`${addresses[0]} `))
        ?.match(/dev (uw\w+)/)?.[1] ?? '';
    ip('-n', machine.host, 'link', 'del', link);
    await until(async () => (await why('p1')).status === 'refused');
    expect((await why('p1')).lines.join()).toContain(`somebody removed its link ${link}`);
    machine.endPod('p2');
    await until(async () => (await why('p2')).status === 'unknown');
    expect(machine.output.match(/a pod lost its link/g)).toHaveLength(1);
  }, 30_000);

  test('SIGHUP takes new targets, and refuses the rest with a sentence', async () => {
    const child = machine.start();
    await machine.ready();
    machine.configure({ pool: { targets: { floor: 8, headroom: 0, ceiling: 9 } } });
    child.kill('SIGHUP');
    await until(async () => (await machine.http('GET', '/readyz?verbose')).text.includes('8 of 8 free'));
    machine.configure({ cluster: 'another' });
    child.kill('SIGHUP');
    await until(() => machine.output.includes('cluster can only be changed by a restart'));
    expect((await machine.http('GET', '/livez')).status).toBe(200);
  }, 30_000);

  test('has addresses for the pods that are bound to it before they ask, and serves without the API server', async () => {
    const api = new ApiServer();
    await api.listen();
    try {
      for (const name of ['p1', 'p2']) api.bind({ name, node: 'n1', namespace: 'shop' });
      machine.configure({
        kubernetes: { kubeconfig: api.kubeconfigIn(machine.folder) },
        pool: { targets: { floor: 1, headroom: 0, ceiling: 9 } },
      });
      machine.start();
      await machine.ready();
      const metric = async (name: string) =>
        Number(
          new RegExp(`^underway_${name}(?:{.*})? (.*)$`, 'm').exec((await machine.http('GET', '/metrics')).text)?.[1],
        );
      const free = () => metric('addresses{state="free",family="4"}');
      await until(async () => (await free()) === 2);
      for (const name of ['p3', 'p4', 'p5']) api.bind({ name, node: 'n1', namespace: 'shop' });
      api.bind({ name: 'p6', node: 'n2' });
      await until(async () => (await free()) === 5);
      api.remove('p1', 'shop');
      await until(async () => (await metric('pods_bound')) === 4);
      expect(await metric('pod_watch_up')).toBe(1);
      await api.close();
      await until(async () => (await metric('pod_watch_up')) === 0);
      machine.pod('p2');
      expect((await machine.cni('ADD', 'p2')).status).toBe(200);
      expect(machine.output).toContain('are not heard of');
    } finally {
      await api.close();
    }
  }, 30_000);

  test.each([
    'before-commit:4',
    // An assign that may or may not have been done: EC2 has no token, so it is waited for until it must be over.
    'after-commit:4',
    'after-wire:2',
    'before-reply:2',
    'after-unwire:1',
  ])(
    'killed at %s: after the restart every pod has one address, and nothing is left of the others',
    async (failpoint) => {
      const names = ['a', 'b', 'c'];
      const dying = machine.start({ UNDERWAY_FAILPOINT: failpoint });
      const died = once(dying, 'exit');
      for (const name of names) machine.pod(name);
      const quietly = (command: string, name: string) => machine.cni(command, name).catch(() => undefined);
      await Promise.race([machine.ready(), died]);
      for (const name of names) await quietly('ADD', name);
      for (const name of names) await quietly('DEL', name);
      expect(await died).toEqual([null, 'SIGKILL']);

      machine.start();
      await machine.ready();
      const answers = await Promise.all(names.map((name) => machine.cni('ADD', name)));
      expect(answers.map(({ status, text }) => (status === 200 ? 200 : text))).toEqual([200, 200, 200]);
      const given = answers.map(address);
      expect(new Set(given).size).toBe(3);
      await until(() => podRoutes().length === 3);
      expect(podRoutes().map((route) => route.split(' ')[0])).toEqual([...given].sort());
      for (const name of names) expect((await machine.cni('DEL', name)).status).toBe(200);
      expect(podRoutes()).toEqual(['']);
      const { lease } = JSON.parse((await machine.http('GET', '/v1/state')).text);
      expect(lease).toEqual([]);
    },
    30_000,
  );

  test('its log is JSON, one line an event', async () => {
    const child = machine.start();
    await machine.ready();
    machine.pod('p1');
    await machine.cni('ADD', 'p1');
    child.kill('SIGTERM');
    await once(child, 'exit');
    const lines = machine.output
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ msg }) => msg)).toEqual(
      expect.arrayContaining(['starting', 'listening', 'serving', 'added', 'stopping', 'stopped']),
    );
    expect(lines.find(({ msg }) => msg === 'added')).toMatchObject({
      level: 'info',
      cluster: 'test',
      node: 'n1',
      pod: 'shop/p1',
      durationMs: expect.any(Number),
    });
    expect(readFileSync(join(machine.folder, 'state', 'heartbeat'), 'utf8')).toBe('');
  }, 30_000);
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 200; n++) {
    if (await holds()) return;
    await pause(25);
  }
  throw new Error(`not within 5 s: ${holds}`);
}
