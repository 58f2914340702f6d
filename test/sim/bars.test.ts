/**
 * The bars that are quick enough to run each time, as a person runs them. All of it is counts and virtual time, so a
 * bar is asserted exactly; the exit code says whether each part of it is met.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { BarReport } from '../../src/sim/bars/bar.ts';

const MAIN = resolve(import.meta.dirname, '../../src/sim/main.ts');
const TIMEOUT_MS = 120_000;
const folder = mkdtempSync(join(tmpdir(), 'underway-bars-'));

afterAll(() => rmSync(folder, { recursive: true }));

type Written = Pick<BarReport, 'scenario' | 'figures' | 'bound'>;

/** `missed` are the lines of the table that say so. */
function run(name: string, ...options: readonly string[]): Written & { readonly missed: readonly string[] } {
  const file = join(folder, `${name}.json`);
  const args = [MAIN, '--scenario', name, '--json', file, ...options];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  const missed = stdout.split('\n').filter((line) => line.startsWith('MISSED'));
  expect(status).toBe(missed.length === 0 ? 0 : 1);
  return { ...(JSON.parse(readFileSync(file, 'utf8')) as Written), missed };
}

const BURSTS = [
  ['burst-addresses', 2_571],
  ['burst-prefixes', 294],
  ['burst-prefixes-secondary', 2_571],
] as const;

test.each(BURSTS)(
  '%s: the bound is the %d ms that latencies allow; nobody fails, and every peer is slower',
  (name, boundMs) => {
    const { scenario, figures, bound } = run(name);
    expect(scenario).toBe(name);
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
