/** The simulator's programs refuse a wrong word before any work, with a sentence and exit code 64. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const SIM = join(import.meta.dirname, '../../../src/sim');

function run(program: string, args: readonly string[], options: { readonly timeout?: number } = {}) {
  const words = [join(SIM, program), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', ...options });
  return { status, stdout, stderr };
}

test.each([
  ['--seed abc', '--seed must be a whole number from 0 to 4294967295; it is abc'],
  ['--seed=-1', '--seed must be a whole number from 0 to 4294967295; it is -1'],
  ['--seed -1', '--seed needs a value that does not begin with a dash'],
  ['--seeds abc', '--seeds must be a whole number from 1 to 1000000; it is abc'],
  ['--seeds 0', '--seeds must be a whole number from 1 to 1000000; it is 0'],
  ['--seed-from x', '--seed-from must be a whole number from 0 to 4294967295; it is x'],
  ['--seeds 1 --also 3,x', '--also must be a whole number from 0 to 4294967295; it is x'],
  ['--seed 7 --minutes soon', '--minutes must be a number of at least 0; it is soon'],
  ['--seed 7 --last 0', '--last must be a whole number of at least 1; it is 0'],
  ['--seed 7 --json figures.json', '--json does not go with --seed'],
  ['--without nonsense', 'no fault class is named nonsense'],
  ['--scenario nonsense', expect.stringMatching(/^no scenario is named nonsense: there are burst-addresses, /)],
  ['--bogus', "Unknown option '--bogus'"],
  ['7', "Unexpected argument '7'"],
])('sim %s', (words, sentence) => {
  const { status, stdout, stderr } = run('main.ts', words.split(' '));
  const said = /^sim: (.*): see --help\n$/.exec(stderr)?.[1] ?? stderr;
  expect({ status, stdout, said }).toEqual({ status: 64, stdout: '', said: sentence });
});

test.each(['--seeds 100000', '--scenario day'])(
  'sim %s --json: a file that cannot be written is told before the work',
  (words) => {
    expect(run('main.ts', [...words.split(' '), '--json', '/nowhere/figures.json'])).toMatchObject({
      status: 64,
      stderr: expect.stringMatching(/^sim: --json \/nowhere\/figures\.json cannot be written: ENOENT/),
    });
  },
);

test('sim --json: figures that cannot be written after all are a sentence too', () => {
  expect(run('main.ts', ['--seeds', '1', '--json', '/dev/full'])).toMatchObject({
    status: 74,
    stderr: expect.stringMatching(/^sim: the figures are lost: \/dev\/full cannot be written: ENOSPC.*\n$/),
  });
});

test('sim --json leaves no file where the work is broken off', () => {
  const file = join(mkdtempSync(join(tmpdir(), 'underway-sim-')), 'figures.json');
  expect(run('main.ts', ['--seeds', '100000', '--json', file], { timeout: 3_000 }).status).toBeNull();
  expect(existsSync(file)).toBe(false);
  rmSync(dirname(file), { recursive: true });
});

test.each(['small-world', 'stories', 'mutations'])('%s has --help, and knows what it does not know', (name) => {
  const program = `${name}/main.ts`;
  expect(run(program, ['--help'])).toMatchObject({ status: 0, stdout: expect.stringContaining(program), stderr: '' });
  const unknown = { status: 64, stdout: '', stderr: `${name}: Unknown option '--bogus': see --help\n` };
  expect(run(program, ['--bogus'])).toEqual(unknown);
});
