/** Small worlds of two ENIs and two addresses, explored breadth first in a plain Node process. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

interface World {
  readonly states: number;
  readonly pods: number;
  readonly crashes: number;
  readonly failures: number;
  readonly 'hang-ups': number;
}

/** What it says it found, when nothing is broken. */
function explored(world: World) {
  const args = Object.entries(world).flatMap(([name, figure]) => [`--${name}`, `${figure}`]);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['src/sim/small-world/main.ts', ...args], {
    cwd: join(import.meta.dirname, '../..'),
    encoding: 'utf8',
  });
  expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' });
  const found = /(all|the first) (\d+) states, \d+ moves, depth (\d+), (\d+) healed/.exec(stdout) ?? [];
  const [, extent, states, depth, healed] = found;
  return { extent, states: Number(states), depth: Number(depth), healed: Number(healed) };
}

const QUIET = { states: 100_000, pods: 1, crashes: 0, failures: 0, 'hang-ups': 0 };

test.each([
  ['nothing goes wrong', QUIET, 100],
  ['a call fails, or its request or reply is lost', { ...QUIET, failures: 1 }, 500],
  ['the daemon crashes', { ...QUIET, crashes: 1 }, 10_000],
])(
  'one pod, and %s: every state there is, and nothing breaks',
  (_, world, statesMin) => {
    const { extent, states, healed } = explored(world);
    expect(extent).toBe('all');
    expect(states).toBeGreaterThan(statesMin);
    expect(healed).toBe(Math.floor(states / 50));
  },
  240_000,
);

/** All of them are more than can be counted here: at depth 8 each step has over twice as many as the last. */
test('three pods, a crash, a failure and a hang-up: the first 25,000 states, and nothing breaks', () => {
  const { states, depth, healed } = explored({ states: 25_000, pods: 3, crashes: 1, failures: 1, 'hang-ups': 1 });
  expect(states).toBeGreaterThanOrEqual(25_000);
  expect(depth).toBeGreaterThanOrEqual(8);
  expect(healed).toBeGreaterThanOrEqual(500);
}, 240_000);
