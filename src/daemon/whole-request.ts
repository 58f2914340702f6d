/**
 * The shim's way past node:http: a request to /v1/cni that came in one piece is taken and answered here, which costs an
 * ADD 0.3 ms less. Everything else (a person with curl, a large configuration, a slow or a broken sender) is node:http's
 * from its first byte on, with its limits.
 *
 * libuv accepts one connection a turn of the loop, so of a burst that is at the door each turn would bring one request.
 * Those are waited for and asked together: a batch has one step and one commit, and its deeds go to the kernel's worker
 * beside which this thread goes on (src/kernel/lone-deed.ts).
 */
import { type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpAnswer } from '../protocol/answer.ts';

/** For the first byte; from there on node:http counts. */
const FIRST_BYTE_TIMEOUT_MS = 5_000;
const REQUEST_LINE = 'POST /v1/cni HTTP/1.1\r\n';
const HEAD_END = '\r\n\r\n';
/** Of a request whose body is not simply the bytes after its head, or whose sender waits before it sends it. */
const NOT_PLAIN = /^(?:transfer-encoding|expect):/im;
const CONTENT_LENGTH = /^content-length: *(\d{1,7})\r?$/im;

/** Of the loop: one who connects and says nothing delays the others no longer than these. */
const TURN_COUNT_MAX = 16;

export const ANSWER_TYPE = 'application/json';

export type Answerer = (body: string, respond: (answer: HttpAnswer) => void) => () => void;

/** Stands before the server's own listener. The returned function cuts off whom it has not answered yet. */
export function takeWholeRequests(server: Server, answer: Answerer): () => void {
  const http = server.listeners('connection');
  server.removeAllListeners('connection');
  const open = new Set<Socket>();
  /** Of whom nothing was heard yet. */
  const unheard = new Set<Socket>();
  const asked: (() => void)[] = [];
  const begin = (turn: number): void => {
    if (unheard.size > 0 && turn < TURN_COUNT_MAX) return void setImmediate(begin, turn + 1);
    for (const ask of asked.splice(0)) ask();
  };
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    unheard.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      unheard.delete(socket);
    });
    socket.on('error', ignore);
    socket.setTimeout(FIRST_BYTE_TIMEOUT_MS, cut);
    socket.once('data', (first: Buffer) => {
      socket.setTimeout(0);
      socket.off('timeout', cut);
      unheard.delete(socket);
      const body = wholeBody(first);
      if (body !== undefined) {
        if (asked.length === 0) setImmediate(begin, 1);
        asked.push(converse(socket, body, answer));
        return;
      }
      open.delete(socket);
      socket.pause();
      socket.off('error', ignore);
      socket.unshift(first);
      for (const listener of http) listener.call(server, socket);
      process.nextTick(() => socket.resume());
    });
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}

/** The socket's `close` follows. */
const ignore = (): void => undefined;

function cut(this: Socket): void {
  this.destroy();
}

/** Asks when it is called; who goes before that is told as gone then. */
function converse(socket: Socket, body: string, answer: Answerer): () => void {
  let isAnswered = false;
  let isClosed = false;
  let gone: (() => void) | undefined;
  // Half open: who has stopped sending may still listen, but the shim does not; a killed one is heard of by this.
  socket.on('end', () => socket.writableEnded || socket.destroy());
  socket.on('close', () => {
    isClosed = true;
    if (!isAnswered) gone?.();
  });
  return () => {
    gone = answer(body, (answered) => {
      isAnswered = true;
      if (!socket.destroyed) socket.end(answerText(answered), () => socket.destroy());
    });
    if (isClosed && !isAnswered) gone();
  };
}

/** The body as text; undefined where the piece is anything but one request to /v1/cni. */
function wholeBody(piece: Buffer): string | undefined {
  if (piece.toString('latin1', 0, REQUEST_LINE.length) !== REQUEST_LINE) return undefined;
  const end = piece.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = piece.toString('latin1', 0, end + 2);
  const start = end + HEAD_END.length;
  const [, length] = CONTENT_LENGTH.exec(head) ?? [];
  if (length === undefined || piece.length - start !== Number(length) || NOT_PLAIN.test(head)) return undefined;
  return piece.toString('utf8', start);
}

/** The whole of an answer that is the last on its connection. */
export const answerText = ({ status, body }: HttpAnswer): string =>
  `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: ${ANSWER_TYPE}\r\n` +
  `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;
