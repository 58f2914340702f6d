/**
 * One story, and a process that ends at each of its failpoints in turn: once with all that it committed, once with
 * the newest commits lost to a power failure, and once more while its successor starts. Every time the world has to
 * come to the story's own end.
 */
import { SWEEP_WITHIN_MS } from '../oracle.ts';
import type { Story } from './stories.ts';
import { StoryWorld } from './story-world.ts';

/** Retries of pods, two reads that agree after a call's deadline, an ENI's give-back, and the kubelet's patience. */
const HEAL_MS = 600_000;
/** A node with nothing to do makes at most one call a minute, a return to prefixes among them. */
const QUIET_MS = 600_000;
const QUIET_CALLS_MAX = QUIET_MS / 60_000;
const LOST_COMMITS = 3;
/** The successor's failpoints, at which it ends too: spread, so that over a story's indices most are met. */
const SECOND_CRASH_WITHIN = 23;

export type Variant = 'crash' | 'power-loss' | 'twice';

export interface StoryReport {
  readonly story: string;
  /** Failpoints that the undisturbed story passes. */
  readonly failpoints: number;
  readonly runs: number;
  /** The first breach of each run that had one, with the place of its crash. */
  readonly breaches: readonly string[];
}

export async function crashEverywhere(
  story: Story,
  variants: readonly Variant[] = ['crash', 'power-loss', 'twice'],
): Promise<StoryReport> {
  const undisturbed = await tell(story, []);
  const { passed, breaches: first } = undisturbed;
  const breaches = first.map((breach) => `undisturbed: ${breach}`);
  let runs = 1;
  for (let at = 0; at < passed.length; at++) {
    for (const variant of variants) {
      const crashes = variant === 'twice' ? [at, (at * 7) % SECOND_CRASH_WITHIN] : [at];
      const lost = variant === 'power-loss' ? LOST_COMMITS : undefined;
      const [breach] = (await tell(story, crashes, lost)).breaches;
      runs++;
      if (breach !== undefined) breaches.push(`${variant} at ${at} (${passed[at]}): ${breach}`);
    }
  }
  return { story: story.name, failpoints: passed.length, runs, breaches };
}

/** The story with processes that end after so many failpoints each. */
export async function tell(
  story: Story,
  crashIn: readonly number[],
  lostCommits?: number,
): Promise<{ readonly passed: readonly string[]; readonly breaches: readonly string[]; readonly world: StoryWorld }> {
  const world = new StoryWorld(story.shape);
  await story.begin(world);
  world.watchFailpoints(crashIn, lostCommits);
  await story.act(world);
  const { passed } = world;
  if (crashIn.length > 0) await world.pass(SECOND_CRASH_WITHIN * 1_000);
  world.ignoreFailpoints();
  world.cloud.faults.clear();
  await world.pass(HEAL_MS);
  if (world.hasStrays) await world.pass(SWEEP_WITHIN_MS);
  const before = world.cloud.calls.length;
  await world.pass(QUIET_MS);
  const breaches = [...world.disagreements()];
  const made = world.cloud.calls.length - before;
  if (made > QUIET_CALLS_MAX) breaches.push(`${made} cloud calls in ${QUIET_MS / 60_000} quiet minutes`);
  if (breaches.length === 0) breaches.push(...(story.goal?.(world, crashIn.length === 0) ?? []));
  return { passed, breaches, world };
}
