/** What no runtime should send, on the shim and on the socket: an error in CNI's words, and nothing has changed. */
import { spawn } from 'node:child_process';
import { request } from 'node:http';
import { connect } from 'node:net';
import { hostOf } from '../../../src/lab/demo/pods.ts';
import { Stage } from './stage.ts';

const LIMIT_MS = 30_000;
const FLOOR = 8;
const HUGE = 'x'.repeat(10 * 1024 * 1024);
const CONFIG = { cniVersion: '1.0.0', name: 'underway', type: 'underway' };
let stage: Stage;
let netns: string;

beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 't3.xlarge',
    daemonConfig: { pool: { targets: { floor: FLOOR, headroom: 0 } } },
  });
  await stage.atRest({ blocks: 2 * FLOOR });
  const [pod] = await stage.run(1);
  netns = pod?.netns ?? '';
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

let before: { readonly state: string; readonly kernel: readonly string[]; readonly blocks: readonly string[] };
const world = async () => ({
  state: (await stage.node.daemon.get('/v1/state'))?.body ?? '',
  kernel: await stage.kernelText(),
  blocks: stage.cloudBlocks(),
});
beforeAll(async () => {
  before = await world();
});
afterEach(async () => {
  expect((await stage.node.daemon.get('/livez'))?.status).toBe(200);
  expect(await world()).toEqual(before);
});

interface Heard {
  readonly status: number | null;
  readonly said: unknown;
}

const parsed = (text: string): unknown => (text === '' ? '' : JSON.parse(text));

/** The shim as a runtime runs it; undefined takes a variable away. */
function shim(env: Readonly<Record<string, string | undefined>>, stdin: string): Promise<Heard> {
  const all = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH: '/opt/cni/bin',
    ...env,
  };
  const child = spawn(hostOf(stage.node).plugin.binary, [], { env: all });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output += text;
  });
  child.stdin.on('error', () => {}).end(stdin);
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, said: parsed(output) })));
}

/** One POST of this text to the daemon. */
function post(body: string, { method = 'POST', path = '/v1/cni' } = {}): Promise<Heard> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath: stage.node.folder.socket, method, path, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const isJson = response.headers['content-type'] === 'application/json';
        resolve({ status: response.statusCode ?? 0, said: isJson ? parsed(text) : text });
      });
    });
    asked.on('error', reject).end(body);
  });
}

const error = (code: number, msg: RegExp = /\w/) => ({
  cniVersion: expect.stringMatching(/^\d\.\d\.\d$/),
  code,
  msg: expect.stringMatching(msg),
});

describe('on the shim', () => {
  const config = JSON.stringify(CONFIG);
  const cut = config.slice(0, -9);
  test.each<[string, Readonly<Record<string, string | undefined>>, string, number]>([
    ['cut JSON', {}, cut, 6],
    ['no JSON at all', {}, '\u0000\u0001\u0002', 6],
    ['nothing on stdin', {}, '', 6],
    ['10 MB on stdin', {}, HUGE, 7],
    ['a number for a configuration', {}, '42', 6],
    ['wrong types', {}, JSON.stringify({ ...CONFIG, name: 7 }), 7],
    ['no name', {}, JSON.stringify({ cniVersion: '1.0.0', type: 'underway' }), 7],
    ['a version of the future', {}, JSON.stringify({ ...CONFIG, cniVersion: '9.0.0' }), 1],
    ['an unknown verb', { CNI_COMMAND: 'EXPLODE' }, config, 4],
    ['an interface name with a slash', { CNI_IFNAME: 'eth/0' }, config, 4],
    ['an interface name too long', { CNI_IFNAME: 'e'.repeat(16) }, config, 4],
    ['an interface name of dots', { CNI_IFNAME: '..' }, config, 4],
    ['a container id with a path in it', { CNI_CONTAINERID: '../../etc' }, config, 4],
    ['no container id', { CNI_CONTAINERID: undefined }, config, 4],
    ['no namespace', { CNI_NETNS: undefined }, config, 4],
    ['no interface name', { CNI_IFNAME: undefined }, config, 4],
    ['a namespace that is a file', { CNI_NETNS: '/proc/self/status' }, config, 4],
    ['a namespace that is a folder', { CNI_NETNS: '/run/netns' }, config, 4],
    ['the loopback as interface name', { CNI_IFNAME: 'lo' }, config, 4],
    ['a namespace that is not there', { CNI_NETNS: '/run/netns/uwc-nobody' }, config, 103],
  ])('%s', async (_, env, stdin, code) => {
    expect(await shim(env, stdin)).toEqual({ status: 1, said: expect.objectContaining(error(code)) });
  });

  test('the node’s own namespace, by whatever path', async () => {
    const { instance, daemon } = stage.node;
    for (const CNI_NETNS of [instance.netns, `/proc/${daemon.pid}/ns/net`]) {
      const said = expect.objectContaining(error(4, /is the node's own network namespace/));
      expect(await shim({ CNI_NETNS }, config)).toEqual({ status: 1, said });
    }
  });

  test('a DEL of nobody succeeds', async () => {
    expect(await shim({ CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'nobody' }, config)).toEqual({ status: 0, said: '' });
  });
});

describe('on the socket', () => {
  const asked = () => ({ command: 'ADD', containerId: 'c1', netns, ifname: 'eth0', path: '/', config: CONFIG });
  const sent = (over: object) => JSON.stringify({ ...asked(), ...over });
  test.each<[string, () => string, number, number]>([
    ['cut JSON', () => sent({}).slice(0, -9), 400, 6],
    ['nothing', () => '', 400, 6],
    ['an array', () => '[]', 400, 6],
    ['a body of 10 MB', () => HUGE, 413, 6],
    ['10 MB of nested arrays', () => '['.repeat(2 * 1024 * 1024), 400, 6],
    ['an unknown verb', () => sent({ command: 'EXPLODE' }), 400, 4],
    ['a number for a verb', () => sent({ command: 7 }), 400, 6],
    ['a list for a container id', () => sent({ containerId: ['c1'] }), 400, 6],
    ['a bad interface name', () => sent({ ifname: 'eth0; rm -rf /' }), 400, 4],
    ['no namespace', () => sent({ netns: undefined }), 400, 4],
    ['a text for a deadline', () => sent({ deadlineMs: 'soon' }), 400, 6],
    ['a deadline before now', () => sent({ deadlineMs: -1 }), 400, 6],
    ['a configuration cut short', () => sent({ config: '{"cniVersion": "1.0' }), 400, 6],
    ['a number for a configuration', () => sent({ config: 42 }), 400, 6],
    [
      'a prototype for a configuration',
      () => sent({ config: `{"cniVersion": "1.0.0", "__proto__": {"name": "underway"}}` }),
      400,
      7,
    ],
  ])('%s', async (_, body, status, code) => {
    expect(await post(body())).toEqual({ status, said: expect.objectContaining(error(code)) });
  });

  test('another path and another method are told what there is', async () => {
    expect(await post('{}', { path: '/v1/nothing' })).toMatchObject({ status: 404 });
    expect(await post('{}', { method: 'PUT' })).toMatchObject({ status: 405 });
  });

  test('bytes that are no HTTP are answered 400, in CNI’s words', async () => {
    const said = await new Promise<string>((resolve, reject) => {
      const socket = connect(stage.node.folder.socket, () => socket.write('\u0016\u0003\u0001 hello\r\n\r\n'));
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      socket.on('error', reject).on('close', () => resolve(text));
    });
    const [head, body] = said.split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(parsed(body ?? '')).toEqual(expect.objectContaining(error(6)));
  });
});
