/** A daemon that ends and comes again: what it finds, what waited for it, and the files by which both are known. */
import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { JournalLockedError } from '../../../src/daemon/journal.ts';
import { pause } from '../../../src/daemon/rhythm.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { ipIn, TestNode } from './harness.ts';

const STATUS_CONFIG = '{"cniVersion":"1.1.0","name":"underway","type":"underway"}';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

describe('a restart', () => {
  test('with the cloud unreachable: pods stay, and ADD works from the pool at once, without a call', async () => {
    await node.serve();
    const kept = await node.add('c1');
    await node.daemon?.stop();
    node.cloud.faults.arm({ kind: 'api-down' });
    const calls = () => [...node.cloud.callCounts.values()].reduce((sum, count) => sum + count, 0);
    const before = calls();
    await node.start();
    const fresh = await node.add('c2');
    expect(calls() - before).toBeLessThanOrEqual(1);
    expect(fresh).not.toBe(kept);
    expect(ipIn(await node.cni('ADD', 'c1'))).toBe(kept);
    expect((await node.get('/readyz')).status).toBe(200);
  });

  test('without a journal and without metadata: ADD hears what is missing at its deadline, then works', async () => {
    const real = node.provider.describeNode.bind(node.provider);
    node.provider.describeNode = async () => ({
      ok: false,
      failure: {
        kind: 'transient',
        source: 'metadata',
        code: 'MetadataUnreachable',
        message: 'no answer from 169.254.169.254',
      },
    });
    await node.start();
    node.sandbox('c1');
    const startedMs = systemClock.nowMs();
    const { json } = await node.cni('ADD', 'c1', { deadlineMs: 500 });
    expect(systemClock.nowMs() - startedMs).toBeGreaterThan(400);
    expect(json).toMatchObject({ code: 11, details: expect.stringContaining('METADATA_UNREACHABLE') });
    expect((await node.get('/readyz')).text).toContain('[-]facts the instance metadata service does not answer');
    expect((await node.get('/livez')).status).toBe(200);
    const status = await node.cni('STATUS', '', {
      config: STATUS_CONFIG,
    });
    expect(status.json).toMatchObject({ code: 50 });
    node.provider.describeNode = real;
    expect((await node.cni('ADD', 'c1')).status).toBe(200);
  }, 15_000);

  test('while it stops STATUS is as before, and an ADD hears why not', async () => {
    const daemon = await node.serve();
    node.sandbox('c1');
    const real = node.kernel.apply.bind(node.kernel);
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    node.kernel.apply = (steps, pod) => promise.then(() => real(steps, pod));
    const added = node.cni('ADD', 'c1');
    added.catch(() => undefined);
    await node.until(async () => (await node.rows('lease')).length === 1);
    const stopped = daemon.stop();
    const status = { config: STATUS_CONFIG };
    expect((await node.cni('STATUS', '', status)).status).toBe(200);
    node.sandbox('c2');
    expect((await node.cni('ADD', 'c2')).json).toMatchObject({ code: 11, msg: expect.stringContaining('restarted') });
    letGo();
    expect((await added).status).toBe(200);
    await stopped;
  });

  test('STATUS is as before all the while, however long the kernel takes to be read', async () => {
    await node.serve();
    await node.daemon?.stop();
    const real = node.kernel.read.bind(node.kernel);
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    node.kernel.read = (netns) => promise.then(() => real(netns));
    const status = () => node.cni('STATUS', '', { config: STATUS_CONFIG });
    await node.start();
    expect((await node.get('/readyz')).status).toBe(503);
    expect(await status()).toMatchObject({ status: 200 });
    // Long ago, or before this boot: nobody knows whether it can serve.
    utimesSync(join(node.stateDir, 'heartbeat'), 1, 1);
    expect((await status()).json).toMatchObject({ code: 50 });
    letGo();
    await node.until(async () => (await node.get('/readyz')).status === 200);
  });

  test('after a reboot every lease is dead and its address cools', async () => {
    await node.serve();
    await node.add('c1');
    await node.daemon?.stop();
    node.kernel.reboot();
    for (const eni of node.cloud.truth.enisOf(node.instance)) node.kernel.plug(`eth${eni.id.slice(-1)}`, eni.mac);
    node.boot('b0000000-0000-4000-8000-000000000002');
    await node.serve();
    expect(await node.rows('lease')).toEqual([]);
    expect(await node.rows('address')).toMatchObject([{ state: 'cooling' }]);
  });

  test('rebooted with the cloud away: served from the journal, and confirmed when the cloud answers', async () => {
    await node.serve();
    await node.daemon?.stop();
    node.boot('b0000000-0000-4000-8000-000000000002');
    const lift = node.cloud.faults.arm({ kind: 'api-down' });
    await node.start();
    await node.add('c1');
    const doubt = join(node.stateDir, 'instance-unverified');
    expect(existsSync(doubt)).toBe(true);
    await node.daemon?.stop();
    // A restart on the same boot does not make it surer.
    lift();
    await node.start();
    expect(ipIn(await node.cni('ADD', 'c1'))).toMatch(/^10\./);
    expect(existsSync(doubt)).toBe(false);
    expect(node.exits).toEqual([]);
  });

  test('a journal that came with an image, with the cloud away: set aside as soon as the cloud says who this is', async () => {
    await node.serve();
    await node.daemon?.stop();
    node.boot('b0000000-0000-4000-8000-000000000003');
    const real = node.provider.describeNode.bind(node.provider);
    let asked = 0;
    node.provider.describeNode = async (options) => {
      if (++asked === 1) return { ok: false, failure: { kind: 'transient', code: 'x', message: 'away' } };
      const answer = await real(options);
      return answer.ok ? { ok: true, value: { ...answer.value, instanceId: 'i-other' as never } } : answer;
    };
    await node.start();
    await node.until(() => node.exits.length > 0);
    expect(node.exits).toEqual([70]);
    expect(readdirSync(node.stateDir)).toContain('underway.db.other-instance-1');
    expect(readdirSync(node.stateDir)).not.toContain('instance-unverified');
  });

  test('with the journal of another cluster: set aside, not deleted', async () => {
    await node.serve();
    await node.daemon?.stop();
    await node.serve({ cluster: 'another' });
    expect(readdirSync(node.stateDir)).toContain('underway.db.other-cluster-1');
  });

  test('a second daemon does not start, and leaves the first one its socket', async () => {
    const first = await node.serve();
    await expect(node.start()).rejects.toBeInstanceOf(JournalLockedError);
    node.daemon = first;
    expect(await node.add('c1')).toMatch(/^10\./);
    await first.stop();
    expect(existsSync(node.socket)).toBe(false);
  });

  test('a socket that a killed daemon left is replaced; a file in its place is not', async () => {
    await node.serve();
    await node.daemon?.stop();
    writeFileSync(node.socket, 'mine');
    await expect(node.start()).rejects.toThrow('is in the way: it is no socket');
  });

  test('waiters are answered when it stops', async () => {
    await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } }, cooldownUnderPressureMs: 60_000 });
    await node.add('c1');
    await node.cni('DEL', 'c1');
    node.sandbox('c2');
    const asked = node.cni('ADD', 'c2', { deadlineMs: 60_000 });
    await node.until(async () => (await node.rows('waiter')).length === 1);
    await node.daemon?.stop();
    expect((await asked).json).toMatchObject({ code: 11, details: expect.stringContaining('DAEMON_STARTING') });
  });
});

