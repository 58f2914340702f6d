/**
 * One packet's worth of questions, asked from inside a namespace: does TCP get through, and whom did the other side
 * see; does UDP; does ICMP echo. A probe never rejects: what went wrong is its answer.
 */
import { createSocket } from 'node:dgram';
import { Socket } from 'node:net';
import { familyOf, type Ip } from '../../core/ip.ts';
import { ECHO_PORT } from './echo.ts';
import { beginConnect, openDatagram } from './socket.ts';

export interface ProbeTarget {
  /** Path of the namespace the probe is sent from. */
  readonly netns: string;
  readonly to: Ip;
  readonly port?: number;
  readonly timeoutMs?: number;
}

export type ProbeAnswer =
  /** `said` is the other side's line, such as `vm-1 saw 10.0.16.9`; empty for ICMP. */
  { readonly ok: true; readonly said: string; readonly ms: number } | { readonly ok: false; readonly why: string };

const TIMEOUT_MS = 1_500;
const ECHO_REQUEST = { 4: 8, 6: 128 } as const;
const ECHO_REPLY = { 4: 0, 6: 129 } as const;

/** Connects to an echo host and reads its line. */
export function probeTcp({ netns, to, port = ECHO_PORT, timeoutMs = TIMEOUT_MS }: ProbeTarget): Promise<ProbeAnswer> {
  return timed(timeoutMs, (answer) => {
    const fd = beginConnect(netns, { address: to, port });
    const socket = new Socket({ fd, readable: true, writable: true });
    let said = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      said += text;
    });
    socket.on('end', () => answer({ ok: said !== '', said: said.trim(), why: 'closed without a word' }));
    socket.on('error', (error) => answer({ ok: false, said, why: reasonOf(error) }));
    return () => socket.destroy();
  });
}

/** Sends one datagram to an echo host and reads its answer. */
export function probeUdp({ netns, to, port = ECHO_PORT, timeoutMs = TIMEOUT_MS }: ProbeTarget): Promise<ProbeAnswer> {
  return exchange({ netns, to, timeoutMs, icmp: false }, (socket, answer) => {
    socket.on('message', (message) => {
      answer({ ok: true, said: message.toString().split('\n')[0] ?? '', why: '' });
    });
    socket.send('probe', port, to, (error) => error && answer({ ok: false, said: '', why: reasonOf(error) }));
  });
}

/** One ICMP echo of `bytes` of payload. Needs the group range that the lab sets in its namespaces. */
export function ping({
  netns,
  to,
  timeoutMs = TIMEOUT_MS,
  bytes = 56,
}: Omit<ProbeTarget, 'port'> & { readonly bytes?: number }): Promise<ProbeAnswer> {
  const family = familyOf(to);
  const request = Buffer.alloc(8 + bytes);
  request.writeUInt8(ECHO_REQUEST[family], 0);
  request.writeUInt16BE(1, 6);
  return exchange({ netns, to, timeoutMs, icmp: true }, (socket, answer) => {
    socket.on('message', (message) => {
      if (message[0] === ECHO_REPLY[family]) answer({ ok: true, said: '', why: '' });
    });
    // A ping socket has no ports; Node wants one that is not 0.
    socket.send(request, 1, to, (error) => error && answer({ ok: false, said: '', why: reasonOf(error) }));
  });
}

interface Found {
  readonly ok: boolean;
  readonly said: string;
  readonly why: string;
}

function exchange(
  { netns, to, timeoutMs, icmp }: { netns: string; to: Ip; timeoutMs: number; icmp: boolean },
  begin: (socket: ReturnType<typeof createSocket>, answer: (found: Found) => void) => void,
): Promise<ProbeAnswer> {
  const family = familyOf(to);
  return timed(timeoutMs, (answer) => {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.on('error', (error) => answer({ ok: false, said: '', why: reasonOf(error) }));
    socket.bind({ fd: openDatagram(netns, { family, icmp }) }, () => begin(socket, answer));
    return () => socket.close();
  });
}

/** Runs until the first answer or the end of time, then cleans up. */
async function timed(timeoutMs: number, begin: (answer: (found: Found) => void) => () => void): Promise<ProbeAnswer> {
  const startedMs = performance.now();
  const { promise, resolve } = Promise.withResolvers<Found>();
  let end = () => {};
  const timer = setTimeout(() => resolve({ ok: false, said: '', why: `no answer in ${timeoutMs} ms` }), timeoutMs);
  try {
    end = begin(resolve);
    const { ok, said, why } = await promise;
    return ok ? { ok, said, ms: performance.now() - startedMs } : { ok: false, why };
  } catch (error) {
    return { ok: false, why: reasonOf(error) };
  } finally {
    clearTimeout(timer);
    end();
  }
}

const reasonOf = (error: unknown): string => {
  if (!Error.isError(error)) return String(error);
  return 'code' in error && typeof error.code === 'string' ? error.code : error.message;
};
