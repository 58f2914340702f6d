/** A daemon that is there and does nothing: stopped in its tracks, or with its queue of connections full. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findCompiler } from '../../../deploy/build-shim.ts';
import { parseRequest } from '../../../src/protocol/request.ts';
import { CONFIG, ENV, Stand, shimBinary } from './stand.ts';

const binary = shimBinary();
const describeShim = binary === undefined ? describe.skip : describe;

/** Answers every request with an empty 200, one process for itself. */
const DAEMON = `
  require('node:http')
    .createServer((request, response) => request.resume().on('end', () => response.writeHead(200, { 'content-length': 0 }).end()))
    .listen({ path: process.argv[1], backlog: 1 }, () => console.log('listening'));
`;

let stand: Stand;
let daemon: ChildProcess;
const crowd: Socket[] = [];

beforeEach(async () => {
  stand = new Stand(binary ?? '');
  stand.configure();
  daemon = spawn(process.execPath, ['-e', DAEMON, stand.socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((resolve) => daemon.stdout?.once('data', resolve));
  daemon.kill('SIGSTOP');
});
afterEach(async () => {
  for (const socket of crowd.splice(0)) socket.destroy();
  daemon.kill('SIGKILL');
  await stand.close();
});

/** Connections until the kernel takes no more. */
async function fillQueue(): Promise<void> {
  for (let full = false; !full; )
    full = await new Promise<boolean>((resolve) => {
      const socket = connect(stand.socket, () => resolve(false));
      socket.on('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'));
      crowd.push(socket);
    });
}

function heartbeat(ageS: number): void {
  mkdirSync(stand.state, { recursive: true });
  const path = join(stand.state, 'heartbeat');
  writeFileSync(path, '');
  utimesSync(path, Date.now() / 1_000 - ageS, Date.now() / 1_000 - ageS);
}

const HANGS: readonly [string, () => Promise<void>][] = [
  ['stopped', async () => undefined],
  ['stopped with a full queue', fillQueue],
];

describeShim.each(HANGS)('a daemon that is %s', (_, hang) => {
  beforeEach(hang);

  test.each([
    ['a fresh heartbeat', 5, 0],
    ['a heartbeat of two minutes ago', 120, 1],
  ])('STATUS is answered within a second, by %s', async (_name, ageS, status) => {
    heartbeat(ageS);
    const run = await stand.verb('STATUS');
    expect(run.status).toBe(status);
    if (status === 1) expect(JSON.parse(run.stdout)).toMatchObject({ code: 50 });
    // 800 ms in the binary; the rest is what a busy machine takes to start it.
    expect(run.ms).toBeLessThan(1_200);
  });

  test('DEL is kept and succeeds', async () => {
    stand.configure('deadline_ms=300');
    expect(await stand.verb('DEL')).toMatchObject({ status: 0, stdout: '' });
    expect(readdirSync(join(stand.state, 'del'))).toHaveLength(1);
  });

  test('CHECK waits for it to go on', async () => {
    const asked = stand.verb('CHECK');
    await sleep(300);
    for (const socket of crowd.splice(0)) socket.destroy();
    daemon.kill('SIGCONT');
    expect(await asked).toMatchObject({ status: 0, stdout: '' });
  });
});

describeShim('a binary that is killed', () => {
  test('at any moment of a DEL that no daemon takes: what it has written down is whole or has no name', async () => {
    daemon.kill('SIGKILL');
    stand.configure('deadline_ms=20');
    const kept = join(stand.state, 'del');
    mkdirSync(kept, { recursive: true });
    for (let n = 0; n < 34; n++) {
      const env = { ...ENV, CNI_COMMAND: 'DEL', CNI_CONTAINERID: `c${n}` };
      const child = spawn(join(stand.folder, 'underway'), { env, stdio: ['pipe', 'ignore', 'ignore'] });
      child.stdin.on('error', () => undefined);
      child.stdin.end(CONFIG);
      const ended = new Promise((resolve) => child.once('close', resolve));
      await sleep(n < 30 ? n : 200);
      child.kill('SIGKILL');
      await ended;
    }
    const names = readdirSync(kept).filter((name) => !name.startsWith('.'));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) expect(parseRequest(readFileSync(join(kept, name), 'utf8'))).toHaveProperty('request');
  }, 30_000);

  test('while the kernel keeps it waiting for the cut: the DEL is written down by then', async () => {
    const hanging = join(import.meta.dirname, 'hanging-fence.c');
    execFileSync(findCompiler() ?? '', ['-std=c11', '-D_GNU_SOURCE', hanging, '-o', join(stand.folder, 'underway')]);
    stand.configure('deadline_ms=20');
    const child = spawn(join(stand.folder, 'underway'), {
      env: { ...ENV, CNI_COMMAND: 'DEL' },
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    try {
      child.stdin.end(CONFIG);
      const reached = new Promise((resolve) => child.stdout.once('data', (said) => resolve(String(said))));
      expect(await reached).toBe('at the fence');
      const names = existsSync(join(stand.state, 'del')) ? readdirSync(join(stand.state, 'del')) : [];
      expect(names).toEqual([expect.stringMatching(/^c1@eth0@.*\.json$/)]);
      expect(child.exitCode).toBe(null);
    } finally {
      child.kill('SIGKILL');
      await ended;
    }
  });
});
