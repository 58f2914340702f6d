/** A small world of two ENIs, two addresses and three pods, explored breadth first in a plain Node process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const STATES = 25_000;

test(`${STATES} states of two ENIs, two addresses and three pods: nothing breaks, every leaf comes to rest`, () => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['src/sim/small-world/main.ts', '--states', `${STATES}`],
    { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8' },
  );
  expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' });
  const [, states, depth, healed] = /(\d+) states, \d+ moves, depth (\d+), (\d+) leaves healed/.exec(stdout) ?? [];
  expect(Number(states)).toBeGreaterThanOrEqual(STATES);
  expect(Number(depth)).toBeGreaterThanOrEqual(8);
  expect(Number(healed)).toBeGreaterThan(100);
}, 240_000);
