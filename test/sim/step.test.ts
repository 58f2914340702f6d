/**
 * One step of the core costs the same with ten addresses and with a thousand: counted in rows looked at, not timed.
 * `npm run sim -- --scenario step --json FILE` times it.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { quantile } from '../../src/sim/bars/measure.ts';
import { Replay, record } from '../../src/sim/bars/step-record.ts';

const RATIO_MAX = 1.5;
/**
 * A thousand single addresses are on 21 ENIs, which an ADD looks through for the fullest: a look at an ENI's row is one of
 * its cheapest, so that in time the p99 is within the ratio above.
 */
const ROWS_RATIO_MAX = 2;
const LOOKS = ['get', 'tally', 'operationOn', 'bestBlock', 'leaseOf', 'takenIn', 'coolingIn'] as const;
const LISTS = ['blocksOf', 'addressesOf', 'leasesIn', 'waitersInOrder'] as const;

/** Rows that each step of the steady hour looks at. */
async function rowsLookedAt(addressCount: number): Promise<readonly number[]> {
  const replay = new Replay(await record(addressCount));
  replay.settle();
  let rows = 0;
  const { state } = replay;
  const all = state.all.bind(state);
  state.all = function* (table) {
    for (const row of all(table)) {
      rows++;
      yield row;
    }
  };
  const counted = (name: (typeof LOOKS)[number] | (typeof LISTS)[number]): void => {
    const look = state[name].bind(state) as (...args: unknown[]) => unknown;
    Object.assign(state, {
      [name]: (...args: unknown[]) => {
        const found = look(...args);
        rows += Array.isArray(found) ? found.length : 1;
        return found;
      },
    });
  };
  for (const name of [...LOOKS, ...LISTS]) counted(name);
  const counts: number[] = [];
  const one = (step: () => void): void => {
    rows = 0;
    step();
    counts.push(rows);
  };
  while (replay.next(one));
  return counts;
}

test('what a step looks at does not grow with the addresses: at most with the ENIs, and mostly not with those', async () => {
  const [few, many] = [await rowsLookedAt(10), await rowsLookedAt(1_000)];
  expect(many.length).toBe(few.length);
  expect(few.length).toBeGreaterThan(2_500);
  const [median, p99] = [0.5, 0.99].map((share) => ({ few: quantile(few, share), many: quantile(many, share) }));
  expect(median?.few).toBeGreaterThan(5);
  expect(median?.many).toBeLessThanOrEqual(RATIO_MAX * (median?.few ?? 0));
  expect(p99?.many).toBeLessThanOrEqual(ROWS_RATIO_MAX * (p99?.few ?? 0));
}, 60_000);

test('--scenario step writes median and p99 of both, and their ratio', () => {
  const folder = mkdtempSync(join(tmpdir(), 'underway-step-'));
  const file = join(folder, 'step.json');
  const main = resolve(import.meta.dirname, '../../src/sim/main.ts');
  spawnSync(process.execPath, [main, '--scenario', 'step', '--json', file]);
  const { scenario, figures, bound } = JSON.parse(readFileSync(file, 'utf8'));
  rmSync(folder, { recursive: true });
  const { addresses10: few, addresses1000: many, ratio } = figures;
  expect({ scenario, bound }).toEqual({ scenario: 'step', bound: { ratioMax: RATIO_MAX } });
  for (const figure of [few, many]) expect(figure.p99Us).toBeGreaterThan(figure.medianUs);
  expect(ratio.medianUs).toBeCloseTo(many.medianUs / few.medianUs, 1);
  expect(ratio.p99Us).toBeCloseTo(many.p99Us / few.p99Us, 1);
}, 60_000);
