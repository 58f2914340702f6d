import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cidrBase, type Ip } from '../../../src/core/ip.ts';
import { BreachHistory } from '../../../src/daemon/breach.ts';
import { failpointIn } from '../../../src/kernel/failpoint.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { TestNode } from './harness.ts';

test('a broken invariant is written down and ends the process', async () => {
  const node = new TestNode();
  try {
    const daemon = await node.serve();
    await node.add('c1');
    const { driver } = daemon as unknown as { driver: { state: import('../../../src/core/state.ts').State } };
    // As a bug would: a second lease with the first one's address.
    const [lease] = [...driver.state.all('lease')];
    if (lease === undefined) throw new Error('no lease');
    const twin = { ...lease, id: 'twin' as typeof lease.id, key: 'other' as typeof lease.key };
    driver.state.replace('lease', 'twin', twin);
    // All rows are looked at every 1,000 events.
    for (let n = 0; n < 1_100 && node.exits.length === 0; n++) await node.cni('DEL', 'nobody');
    expect(node.exits[0]).toBe(70);
    const [file] = readdirSync(node.stateDir).filter((name) => name.startsWith('breach-'));
    const dump = JSON.parse(readFileSync(join(node.stateDir, file ?? ''), 'utf8'));
    expect(dump.breach.detail).toContain(lease.addresses[0] as Ip);
    expect(dump.recent).toHaveLength(1_000);
    expect(dump.state.lease).toHaveLength(2);
    expect(node.log.find(({ msg }) => msg.includes('invariant'))).toMatchObject({ level: 'fatal' });
  } finally {
    await node.close();
  }
}, 20_000);

test('the third breach in ten minutes sets apart what it names; other boots, and older ones, do not count', () => {
  const folder = mkdtempSync(join(tmpdir(), 'breaches-'));
  const [a, b] = ['10.0.1.21', '10.0.1.22'] as Ip[];
  if (a === undefined || b === undefined) throw new Error('no addresses');
  const history = new BreachHistory(folder);
  const at = (nowMs: number, bootId = 'boot-1') => ({ bootId, nowMs });
  expect(history.doubted(at(0))).toEqual([]);
  history.note({ addresses: [a] }, at(1_000));
  history.note({ addresses: [a, b] }, at(2_000, 'boot-0'));
  history.note({ addresses: [a] }, at(300_000));
  expect(history.doubted(at(300_000))).toEqual([]);
  history.note({ addresses: [b] }, at(400_000));
  history.note({ addresses: [a] }, at(500_000));
  expect(history.doubted(at(501_000))).toEqual([a, b]);
  expect(history.doubted(at(501_000, 'boot-2'))).toEqual([]);
  expect(history.doubted(at(901_000))).toEqual([]);
  writeFileSync(join(folder, 'breaches.json'), '[{"bootId":1},null');
  expect(new BreachHistory(folder).doubted(at(501_000))).toEqual([]);
  rmSync(folder, { recursive: true });
});

test('a daemon whose predecessors broke three times over addresses hands them out no more, and says so', async () => {
  const node = new TestNode();
  const settings = { pool: { targets: { floor: 4, headroom: 0, ceiling: 4 } } };
  try {
    const first = await node.serve(settings);
    const blocks = node.cloud.truth.enisOf(node.instance).flatMap((eni) => eni.blocks);
    const doubted = blocks.slice(0, 2).map(cidrBase);
    await first.stop();
    const bootId = readFileSync(node.bootIdFile, 'utf8').trim();
    for (const addresses of [doubted, doubted.slice(0, 1), doubted.slice(1)])
      new BreachHistory(node.stateDir).note({ addresses }, { bootId, nowMs: systemClock.nowMs() });
    await node.serve(settings);
    const given = [await node.add('c1'), await node.add('c2')].map((text) => text.split('/')[0]);
    expect(doubted.filter((ip) => given.includes(ip))).toEqual([]);
    expect(JSON.parse((await node.get('/v1/why')).text).lines.join()).toContain('0 cooling, 2 quarantined');
    expect((await node.get('/metrics')).text).toMatch(/underway_addresses\{[^}]*state="quarantined"[^}]*\} 2\n/);
    expect(node.log.find(({ msg }) => msg.startsWith('quarantined'))).toMatchObject({
      level: 'error',
      addresses: doubted,
    });
  } finally {
    await node.close();
  }
}, 20_000);

test('a failpoint strikes the nth time only, at its own place', () => {
  let deaths = 0;
  const at = failpointIn('before-wire:3', () => deaths++);
  for (const place of ['before-wire', 'after-commit', 'before-wire', 'after-wire'] as const) at?.(place);
  expect(deaths).toBe(0);
  at?.('before-wire');
  at?.('before-wire');
  expect(deaths).toBe(1);
  expect(failpointIn(undefined)).toBeUndefined();
  expect(() => failpointIn('after-commit:soon')).toThrow('a name and a number from 1');
});

test('a failpoint in a file counts from when the file says it, and can be told to write down what is passed', () => {
  const folder = mkdtempSync(join(tmpdir(), 'failpoint-'));
  const file = join(folder, 'point');
  let deaths = 0;
  const at = failpointIn(`@${file}`, () => deaths++);
  at?.('step');
  writeFileSync(file, 'record');
  for (const place of ['step', 'after-commit', 'step']) at?.(place);
  expect(readFileSync(`${file}.passed`, 'utf8')).toBe('step:1\nafter-commit:1\nstep:2\n');
  writeFileSync(file, 'step:2');
  at?.('step');
  expect(deaths).toBe(0);
  at?.('step');
  expect(deaths).toBe(1);
  rmSync(folder, { recursive: true });
});
