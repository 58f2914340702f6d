/**
 * One mutation in a process of its own: the resume table, then seeds, until a breach. The result goes to stdout as
 * one line of JSON. `node src/sim/mutations/hunt.ts --mutation NAME [--seeds N]`
 */
import { parseArgs } from 'node:util';
import { infect } from './mutation.ts';
import { MUTATIONS } from './mutations.ts';

const { values } = parseArgs({
  options: { mutation: { type: 'string', default: '' }, seeds: { type: 'string', default: '500' } },
});

export interface Catch {
  readonly mutation: string;
  /** Seeds until the first breach; undefined where none had one. */
  readonly seeds?: number;
  /** The story that has a breach, whether or not a seed has. */
  readonly story?: string;
  readonly breach?: string;
}

const mutation = MUTATIONS.find(({ name }) => name === values.mutation);
if (mutation === undefined) throw new Error(`no mutation is named ${values.mutation}`);
infect(mutation);
console.log(JSON.stringify(await hunt(mutation.name, Number(values.seeds))));

async function hunt(name: string, seedsMax: number): Promise<Catch> {
  // Loaded only now, with the bug in them.
  const { runSeed } = await import('../run.ts');
  for (let seed = 1; seed <= seedsMax; seed++) {
    const [breach] = (await runSeed(seed)).breaches;
    if (breach !== undefined) return { mutation: name, seeds: seed, breach };
  }
  const { SAGAS } = await import('../stories/sagas.ts');
  for (const saga of SAGAS) {
    const [breach] = await saga.run();
    if (breach !== undefined) return { mutation: name, story: saga.name, breach };
  }
  const { STORIES } = await import('../stories/stories.ts');
  const { tell } = await import('../stories/crash-everywhere.ts');
  for (const story of STORIES) {
    const [breach] = (await tell(story, [])).breaches;
    if (breach !== undefined) return { mutation: name, story: story.name, breach };
  }
  return { mutation: name };
}
