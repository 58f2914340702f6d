/** `underway why`, as a person runs it, against a daemon on its socket. */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Cidr } from '../../../src/core/ip.ts';
import type { WhyAnswer } from '../../../src/protocol/why.ts';
import { TestNode } from './harness.ts';

const CLI = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const LIMIT_MS = 30_000;
const FULL = { pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } } };

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function underway(...args: readonly string[]): Promise<Said> {
  const child = spawn(process.execPath, [CLI, ...args]);
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text) => {
      said[stream] += text;
    });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...said })));
}

const why = (...args: readonly string[]): Promise<Said> => underway('why', '--socket', node.socket, ...args);

async function whyJson(pod: string): Promise<WhyAnswer> {
  return JSON.parse((await node.get(`/v1/why?pod=${encodeURIComponent(pod)}`)).text);
}

test(
  'a pod with an address: which, on which ENI, since when; by name or by container',
  async () => {
    await node.serve();
    const ip = await node.add('c1');
    const [eni] = node.cloud.truth
      .enisOf(node.instance)
      .filter(({ blocks }) => blocks.join().includes(ip.split('/')[0] ?? ''));
    const { code, stdout } = await why('shop/pod-c1');
    expect(code).toBe(0);
    expect(stdout).toMatch(
      new RegExp(
        `^shop/pod-c1 has ${ip.split('/')[0]} on ${eni?.id} since \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ \\(\\d\\.\\d s\\); the cloud was last read \\d\\.\\d s ago\\n$`,
      ),
    );
    expect(JSON.parse((await why('c1', '--json')).stdout)).toMatchObject({ status: 'has-address', who: 'shop/pod-c1' });
  },
  LIMIT_MS,
);

test(
  'an ADD of what runs, into another namespace: refused and told, and the pod runs on',
  async () => {
    await node.serve();
    const ip = await node.add('c1');
    const netns = node.sandbox('other');
    const [lo] = node.kernel.namespaceAt(netns)?.links.values() ?? [];
    if (lo !== undefined) node.kernel.namespaceAt(netns)?.links.set('eth0', { ...lo, name: 'eth0', index: 9 });
    const links = new Map(node.kernel.host.links);
    const { json } = await node.cni('ADD', 'c1', { netns });
    expect(json).toMatchObject({ code: 4, msg: expect.stringContaining('eth0 of container c1 runs in /run/netns/c1') });
    expect(node.kernel.host.links).toEqual(links);
    const { lines } = await whyJson('shop/pod-c1');
    expect(lines[0]).toContain(`has ${ip.split('/')[0]} on eni-`);
    expect(lines[1]).toContain('was refused once');
    expect(lines[2]).toContain('BAD_REQUEST: eth0 of container c1');
  },
  LIMIT_MS,
);

test(
  'by its name alone; where several pods go by it, each with the command that asks for it',
  async () => {
    await node.serve();
    await node.add('c1');
    node.sandbox('d1');
    await node.cni('ADD', 'd1', { args: 'K8S_POD_NAMESPACE=blog;K8S_POD_NAME=pod-c1;K8S_POD_UID=u' });
    const { code, stdout } = await why('pod-c1');
    const commands = ['blog/pod-c1', 'shop/pod-c1'].map((pod) => `  underway why ${pod} --socket ${node.socket}\n`);
    expect({ code, stdout }).toEqual({ code: 2, stdout: `2 pods here go by pod-c1:\n${commands.join('')}` });
    expect(await whyJson('pod-c1')).toMatchObject({ status: 'ambiguous', pods: ['blog/pod-c1', 'shop/pod-c1'] });
    expect((await why('blog/pod-c1')).stdout).toMatch(/^blog\/pod-c1 has /);
    await node.cni('DEL', 'd1');
    // A container whose id begins so is another matter.
    await node.add('pod-c1');
    expect((await why('pod-c1')).stdout).toMatch(/^shop\/pod-c1 has /);
  },
  LIMIT_MS,
);

test(
  'pods that wait: their place, the reason with its numbers, when the next address is expected and what brings it',
  async () => {
    await node.serve({ ...FULL, cooldownUnderPressureMs: 20_000 });
    await node.add('c1');
    await node.cni('DEL', 'c1');
    const asked = ['c2', 'c3'].map((id) => {
      node.sandbox(id);
      return node.cni('ADD', id, { deadlineMs: 4_000 });
    });
    await node.until(async () => (await node.rows('waiter')).length === 2);
    const second = await whyJson('shop/pod-c3');
    expect(second).toMatchObject({
      status: 'waits',
      position: 2,
      waiting: 2,
      reason: { code: 'COOLING', text: expect.stringMatching(/cool down \(1\), the next is usable in \d+ s/) },
      expected: { by: 'cooldown', inMs: expect.any(Number) },
    });
    const { code, stdout } = await why('shop/pod-c2');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^shop\/pod-c2 has waited \d\.\d s for an address, 1st of 2 in the queue; it is answered in \d\.\d s at the latest\nCOOLING: /,
    );
    expect(stdout).toMatch(
      /see docs\/errors.md#cooling\nthe next address is expected in \d+ s, by the end of a cooldown\n$/,
    );
    const answers = await Promise.all(asked);
    expect(answers.map(({ json }) => json?.details)).toEqual(answers.map(() => expect.stringContaining('COOLING')));
  },
  LIMIT_MS,
);

