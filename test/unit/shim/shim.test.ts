import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SUPPORTED_VERSIONS } from '../../../src/protocol/version.ts';
import { ENV, errorIn, refuse, Stand, shimBinary, understood } from './stand.ts';

const binary = shimBinary();
// Without a C compiler there is no binary to test; `npm run build:shim` says how to get one.
const describeShim = binary === undefined ? describe.skip : describe;

const RESULT = '{"cniVersion":"1.0.0","interfaces":[],"ips":[]}';

let stand: Stand;
beforeEach(() => {
  stand = new Stand(binary ?? '');
});
afterEach(() => stand.close());

describeShim('without the daemon', () => {
  test.each([
    ['the version asked for', '{"cniVersion":"0.4.0"}', '0.4.0'],
    ['spaced and not first', '{ "a" : {"cniVersion":"9"}, "b":["\\"{",1],\n "cniVersion" : "1.0.0" }', '1.0.0'],
    ['no stdin', '', '1.1.0'],
    ['garbage', '}}]"cniVersion":"0.4.0', '1.1.0'],
    ['a value that is not to be echoed', '{"cniVersion":"1.0.0\\"}"}', '1.1.0'],
    ['a number', '{"cniVersion":1}', '1.1.0'],
    ['a long value', `{"cniVersion":"${'1'.repeat(33)}"}`, '1.1.0'],
  ])('VERSION: %s', async (_, stdin, cniVersion) => {
    const { status, stdout } = await stand.run({ CNI_COMMAND: 'VERSION' }, stdin);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      cniVersion,
      supportedVersions: SUPPORTED_VERSIONS,
    });
  });

  test('no verb: says who it is on stderr', async () => {
    const run = await stand.run({});
    expect(run).toMatchObject({ status: 0, stdout: '' });
    expect(run.stderr).toMatch(/^Underway CNI plugin: .*\n/);
    expect(run.stderr).toContain(`versions supported: ${SUPPORTED_VERSIONS.join(', ')}\n`);
  });

  test.each<[string, Record<string, string>, string]>([
    ['an unknown verb', { CNI_COMMAND: 'FLY' }, 'CNI_COMMAND'],
    ['a verb in small letters', { CNI_COMMAND: 'add' }, 'CNI_COMMAND'],
    ['ADD with nothing', { CNI_COMMAND: 'ADD' }, 'CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_PATH'],
    ['DEL with nothing', { CNI_COMMAND: 'DEL' }, 'missing: CNI_CONTAINERID, CNI_IFNAME, CNI_PATH'],
    ['CHECK without a namespace', { ...ENV, CNI_COMMAND: 'CHECK', CNI_NETNS: '' }, 'missing: CNI_NETNS'],
    ['GC with nothing', { CNI_COMMAND: 'GC' }, 'missing: CNI_PATH'],
    ['STATUS with nothing', { CNI_COMMAND: 'STATUS' }, 'missing: CNI_PATH'],
    ['a container that is a path', { ...ENV, CNI_COMMAND: 'DEL', CNI_CONTAINERID: '../x' }, 'CNI_CONTAINERID'],
    ['a container too long', { ...ENV, CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'c'.repeat(129) }, 'CNI_CONTAINERID'],
    ['ifname ..', { ...ENV, CNI_COMMAND: 'DEL', CNI_IFNAME: '..' }, 'CNI_IFNAME'],
    ['ifname with a slash', { ...ENV, CNI_COMMAND: 'DEL', CNI_IFNAME: 'a/b' }, 'CNI_IFNAME'],
    ['ifname with a space', { ...ENV, CNI_COMMAND: 'DEL', CNI_IFNAME: 'a b' }, 'CNI_IFNAME'],
    ['ifname too long', { ...ENV, CNI_COMMAND: 'DEL', CNI_IFNAME: 'i'.repeat(16) }, 'CNI_IFNAME'],
    ['a namespace too long', { ...ENV, CNI_COMMAND: 'ADD', CNI_NETNS: `/${'n'.repeat(4095)}` }, 'CNI_NETNS'],
    ['arguments too long', { ...ENV, CNI_COMMAND: 'ADD', CNI_ARGS: 'a'.repeat(16_385) }, 'CNI_ARGS'],
    ['a path too long', { ...ENV, CNI_COMMAND: 'ADD', CNI_PATH: '/'.repeat(16_385) }, 'CNI_PATH'],
  ])('bad environment: %s', async (_, env, words) => {
    const error = errorIn(await stand.run(env));
    expect(error).toMatchObject({
      code: 4,
      details: expect.stringMatching(/^BAD_REQUEST, .*: said by the CNI binary$/),
    });
    expect(error.msg).toContain(words);
  });

  test.each<[string, Record<string, string>, string]>([
    ['a container', { ...ENV, CNI_COMMAND: 'ADD', CNI_CONTAINERID: '../x' }, '; it is "../x"'],
    ['an interface', { ...ENV, CNI_COMMAND: 'ADD', CNI_IFNAME: 'a "b"\n\u0001é' }, '; it is "a \\"b\\"\\n\\u0001é"'],
    ['a verb', { CNI_COMMAND: 'FLY' }, '; it is "FLY"'],
    ['a megabyte', { CNI_COMMAND: 'x'.repeat(100_000) }, `; it is "${'x'.repeat(64)}"...`],
    ['no text', { CNI_COMMAND: '\u{1f600}'.repeat(17) }, `; it is "${'\u{1f600}'.repeat(16)}"...`],
    [
      'half a letter',
      { CNI_COMMAND: `x${'\u{1f600}'.repeat(17)}` },
      `; it is "x${'\u{1f600}'.repeat(15)}\\ufffd\\ufffd\\ufffd"...`,
    ],
    ['a lie', { ...ENV, CNI_COMMAND: 'DEL', CNI_CONTAINERID: 'x Not Found' }, '; it is "x not there"'],
  ])('bad environment is shown, bounded and escaped: %s', async (_, env, shown) => {
    const { msg } = errorIn(await stand.run(env));
    expect(msg.slice(msg.indexOf('; it is'))).toBe(shown);
  });

  test.each<[string, string | Buffer | null, number]>([
    ['more than 1 MiB on stdin', `{"x":"${'x'.repeat(1 << 20)}"}`, 7],
    ['a megabyte of control characters', Buffer.alloc(1 << 20, 1), 6],
    ['stdin that never ends', null, 5],
  ])('bad input: %s', async (_, stdin, code) => {
    stand.configure('deadline_ms=300');
    const run = await stand.verb('ADD', {}, stdin);
    expect(errorIn(run).code).toBe(code);
    expect(run.ms).toBeLessThan(2_000);
  });

  test.each([
    ['a relative socket', 'socket=run/x.sock', 3],
    ['a long socket', `socket=/${'x'.repeat(107)}`, 3],
    ['no state', 'state=', 3],
    ['a deadline that is no number', 'deadline_ms=5s', 3],
    ['a deadline out of range', 'deadline_ms=600001', 3],
    ['a file too large', '#'.repeat(5_000), 1],
  ])('bad underway.conf: %s', async (_, line, number) => {
    stand.configure(line);
    const error = errorIn(await stand.verb('ADD'));
    expect(error).toMatchObject({ code: 7, details: expect.stringMatching(/^CONFIG_INVALID, /) });
    expect(error.msg).toContain(`underway.conf line ${number}:`);
  });

  test('ADD and CHECK and GC: try again later, in the version asked for, within the time set', async () => {
    stand.configure('deadline_ms=600');
    for (const verb of ['ADD', 'CHECK', 'GC']) {
      const run = await stand.verb(verb);
      const details = 'DAEMON_STARTING, see docs/errors.md#daemon_starting: said by the CNI binary';
      expect(errorIn(run)).toMatchObject({ cniVersion: '1.0.0', code: 11, details });
      expect(run.stdout).toMatch(/cannot be reached on \S+cni\.sock after \d+ ms \(ENOENT/);
      expect(run.ms).toBeGreaterThan(180);
      expect(run.ms).toBeLessThan(1_500);
    }
  });

  test('a socket that nobody listens on any more', async () => {
    await (await stand.serveRaw(() => undefined)).stop();
    writeFileSync(stand.socket, '');
    stand.configure('deadline_ms=300');
    expect(errorIn(await stand.verb('ADD')).msg).toContain('ECONNREFUSED');
  });
});

