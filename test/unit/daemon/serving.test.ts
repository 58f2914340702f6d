import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { ipIn, TestNode } from './harness.ts';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

/** A CHECK of the pod with what its ADD was answered. */
const checkOf = (id: string, address: string) => ({
  config: JSON.stringify({
    cniVersion: '1.0.0',
    name: 'underway',
    type: 'underway',
    prevResult: {
      interfaces: [{ name: 'uwx' }, { name: 'eth0', sandbox: `/run/netns/${id}` }],
      ips: [{ address, interface: 1 }],
    },
  }),
});

describe('the verbs', () => {
  test('ADD gives a VPC address with both interfaces, routes and gateways; again the same; DEL frees it', async () => {
    await node.serve();
    const netns = node.sandbox('c1');
    const answer = await node.cni('ADD', 'c1');
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({
      cniVersion: '1.0.0',
      interfaces: [
        { name: expect.stringMatching(/^uw[0-9a-f]{13}$/), mac: '02:75:77:00:00:01' },
        { name: 'eth0', mac: expect.stringMatching(/^02:/), sandbox: netns },
      ],
      ips: [{ address: expect.stringMatching(/^10\.0\.\d+\.\d+\/32$/), gateway: '169.254.1.1', interface: 1 }],
      routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
    });
    const owned = node.cloud.truth.enisOf(node.instance).flatMap((eni) => eni.blocks);
    expect(owned).toContain(ipIn(answer));
    expect((await node.cni('ADD', 'c1')).json).toEqual(answer.json);
    expect(node.kernel.namespaceAt(netns)?.links.get('eth0')?.up).toBe(true);

    expect(await node.cni('DEL', 'c1')).toMatchObject({ status: 200, text: '' });
    expect(await node.rows('lease')).toEqual([]);
    expect(await node.rows('address')).toMatchObject([{ state: 'cooling' }]);
    expect(await node.cni('DEL', 'c1')).toMatchObject({ status: 200, text: '' });
    expect(await node.cni('DEL', 'never-there', { netns: '' })).toMatchObject({ status: 200 });
  });

  test('both families, and mtu from 1.1.0 on', async () => {
    await node.serve({ pool: { families: [6, 4] } });
    node.sandbox('c1');
    const config = '{"cniVersion":"1.1.0","name":"underway","type":"underway"}';
    const { json } = await node.cni('ADD', 'c1', { config });
    expect(json).toMatchObject({
      interfaces: [{ mtu: 9001 }, { mtu: 9001 }],
      ips: [
        { address: expect.stringMatching(/^10\..*\/32$/) },
        { address: expect.stringMatching(/^2001:db8:1:.*\/128$/), gateway: 'fe80::1' },
      ],
    });
  });

  test('ADD into a namespace that is gone is told so at once, and holds nothing', async () => {
    await node.serve();
    const { status, json } = await node.cni('ADD', 'c1');
    expect(status).toBe(503);
    expect(json).toMatchObject({ cniVersion: '1.0.0', code: 103, msg: expect.stringContaining('/run/netns/c1') });
    expect(json?.details).toContain('NETNS_GONE');
    expect(await node.rows('lease')).toEqual([]);
  });

  test('ADD into a path that is no namespace is told what is there', async () => {
    await node.serve();
    const { status, json } = await node.cni('ADD', 'c1', { netns: node.bootIdFile });
    expect(status).toBe(400);
    expect(json).toMatchObject({ code: 4, msg: expect.stringContaining(`${node.bootIdFile} is a regular file, no`) });
    expect((await node.cni('ADD', 'c1', { netns: node.folder })).json?.msg).toContain('is a folder, no network');
    for (const netns of [`/${'n'.repeat(300)}`, '/run/netns/\0', `${node.bootIdFile}/x`])
      expect((await node.cni('ADD', 'c1', { netns })).json).toMatchObject({ code: 103 });
    expect(await node.rows('lease')).toEqual([]);
  });

  test('ADD into a pod that has a link of the name is told so, and its address is free; refused later, it cools', async () => {
    await node.serve();
    const inside = node.kernel.namespaceAt(node.sandbox('c1'));
    const [lo] = inside?.links.values() ?? [];
    if (lo !== undefined) inside?.links.set('eth0', { ...lo, name: 'eth0', index: 9 });
    const taken = await node.cni('ADD', 'c1');
    expect(taken.json).toMatchObject({
      code: 104,
      msg: expect.stringMatching(
        /^eth0 already exists in \/run\/netns\/c1: have this network's interface named otherwise/,
      ),
    });
    expect(await node.rows('address')).toEqual([]);

    node.sandbox('c2');
    node.kernel.refuse = (step) => (step.do === 'put' && step.at === 'pod' ? 'ENOMEM' : undefined);
    expect((await node.cni('ADD', 'c2')).json?.msg).toContain('ENOMEM');
    node.kernel.refuse = undefined;
    expect(await node.rows('lease')).toEqual([]);
    expect(await node.rows('address')).toMatchObject([{ state: 'cooling' }]);
  });

  test('CHECK finds a pod as it was wired, another address than it was told, and a link that was taken down', async () => {
    await node.serve();
    const ip = await node.add('c1');
    const told = (address: string) => checkOf('c1', address);
    expect(await node.cni('CHECK', 'c1', told(ip))).toMatchObject({ status: 200, text: '' });
    expect((await node.cni('CHECK', 'c1', told('10.9.9.9/32'))).json).toMatchObject({
      code: 101,
      msg: expect.stringContaining('10.9.9.9'),
    });
    // What ADD said is what CHECK wants to hear, in every version that has a CHECK.
    for (const cniVersion of ['0.4.0', '1.0.0', '1.1.0']) {
      const network = { cniVersion, name: 'underway', type: 'underway' };
      const { json: prevResult } = await node.cni('ADD', 'c1', { config: JSON.stringify(network) });
      const config = JSON.stringify({ ...network, prevResult });
      expect(await node.cni('CHECK', 'c1', { config })).toMatchObject({ status: 200, text: '' });
      const wrong = config.replace(
        /"mac":"02:75:77:00:00:01"(.*)"mac":"[^"]*"/,
        '"mac":"02:75:77:00:00:01"$1"mac":"02:00:00:00:00:99"',
      );
      expect((await node.cni('CHECK', 'c1', { config: wrong })).json?.msg).toMatch(
        /was told MAC 02:00:00:00:00:99 for eth0/,
      );
    }
    const [link] = [...node.kernel.host.links.values()].filter(({ name }) => name.startsWith('uw'));
    node.kernel.host.links.delete(link?.name ?? '');
    expect((await node.cni('CHECK', 'c1', told(ip))).json).toMatchObject({ code: 101 });
  });

  test('CHECK in another namespace than the pod was wired in says so, by whichever path; in none, that it is gone', async () => {
    await node.serve();
    const told = checkOf('c1', await node.add('c1'));
    const check = async (netns: string) => (await node.cni('CHECK', 'c1', { ...told, netns })).json;
    expect(await check(node.sandbox('c2'))).toMatchObject({
      code: 101,
      msg: expect.stringMatching(/it was wired in \/run\/netns\/c1, and CNI_NETNS names another.*, \/run\/netns\/c2$/),
    });
    expect(await check('/run/netns/gone')).toMatchObject({
      code: 103,
      msg: expect.stringContaining('/run/netns/gone'),
    });
    expect(await check(node.bootIdFile)).toMatchObject({ code: 4, msg: expect.stringContaining('a regular file') });
    expect(await node.cni('CHECK', 'c1', told)).toMatchObject({ status: 200 });
    node.kernel.deleteNamespace('/run/netns/c1');
    expect(await check('/run/netns/c1')).toMatchObject({ code: 103 });
  });

  test('GC without a list collects nothing', async () => {
    await node.serve();
    await node.add('c1');
    const config = '{"cniVersion":"1.1.0","name":"underway","type":"underway"}';
    expect(await node.cni('GC', '', { config })).toMatchObject({ status: 200 });
    expect(await node.rows('lease')).toHaveLength(1);
  });

  test('STATUS is about working, not about capacity', async () => {
    const config = '{"cniVersion":"1.1.0","name":"underway","type":"underway"}';
    await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } } });
    await node.add('c1');
    expect(await node.cni('STATUS', '', { config })).toMatchObject({ status: 200, text: '' });
    node.sandbox('c2');
    const full = await node.cni('ADD', 'c2');
    expect(full.json).toMatchObject({
      code: 114,
      msg: expect.stringContaining('ceiling of 1'),
      details: expect.stringContaining('CEILING'),
    });
    expect((await node.get('/readyz')).status).toBe(200);
    expect((await node.get('/readyz?verbose')).text).toContain('[~]addresses default IPv4: 0 of 1 free');
  });

  test('a caller that hangs up while it waits leaves nothing behind', async () => {
    await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } }, cooldownUnderPressureMs: 1_000 });
    await node.add('c1');
    await node.cni('DEL', 'c1');
    node.sandbox('c2');
    const abort = new AbortController();
    const asked = node.post(JSON.stringify(node.envelope('ADD', 'c2')), abort.signal);
    asked.catch(() => undefined);
    await node.until(async () => (await node.rows('waiter')).length === 1);
    abort.abort();
    await expect(asked).rejects.toThrow('aborted');
    await node.until(async () => (await node.rows('waiter')).length === 0);
    expect(await node.rows('lease')).toEqual([]);
  });

  test('50 pods at once wait for their addresses and get one each', async () => {
    await node.serve({ pool: { targets: { floor: 1, headroom: 0 } } });
    const ids = Array.from({ length: 50 }, (_, n) => `c${n}`);
    const ips = await Promise.all(ids.map((id) => node.add(id)));
    expect(new Set(ips).size).toBe(50);
    expect(node.exits).toEqual([]);
    const lines = node.log.filter(({ msg }) => msg === 'added');
    expect(lines).toHaveLength(50);
    expect(lines[0]).toMatchObject({
      pod: expect.stringMatching(/^shop\/pod-c/),
      enis: [expect.stringMatching(/^eni-/)],
      code: 0,
    });
    const metrics = (await node.get('/metrics')).text;
    expect(metrics).toContain('underway_cni_request_duration_seconds_count{command="ADD",code="0"} 50');
    expect(metrics).toContain('underway_leases{state="ready"} 50');
    expect(metrics).toContain('underway_kernel_duration_seconds_count{effect="wire"} 50');
    expect(Number(/^underway_core_step_duration_seconds_count (\d+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);
    expect(metrics).toMatch(/underway_cloud_call_duration_seconds_count\{action="assign"\} [1-9]/);
    expect(metrics).not.toMatch(/pod-c1|10\.0\.\d+\.\d+|eni-/);
  });
});