test(
  'a pod that was refused: how often, why, and the same code in the metric; forgotten when it has its address',
  async () => {
    const daemon = await node.serve(FULL);
    await node.add('c1');
    node.sandbox('c2');
    const first = await node.cni('ADD', 'c2');
    await node.cni('ADD', 'c2');
    expect(first.json?.details).toContain('CEILING');
    const { code, stdout } = await why('shop/pod-c2');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^shop\/pod-c2 was refused 2 times, last \d\.\d s ago \(.*Z\); the runtime tries again\nCEILING: the pool's ceiling of 1 /,
    );
    expect(await whyJson('c2')).toMatchObject({
      status: 'refused',
      refused: { code: 'CEILING', text: first.json?.msg },
    });
    expect((await node.get('/metrics')).text).toContain(
      'underway_cni_refusals_total{command="ADD",reason="CEILING"} 2',
    );
    expect(daemon.reload(node.config({ pool: { targets: { floor: 2, headroom: 0, ceiling: 9 } } }))).toBeUndefined();
    await node.until(async () => (await node.cni('ADD', 'c2')).status === 200);
    expect((await why('shop/pod-c2')).code).toBe(0);
  },
  LIMIT_MS,
);

test(
  'a pod that asked for what it cannot have, or whose list is wrong: who it is, in the log too',
  async () => {
    await node.serve();
    node.sandbox('c1');
    const wish = { cniVersion: '1.0.0', name: 'underway', type: 'underway', runtimeConfig: { ips: ['10.0.0.9'] } };
    const refused = await node.cni('ADD', 'c1', { config: JSON.stringify(wish) });
    expect(refused.json).toMatchObject({ code: 2 });
    expect((await why('shop/pod-c1')).stdout).toMatch(
      /^shop\/pod-c1 was refused once, .*\nCONFIG_INVALID: runtimeConfig\.ips is \["10\.0\.0\.9"\].*\nsee .*\n$/,
    );
    const who = { command: 'ADD', network: 'underway', containerId: 'c1', ifname: 'eth0', pod: 'shop/pod-c1' };
    expect(node.log.find(({ msg }) => msg === 'invalid refused')).toMatchObject({ ...who, reason: 'CONFIG_INVALID' });
    await node.add('c1');
    expect((await why('shop/pod-c1')).code).toBe(0);
  },
  LIMIT_MS,
);

test(
  'a pod that CHECK found otherwise than it was wired: what CHECK said, until a CHECK is content or the pod ends',
  async () => {
    await node.serve();
    const ip = await node.add('c1');
    const interfaces = [{ name: 'eth0', sandbox: '/run/netns/c1' }];
    const check = (address: string) => {
      const prevResult = { cniVersion: '1.0.0', interfaces, ips: [{ address, interface: 0 }] };
      const config = { cniVersion: '1.0.0', name: 'underway', type: 'underway', prevResult };
      return node.cni('CHECK', 'c1', { config: JSON.stringify(config) });
    };
    expect((await check('10.0.9.9/32')).json?.details).toContain('NOT_AS_WIRED');
    const { code, stdout } = await why('pod-c1');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^shop\/pod-c1 has .*\nCHECK refused shop\/pod-c1 once, last .* ago \(.*Z\)\nNOT_AS_WIRED: .*10\.0\.9\.9/,
    );
    expect((await why()).stdout).toMatch(/\nrefused by CHECK: shop\/pod-c1 once, last \d\.\d s ago: NOT_AS_WIRED\n$/);
    expect((await check(ip)).status).toBe(200);
    expect((await why('pod-c1')).stdout).not.toContain('CHECK');
    await check('10.0.9.9/32');
    await node.cni('DEL', 'c1');
    expect(await whyJson('pod-c1')).toMatchObject({ status: 'unknown' });
  },
  LIMIT_MS,
);