describeShim('carries the request', () => {
  test('environment and configuration arrive as they were, the result comes out byte for byte', async () => {
    const bodies: string[] = [];
    const heads: (string | undefined)[] = [];
    await stand.serve((body, response, request) => {
      bodies.push(body);
      heads.push(request.method, request.url, request.headers['content-type'], request.httpVersion);
      response.end(`${RESULT}\n`);
    });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const args = 'K8S_POD_NAMESPACE=a;K8S_POD_NAME=b\\"\n\u0001é€😀';
    const config = `{\t"cniVersion": "1.0.0",\r\n"name":"underway","type":"underway","note":"\\"q\\" \\u0000 é€😀"}\n`;
    const run = await stand.verb('ADD', { CNI_ARGS: args, TRACEPARENT: traceparent }, config);
    expect(run).toMatchObject({ status: 0, stdout: `${RESULT}\n`, stderr: '' });
    expect(heads).toEqual(['POST', '/v1/cni', 'application/json', '1.1']);
    const { deadlineMs, ...envelope } = JSON.parse(bodies[0] ?? '');
    expect(envelope).toEqual({
      command: 'ADD',
      containerId: 'c1',
      netns: '/var/run/netns/cni-1',
      ifname: 'eth0',
      args,
      path: '/opt/cni/bin',
      traceparent,
      config,
    });
    expect(deadlineMs).toBeGreaterThan(2_500);
    expect(deadlineMs).toBeLessThanOrEqual(3_000);
    expect(understood(bodies[0] ?? '')).toMatchObject({ verb: 'ADD', pod: { namespace: 'a' } });
  });

  test('what is not set is not sent; a trace that is none is dropped; GC names no container', async () => {
    const bodies: string[] = [];
    await stand.serve((body, response) => {
      bodies.push(body);
      response.end(RESULT);
    });
    await stand.run({
      CNI_COMMAND: 'DEL',
      CNI_CONTAINERID: 'c1',
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/p',
      TRACEPARENT: 'x',
    });
    await stand.verb('GC', { CNI_CONTAINERID: 'not a container id' });
    expect(bodies.map((body) => Object.keys(JSON.parse(body)))).toEqual([
      ['command', 'containerId', 'ifname', 'path', 'config', 'deadlineMs'],
      ['command', 'path', 'config', 'deadlineMs'],
    ]);
  });

  test('bytes that are not UTF-8 become U+FFFD, as in Go', async () => {
    const bodies: string[] = [];
    await stand.serve((body, response) => {
      bodies.push(body);
      response.end(RESULT);
    });
    await stand.verb('ADD', {}, Buffer.from([0x7b, 0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xe2, 0x82, 0x7d, 0]));
    expect(JSON.parse(bodies[0] ?? '').config).toBe(`{${'\ufffd'.repeat(8)}}\0`);
  });

  test('a megabyte in and a megabyte out', async () => {
    const filler = 'x"\\'.repeat(250_000);
    const large = JSON.stringify({ cniVersion: '1.0.0', filler: 'y'.repeat((1 << 20) - 40) });
    let config = '';
    await stand.serve((body, response) => {
      config = JSON.parse(body).config;
      response.end(large);
    });
    const run = await stand.verb('ADD', {}, filler);
    expect(config === filler).toBe(true);
    expect(run.status).toBe(0);
    expect(run.stdout === large).toBe(true);
  });

  test.each(['DEL', 'CHECK', 'GC', 'STATUS'])('%s may be answered with nothing', async (verb) => {
    await stand.serve((_, response) => response.end());
    expect(await stand.verb(verb)).toMatchObject({ status: 0, stdout: '', stderr: '' });
  });

  test.each(['ADD', 'DEL', 'CHECK', 'GC', 'STATUS'])(
    '%s: the daemon’s error comes out, exit status 1',
    async (verb) => {
      const body = '{"cniVersion":"1.0.0","code":11,"msg":"no free address"}';
      await stand.serve((_, response) => refuse(response, body));
      expect(await stand.verb(verb)).toMatchObject({ status: 1, stdout: body });
    },
  );

  test('a reply that comes byte by byte', async () => {
    await stand.serveRaw(async (socket) => {
      socket.on('data', () => undefined);
      for (const byte of `HTTP/1.1 200 OK\r\ncontent-LENGTH: \t${RESULT.length} \r\n\r\n${RESULT}`) {
        socket.write(byte);
        await sleep(1);
      }
    });
    expect(await stand.verb('ADD')).toMatchObject({ status: 0, stdout: RESULT });
  });

  test('a daemon that refuses before it read the whole request', async () => {
    const body = '{"code":7,"msg":"too large"}';
    await stand.serveRaw((socket) => {
      socket.pause();
      socket.end(`HTTP/1.1 413 X\r\nContent-Length: ${body.length}\r\n\r\n${body}`, () => socket.destroy());
    });
    expect(await stand.verb('ADD', {}, 'x'.repeat(1 << 20))).toMatchObject({ status: 1, stdout: body });
  });
});

