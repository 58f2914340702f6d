/** The watch of pods against an API server over HTTP, on virtual time: nothing is silent or waits but when a test says so. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Access, accessOf } from '../../../src/kube/access.ts';
import { podWatch } from '../../../src/kube/pod-watch.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { ApiServer } from '../../kube/api-server.ts';
import { TLS } from '../../kube/tls.ts';

const NODE = 'n1';
/** The first pause is 0.5 to 1 s: more than that, and less than any silence. */
const PAUSE_MS = 1_001;

let folder: string;
let server: ApiServer;
let clock: VirtualClock;
let ends: (() => void)[];
/** How often a pod of that name was heard of, which is not told. */
let marks = 0;
const MARK = 'mark';

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kube-'));
  clock = new VirtualClock();
  server = new ApiServer();
  ends = [];
  await server.listen();
});
afterEach(async () => {
  for (const end of ends) end();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Everything that was told: `+name`, `-name`, `up`, or why it is down. */
function watched(access: Access = { kubeconfig: server.kubeconfigIn(folder) }): string[] {
  const told: string[] = [];
  const options = {
    access,
    nodeName: NODE,
    userAgent: 'test',
    clock,
    entropy: { epoch: () => '', uniform: () => 0.5 },
  };
  const end = podWatch(options).watch({
    bound: ({ name }) => (name === MARK ? marks++ : told.push(`+${name}`)),
    gone: ({ name }) => name !== MARK && told.push(`-${name}`),
    heard: (why) => told.push(why ?? 'up'),
  });
  ends.push(end);
  return told;
}

/** Bounded: what never comes fails with what came instead. */
async function until(is: () => unknown, seen: () => unknown = is): Promise<void> {
  for (let n = 0; n < 1_000; n++) {
    if (await is()) return;
    await new Promise<void>((resolve) => systemClock.timer(systemClock.nowMs() + 5, resolve));
  }
  throw new Error(`it never came: ${JSON.stringify(seen())}`);
}

const toldOf = (told: readonly string[], ...wanted: readonly string[]) =>
  until(
    () => wanted.every((word) => told.includes(word)),
    () => told,
  );

/** The next request after a pause: it has 25 s of virtual time, in which no silence is too long. */
async function again(): Promise<void> {
  const before = server.asked.length;
  let left = 25;
  for (let n = 0; n < 1_000 && server.asked.length === before; n++) {
    if (left-- > 0) await later(1_000);
    await new Promise<void>((resolve) => systemClock.timer(systemClock.nowMs() + 5, resolve));
  }
  if (server.asked.length === before) throw new Error('it asked no more');
}

const later = (ms: number): Promise<void> => clock.run(clock.nowMs() + ms);
/** How often all there is was asked for. */
const stated = (): number => server.asked.filter(({ query }) => query.get('resourceVersion') === '0').length;
const lastQuery = (): URLSearchParams => server.asked.at(-1)?.query ?? new URLSearchParams();
const bind = (...names: readonly string[]): void => {
  for (const name of names) server.bind({ name, node: NODE });
};

/** A watch that stands, has told these pods, and has had its first bookmark. */
async function standing(...names: readonly string[]): Promise<string[]> {
  bind(...names);
  const told = watched();
  await toldOf(told, 'up', ...names.map((name) => `+${name}`));
  await bookmark();
  return told;
}

/** Returns once it is heard: a pod that came after it is. */
async function bookmark(): Promise<void> {
  server.bookmark();
  const before = marks;
  bind(MARK);
  await until(() => marks > before);
  server.remove(MARK);
}

test('tells who is bound: not what others have, is on the host, finished or being deleted', async () => {
  server.bind({ name: 'elsewhere', node: 'n2' });
  server.bind({ name: 'agent', node: NODE, hostNetwork: true });
  bind('done', 'leaving');
  server.finish('done', 'Succeeded');
  server.markDeleted('leaving');
  const told = await standing('a');
  expect(told).toEqual(['up', '+a']);
  bind('b');
  server.bind({ name: 'proxy', node: NODE, hostNetwork: true });
  server.bind({ name: 'other', node: 'n2' });
  bind('c', 'd', 'e');
  server.finish('b', 'Running');
  server.finish('c', 'Failed');
  server.markDeleted('d');
  server.remove('d');
  server.remove('a');
  await toldOf(told, '-a');
  expect(told).toEqual(['up', '+a', '+b', '+c', '+d', '+e', '-c', '-d', '-a']);
});

test('what there is comes from the cache of the server, as metadata alone, one pod at a time', async () => {
  const names = Array.from({ length: 250 }, (_, n) => `p${n}`);
  // More than a line may have, and together more than the daemon may.
  const annotations = { note: 'x'.repeat(200_000) };
  for (const name of names) server.bind({ name, node: NODE, annotations });
  const told = watched();
  await until(() => told.length === 251);
  expect(server.asked.map(({ query }) => query.get('resourceVersion'))).toEqual(['0']);
  expect(new Set(told)).toEqual(new Set(['up', ...names.map((name) => `+${name}`)]));
});

test('before the first bookmark a broken watch begins anew, after ever longer pauses', async () => {
  bind('b', 'a');
  const told = watched();
  await toldOf(told, '+a', '+b');
  for (let n = 0; n < 3; n++) {
    server.cut();
    await until(() => told.at(-1) !== 'up' && server.watching === 0);
    if (n === 2) await later(PAUSE_MS);
    expect(server.asked).toHaveLength(n + 1);
    await again();
    await until(() => server.watching === 1);
  }
  expect(stated()).toBe(4);
  expect(told.filter((word) => /^[+-]/.test(word))).toEqual(['+a', '+b']);
});

test('an ended watch goes on where it was, without a word', async () => {
  const told = await standing('a');
  bind('b');
  server.bookmark();
  await toldOf(told, '+b');
  const version = server.version;
  server.endWatches();
  bind('c');
  await toldOf(told, '+c');
  expect(lastQuery().get('resourceVersion')).toBe(String(version));
  expect([stated(), server.asked.length]).toEqual([1, 2]);
  expect(told).toEqual(['up', '+a', '+b', '+c']);
});

test('a cut connection goes on where it was, after a pause, also in the middle of a line', async () => {
  const told = await standing('a');
  server.babble('{"type":"ADDED","obj');
  server.cut();
  await until(() => told.length === 3);
  bind('b');
  expect(server.asked).toHaveLength(1);
  await later(PAUSE_MS);
  await toldOf(told, '+b');
  expect(told).toEqual(['up', '+a', expect.stringMatching(/aborted|hang up|RESET/), 'up', '+b']);
  expect(stated()).toBe(1);
});

test('a connection that hangs is noticed, and what happened meanwhile is heard', async () => {
  const told = await standing('a');
  server.hang();
  bind('b');
  await later(199_000);
  expect(server.asked).toHaveLength(1);
  await later(1_000);
  await toldOf(told, 'nothing was heard of the API server for 200 s');
  await again();
  await toldOf(told, '+b');
  expect(stated()).toBe(1);
});

test('a bookmark a minute is enough to be heard', async () => {
  const told = await standing('a');
  for (let minute = 0; minute < 10; minute++) {
    const { version } = server;
    server.bookmark();
    bind(`p${version}`);
    await toldOf(told, `+p${version}`);
    await later(60_000);
  }
  expect(server.asked).toHaveLength(1);
});

test.each([
  ['in the middle of a watch', () => server.endWatches(), []],
  ['before one begins', () => server.endWatches(), [410]],
])('what is forgotten %s is told anew, and only the difference counts', async (_, ended, mishaps) => {
  const told = await standing('a', 'b', 'c');
  server.hang();
  bind('d');
  server.remove('a');
  server.remove('b');
  bind('b');
  server.forget();
  server.mishaps.push(...mishaps);
  ended();
  await later(200_000);
  await again();
  await again();
  await until(() => stated() === 2 && server.watching === 1);
  await bookmark();
  const pods = told.filter((word) => /^[+-]/.test(word)).slice(3);
  // The other `b` may come before this one goes: they are told apart by their uids.
  expect(pods.sort()).toEqual(['+b', '+d', '-a', '-b']);
});

test.each([
  '{"type":"ADDED","object":{"metadata":{"name":"x"}}}\n',
  '{"type":"HELLO","object":{}}\n',
  'what?\n',
  'null\n',
  '\n',
])('after %j nothing more is believed of this watch: it begins anew', async (line) => {
  const told = await standing('a');
  server.babble(line);
  await until(() => told.length > 2);
  expect(told[2]).toMatch(/^the watch sent/);
  bind('b');
  await again();
  await toldOf(told, '+b');
  expect(stated()).toBe(2);
});

test('a line without an end is not kept', async () => {
  const told = await standing('a');
  for (let n = 0; n < 6; n++) server.babble('x'.repeat(1_000_000));
  await toldOf(told, 'a line of more than 4194304 characters');
});

test('who is refused waits longer each time, half a minute at most, and says why once', async () => {
  server.mishaps.push(...Array.from({ length: 12 }, () => 403));
  const told = watched();
  await toldOf(told, 'the API server answered 403: as told to');
  for (let n = 0; n < 3; n++) await again();
  expect(told).toHaveLength(1);
  const began = clock.nowMs();
  for (let n = 0; n < 4; n++) await again();
  // 6 + 12 + 22.5 + 22.5 s.
  expect(clock.nowMs() - began).toBeGreaterThanOrEqual(63_000);
  expect(told).toHaveLength(1);
});

test('a watch that is ended at once, again and again, is paused for', async () => {
  await standing('a');
  server.endWatches();
  // Nothing was heard: the next is a second later.
  await until(() => server.watching === 0);
  expect(server.asked).toHaveLength(1);
  await again();
  await until(() => server.watching === 1);
  expect(server.asked).toHaveLength(2);
});

test('a request that hangs or is cut is made anew', async () => {
  bind(...Array.from({ length: 150 }, (_, n) => `p${n}`));
  server.mishaps.push('silent', 'reset');
  const told = watched();
  await until(() => server.asked.length === 1);
  await later(30_000);
  await toldOf(told, 'nothing was heard of the API server for 30 s');
  await again();
  await again();
  await until(() => told.filter((word) => word.startsWith('+')).length === 150);
  expect(told).toContain('up');
});

test('nothing is told after the end, and no connection stays', async () => {
  const told = await standing('a');
  for (const end of ends) end();
  await until(() => server.watching === 0);
  bind('b');
  await later(600_000);
  expect(told).toEqual(['up', '+a']);
  expect(server.asked).toHaveLength(1);
});

describe('a credential helper', () => {
  /** A kubeconfig whose helper is this script. */
  function helped(script: string): Access {
    writeFileSync(join(folder, 'helper'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const env = [{ name: 'FOLDER', value: folder }];
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: join(folder, 'helper'), args: null, env };
    return { kubeconfig: server.kubeconfigIn(folder, { exec }) };
  }
  const prints = (status: object): string => `echo '${JSON.stringify({ kind: 'ExecCredential', status })}'`;
  /** Not the script itself, but what it has started and waits for. */
  const HANGS = 'sleep 1000 & echo $! > "$FOLDER/pid"; wait';
  const pid = (): number => Number(existsSync(join(folder, 'pid')) && readFileSync(join(folder, 'pid'), 'utf8'));
  /** A zombie, where nobody collects it, is one whose end came. */
  const isRunning = (one: number): boolean =>
    existsSync(`/proc/${one}/stat`) && !readFileSync(`/proc/${one}/stat`, 'utf8').includes(') Z ');

  test('says who asks, and is told what it should print', async () => {
    bind('a');
    const access = helped(`echo "$KUBERNETES_EXEC_INFO" > "$FOLDER/info"\n${prints({ token: 'secret' })}`);
    await toldOf(watched(access), '+a', 'up');
    expect(server.asked[0]?.token).toBe('secret');
    expect(JSON.parse(readFileSync(join(folder, 'info'), 'utf8'))).toEqual({
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      spec: { interactive: false },
    });
  });

  test('that hangs is killed, said with what to do, and run again', async () => {
    bind('a');
    const told = watched(helped(HANGS));
    await until(pid);
    const hung = pid();
    expect(isRunning(hung)).toBe(true);
    helped(prints({ token: 'secret' }));
    await later(30_000);
    await until(() => told[0]);
    expect(told[0]).toMatch(/credential helper ".*helper" did not end in time and was killed: run it by hand/);
    await until(() => !isRunning(hung));
    await until(async () => {
      await later(250);
      return told.includes('up');
    });
    expect(told).toContain('+a');
  });

  test('that hangs is not waited for at the end', async () => {
    const told = watched(helped(HANGS));
    await until(pid);
    for (const end of ends) end();
    await until(() => !isRunning(pid()));
    expect(told).toEqual([]);
  });

  test.each([
    ['echo expired >&2; exit 3', 'failed (expired)'],
    ['exit 3', 'failed (exit code 3)'],
    ['echo hello', 'printed no ExecCredential'],
    [prints({}), 'printed neither a token nor a certificate'],
    ['exec yes', 'printed without end and was killed'],
  ])('of %j is told as %j', async (script, did) => {
    const told = watched(helped(script));
    await until(() => told[0]);
    expect(told[0]).toContain(`${did}: run it by hand`);
  });

  test('that is not there is told as such', async () => {
    const told = watched({ kubeconfig: server.kubeconfigIn(folder, { exec: { command: '/nowhere' } }) });
    await until(() => told[0]);
    expect(told[0]).toContain('cannot be run (spawn /nowhere ENOENT): run it by hand');
  });

  test('of the old kind, which would block this process, is refused', async () => {
    const authProvider = { name: 'gcp', config: { 'cmd-path': '/bin/sleep', 'cmd-args': '1000' } };
    const told = watched({ kubeconfig: server.kubeconfigIn(folder, { 'auth-provider': authProvider }) });
    await until(() => told[0]);
    expect(told[0]).toBe('the kubeconfig\'s auth-provider "gcp" is not supported: use exec, a token or a certificate');
  });
});

describe('how the API server is found', () => {
  let secure: ApiServer;
  beforeEach(async () => {
    secure = new ApiServer(TLS);
    await secure.listen();
    secure.bind({ name: 'a', node: NODE });
  });
  afterEach(() => secure.close());

  const trusted = { 'certificate-authority-data': Buffer.from(TLS.cert).toString('base64') };

  test('by a kubeconfig, over TLS, with its token', async () => {
    const told = watched({ kubeconfig: secure.kubeconfigIn(folder, { token: 'secret' }, trusted) });
    await toldOf(told, '+a', 'up');
    expect(secure.asked.map(({ token }) => token)).toEqual(['secret']);
  });

  test('not by one whose certificate nobody vouches for', async () => {
    const told = watched({ kubeconfig: secure.kubeconfigIn(folder) });
    await until(() => told[0]);
    expect(told[0]).toMatch(/self-signed certificate/);
    expect(secure.asked).toEqual([]);
  });

  test('by a kubeconfig that comes later', async () => {
    const told = watched({ kubeconfig: join(folder, 'kubeconfig') });
    await until(() => told[0]);
    expect(told[0]).toMatch(/ENOENT.*kubeconfig/);
    secure.kubeconfigIn(folder, {}, trusted);
    await until(async () => {
      await later(250);
      return told.includes('+a');
    });
  });

  test('by the service account of the pod, whose token is read again', async () => {
    const account = join(folder, 'var/run/secrets/kubernetes.io/serviceaccount');
    mkdirSync(account, { recursive: true });
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(secure.port) };
    expect(accessOf({ kubeconfig: null, env, root: folder })).toBe(undefined);
    writeFileSync(join(account, 'ca.crt'), TLS.cert);
    writeFileSync(join(account, 'token'), 'first');
    expect(accessOf({ kubeconfig: null, env: {}, root: folder })).toBe(undefined);
    const access = accessOf({ kubeconfig: null, env, root: folder });
    const before = process.env;
    process.env = { ...before, ...env };
    try {
      const told = watched(access);
      await toldOf(told, '+a', 'up');
      writeFileSync(join(account, 'token'), 'second');
      secure.cut();
      await until(() => told.length === 3);
      await until(async () => {
        await later(250);
        return told.length === 4;
      });
      expect(secure.asked.map(({ token }) => token)).toEqual(['first', 'second']);
    } finally {
      process.env = before;
    }
  });
});
