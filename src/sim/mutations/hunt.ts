/**
 * One mutation in a process of its own: the resume table and the stories, then seeds, until a breach. The result goes
 * to stdout as one line of JSON.
 * `node src/sim/mutations/hunt.ts --mutation NAME [--seeds N] [--both]`; without a mutation nothing may be found.
 */
import { parseArgs } from 'node:util';
import type { Catch } from './catch.ts';
import { infect } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';

/** A few seconds of it. */
const SMALL_WORLD = { depth: 40, statesMax: 10_000, pods: 3, crashes: 1, failures: 1, hangUps: 1, healEach: 50 };

const { values } = parseArgs({
  options: {
    mutation: { type: 'string' },
    seeds: { type: 'string', default: '500' },
    'seed-from': { type: 'string', default: '1' },
    /** Seeds also where a story has found it. */
    both: { type: 'boolean', default: false },
  },
});

const mutation = MUTATIONS.find(({ name }) => name === values.mutation);
if (values.mutation !== undefined && mutation === undefined) throw new Error(`no mutation is named ${values.mutation}`);
if (mutation !== undefined) infect(mutation);
console.log(JSON.stringify(await hunt()));

async function hunt(): Promise<Catch> {
  const story = await inStories();
  if (story !== undefined && !values.both) return story;
  const first = Number(values['seed-from']);
  // Loaded only now, with the bug in it.
  const { runSeed } = await import('../run.ts');
  for (let seed = first; seed < first + Number(values.seeds); seed++) {
    const [breach] = (await runSeed(seed)).breaches;
    if (breach !== undefined) return { ...story, seeds: seed - first + 1, breach };
  }
  return story ?? {};
}

async function inStories(): Promise<Catch | undefined> {
  const { SAGAS } = await import('../stories/sagas.ts');
  for (const { name, run } of SAGAS) {
    const [breach] = await run();
    if (breach !== undefined) return { story: name, breach };
  }
  const { STORIES } = await import('../stories/stories.ts');
  const { crashEverywhere } = await import('../stories/crash-everywhere.ts');
  for (const story of STORIES) {
    // The long ones are told once, the short ones with a crash at every failpoint.
    const [breach] = (await crashEverywhere(story, story.isLong === true ? [] : ['crash'])).breaches;
    if (breach !== undefined) return { story: story.name, breach };
  }
  const { explore } = await import('../small-world/explore.ts');
  const { breaches } = explore(SMALL_WORLD);
  const [breach] = breaches;
  return breach === undefined ? undefined : { story: 'a small world', breach };
}