describe('settings', () => {
  test('targets change while it runs; what cannot is refused with a sentence', async () => {
    const daemon = await node.serve({ pool: { targets: { floor: 2, headroom: 0 } } });
    expect(daemon.reload(node.config({ pool: { targets: { floor: 20, headroom: 0 } } }))).toBeUndefined();
    await node.until(async () => (await node.get('/readyz?verbose')).text.includes('20 of 20 free'));
    expect(daemon.reload(node.config({ markMask: 0xff, stateDir: '/elsewhere' }))).toMatch(
      /^stateDir, markMask can only be changed by a restart/,
    );
  });

  test('another mtu is for new pods: those that run are as they were wired, after a reload and after a restart', async () => {
    const daemon = await node.serve();
    const checks = [checkOf('c1', await node.add('c1'))];
    expect(daemon.reload(node.config({ mtu: 1_500 }))).toBeUndefined();
    checks.push(checkOf('c2', await node.add('c2')));
    const mtus = () =>
      [...node.kernel.host.links.values()].flatMap(({ name, mtu }) => (name.startsWith('uw') ? mtu : []));
    const said = () =>
      Promise.all(checks.map(async (check, at) => (await node.cni('CHECK', `c${at + 1}`, check)).text));
    expect([await said(), mtus()]).toEqual([
      ['', ''],
      [9_001, 1_500],
    ]);
    await daemon.stop();
    await node.serve({ mtu: 1_400 });
    expect(await said()).toEqual(['', '']);
    await node.cni('ADD', 'c1');
    expect([await said(), mtus()]).toEqual([
      ['', ''],
      [9_001, 1_500],
    ]);
  });
});

