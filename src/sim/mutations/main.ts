/**
 * Hunts every deliberate bug, one process a core, and prints what found it. Exit code 1 when one was not found, or when
 * the program without any has a breach in as many seeds.
 */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { checkWritable, writeFigures } from '../../program/figures.ts';
import { readFlags, runProgram, UsageError, wholeNumber } from '../../program/flags.ts';
import type { Catch } from './catch.ts';
import { MUTATIONS } from './mutations.ts';

const HELP = `node src/sim/mutations/main.ts: deliberate bugs, which stories and seeds have to find
  --seeds N      seeds for each, at most (default 500)
  --only TEXT    only bugs with this in their names
  --both         seeds also where a story has found it
  --json FILE    write the figures there
`;

/** Seeds of the healthy program, at most; `npm run sim` runs the rest. */
const CONTROL_SEEDS_MAX = 60;

const HUNT = join(import.meta.dirname, 'hunt.ts');

await runProgram('mutations', async () => {
  const { values } = readFlags({
    options: {
      seeds: { type: 'string', default: '500' },
      only: { type: 'string', default: '' },
      both: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const names = MUTATIONS.map(({ name }) => name).filter((name) => name.includes(values.only));
  if (names.length === 0) throw new UsageError(`no mutation has ${values.only} in its name`);
  const seeds = wholeNumber('seeds', values.seeds, { min: 1 });
  if (values.json !== undefined) checkWritable('json', values.json);
  return huntAll(names, { seeds, both: values.both, json: values.json });
});

interface HuntOptions {
  readonly seeds: number;
  readonly both: boolean;
}

async function hunt(mutation: string | undefined, { seeds, both }: HuntOptions): Promise<Catch> {
  const args = [HUNT, '--seeds', `${seeds}`];
  if (mutation !== undefined) args.push('--mutation', mutation);
  if (both) args.push('--both');
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout);
}

function finders({ seed, story }: Catch): string {
  const found = [seed === undefined ? [] : `seed ${seed}`, story ?? []].flat();
  return found.length === 0 ? 'NOT FOUND' : found.join('; ');
}

async function huntAll(
  names: readonly string[],
  { json, ...options }: HuntOptions & { readonly json: string | undefined },
): Promise<number> {
  const beganMs = performance.now();
  const table: (Catch & { readonly mutation: string })[] = [];
  const waiting = [...names];
  const hunter = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const caught = await hunt(name, options);
      table.push({ mutation: name, ...caught });
      console.log(`${name} | ${finders(caught)} | ${caught.breach?.split('\n')[0]?.slice(0, 100) ?? ''}`);
    }
  };
  console.log('mutation | found by | first breach');
  const healthy = hunt(undefined, { ...options, seeds: Math.min(options.seeds, CONTROL_SEEDS_MAX) });
  const others = Array.from({ length: availableParallelism() - 1 }, hunter);
  const [control] = await Promise.all([healthy, healthy.then(hunter), ...others]);
  if (control.breach !== undefined) console.log(`without any mutation: ${control.breach}`);
  const bySeeds = table.filter(({ seed }) => seed !== undefined).length;
  const missed = table.filter(({ breach }) => breach === undefined).length;
  const seconds = (performance.now() - beganMs) / 1000;
  console.log(`${table.length} mutations, ${bySeeds} found by seeds, ${missed} not found, ${seconds.toFixed(1)} s`);
  if (json !== undefined) writeFigures(json, { table, control });
  return missed > 0 || control.breach !== undefined ? 1 : 0;
}
