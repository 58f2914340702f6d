/**
 * The bars that are quick enough to run each time, as a person runs them. All of it is counts and virtual time, so a
 * bar is asserted exactly; the exit code says whether each part of it is met.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type BarReport, PEERS, type PeersFigures } from '../../src/sim/bars/bar.ts';

const MAIN = resolve(import.meta.dirname, '../../src/sim/main.ts');
const TIMEOUT_MS = 120_000;
const folder = mkdtempSync(join(tmpdir(), 'underway-bars-'));

afterAll(() => rmSync(folder, { recursive: true }));

interface Written {
  readonly scenario: string;
  readonly figures: PeersFigures;
  readonly bound: BarReport['bound'];
}

const COLUMNS = ['p50Ms', 'p99Ms', 'maxMs', 'failed', 'cloudCalls', 'idleIpHours'];

/** `missed` are the lines of the table that say so. */
function run(name: string, ...options: readonly string[]): Written & { readonly missed: readonly string[] } {
  const file = join(folder, `${name}.json`);
  const args = [MAIN, '--scenario', name, '--json', file, ...options];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const missed = stdout.split('\n').filter((line) => line.startsWith('MISSED'));
  expect(status).toBe(missed.length === 0 ? 0 : 1);
  const written: Written = JSON.parse(readFileSync(file, 'utf8'));
  expect(written.scenario).toBe(name);
  for (const policy of ['underway', ...PEERS] as const)
    expect(Object.keys(written.figures[policy] ?? {})).toEqual(COLUMNS);
  for (const value of Object.values(written.bound)) expect(value).toEqual(expect.any(Number));
  return { ...written, missed };
}

const BURSTS = [
  ['burst-addresses', 2_571],
  ['burst-prefixes', 294],
  ['burst-prefixes-secondary', 2_571],
] as const;

test.each(BURSTS)(
  '%s: the bound is the %d ms that latencies allow; nobody fails, and every peer is slower',
  (name, boundMs) => {
    const { figures, bound } = run(name);
    expect(bound.boundMs).toBe(boundMs);
    expect(figures.underway.failed).toBe(0);
    for (const peer of ['aws', 'terway', 'cilium'] as const)
      expect(figures[peer].p99Ms).toBeGreaterThan(figures.underway.p99Ms);
  },
  TIMEOUT_MS,
);

test.each(BURSTS)(
  '%s: within 1.3 of the %d ms, and no call too many',
  (name) => expect(run(name).missed).toEqual([]),
  TIMEOUT_MS,
);

test(
  'burst-jitter: within 1.3 of what the very draws allow',
  () => expect(run('burst-jitter', '--seeds', '5').missed).toEqual([]),
  TIMEOUT_MS,
);

test(
  'churn: cooling addresses are not free, so nobody fails or waits; a pool that counts them fails',
  () => {
    const { figures, missed } = run('churn');
    expect(missed).toEqual([]);
    expect(figures.aws.failed).toBeGreaterThan(300);
  },
  TIMEOUT_MS,
);

test(
  'churn-tight: a full node shortens the cooldown, and never below five seconds',
  () => expect(run('churn-tight').missed).toEqual([]),
  TIMEOUT_MS,
);

test(
  'give-back: whole prefixes come back although pods cannot move',
  () => expect(run('give-back', '--seeds', '3').missed).toEqual([]),
  TIMEOUT_MS,
);
