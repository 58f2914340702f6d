/** Pings that never stop, over one socket a way: how long a way was out, by what was sent and not answered. */
import { createSocket, type Socket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { familyOf, type Ip } from '../../../src/core/ip.ts';
import { openDatagram } from '../../../src/lab/probe/socket.ts';

export interface Way {
  readonly name: string;
  readonly netns: string;
  readonly to: Ip;
}

const EVERY_MS = 20;
/** What is answered is answered by then, also on a busy machine. */
const LATE_MS = 150;
/** A way that is out for so long is out for good. */
const OUT_MS = 5_000;
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
const ECHO_REPLY = { 4: 0, 6: 129 } as const;

export class Stream {
  readonly way: Way;
  private readonly socket: Socket;
  private readonly sentMs: number[] = [];
  private readonly answered = new Set<number>();
  private readonly timer: NodeJS.Timeout;

  private constructor(way: Way, socket: Socket) {
    this.way = way;
    this.socket = socket;
    const family = familyOf(way.to);
    socket.on('error', () => {});
    socket.on('message', (message) => {
      if (message[0] === ECHO_REPLY[family]) this.answered.add(message.readUInt16BE(6));
    });
    this.timer = setInterval(() => this.send(), EVERY_MS);
  }

  static async begin(way: Way): Promise<Stream> {
    const family = familyOf(way.to);
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    const fd = openDatagram(way.netns, { family, icmp: true });
    await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
    return new Stream(way, socket);
  }

  /** The longest time from a ping that was not answered to the next that was, in ms; for ever where none was in the end. */
  async stop(): Promise<number> {
    // Until something that was sent from now on is answered.
    const asked = this.sentMs.length;
    for (const endMs = performance.now() + OUT_MS; performance.now() < endMs && !this.hasAnswerFrom(asked); )
      await sleep(EVERY_MS);
    clearInterval(this.timer);
    await sleep(LATE_MS);
    await new Promise<void>((resolve) => this.socket.close(resolve));
    let longestMs = 0;
    let sinceMs: number | undefined;
    for (const [n, atMs] of this.sentMs.entries()) {
      if (!this.answered.has(n)) sinceMs ??= atMs;
      else {
        longestMs = Math.max(longestMs, atMs - (sinceMs ?? atMs));
        sinceMs = undefined;
      }
    }
    // What was sent last may be answered later than is waited for.
    return this.hasAnswerFrom(asked) ? longestMs : Number.POSITIVE_INFINITY;
  }

  private hasAnswerFrom(first: number): boolean {
    for (let n = first; n < this.sentMs.length; n++) if (this.answered.has(n)) return true;
    return false;
  }

  private send(): void {
    const request = Buffer.alloc(64);
    request.writeUInt8(ECHO_REQUEST[familyOf(this.way.to)], 0);
    request.writeUInt16BE(this.sentMs.length, 6);
    this.sentMs.push(performance.now());
    // A ping socket has no ports; Node wants one that is not 0. What is refused is not answered.
    this.socket.send(request, 1, this.way.to, () => {});
  }
}