describe('files', () => {
  test("the socket is only root's, the heartbeat is young while it serves", async () => {
    await node.serve();
    expect(statSync(node.socket).mode & 0o777).toBe(0o600);
    expect(statSync(join(node.folder, 'run')).mode & 0o777).toBe(0o700);
    const heartbeat = join(node.stateDir, 'heartbeat');
    expect(systemClock.wallMs() - statSync(heartbeat).mtimeMs).toBeLessThan(10_000);
  });

  test('without the cloud and a journal there is no heartbeat', async () => {
    node.cloud.faults.arm({ kind: 'api-down' });
    await node.start();
    await pause(systemClock, 200);
    expect(existsSync(join(node.stateDir, 'heartbeat'))).toBe(false);
  });

  test('spooled DELs are done before anything is served, and their files go', async () => {
    await node.serve();
    await node.add('c1');
    await node.daemon?.stop();
    const spool = join(node.stateDir, 'del');
    node.spool('c1');
    node.spool('c7');
    writeFileSync(join(spool, 'odd@eth0.json'), '{"command":');
    writeFileSync(join(spool, '.c8@eth0.json.1'), 'half');
    await node.serve();
    await node.until(() => readdirSync(spool).length === 2);
    expect(readdirSync(spool).sort()).toEqual(['.c8@eth0.json.1', 'odd@eth0.json.unreadable']);
    expect(await node.rows('lease')).toEqual([]);
    // One that came while the daemon was on its way up.
    await node.add('c2');
    node.spool('c2');
    await node.until(() => !existsSync(join(spool, 'c2@eth0.json')), 4_000);
    expect(await node.rows('lease')).toEqual([]);
  });

  test('of what shims left half written, and of what cannot be read, the spool keeps only the newest', async () => {
    await node.serve();
    await node.daemon?.stop();
    const spool = join(node.stateDir, 'del');
    const put = (name: string, ageS: number) => {
      writeFileSync(join(spool, name), 'half');
      utimesSync(join(spool, name), systemClock.wallMs() / 1_000 - ageS, systemClock.wallMs() / 1_000 - ageS);
    };
    put('.old@eth0.json.1', 700);
    put('.new@eth0.json.1', 0);
    for (let n = 0; n < 20; n++) put(`n${n}@eth0.json.unreadable`, n);
    await node.serve();
    const newest = Array.from({ length: 16 }, (_, n) => `n${n}@eth0.json.unreadable`);
    expect(readdirSync(spool).toSorted()).toEqual(['.new@eth0.json.1', ...newest].toSorted());
  });

  test('however many DELs were spooled, and however late, an ADD that waits for the daemon finds them done', async () => {
    const full = { pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } }, cooldownUnderPressureMs: 1_000 };
    await node.serve(full);
    await node.add('z1');
    await node.daemon?.stop();
    for (let n = 0; n < 1_100; n++) node.spool(`a${n}`);
    const { promise, resolve: letGo } = Promise.withResolvers<void>();
    const read = node.kernel.read.bind(node.kernel);
    node.kernel.read = (...what) => promise.then(() => read(...what));
    await node.start(full);
    node.sandbox('c2');
    const added = node.cni('ADD', 'c2');
    await node.until(async () => (await node.get('/v1/why')).text.includes('starting'));
    node.spool('z1');
    letGo();
    // Were the ADD first, it would hear CEILING at once.
    expect(await added).toMatchObject({ status: 200 });
    expect(await added).toMatchObject({ status: 200 });
    await node.until(() => readdirSync(join(node.stateDir, 'del')).length === 0);
  }, 20_000);

  test('a spooled DEL leaves what its container got since: a new address, or the old one asked for again', async () => {
    await node.serve();
    const leases = async () => (await node.rows('lease')).map(({ attachment }) => attachment);
    await node.add('old');
    await node.add('again');
    await node.add('new');
    // A runtime that restarts a container keeps its id, and takes longer than a file's time is coarse.
    const files = [node.spool('old'), node.spool('again'), node.spool('new', 60_000)];
    await pause(systemClock, 20);
    await node.cni('ADD', 'again');
    await node.until(() => files.every((file) => !existsSync(file)), 4_000);
    expect(await leases()).toEqual(['again', 'new'].map((containerId) => expect.objectContaining({ containerId })));
    // The wall clock was set back since the DEL was written: it is no younger than now.
    const file = node.spool('new', -3_600_000);
    await node.daemon?.stop();
    await node.serve();
    await node.until(() => !existsSync(file));
    expect(await leases()).toEqual([expect.objectContaining({ containerId: 'again' })]);
  });
});