describeShim('a daemon that goes and comes', () => {
  test('ADD waits for one that is starting', async () => {
    const run = stand.verb('ADD');
    await sleep(300);
    await stand.serve((_, response) => response.end(RESULT));
    expect(await run).toMatchObject({ status: 0, stdout: RESULT });
  });

  test('ADD is sent again to the next daemon when one dies with it', async () => {
    let taken: (() => void) | undefined;
    const first = new Promise<void>((resolve) => {
      taken = resolve;
    });
    const old = await stand.serve(() => taken?.());
    const run = stand.verb('ADD');
    await first;
    await old.stop();
    await sleep(200);
    const bodies: string[] = [];
    await stand.serve((body, response) => {
      bodies.push(body);
      response.end(RESULT);
    });
    expect(await run).toMatchObject({ status: 0, stdout: RESULT });
    expect(bodies).toHaveLength(1);
    expect(JSON.parse(bodies[0] ?? '').deadlineMs).toBeLessThan(2_850);
  });

  test('ADD is sent again after half a reply', async () => {
    let tries = 0;
    await stand.serveRaw((socket) => {
      socket.once('data', () => {
        const reply = `HTTP/1.1 200 OK\r\nContent-Length: ${RESULT.length}\r\n\r\n${RESULT}`;
        socket.end(tries++ < 3 ? reply.slice(0, -tries * 20) : reply);
      });
    });
    expect(await stand.verb('ADD')).toMatchObject({ status: 0, stdout: RESULT });
    expect(tries).toBe(4);
  });

  test('ADD to a daemon that dies of it each time ends at its own deadline', async () => {
    stand.configure('deadline_ms=700');
    await stand.serveRaw((socket) => socket.once('data', () => socket.destroy()));
    const run = await stand.verb('ADD');
    expect(errorIn(run)).toMatchObject({ code: 11 });
    expect(run.stdout).toContain('broke the connection off');
    expect(run.ms).toBeGreaterThan(450);
    expect(run.ms).toBeLessThan(2_000);
  });

  test.each(['ADD', 'CHECK', 'GC'])('%s that is never answered ends at the deadline', async (verb) => {
    stand.configure('deadline_ms=400');
    await stand.serve(() => undefined);
    const run = await stand.verb(verb);
    expect(errorIn(run)).toMatchObject({ code: 11 });
    expect(run.stdout).toContain('did not answer');
    expect(run.ms).toBeGreaterThan(390);
    expect(run.ms).toBeLessThan(1_500);
  });
});