test(
  'a pod whose link somebody removed: told in the log and by why until it ends; one that ended is not',
  async () => {
    await node.serve();
    for (const id of ['c1', 'c2']) await node.add(id);
    const [link] = node.kernel.namespaceAt('/run/netns/c1')?.peers.values() ?? [];
    await node.kernel.apply([{ do: 'delete-links', names: [link?.name ?? ''] }]);
    node.kernel.deleteNamespace('/run/netns/c2');
    await node.until(async () => (await node.rows('lease')).length === 0);
    expect((await why('pod-c1')).stdout).toMatch(
      /^shop\/pod-c1 lost its link \d\.\d s ago \(.*Z\)\nNOT_AS_WIRED: .*somebody removed its link uw[0-9a-f]{13},/,
    );
    expect((await why()).stdout).toMatch(/\nlink removed: shop\/pod-c1 once, last \d\.\d s ago: NOT_AS_WIRED\n$/);
    expect(node.log.filter(({ msg }) => msg === 'a pod lost its link')).toMatchObject([
      { level: 'warn', pod: 'shop/pod-c1', reason: 'NOT_AS_WIRED' },
    ]);
    expect(await whyJson('pod-c2')).toMatchObject({ status: 'unknown' });
    await node.cni('DEL', 'c1');
    expect(await whyJson('pod-c1')).toMatchObject({ status: 'unknown' });
  },
  LIMIT_MS,
);

test(
  'pods whose names a lost journal had: nothing is said of what they lack, but how to ask',
  async () => {
    await node.serve();
    const ip = await node.add('c1');
    await node.daemon?.stop();
    rmSync(node.stateDir, { recursive: true });
    await node.start();
    await node.until(async () => (await node.get('/readyz')).status === 200, 20_000);
    const { code, stdout } = await why('shop/pod-c1');
    expect(code).toBe(1);
    expect(stdout).toMatch(/^shop\/pod-c1 is not known here by that name; but 1 pod here has .* by container id only/);
    expect((await why('c1')).stdout).toContain(`c1 has ${ip.split('/')[0]} on eni-`);
  },
  LIMIT_MS,
);

test(
  'a pod with two interfaces: each is named and told, the one that is worse off first',
  async () => {
    await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 2 } } });
    await node.add('c1');
    expect((await node.cni('ADD', 'c1', { ifname: 'net1' })).status).toBe(200);
    const both = await why('pod-c1');
    expect(both.stdout).toMatch(/^shop\/pod-c1 has .* ago\nshop\/pod-c1’s net1 has .* ago\n$/);
    expect(both.code).toBe(0);
    await node.cni('ADD', 'c1', { ifname: 'net2' });
    const { code, stdout } = await why('pod-c1');
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^shop\/pod-c1’s net2 was refused once.*\nCEILING: .*\nsee .*\nshop\/pod-c1 has .*\nshop.*net1 has/,
    );
    expect(await whyJson('pod-c1')).toMatchObject({
      status: 'refused',
      others: [
        { status: 'has-address', ifname: 'eth0' },
        { status: 'has-address', ifname: 'net1' },
      ],
    });
  },
  LIMIT_MS,
);

test(
  'without a pod: the pool, what its targets come to, who waits and who was refused',
  async () => {
    await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 2 } } });
    const { code, stdout } = await why();
    expect(code).toBe(0);
    expect(stdout.replace(/subnet-\w+/, 'SUBNET')).toBe(
      [
        'pool default: 1 address on 1 ENI: 0 in use, 1 free, 0 cooling; 0 coming',
        'targets m5.4xlarge: 1 ENI, 1 address; absorbs a burst of 1 pod without a cloud call; grows to 1 ENI, 2 addresses (the ceiling)',
        'subnet SUBNET: not counted yet',
        'under way: no cloud call',
        '',
      ].join('\n'),
    );
    for (const id of ['c1', 'c2', 'c3']) {
      node.sandbox(id);
      await node.cni('ADD', id);
    }
    expect((await why()).stdout).toMatch(
      /2 in use, 0 free.*\nrefused: shop\/pod-c3 once, last \d\.\d s ago: CEILING\n$/s,
    );
    expect((await why('shop/nobody')).stdout).toMatch(/^shop\/nobody is not known here/);
    expect((await why('shop/nobody')).code).toBe(1);
  },
  LIMIT_MS,
);

test(
  'a daemon that is starting says what for; one that is not there, what to do next',
  async () => {
    expect(await why('shop/pod-c1')).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/no daemon listens at .*cni.sock.*see its log/),
    });
    node.provider.describeNode = async () => ({
      ok: false,
      failure: { kind: 'transient', source: 'metadata', code: 'MetadataUnreachable', message: 'no answer' },
    });
    await node.start();
    node.sandbox('c1');
    const asked = node.cni('ADD', 'c1', { deadlineMs: 3_000 });
    await node.until(async () => (await whyJson('c1')).status === 'waits');
    await node.until(async () => (await node.get('/v1/why?pod=c1')).text.includes('METADATA_UNREACHABLE'));
    const { code, stdout } = await why('shop/pod-c1');
    expect([code, stdout]).toEqual([
      1,
      expect.stringMatching(/has waited .*\nMETADATA_UNREACHABLE: the instance metadata service/),
    ]);
    expect((await why()).stdout).toMatch(/^not serving\nMETADATA_UNREACHABLE: /);
    expect((await asked).json?.details).toContain('METADATA_UNREACHABLE');
    expect(await whyJson('c1')).toMatchObject({ status: 'refused', refused: { code: 'METADATA_UNREACHABLE' } });
  },
  LIMIT_MS,
);

