/**
 * The canonical stories with a process that ends at every failpoint, in plain Node processes, and the resume table:
 * each operation, each way to lose its answer.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { SAGAS } from '../../src/sim/stories/sagas.ts';
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
