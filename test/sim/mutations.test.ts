/** The simulator's own test: deliberate bugs, of which stories, the small world or a few seeds must find every one. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mutated } from '../../src/sim/mutations/mutation.ts';
import { MUTATIONS } from '../../src/sim/mutations/mutations.ts';

const ROOT = join(import.meta.dirname, '../..');

test('each of at least 24 mutations is one edit of one place', () => {
  expect(MUTATIONS.length).toBeGreaterThanOrEqual(24);
  expect(new Set(MUTATIONS.map(({ name }) => name)).size).toBe(MUTATIONS.length);
  for (const mutation of MUTATIONS) {
    const source = readFileSync(join(ROOT, mutation.file), 'utf8');
    expect(mutated(source, mutation)).not.toBe(source);
  }
});

test('every one of them is found, and nothing is where there is none', async () => {
  const child = spawn(process.execPath, ['src/sim/mutations/main.ts', '--seeds', '20'], { cwd: ROOT });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
}, 600_000);
