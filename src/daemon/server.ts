/**
 * HTTP/1.1 on the Unix socket, and what of it may also be heard on a TCP port (metrics and health).
 *
 * Invariants: every size, count and wait has a limit; an answer is one write (two cost the client 40 ms of Nagle and
 * delayed ACK on TCP); whatever comes in, the process lives; the socket is root's, 0600.
 */
import { chmodSync, lstatSync, mkdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { errorAnswer } from '../protocol/answer.ts';
import { CODE } from '../protocol/error.ts';
import { ENVELOPE_BYTES_MAX } from '../protocol/request.ts';
import { NEWEST_VERSION } from '../protocol/version.ts';
import { ANSWER_TYPE, type Answerer, answerText, takeWholeRequests } from './whole-request.ts';

/** Of a body that is too large this much is read and dropped, so that its sender hears why; then the line is cut. */
const DRAIN_BYTES_MAX = 16 * 1024 * 1024;
const HEADER_BYTES_MAX = 16 * 1024;
const HEADERS_TIMEOUT_MS = 5_000;
/** For a request to arrive whole; how long its answer may take is its own matter. */
const REQUEST_TIMEOUT_MS = 10_000;
const TIMEOUT_CHECK_MS = 1_000;
/** Above the longest deadline a caller may name (600 s). */
const IDLE_TIMEOUT_MS = 660_000;
/** 1,024 waiting ADDs (waiterCountMax), as many others, and people with curl. */
const CONNECTION_COUNT_MAX = 2_200;

/** A page: status, content type, text. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export interface Routes {
  /** POST /v1/cni. The returned function says that the caller is gone. */
  readonly cni: Answerer;
  /** What GET answers, by path without its query. */
  readonly pages: Readonly<Record<string, (query: URLSearchParams) => Page | Promise<Page>>>;
}

export interface Listening {
  /** Takes no connection any more; resolves when those there are have ended, or were cut after `graceMs`. */
  close(): Promise<void>;
}

/** A living process answers on the socket. */
export class SocketTakenError extends Error {
  override readonly name = 'SocketTakenError';
}

export interface SocketListening extends Listening {
  /** Where the socket at the path is not this one any more, listens there anew and says so; throws as at the start. */
  restore(): Promise<boolean>;
}

/** Listens on the Unix socket; a dead daemon's is replaced. Throws SocketTakenError where a living one answers. */
export async function listenOnSocket(path: string, routes: Routes): Promise<SocketListening> {
  /** Each with what cuts off its callers. */
  const servers = new Map<Server, () => void>();
  const begin = async (): Promise<number> => {
    const { server, inode } = await bound(path, (request, response) => handle(request, response, routes));
    servers.set(server, takeWholeRequests(server, routes.cni));
    return inode;
  };
  const isThere = (): boolean => lstatSync(path, { throwIfNoEntry: false })?.ino === inode;
  let inode = await begin();
  return {
    restore: async () => {
      if (isThere()) return false;
      const unheard = [...servers.keys()];
      inode = await begin();
      // Who came by the lost one is answered all the same.
      for (const server of unheard) server.close(() => servers.delete(server));
      return true;
    },
    close: async () => {
      if (isThere()) unlinkSync(path);
      await Promise.all(
        [...servers].map(([server, cutOff]) => {
          cutOff();
          return closed(server);
        }),
      );
    },
  };
}

async function bound(path: string, listener: RequestListener): Promise<{ server: Server; inode: number }> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there !== undefined && !there.isSocket()) throw new Error(`${path} is in the way: it is no socket`);
  if (there !== undefined && (await isAnswered(path)))
    throw new SocketTakenError(`another daemon answers on ${path}: one serves a node, so this one does not`);
  const server = limited(listener);
  // Bound under another name and renamed: never two moments with and without a socket, and libuv, which unlinks the
  // name it bound to on close, cannot take a successor's away.
  const draft = `${path}.${process.pid}`;
  const umask = process.umask(0o177);
  try {
    await listening(server, { path: draft });
  } finally {
    process.umask(umask);
  }
  chmodSync(draft, 0o600);
  renameSync(draft, path);
  return { server, inode: statSync(path).ino };
}

/** A daemon that has no time just now (EAGAIN) lives too. */
const isAnswered = (path: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EAGAIN'));
  });

/** Listens on `host:port` for pages only. */
export async function listenOnPort(address: string, pages: Routes['pages']): Promise<Listening> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const server = limited((request, response) => servePage(request, response, pages));
  await listening(server, { host, port: Number(address.slice(colon + 1)) });
  return { close: () => closed(server) };
}

function limited(listener: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
      noDelay: true,
    },
    listener,
  );
  server.maxConnections = CONNECTION_COUNT_MAX;
  server.timeout = IDLE_TIMEOUT_MS;
  // A connection that could not be accepted (too many open files): its caller tries again.
  server.on('error', () => undefined);
  server.on('clientError', (error, socket) => refuseBytes(error, socket as Socket));
  return server;
}

const listening = (server: Server, where: { path: string } | { host: string; port: number }): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, () => {
      server.off('error', reject);
      resolve();
    });
  });

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

/** Bytes that are no HTTP, or HTTP that came too slowly. */
function refuseBytes(error: Error, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const msg = `the request is no HTTP/1.1: ${error.message}`;
  socket.end(answerText(errorAnswer({ code: CODE.undecodable, msg }, NEWEST_VERSION)));
}

function handle(request: IncomingMessage, response: ServerResponse, routes: Routes): void {
  const path = (request.url ?? '').split('?', 1)[0];
  if (path !== '/v1/cni') return servePage(request, response, routes.pages);
  if (request.method !== 'POST') return send(response, page(405, 'POST /v1/cni takes CNI requests\n'));
  readBody(request, response, (body) => {
    const gone = routes.cni(body, (answer) => send(response, { ...answer, type: ANSWER_TYPE }));
    response.on('close', () => {
      if (!response.writableEnded) gone();
    });
  });
}

/** Calls back with the whole body as text; what is too long is answered here. */
function readBody(request: IncomingMessage, response: ServerResponse, whole: (body: string) => void): void {
  const chunks: Buffer[] = [];
  let length = 0;
  request.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= ENVELOPE_BYTES_MAX) chunks.push(chunk);
    else chunks.length = 0;
    if (length > DRAIN_BYTES_MAX) request.destroy();
  });
  request.on('end', () => {
    if (length <= ENVELOPE_BYTES_MAX) return whole(Buffer.concat(chunks).toString());
    const msg = `the request has more than ${ENVELOPE_BYTES_MAX} bytes`;
    const { body } = errorAnswer({ code: CODE.undecodable, msg }, NEWEST_VERSION);
    response.setHeader('connection', 'close');
    send(response, { status: 413, type: ANSWER_TYPE, body });
  });
  // A body that breaks off: nobody is there to answer.
  request.on('error', () => undefined);
}

function servePage(request: IncomingMessage, response: ServerResponse, pages: Routes['pages']): void {
  request.resume();
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const render = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (render === undefined) return send(response, page(404, `${Object.keys(pages).join('\n')}\n`));
  if (request.method !== 'GET') return send(response, page(405, `GET ${path}\n`));
  Promise.try(render, new URLSearchParams(query)).then(
    (rendered) => send(response, rendered),
    (error) => send(response, page(500, `${error}\n`)),
  );
}

const page = (status: number, body: string): Page => ({ status, type: 'text/plain; charset=utf-8', body });

/** With its length: else Node sends chunks, which the shim does not take. */
function send(response: ServerResponse, { status, type, body }: Page): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
}
