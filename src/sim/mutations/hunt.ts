/**
 * One mutation in a process of its own: the resume table and the stories, then seeds, until a breach. The result goes
 * to stdout as one line of JSON.
 * `node src/sim/mutations/hunt.ts --mutation NAME [--seeds N] [--both]`; without a mutation nothing may be found.
 */
import { parseArgs } from 'node:util';
import type { Catch } from './catch.ts';
import { infect } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';

/** Seeds that are tried before anything else: many a bug needs no more. */
const FIRST_SEEDS = 3;
/** A few seconds of it. */
const SMALL_WORLD = { depth: 40, statesMax: 10_000, pods: 3, crashes: 1, failures: 1, hangUps: 1, healEach: 50 };

const { values } = parseArgs({
  options: {
    mutation: { type: 'string' },
    seeds: { type: 'string', default: '500' },
    /** Seeds also where a story has found it. */
    both: { type: 'boolean', default: false },
  },
});

const mutation = MUTATIONS.find(({ name }) => name === values.mutation);
if (values.mutation !== undefined && mutation === undefined) throw new Error(`no mutation is named ${values.mutation}`);
if (mutation !== undefined) infect(mutation);
console.log(JSON.stringify(await hunt()));

async function hunt(): Promise<Catch> {
  const all = Number(values.seeds);
  const first = await inSeeds(1, Math.min(all, FIRST_SEEDS));
  if (first.breach !== undefined && !values.both) return first;
  const story = await inStories();
  if (first.breach !== undefined) return { ...story, ...first };
  if (story.breach !== undefined && !values.both) return story;
  return { ...story, ...(await inSeeds(FIRST_SEEDS + 1, all)) };
}

async function inSeeds(from: number, to: number): Promise<Catch> {
  // Loaded only now, with the bug in it.
  const { runSeed } = await import('../run.ts');
  for (let seed = from; seed <= to; seed++) {
    const { breaches, unconverged } = await runSeed(seed);
    const [breach] = [...breaches, ...unconverged];
    if (breach !== undefined) return { seed, breach };
  }
  return {};
}

async function inStories(): Promise<Catch> {
  const { SAGAS } = await import('../stories/sagas.ts');
  const { SWEEPS } = await import('../stories/sweeps.ts');
  for (const { name, run } of [...SAGAS, ...SWEEPS]) {
    const [breach] = await run();
    if (breach !== undefined) return { story: `saga: ${name}`, breach };
  }
  const { STORIES } = await import('../stories/stories.ts');
  const { crashEverywhere } = await import('../stories/crash-everywhere.ts');
  for (const story of STORIES) {
    // The long ones are told once, the short ones with a crash at every failpoint.
    const [breach] = (await crashEverywhere(story, story.isLong === true ? [] : ['crash', 'power-loss'])).breaches;
    if (breach !== undefined) return { story: `story: ${story.name}`, breach };
  }
  const { explore } = await import('../small-world/explore.ts');
  const { breaches } = explore(SMALL_WORLD);
  const [breach] = breaches;
  return breach === undefined ? {} : { story: 'a small world', breach };
}
