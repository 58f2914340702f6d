/** What starts the bundled daemon, with a bundle of one line in the daemon's place. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeLauncher } from '../../../deploy/launcher.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'underway-launcher-'));
  writeLauncher(folder);
  writeFileSync(join(folder, 'underwayd.js'), 'export const said = console.log(process.argv.slice(2).join());');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** By a Node that says that it is of this version. */
function launch(version: string) {
  const claim = join(folder, 'claim.cjs');
  writeFileSync(
    claim,
    `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '${version}' } });`,
  );
  const env = { PATH: process.env.PATH, UNDERWAY_NODE: process.execPath, NODE_OPTIONS: `--require=${claim}` };
  const { status, stdout, stderr } = spawnSync(join(folder, 'underwayd'), ['--a', 'b'], { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test.each(['24.0.0', '100.1.0'])('Node %s runs the daemon with its arguments', (version) => {
  expect(launch(version)).toMatchObject({ status: 0, stdout: '--a,b\n' });
});

test.each(['20.20.2', '8.0.0'])('Node %s is told of in one sentence', (version) => {
  const stderr = `underwayd: needs Node 24 or newer, and ${process.execPath} is ${version}: put a newer one first on PATH, or name it by UNDERWAY_NODE\n`;
  expect(launch(version)).toEqual({ status: 78, stdout: '', stderr });
});
