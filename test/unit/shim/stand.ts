/**
 * A stand for the CNI binary: a folder of its own with the binary, its underway.conf, a state folder and a socket on
 * which a test puts a real HTTP server (or a raw one, to misbehave on).
 */
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createRawServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildShim, findCompiler, isUpToDate } from '../../../deploy/build-shim.ts';
import { type CniRequest, parseRequest } from '../../../src/protocol/request.ts';

/** `UNDERWAY_SANITIZED=1` runs the same tests on a build with AddressSanitizer and UBSan. */
const sanitized = process.env.UNDERWAY_SANITIZED === '1';

/** The binary, built when it is older than its sources; undefined when this machine has no C compiler. */
export function shimBinary(): string | undefined {
  const folder = sanitized ? 'shim-sanitized' : 'shim';
  const binary = fileURLToPath(new URL(`../../../build/${folder}/underway`, import.meta.url));
  if (isUpToDate(binary)) return binary;
  const compiler = findCompiler();
  if (compiler !== undefined) buildShim({ compiler, binary, sanitized });
  return compiler && binary;
}

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export const CONFIG = '{"cniVersion":"1.0.0","name":"underway","type":"underway"}';

export const ENV: Readonly<Record<string, string>> = {
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/var/run/netns/cni-1',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};

export type Answer = (body: string, response: ServerResponse, request: IncomingMessage) => void;

/** An error as the daemon sends it: with its length (src/protocol/answer.ts). */
export const refuse = (response: ServerResponse, body: string) =>
  response.writeHead(503, { 'content-length': Buffer.byteLength(body) }).end(body);

/** What it said on stdout as it failed. */
export const errorIn = (run: Run): { cniVersion: string; code: number; msg: string } => {
  expect(run.status).toBe(1);
  return JSON.parse(run.stdout);
};

/** As the daemon reads what the binary sent. */
export const understood = (body: string): CniRequest => {
  const parsed = parseRequest(body);
  if ('error' in parsed) throw new Error(parsed.error.msg);
  return parsed.request;
};

export class Stand {
  readonly folder = mkdtempSync(join(tmpdir(), 'underway-shim-'));
  readonly socket = join(this.folder, 'cni.sock');
  readonly state = join(this.folder, 'state');
  private readonly servers = new Set<{ stop(): Promise<void> }>();

  constructor(binary: string) {
    copyFileSync(binary, join(this.folder, 'underway'));
    this.configure('deadline_ms=3000');
  }

  /** Writes underway.conf: the stand's own paths, then these lines, where a later one wins. */
  configure(...lines: readonly string[]): void {
    const conf = [`socket=${this.socket}`, `state=${this.state}`, ...lines, ''].join('\n');
    writeFileSync(join(this.folder, 'underway.conf'), conf);
  }

  /** Runs the binary. `stdin` null leaves it open without a byte. */
  run(env: Readonly<Record<string, string>>, stdin: string | Buffer | null = CONFIG): Promise<Run> {
    return new Promise((resolve, reject) => {
      const started = performance.now();
      const child = spawn(join(this.folder, 'underway'), { env: { ...env } });
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      child.stdout.on('data', (chunk) => out.push(chunk));
      child.stderr.on('data', (chunk) => err.push(chunk));
      // A binary that answers before it read all closes the pipe: that is its right.
      child.stdin.on('error', () => undefined);
      child.on('error', reject);
      child.on('close', (status) => {
        const [stdout, stderr] = [Buffer.concat(out).toString(), Buffer.concat(err).toString()];
        child.stdin.destroy();
        resolve({ status, stdout, stderr, ms: performance.now() - started });
      });
      if (stdin !== null) child.stdin.end(stdin);
    });
  }

  verb(command: string, change: Readonly<Record<string, string>> = {}, stdin?: string | Buffer | null): Promise<Run> {
    return this.run({ ...ENV, CNI_COMMAND: command, ...change }, stdin);
  }

  /** A daemon. Its `stop` breaks what is open, as a kill does, and takes the socket away. */
  async serve(answer: Answer): Promise<{ stop(): Promise<void> }> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => answer(Buffer.concat(chunks).toString(), response, request));
    });
    return this.listen(server);
  }

  /** Something else that listens there. */
  serveRaw(connected: (socket: Socket) => void): Promise<{ stop(): Promise<void> }> {
    return this.listen(createRawServer(connected));
  }

  async close(): Promise<void> {
    for (const server of this.servers) await server.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async listen(server: Server): Promise<{ stop(): Promise<void> }> {
    const open = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => open.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.socket, resolve));
    const running = {
      stop: async () => {
        if (!this.servers.delete(running)) return;
        const closed = new Promise((resolve) => server.close(resolve));
        for (const socket of open) socket.destroy();
        await closed;
      },
    };
    this.servers.add(running);
    return running;
  }
}
