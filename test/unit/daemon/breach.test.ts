import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ip } from '../../../src/core/ip.ts';
import { failpointIn } from '../../../src/kernel/failpoint.ts';
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