describeShim('STATUS', () => {
  const heartbeat = (ageS: number) => {
    mkdirSync(stand.state, { recursive: true });
    writeFileSync(join(stand.state, 'heartbeat'), '');
    utimesSync(join(stand.state, 'heartbeat'), Date.now() / 1000 - ageS, Date.now() / 1000 - ageS);
  };

  test.each<[string, number | undefined, number]>([
    ['a moment ago', 0, 0],
    ['55 s ago', 55, 0],
    ['61 s ago', 61, 1],
    ['in the future', -30, 1],
    ['never', undefined, 1],
  ])('with the daemon away, its last heartbeat %s', async (_, ageS, status) => {
    if (ageS !== undefined) heartbeat(ageS);
    const run = await stand.verb('STATUS');
    expect(run.status).toBe(status);
    if (status === 1) expect(errorIn(run).code).toBe(50);
    else expect(run.stdout).toBe('');
    expect(run.ms).toBeLessThan(700);
  });

  test.each<[string, number, number]>([
    ['a fresh heartbeat', 1, 0],
    ['an old heartbeat', 90, 1],
  ])('that is never answered ends within a second: %s', async (_, ageS, status) => {
    stand.configure();
    heartbeat(ageS);
    await stand.serve(() => undefined);
    const run = await stand.verb('STATUS');
    expect(run.status).toBe(status);
    // 800 ms in the shim; the rest is what a busy machine takes to start it.
    expect(run.ms).toBeGreaterThan(790);
    expect(run.ms).toBeLessThan(1_200);
  });

  test('the daemon’s own word counts, whatever the heartbeat says', async () => {
    heartbeat(0);
    await stand.serve((_, response) => refuse(response, '{"code":50,"msg":"starting"}'));
    expect(errorIn(await stand.verb('STATUS')).code).toBe(50);
  });
});

