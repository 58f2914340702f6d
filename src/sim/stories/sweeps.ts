/**
 * The leak sweep by tag, observed age and owner: ENIs that no journal knows, beside a node that lives on. Each is made
 * before the node has begun, as by a process whose journal is lost.
 */

import type { EniId } from '../../core/brand.ts';
import { OWNER_TAGS, type Tags } from '../../core/cloud.ts';
import { CLUSTER } from '../node.ts';
import type { Saga } from './sagas.ts';
import { StoryWorld } from './story-world.ts';

const MINUTE_MS = 60_000;
/** The youngest that may go, and by when it has to be gone: seen, watched for ten minutes, deleted. */
const AGE_MIN_MS = 10 * MINUTE_MS;
const GONE_WITHIN_MS = 22 * MINUTE_MS;
const LONG_MS = 120 * MINUTE_MS;

export const SWEEPS: readonly Saga[] = [
  { name: 'sweep: an ENI of ours that no journal knows goes, ten minutes after it was first seen', run: ours },
  { name: 'sweep: a restart begins the ten minutes anew', run: restarted },
  { name: 'sweep: an ENI of another cluster stays', run: () => stays({ [OWNER_TAGS.cluster]: 'other' }) },
  { name: 'sweep: an ENI of another instance stays', run: () => stays({ [OWNER_TAGS.instance]: 'i-other' }) },
  {
    name: 'sweep: an ENI without our tags stays',
    run: () => stays({ [OWNER_TAGS.cluster]: '', [OWNER_TAGS.instance]: '' }),
  },
];

/** A node that serves a pod, and an ENI with these tags beside our own. */
async function beside(change: Tags): Promise<{ readonly world: StoryWorld; readonly eni: EniId }> {
  const world = new StoryWorld({});
  const { cloud, instance } = world;
  const eni = await new Promise<EniId>((resolve, reject) => {
    const tags = {
      [OWNER_TAGS.cluster]: CLUSTER,
      [OWNER_TAGS.instance]: instance,
      [OWNER_TAGS.intent]: 'lost-1',
      ...change,
    };
    const [primary] = cloud.truth.enisOf(instance);
    if (primary === undefined) return reject(new Error('the instance has no ENI'));
    cloud.call(
      'create-eni',
      { subnet: primary.subnet, groups: [], tags, wishes: [], primary6: false, deleteWithInstance: false },
      { respond: (outcome) => (outcome.kind === 'done' ? resolve(outcome.value.id) : reject(new Error(outcome.kind))) },
    );
    world.pass(1_000);
  });
  world.start();
  world.want();
  return { world, eni };
}

const isThere = ({ cloud }: StoryWorld, eni: EniId): boolean => cloud.truth.eni(eni) !== undefined;

async function ours(): Promise<readonly string[]> {
  const { world, eni } = await beside({});
  await world.pass(AGE_MIN_MS);
  if (!isThere(world, eni)) return [`${eni} was deleted before it was ten minutes old`];
  await world.pass(GONE_WITHIN_MS - AGE_MIN_MS);
  return isThere(world, eni) ? [`${eni} is still there`, ...world.disagreements()] : world.disagreements();
}

async function restarted(): Promise<readonly string[]> {
  const { world, eni } = await beside({});
  await world.pass(AGE_MIN_MS - MINUTE_MS);
  world.node.crash();
  await world.pass(AGE_MIN_MS);
  if (!isThere(world, eni)) return [`${eni} was deleted within ten minutes of the restart`];
  await world.pass(GONE_WITHIN_MS - AGE_MIN_MS);
  return isThere(world, eni) ? [`${eni} is still there`, ...world.disagreements()] : world.disagreements();
}

async function stays(change: Tags): Promise<readonly string[]> {
  const { world, eni } = await beside(change);
  await world.pass(LONG_MS);
  return isThere(world, eni) ? world.disagreements() : [`${eni} was deleted`];
}
