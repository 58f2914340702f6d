/**
 * A change is sent once, whatever happens to the connection. With its own defaults the SDK sends an assign again, which
 * would take addresses that nobody knows of.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Seen } from './aws-once-run.ts';

let seen: readonly Seen[];
beforeAll(async () => {
  const program = fileURLToPath(new URL('./aws-once-run.ts', import.meta.url));
  const env = { PATH: process.env.PATH };
  const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 60_000, env });
  seen = JSON.parse(stdout);
}, 60_000);

test('every change is sent once and answered as ambiguous, however its connection ends', () => {
  const ours = seen.filter(({ answer }) => answer !== 'sdk');
  expect(ours).toHaveLength(10 * 5);
  expect(ours.filter(({ sent }) => sent.length !== 1)).toEqual([]);
  expect(ours.filter(({ action, sent }) => sent[0] !== action)).toEqual([]);
  expect(ours.filter(({ answer }) => answer !== 'ambiguous')).toEqual([]);
});

test('the SDK as it comes sends an assign again after a reset, and the endpoint sees it', () => {
  const reset = seen.find(({ answer, end }) => answer === 'sdk' && end === 'reset');
  expect(reset?.sent.length).toBeGreaterThan(1);
});
