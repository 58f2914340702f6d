/**
 * The specification's contract, as a runtime meets it: the built binary and a real daemon (over a kernel and a cloud in
 * memory), every verb in every version, what no runtime should send, and a runtime that kills its plugin.
 */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { LINK_GROUP } from '../../../src/datapath/numbering.ts';
import { isSince, isSupported, SUPPORTED_VERSIONS } from '../../../src/protocol/version.ts';
import { ENV, type Run, Stand, shimBinary } from '../shim/stand.ts';
import { TestNode } from './harness.ts';

const binary = shimBinary();
const describeShim = binary === undefined ? describe.skip : describe;

const VERBS = ['ADD', 'CHECK', 'DEL', 'GC', 'STATUS', 'VERSION'] as const;
type Verb = (typeof VERBS)[number];
const SINCE = { ADD: '0.3.0', CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' } as const;
const VERSIONS = ['', '0.1.0', '0.2.0', ...SUPPORTED_VERSIONS, '1.2.0', '9.0.0'];

let node: TestNode;
let stand: Stand;

beforeAll(async () => {
  node = new TestNode();
  await node.serve({ pool: { families: [4, 6] } });
});
afterAll(() => node.close());
beforeEach(() => {
  stand = new Stand(binary ?? '');
  stand.configure(`socket=${node.socket}`, `state=${node.stateDir}`);
});
afterEach(() => stand.close());

const envOf = (id: string) => ({ ...ENV, CNI_CONTAINERID: id, CNI_NETNS: `/run/netns/${id}` });
const network = (cniVersion: string, more: object = {}) =>
  JSON.stringify({ ...(cniVersion !== '' && { cniVersion }), name: 'underway', type: 'underway', ...more });
const call = (verb: Verb, id: string, stdin: string) => stand.run({ ...envOf(id), CNI_COMMAND: verb }, stdin);

/** One JSON object of the specification's error type on stdout, nothing on stderr, exit status 1. */
function errorIn({ status, stdout, stderr }: Run, cniVersion: string): { readonly code: number; readonly msg: string } {
  const error = JSON.parse(stdout);
  expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
  expect(Object.keys(error).filter((key) => !['cniVersion', 'code', 'msg', 'details'].includes(key))).toEqual([]);
  expect(error.cniVersion).toBe(isSupported(cniVersion) ? cniVersion : '1.1.0');
  expect(error.msg).toMatch(/\w/);
  return error;
}

function expectResult(
  { status, stdout }: Run,
  { version, id }: { readonly version: string; readonly id: string },
): object {
  expect(status).toBe(0);
  const result = JSON.parse(stdout);
  expect(Object.keys(result)).toEqual(['cniVersion', 'interfaces', 'ips', 'routes']);
  expect(result.cniVersion).toBe(version);
  const size = version === '1.1.0' ? { mtu: 9001 } : {};
  const mac = expect.stringMatching(/^02(:[0-9a-f]{2}){5}$/);
  expect(result.interfaces).toEqual([
    { name: expect.stringMatching(/^uw[0-9a-f]{13}$/), mac, ...size },
    { name: 'eth0', mac, ...size, sandbox: `/run/netns/${id}` },
  ]);
  const isOld = ['0.3.0', '0.3.1', '0.4.0'].includes(version);
  const ip = (family: '4' | '6', address: RegExp) => ({
    ...(isOld && { version: family }),
    address: expect.stringMatching(address),
    gateway: expect.any(String),
    interface: 1,
  });
  expect(result.ips).toEqual([ip('4', /^10\..*\/32$/), ip('6', /^2001:.*\/128$/)]);
  expect(result.routes.map(({ dst }: { readonly dst: string }) => dst)).toEqual(['0.0.0.0/0', '::/0']);
  return result;
}

describeShim.each(VERSIONS)('version "%s"', (version) => {
  const id = `v${version}`.replaceAll('.', '-');
  const isAllowed = (verb: keyof typeof SINCE) => isSupported(version) && isSince(version, SINCE[verb]);

  test('every verb, and each of them twice', async () => {
    node.sandbox(id);
    let prevResult: object | undefined;
    for (const verb of ['STATUS', 'ADD', 'ADD', 'CHECK', 'CHECK', 'GC', 'GC', 'STATUS'] as const) {
      const stdin = network(version, { ...(verb === 'CHECK' && { prevResult: prevResult ?? {} }) });
      const run = await call(verb, id, stdin);
      if (!isAllowed(verb)) expect(errorIn(run, version).code).toBe(1);
      else if (verb !== 'ADD') expect(run).toMatchObject({ status: 0, stdout: '', stderr: '' });
      else {
        const result = expectResult(run, { version, id });
        // Byte by byte the same, for the same lease.
        if (prevResult !== undefined) expect(result).toEqual(prevResult);
        prevResult = result;
      }
    }
    // An old or odd version keeps no address from being freed; the namespace may be gone.
    for (const netns of [`/run/netns/${id}`, '', undefined]) {
      const { CNI_NETNS: _, ...env } = envOf(id);
      const given = netns === undefined ? {} : { CNI_NETNS: netns };
      const run = await stand.run({ ...env, ...given, CNI_COMMAND: 'DEL' }, network(version));
      expect(run).toMatchObject({ status: 0, stdout: '', stderr: '' });
    }
    expect(await node.rows('lease')).toEqual([]);
    const { status, stdout } = await call('VERSION', id, network(version));
    const cniVersion = version === '' ? '1.1.0' : version;
    expect({ status, ...JSON.parse(stdout) }).toEqual({ status: 0, cniVersion, supportedVersions: SUPPORTED_VERSIONS });
  }, 20_000);
});

describeShim.each(VERBS.filter((verb) => verb !== 'VERSION'))('%s', (verb) => {
  const good = network('1.1.0', verb === 'CHECK' ? { prevResult: {} } : {});

  test.each<[string, string, number]>([
    ['nothing', '', 6],
    ['cut JSON', good.slice(0, -3), 6],
    ['no object', '["1.1.0"]', 6],
    ['null', 'null', 6],
    ['a name that is a number', '{"cniVersion":"1.1.0","name":7,"type":"underway"}', 7],
    ['no name', '{"cniVersion":"1.1.0","type":"underway"}', 7],
    ['an empty name', '{"cniVersion":"1.1.0","name":"","type":"underway"}', 7],
    ['a name with a slash', '{"cniVersion":"1.1.0","name":"a/b","type":"underway"}', 7],
    ['a name of 81 characters', `{"cniVersion":"1.1.0","name":"${'n'.repeat(81)}","type":"underway"}`, 7],
  ])('with %s on stdin', async (_, stdin, code) => {
    node.sandbox('odd');
    const before = JSON.stringify(await node.rows('lease'));
    const error = errorIn(await call(verb, 'odd', stdin), '1.1.0');
    expect(error.code).toBe(code);
    if (verb === 'DEL') expect(error.msg).not.toMatch(/not found|no such file/i);
    expect(JSON.stringify(await node.rows('lease'))).toBe(before);
  });
});

describeShim('CNI_ARGS', () => {
  const PAIRS = [
    'IgnoreUnknown=1',
    'K8S_POD_NAMESPACE=shop',
    'K8S_POD_NAME=web',
    'K8S_POD_UID=u1',
    'X=1=2',
    'broken',
    '',
  ];

  test('are read in any order, with whatever stands between', async () => {
    node.sandbox('args');
    for (let shift = 0; shift < PAIRS.length; shift++) {
      const args = [...PAIRS.slice(shift), ...PAIRS.slice(0, shift)].join(';');
      const run = await stand.run({ ...envOf('args'), CNI_COMMAND: 'ADD', CNI_ARGS: args }, network('1.0.0'));
      expect(run.status).toBe(0);
      const pod = { namespace: 'shop', name: 'web', uid: 'u1' };
      expect(await node.rows('lease')).toEqual([expect.objectContaining({ pod })]);
      expect(await call('DEL', 'args', network('1.0.0'))).toMatchObject({ status: 0 });
    }
  }, 20_000);
});

describeShim('a runtime that kills its plugin', () => {
  test('at any moment of an ADD, and then deletes: nothing is left of the pod', async () => {
    for (let n = 0; n < 30; n++) {
      const id = `killed${n}`;
      node.sandbox(id);
      const env = { ...envOf(id), CNI_COMMAND: 'ADD' };
      const child = spawn(`${stand.folder}/underway`, { env, stdio: ['pipe', 'ignore', 'ignore'] });
      child.stdin.on('error', () => undefined);
      child.stdin.end(network('1.0.0'));
      const ended = new Promise((resolve) => child.once('close', resolve));
      await sleep(n / 3);
      child.kill('SIGKILL');
      await ended;
      expect(await call('DEL', id, network('1.0.0'))).toMatchObject({ status: 0, stdout: '' });
    }
    expect(await node.rows('lease')).toEqual([]);
    expect(await node.rows('waiter')).toEqual([]);
    const links = [...node.kernel.host.links.values()].filter(({ name }) => name.startsWith('uw'));
    expect(links.filter(({ group }) => group === LINK_GROUP.live)).toEqual([]);
  }, 30_000);
});