describeShim('an answer that is none', () => {
  const reply = (head: string, body = RESULT) => `HTTP/1.1 ${head}\r\n\r\n${body}`;
  const length = `Content-Length: ${RESULT.length}`;

  test.each<[string, string, number]>([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n', 120],
    ['HTTP/2', `HTTP/2.0 200 OK\r\n${length}\r\n\r\n${RESULT}`, 120],
    ['no number', reply(`2x0 OK\r\n${length}`), 120],
    ['an interim status', reply(`100 Continue\r\n${length}`), 120],
    ['no length', reply('200 OK\r\nServer: x'), 120],
    ['two lengths', reply(`200 OK\r\n${length}\r\n${length}`), 120],
    ['a negative length', reply('200 OK\r\nContent-Length: -1'), 120],
    ['a length that is no number', reply('200 OK\r\nContent-Length: 0x10'), 120],
    ['a long number', reply('200 OK\r\nContent-Length: 99999999999999999999'), 120],
    ['chunks', reply('200 OK\r\nTransfer-Encoding: chunked', `5\r\nhello\r\n0\r\n\r\n`), 120],
    ['a header without a colon', reply(`200 OK\r\n${length}\r\nodd`), 120],
    ['more than it said', reply(`200 OK\r\n${length}`, `${RESULT}x`), 120],
    ['a head without end', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(9_000)}`, 120],
    ['more than 1 MiB', reply('200 OK\r\nContent-Length: 1048577', ''), 121],
    ['a page', reply('200 OK\r\nContent-Length: 13', '<html></html>'), 120],
    ['nothing for an ADD', reply('200 OK\r\nContent-Length: 0', ''), 120],
    ['nothing as an error', reply('500 Oops\r\nContent-Length: 0', ''), 120],
    ['text as an error', reply('500 Oops\r\nContent-Length: 4', 'oops'), 120],
  ])('%s', async (_, bytes, code) => {
    await stand.serveRaw((socket) => socket.once('data', () => socket.write(bytes)));
    const run = await stand.verb('ADD');
    expect(errorIn(run)).toMatchObject({ cniVersion: '1.0.0', code });
    expect(run.ms).toBeLessThan(1_000);
  });
});