test('what somebody else removed is put back and told once', async () => {
  await node.serve();
  await node.add('c1');
  await node.until(async () => {
    const [runtime] = await node.rows('runtime');
    const sync = runtime?.sync as { wanted: number; done: number };
    return sync.wanted === sync.done;
  });
  node.kernel.sabotage((objects) => objects.find((object) => object.kind === 'route'));
  await node.until(() => node.log.some(({ reason }) => reason === 'DATAPATH_REPAIRED'));
  expect(node.log.filter(({ reason }) => reason === 'DATAPATH_REPAIRED')).toMatchObject([{ steps: 1 }]);
  expect((await node.get('/metrics')).text).toContain('underway_datapath_repairs_total 1');
});

test('while what somebody else removed cannot be put back STATUS says that pods may be hurt, and no longer; then it is told', async () => {
  const config = '{"cniVersion":"1.1.0","name":"underway","type":"underway"}';
  await node.serve();
  node.kernel.refuse = (step) => (step.do === 'put' && step.object.kind === 'route' ? 'EPERM' : undefined);
  node.kernel.sabotage((objects) => objects.find((object) => object.kind === 'route'));
  await node.until(async () => (await node.cni('STATUS', '', { config })).json?.code === 51);
  expect((await node.get('/readyz')).text).toMatch(/\[-\]kernel what others changed cannot be put back: .*EPERM/);
  node.kernel.refuse = undefined;
  await node.until(async () => (await node.cni('STATUS', '', { config })).status === 200);
  expect((await node.get('/readyz')).status).toBe(200);
  expect(node.log.filter(({ reason }) => reason === 'DATAPATH_REPAIRED')).toMatchObject([{ steps: 1 }]);
});

