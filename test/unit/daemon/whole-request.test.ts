/** What is answered without node:http, and what is left to it: the answer is the same. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerText, takeWholeRequests } from '../../../src/daemon/whole-request.ts';
import type { HttpAnswer } from '../../../src/protocol/answer.ts';

const ENVELOPE = '{"command":"ADD","args":"naïve"}';

let folder: string;
let path: string;
let server: Server;
let cutOff: () => void;
/** Bodies that came in one piece, and those that node:http heard. */
let whole: string[];
let rest: string[];
/** The former, by what was asked without a pause. */
let batches: string[][];
let gone: number;
let answer: ((answer: HttpAnswer) => void) | undefined;

const ok = (body: string): HttpAnswer => ({ status: 200, body });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'underway-whole-'));
  path = join(folder, 'sock');
  [whole, rest, batches, gone, answer] = [[], [], [], 0, undefined];
  let batch: string[] | undefined;
  server = createServer((asked, response) => {
    let body = '';
    asked.setEncoding('utf8').on('data', (text) => {
      body += text;
    });
    asked.on('end', () => {
      rest.push(`${asked.method} ${asked.url} ${body}`);
      response.end('{}');
    });
  });
  cutOff = takeWholeRequests(server, (body, respond) => {
    whole.push(body);
    if (batch === undefined) {
      batch = [];
      batches.push(batch);
      queueMicrotask(() => {
        batch = undefined;
      });
    }
    batch.push(body);
    answer = respond;
    if (!body.includes('wait')) respond(ok('{"é":1}'));
    return () => void gone++;
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
});

afterEach(async () => {
  cutOff();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

const post = (body: string, more = ''): string =>
  `POST /v1/cni HTTP/1.1\r\nHost: underway\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;

/** Sends the pieces a moment apart; everything that came back when the other side closed. */
function exchange(...pieces: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(path, async () => {
      for (const piece of pieces) {
        socket.write(piece);
        await new Promise((next) => setTimeout(next, 20));
      }
    });
    socket.setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', reject).on('close', () => resolve(text));
  });
}

const until = async (isTrue: () => boolean): Promise<void> => {
  for (let tries = 0; tries < 200 && !isTrue(); tries++) await new Promise((resolve) => setTimeout(resolve, 5));
};

test('a request in one piece is answered, its length in bytes, and its connection closed', async () => {
  expect(await exchange(post(ENVELOPE))).toBe(
    'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{"é":1}',
  );
  expect({ whole, rest }).toEqual({ whole: [ENVELOPE], rest: [] });
});

test('those that are at the door together are asked together', async () => {
  await Promise.all(Array.from({ length: 6 }, (_, n) => exchange(post(`{"n":${n}}`))));
  expect(batches.map(({ length }) => length)).toEqual([6]);
});

test('one who connects and says nothing holds nobody up', async () => {
  const silent = connect(path);
  await exchange(post(ENVELOPE));
  expect(whole).toEqual([ENVELOPE]);
  silent.destroy();
});

test.each([
  [400, 'Bad Request'],
  [413, 'Payload Too Large'],
  [503, 'Service Unavailable'],
])('an answer of status %d says %s', (status, words) => {
  expect(answerText({ status, body: 'é' })).toBe(
    `HTTP/1.1 ${status} ${words}\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\né`,
  );
});

test.each([
  ['in two pieces', [post(ENVELOPE).slice(0, 40), post(ENVELOPE).slice(40)]],
  ['whose body comes later', post(ENVELOPE).split(/(?<=\r\n\r\n)/)],
  ['whose sender waits to be asked for the body', [post(ENVELOPE, 'Expect: 100-continue\r\n')]],
  [
    'in chunks',
    [
      `POST /v1/cni HTTP/1.1\r\nHost: u\r\nTransfer-Encoding: chunked\r\n\r\n${Buffer.byteLength(ENVELOPE).toString(16)}\r\n${ENVELOPE}\r\n0\r\n\r\n`,
    ],
  ],
])('one %s is node:http’s', async (_, pieces) => {
  const text = await Promise.race([exchange(...pieces), new Promise((resolve) => setTimeout(resolve, 500))]);
  // It keeps the connection, as HTTP/1.1 asks.
  expect(text ?? '').toBe('');
  expect({ whole, rest }).toEqual({ whole: [], rest: [`POST /v1/cni ${ENVELOPE}`] });
});

test('what is no request to /v1/cni is node:http’s: a page, another method, bytes that are no HTTP', async () => {
  const status = await new Promise((resolve) => {
    request({ socketPath: path, path: '/metrics' }, (response) => resolve(response.resume().statusCode)).end();
  });
  expect(status).toBe(200);
  expect(await exchange('GET /v1/cni HTTP/1.1\r\nHost: u\r\nConnection: close\r\n\r\n')).toContain('200 OK');
  expect(await exchange('hello\r\n\r\n')).toContain('400 Bad Request');
  expect({ whole, rest }).toEqual({ whole: [], rest: ['GET /metrics ', 'GET /v1/cni '] });
});

test('a caller that goes before its answer is heard of once, and an answer that comes then does no harm', async () => {
  const socket = connect(path, () => socket.write(post('{"wait":true}')));
  await until(() => answer !== undefined);
  socket.destroy();
  await until(() => gone > 0);
  answer?.(ok('{}'));
  expect(gone).toBe(1);
});

test('callers that go before they are asked for are heard of too: beside a silent one, and in a burst', async () => {
  const silent = connect(path);
  const left = Array.from({ length: 20 }, () => {
    const socket = connect(path, () => socket.end(post('{"wait":1}'), () => socket.destroy()));
    return socket;
  });
  await until(() => gone === left.length);
  expect({ asked: whole.length, gone }).toEqual({ asked: left.length, gone: left.length });
  silent.destroy();
});

test('one that has its answer is not told as gone', async () => {
  const asked = exchange(post('{"wait":true}'));
  await until(() => answer !== undefined);
  answer?.(ok('{}'));
  expect(await asked).toContain('200 OK');
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(gone).toBe(0);
});

test('who is cut off at the end is heard of, and one that never sent a byte is closed too', async () => {
  const silent: Socket = connect(path);
  const closed = new Promise((resolve) => silent.on('close', resolve));
  const asked = exchange(post('{"wait":true}')).catch(() => 'reset');
  await until(() => answer !== undefined);
  cutOff();
  expect(['', 'reset']).toContain(await asked);
  await closed;
  await until(() => gone > 0);
  expect(gone).toBe(1);
});
