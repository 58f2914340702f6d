/**
 * `node src/sim/mutations/main.ts [--seeds N] [--only TEXT] [--both] [--json FILE]` hunts every deliberate
 * bug, one process a core, and prints what found it. Exit code 1 when one was not found, or when the program without
 * any has a breach in as many seeds.
 */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import type { Catch } from './catch.ts';
import { MUTATIONS } from './mutations.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '500' },
    only: { type: 'string', default: '' },
    both: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});

/** Seeds of the healthy program: the most that any mutation needed, up to this many; `npm run sim` runs the rest. */
const CONTROL_SEEDS_MAX = 60;

const HUNT = join(import.meta.dirname, 'hunt.ts');

async function hunt(mutation: string | undefined, seeds: number): Promise<Catch> {
  const args = [HUNT, '--seeds', `${seeds}`];
  if (mutation !== undefined) args.push('--mutation', mutation);
  if (values.both) args.push('--both');
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

const chosen = MUTATIONS.filter(({ name }) => name.includes(values.only));
const beganMs = performance.now();
const table: (Catch & { readonly mutation: string })[] = [];
const waiting = chosen.map(({ name }) => name);

async function hunter(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const caught = await hunt(name, Number(values.seeds));
    table.push({ mutation: name, ...caught });
    const where = [caught.seeds === undefined ? [] : `seeds ${caught.seeds}`, caught.story ?? []].flat().join('; ');
    console.log(`${name} | ${where || 'NOT FOUND'} | ${caught.breach?.split('\n')[0]?.slice(0, 100) ?? ''}`);
  }
}

console.log('mutation | found by | first breach');
await Promise.all(Array.from({ length: availableParallelism() }, hunter));
const most = Math.max(1, ...table.map(({ seeds = 0 }) => seeds));
const control = await hunt(undefined, Math.min(most, CONTROL_SEEDS_MAX));
if (control.breach !== undefined) console.log(`without any mutation: ${control.breach}`);
const missed = table.filter(({ breach }) => breach === undefined).length;
const seconds = (performance.now() - beganMs) / 1000;
console.log(`${table.length} mutations, ${missed} not found, ${seconds.toFixed(1)} s`);
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify({ table, control }, null, 2)}\n`);
process.exitCode = missed > 0 || control.breach !== undefined ? 1 : 0;
