/** What is no request, or none that anybody sends: each is answered, and nothing changes by it. */
import { connect } from 'node:net';
import { TestNode } from './harness.ts';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

describe('malformed input', () => {
  const good = () => node.envelope('ADD', 'c1');
  const cases: readonly (readonly [string, () => string | Buffer, number, number])[] = [
    ['cut JSON', () => JSON.stringify(good()).slice(0, 60), 400, 6],
    ['nothing', () => '', 400, 6],
    ['10 MB of letters', () => 'x'.repeat(10 * 1024 * 1024), 413, 6],
    ['bytes that are no UTF-8', () => Buffer.from([0xff, 0xfe, 0x7b, 0x80]), 400, 6],
    ['a list', () => '[]', 400, 6],
    ['deep nesting', () => '['.repeat(100_000), 400, 6],
    ['an unknown verb', () => JSON.stringify({ ...good(), command: 'NUKE' }), 400, 4],
    ['a number as container id', () => JSON.stringify({ ...good(), containerId: 7 }), 400, 6],
    ['a path as container id', () => JSON.stringify({ ...good(), containerId: '../../etc' }), 400, 4],
    ['an interface name with a slash', () => JSON.stringify({ ...good(), ifname: 'a/b' }), 400, 4],
    ['an interface name of 16', () => JSON.stringify({ ...good(), ifname: 'a'.repeat(16) }), 400, 4],
    ['no netns', () => JSON.stringify({ ...good(), netns: undefined }), 400, 4],
    ['no container id', () => JSON.stringify({ ...good(), containerId: undefined }), 400, 4],
    ['a config that is no JSON', () => JSON.stringify({ ...good(), config: '{"cni' }), 400, 6],
    [
      'a config without a name',
      () => JSON.stringify({ ...good(), config: '{"cniVersion":"1.0.0","type":"x"}' }),
      400,
      7,
    ],
    [
      'a version nobody speaks',
      () => JSON.stringify({ ...good(), config: '{"cniVersion":"9.0.0","name":"n","type":"x"}' }),
      400,
      1,
    ],
    ['a deadline of text', () => JSON.stringify({ ...good(), deadlineMs: 'soon' }), 400, 6],
    ['__proto__', () => '{"__proto__":{"command":"ADD"}}', 400, 6],
  ];

  test('is answered with its CNI error, changes nothing, and the daemon lives', async () => {
    await node.serve();
    node.sandbox('c1');
    const before = (await node.rows('lease')).length + (await node.rows('address')).length;
    for (const [name, body, status, code] of cases) {
      const answer = await node.post(body());
      expect({ name, status: answer.status, code: answer.json?.code }).toEqual({ name, status, code });
      expect(typeof answer.json?.msg).toBe('string');
    }
    expect((await node.rows('lease')).length + (await node.rows('address')).length).toBe(before);
    expect(node.exits).toEqual([]);
    expect(await node.add('c9')).toMatch(/^10\.0\./);
  });

  test('a body without end is cut off', async () => {
    await node.serve();
    await expect(node.post(Buffer.alloc(40 * 1024 * 1024, 'x'))).rejects.toThrow(/EPIPE|ECONNRESET|hang up/);
    expect((await node.get('/livez')).status).toBe(200);
  });

  test.each([
    ['no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 .*"code":6/s],
    ['headers of 20 kB', `GET /livez HTTP/1.1\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 400 /],
    [
      'two lengths',
      'POST /v1/cni HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc',
      /^HTTP\/1\.1 400 /,
    ],
    [
      'a request that is node:http’s has its length, without which the shim takes it for malformed',
      'POST /v1/cni?by=hand HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n[]',
      /^HTTP\/1\.1 400 .*content-type: application\/json\r\ncontent-length: \d+\r\n.*"code":6/s,
    ],
    ['another method', 'DELETE /v1/cni HTTP/1.1\r\nhost: x\r\n\r\n', /^HTTP\/1\.1 405 /],
    ['another path', 'GET /__proto__ HTTP/1.1\r\nhost: x\r\n\r\n', /^HTTP\/1\.1 404 /],
  ])('%s', async (_, bytes, expected) => {
    await node.serve();
    const heard = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(node.socket, () => socket.write(bytes));
      socket.on('data', (chunk) => {
        text += chunk;
        socket.end();
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(text));
    });
    expect(heard).toMatch(expected);
    expect((await node.get('/livez')).status).toBe(200);
  });
});
