/**
 * The program itself: flags, exit codes, signals, and (root) the real kernel in namespaces of this test's own, against
 * the lab's EC2 and instance metadata on a loopback port.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiServer } from '../kube/api-server.ts';
import { addressIn, describeProcess, ip, Machine, program, until } from './daemon-machine.ts';

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

describeProcess('the daemon on the real kernel, with EC2 over HTTP', () => {
  let machine: Machine;
  beforeEach(async () => {
    machine = new Machine();
    await machine.endpoints();
  });
  afterEach(() => machine.close());

  test('wires a pod, answers again after a restart without touching it, unwires it, stops on SIGTERM', async () => {
    const first = machine.start();
    await machine.ready();
    const netns = machine.pod('p1');
    const added = await machine.cni('ADD', 'p1');
    expect(added.status).toBe(200);
    const given = addressIn(added);
    expect(ip('-n', netns, '-4', 'address', 'show', 'dev', 'eth0')).toContain(`inet ${given}/32`);
    expect(ip('-n', netns, 'route', 'show', 'default')).toContain('default via 169.254.1.1 dev eth0');
    expect(machine.podRoutes()).toEqual([expect.stringContaining(`${given} dev uw`)]);

    first.kill('SIGTERM');
    expect(await once(first, 'exit')).toEqual([0, null]);
    expect(existsSync(machine.socket)).toBe(false);
    machine.start();
    await machine.ready();
    expect(addressIn(await machine.cni('ADD', 'p1'))).toBe(given);
    expect((await machine.cni('DEL', 'p1')).status).toBe(200);
    expect(machine.podRoutes()).toEqual(['']);
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
    expect(machine.podRoutes()).toEqual(['']);
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
      machine
        .podRoutes()
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
