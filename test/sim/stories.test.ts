/**
 * The canonical stories with a process that ends at every failpoint, in plain Node processes, and the resume table:
 * each operation, each way to lose its answer.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Effect } from '../../src/core/events.ts';
import { tell } from '../../src/sim/stories/crash-everywhere.ts';
import { SAGAS } from '../../src/sim/stories/sagas.ts';
import { STORIES } from '../../src/sim/stories/stories.ts';
import { SWEEPS } from '../../src/sim/stories/sweeps.ts';

const ROOT = join(import.meta.dirname, '../..');
/** The burst has half of all failpoints. */
const PARTS = ['burst', '!burst'];

test.concurrent.each(PARTS)(
  'stories %s: whatever failpoint a process ends at, the world comes right',
  async (part) => {
    const child = spawn(process.execPath, ['src/sim/stories/main.ts', '--story', part], { cwd: ROOT });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
    expect(Number(/(\d+) runs in/.exec(output)?.[1])).toBeGreaterThan(500);
  },
  300_000,
);

/** What the driver runs, and whether a story does: none has a broker. */
const EFFECTS: Readonly<Record<Effect['kind'], boolean>> = {
  reply: true,
  wire: true,
  unwire: true,
  verify: true,
  reap: true,
  flush: true,
  sync: true,
  look: true,
  cloud: true,
  'ask-budget': false,
};

test('every failpoint is passed by some story', async () => {
  const passed = new Set<string>();
  for (const story of STORIES) for (const at of (await tell(story, [])).passed) passed.add(at);
  const effects = Object.entries(EFFECTS).flatMap(([kind, isTold]) => (isTold ? [kind] : []));
  const all = ['commit', ...effects].flatMap((kind) => [`before-${kind}`, `after-${kind}`]);
  expect([...passed].sort()).toEqual(['kernel-step', ...all].sort());
});

describe('the resume table', () => {
  test.each(SAGAS.map((saga) => [saga.name, saga] as const))('%s', async (_, saga) => {
    expect(await saga.run()).toEqual([]);
  });
});

describe('the leak sweep', () => {
  test.each(SWEEPS.map((sweep) => [sweep.name, sweep] as const))('%s', async (_, sweep) => {
    expect(await sweep.run()).toEqual([]);
  });
});