test('ADD through the socket, daemon and journal: a millisecond or two (kernel and cloud in memory)', async () => {
  await node.serve({ pool: { targets: { floor: 120, headroom: 0 } } });
  await node.until(async () => (await node.get('/readyz?verbose')).text.includes('120 of 120 free'), 10_000);
  const took: number[] = [];
  for (let n = 0; n < 100; n++) {
    node.sandbox(`c${n}`);
    const beganMs = systemClock.nowMs();
    const { status } = await node.cni('ADD', `c${n}`);
    took.push(systemClock.nowMs() - beganMs);
    expect(status).toBe(200);
  }
  took.sort((a, b) => a - b);
  const [p50 = 0, p99 = 0] = [took[50], took[98]];
  process.stderr.write(`ADD through the socket: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms\n`);
  expect(p50).toBeLessThan(20);
});

test('figures of a real cloud: an ADD that has to wait says what for', async () => {
  await node.close();
  node = new TestNode({ figures: AWS_2026 });
  await node.start({ pool: { targets: { floor: 0, headroom: 0 } } });
  node.sandbox('c1');
  const { json } = await node.cni('ADD', 'c1', { deadlineMs: 60 });
  expect(json).toMatchObject({ code: 11, details: expect.stringMatching(/DAEMON_STARTING|ATTACHING|CLOUD/) });
});