test(
  'a name that would steer the terminal is shown and does not; one without end is cut',
  async () => {
    await node.serve();
    for (const [id, name] of [
      ['c1', 'x\u001b[2Jy\nz\u202ew'],
      ['c2', 'n'.repeat(16_000)],
    ] as const) {
      node.sandbox(id);
      await node.cni('ADD', id, { args: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${name};K8S_POD_UID=u` });
    }
    expect((await why('c1')).stdout).toMatch(/^shop\/x\u{FFFD}\[2Jy\u{FFFD}z\u{FFFD}w has [^\n]*\n$/u);
    expect((await why('c2')).stdout).toMatch(/^shop\/n{315}… has /);
  },
  LIMIT_MS,
);

test(
  'a folder for a socket is called one',
  async () => {
    const { code, stderr } = await underway('why', '--socket', node.folder);
    expect([code, stderr]).toEqual([
      3,
      expect.stringContaining(`${node.folder} is no socket: --socket is the daemon’s`),
    ]);
  },
  LIMIT_MS,
);

test.each([[['a/b', 'c/d']], [['--jsn']], [['']]])('wrong use is exit code 2: %j', async (args) => {
  const { code, stderr } = await underway('why', ...args);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^underway: \S/)]);
});

test(
  'headroom auto: what it is now, and what it was learned from',
  async () => {
    await node.serve({ pool: { targets: { floor: 2, headroom: 'auto', ceiling: 9 } } });
    expect((await why()).stdout).toContain('headroom auto: no burst of late: nothing is kept ready\n');
    await Promise.all(['c1', 'c2', 'c3'].map((name) => node.add(name)));
    const { stdout } = await why();
    expect(stdout).toContain("headroom is learned from the node's own arrivals, 3 now\n");
    expect(stdout).toMatch(
      /headroom auto: a refill takes \d+\.\d s, and up to 3 pods came within that of late: 3 addresses are kept ready\n/,
    );
    expect(JSON.parse((await why('--json')).stdout)).toMatchObject({
      pools: [{ headroom: { headroom: 3, burst: 3 } }],
    });
  },
  LIMIT_MS,
);

test(
  'pods of an ENI that somebody detached: to be deleted, says why, and the log, the pool and readyz tell of them',
  async () => {
    await node.serve({ pool: { primaryEni: 'skip', targets: { floor: 2, headroom: 0, ceiling: 2 } } });
    const ip = await node.add('c1');
    const [eni] = node.cloud.truth.enisOf(node.instance).filter(({ blocks }) => blocks.includes(ip as Cidr));
    if (eni === undefined) throw new Error(`${ip} is on no ENI`);
    await node.provider.detachEni(eni.id, { force: true }, { signal: new AbortController().signal, timeoutMs: 5_000 });
    await node.until(async () => (await whyJson('shop/pod-c1')).status === 'lost', 15_000);
    const bare = ip.split('/')[0];
    const sentence = `the cloud no longer lists ${bare} on this node although a pod uses it: its ENI ${eni.id} was detached by somebody: delete the pod, its replacement gets another address`;
    expect(await whyJson('shop/pod-c1')).toMatchObject({ reason: { code: 'ADDRESS_LOST', text: sentence } });
    expect(node.log.filter(({ reason }) => reason === 'ADDRESS_LOST')).toEqual([
      expect.objectContaining({ level: 'warn', eni: eni.id, pods: ['shop/pod-c1'], ips: [bare], why: sentence }),
    ]);
    await node.until(async () => (await why()).stdout.includes('2 addresses on 1 ENI: 0 in use, 2 free'));
    expect((await why()).stdout).toContain(
      `\n1 pod has lost an address: shop/pod-c1\nADDRESS_LOST: ${sentence}\nsee docs/errors.md#address_lost\n`,
    );
    expect((await node.get('/readyz?verbose')).text).toMatch(/\[~\]addresses .*; 1 pod has lost an address/);
    await node.cni('DEL', 'c1');
    await node.until(async () => (await node.get('/readyz?verbose')).text.includes('[+]addresses'));
  },
  LIMIT_MS,
);
