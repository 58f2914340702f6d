/** The ends of what is sent: `traffic.c` in a namespace that listens, and for a moment in one that sends. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Kind } from './forwarding.ts';

const exec = promisify(execFile);
/** Of the packets that were sent; the rest may be still on its way. */
const ARRIVED_MIN = 0.9;

export class TrafficServer {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when it listens. */
  static async start(program: string, netns: string): Promise<TrafficServer> {
    const child = spawn(program, ['serve', netns], { stdio: ['pipe', 'pipe', 'inherit'] });
    await Promise.race([
      once(child.stdout as NodeJS.ReadableStream, 'data'),
      once(child, 'exit').then(() => Promise.reject(new Error(`nothing can listen in ${netns}`))),
    ]);
    return new TrafficServer(child);
  }

  /** Datagrams that came to its socket, which is always full. */
  get packets(): number {
    const lines = readFileSync(`/proc/${this.#child.pid}/net/snmp`, 'utf8').split('\n');
    const [names = [], values = []] = lines.filter((line) => line.startsWith('Udp: ')).map((line) => line.split(' '));
    return Number(values[names.indexOf('RcvbufErrors')]);
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    this.#child.stdin?.end();
    await once(this.#child, 'exit');
  }
}

/** How many a second. Rejects when what was sent did not arrive. */
export async function send(way: {
  readonly program: string;
  readonly kind: Kind;
  readonly netns: string;
  readonly to: string;
  readonly ms: number;
  readonly server: TrafficServer;
}): Promise<number> {
  const { program, kind, netns, to, ms, server } = way;
  const before = server.packets;
  const { stdout } = await exec(program, [kind, netns, to, String(ms)]);
  const rate = Number(stdout);
  const sent = (rate * ms) / 1_000;
  const arrived = server.packets - before;
  if (kind === 'smallPackets' && arrived < ARRIVED_MIN * sent)
    throw new Error(`of ${sent.toFixed(0)} packets from ${netns} to ${to} only ${arrived} arrived`);
  return rate;
}
