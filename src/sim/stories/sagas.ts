/**
 * The resume table of design section 5, a row for each operation and each way to lose its answer: the reply is lost,
 * the request is lost, or the process ends with the call on its way, which lands when its successor has read the cloud.
 * How often the call was made, and what the cloud then has, tells repeat from adoption.
 */
import type { ApiAction } from '../../../providers/memory/api.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import type { Story } from './stories.ts';
import { type Shape, StoryWorld } from './story-world.ts';

const MISHAPS = [
  'the reply is lost',
  'no answer ever comes',
  'the request is lost',
  'the connection breaks, the call lands late',
  'the process ends, the call lands late',
] as const;
export type Mishap = (typeof MISHAPS)[number];

/** A slow call whose effect comes seconds after the successor's first list, and before the call's deadline. */
const LATE_MS = 8_000;
const RESTART_MS = 100;
/** By then a call that was repeated at once has been answered. */
const MEANWHILE_MS = 2_000;
const HEAL_MS = 900_000;

interface Operation {
  readonly name: string;
  readonly action: ApiAction;
  readonly shape: Shape;
  readonly begin: Story['begin'];
  readonly act: (world: StoryWorld) => void;
  /** How long until its call is out at the latest. */
  readonly withinMs: number;
  /** What comes while the call is in doubt. */
  readonly meanwhile?: (world: StoryWorld) => void;
  /** What the row says, and how many calls that makes. */
  readonly rows: Readonly<Record<Mishap, { readonly says: string; readonly calls: number }>>;
  readonly goal: (world: StoryWorld) => readonly string[];
}

export interface Saga {
  readonly name: string;
  readonly run: () => Promise<readonly string[]>;
}

const start = async (world: StoryWorld): Promise<void> => {
  world.start();
  await world.pass(3_000);
};

const withPods = (count: number) => async (world: StoryWorld) => {
  await start(world);
  for (let n = 0; n < count; n++) {
    world.want();
    await world.pass(6_000);
  }
};

const wantOne = (world: StoryWorld): void => {
  world.want();
};

const unwantAllButOne = (world: StoryWorld): void => {
  for (const pod of world.wantedPods().slice(1)) world.unwant(pod);
};

const unwantAll = (world: StoryWorld): void => {
  for (const pod of world.wantedPods()) world.unwant(pod);
};

const repeated = (how: string, calls = 2) => ({
  'the reply is lost': { says: how, calls },
  'no answer ever comes': { says: how, calls },
  'the request is lost': { says: how, calls: 2 },
  'the connection breaks, the call lands late': { says: how, calls },
  'the process ends, the call lands late': { says: how, calls: 2 },
});

const oneEni = (world: StoryWorld): readonly string[] => {
  const { length } = world.cloud.truth.enis();
  return length === 2 ? [] : [`the cloud has ${length} ENIs, the primary among them`];
};

const oneBlock = (world: StoryWorld): readonly string[] =>
  world.blocks.length === 1 ? [] : [`the cloud has ${world.blocks.length} blocks`];

const noEni = (world: StoryWorld): readonly string[] => {
  const { length } = world.cloud.truth.enis();
  return length === 1 ? [] : [`the cloud has ${length} ENIs, the primary among them`];
};

const ADOPTED = 'not repeated, adopted when two reads agree';
const PLANNED_ANEW = 'planned anew when two reads agree that it was not done';

const OPERATIONS: readonly Operation[] = [
  {
    name: 'create',
    action: 'create-eni',
    shape: { primaryEni: 'skip' },
    begin: start,
    act: wantOne,
    withinMs: 1_000,
    rows: repeated('repeated with its own token, one ENI is made'),
    goal: oneEni,
  },
  {
    name: 'attach',
    action: 'attach-eni',
    shape: { primaryEni: 'skip' },
    begin: start,
    act: wantOne,
    withinMs: 2_000,
    rows: {
      'the reply is lost': { says: 'accepted, its link is the proof', calls: 1 },
      'no answer ever comes': { says: 'accepted, its link is the proof', calls: 1 },
      'the request is lost': { says: 'listed, then attached again', calls: 2 },
      'the connection breaks, the call lands late': { says: 'listed, then accepted', calls: 1 },
      'the process ends, the call lands late': { says: 'listed, then accepted', calls: 1 },
    },
    goal: oneEni,
  },
  {
    name: 'assign',
    action: 'assign',
    shape: {},
    begin: start,
    act: wantOne,
    withinMs: 1_000,
    rows: {
      'the reply is lost': { says: ADOPTED, calls: 1 },
      'no answer ever comes': { says: ADOPTED, calls: 1 },
      'the request is lost': { says: PLANNED_ANEW, calls: 2 },
      'the connection breaks, the call lands late': { says: ADOPTED, calls: 1 },
      'the process ends, the call lands late': { says: ADOPTED, calls: 1 },
    },
    goal: oneBlock,
  },
  {
    name: 'assign with a token',
    action: 'assign',
    shape: { cloud: 'ecs' },
    begin: start,
    act: wantOne,
    withinMs: 1_000,
    rows: repeated('repeated with its own token, one address is given'),
    goal: oneBlock,
  },
  {
    name: 'unassign',
    action: 'unassign',
    shape: {},
    begin: withPods(3),
    act: unwantAllButOne,
    withinMs: 130_000,
    rows: repeated('repeated until the address is absent'),
    goal: (world) => (world.blocks.length <= 2 ? [] : [`${world.blocks.length} blocks are kept`]),
  },
  {
    name: 'unassign, and pods come that want the address',
    action: 'unassign',
    shape: {},
    begin: withPods(3),
    act: unwantAllButOne,
    withinMs: 130_000,
    meanwhile: (world) => {
      for (let n = 0; n < 2; n++) world.want();
    },
    rows: repeated('repeated when the first can land no more, so nobody has the address yet'),
    goal: (world) => (world.blocks.length >= 3 ? [] : [`${world.blocks.length} blocks for 3 pods`]),
  },
  {
    name: 'detach',
    action: 'detach-eni',
    shape: { primaryEni: 'skip' },
    begin: withPods(2),
    act: unwantAll,
    withinMs: 130_000,
    rows: repeated('repeated until it is detached'),
    goal: noEni,
  },
  {
    name: 'delete',
    action: 'delete-eni',
    shape: { primaryEni: 'skip' },
    begin: withPods(2),
    act: unwantAll,
    withinMs: 140_000,
    rows: repeated('repeated until it is absent, which is success'),
    goal: noEni,
  },
  {
    name: 'modify',
    action: 'modify-eni',
    shape: { primaryEni: 'skip' },
    begin: start,
    act: wantOne,
    withinMs: 10_000,
    rows: repeated('repeated'),
    goal: (world) =>
      world.secondaries.every(({ attachment }) => attachment?.deleteOnTermination === true)
        ? []
        : ['an ENI outlives its instance'],
  },
];

export const SAGAS: readonly Saga[] = [
  ...OPERATIONS.flatMap((operation) =>
    MISHAPS.map((mishap) => ({
      name: `${operation.name}: ${mishap} -> ${operation.rows[mishap].says}`,
      run: () => live(operation, mishap),
    })),
  ),
  {
    name: 'assign on the primary: the power is lost with the call on its way -> its intent is on the disk, adopted',
    run: () => powerLost(({ cloud }) => cloud.calls.some(({ action }) => action === 'assign')),
  },
  {
    name: 'assign on the primary: the power is lost with what its answer brought -> adopted again',
    run: () => powerLost(({ node }) => (node.driver?.state.count('block') ?? 0) > 0),
  },
  { name: 'attach: notFound for an ENI just made -> tried again', run: notFoundYet },
  { name: 'assign: throttled -> it waits for its token, no ENI is made', run: throttled },
];

/** All that is not on the disk is lost when `when` says so. What the primary then carries must be the node's own. */
async function powerLost(when: (world: StoryWorld) => boolean): Promise<readonly string[]> {
  const world = new StoryWorld({ restartMs: RESTART_MS });
  await start(world);
  world.want();
  await world.passUntil(10_000, () => when(world));
  if (!when(world)) return ['it never came to that'];
  world.losePower(Number.POSITIVE_INFINITY);
  await world.pass(HEAL_MS);
  const held = world.node.driver?.state.count('block');
  const stranded = held === world.blocks.length ? [] : [`of ${world.blocks.length} blocks the node holds ${held}`];
  return [...world.disagreements(), ...stranded];
}

/** Every replica that attach asks has not heard of the ENI yet. */
async function notFoundYet(): Promise<readonly string[]> {
  const world = new StoryWorld({ primaryEni: 'skip', figures: { ...AWS_2026, freshNotFoundRate: 1 } });
  await start(world);
  world.want();
  await world.pass(HEAL_MS);
  const creates = world.cloud.calls.filter(({ action }) => action === 'create-eni').length;
  return [...world.disagreements(), ...(creates === 1 ? [] : [`${creates} ENIs were made`])];
}

async function throttled(): Promise<readonly string[]> {
  const world = new StoryWorld({});
  await start(world);
  const lift = world.cloud.faults.arm({ kind: 'throttle' }, { actions: ['assign'] });
  world.want();
  await world.pass(5_000);
  lift();
  await world.pass(HEAL_MS);
  const isCreated = world.cloud.calls.some(({ action }) => action === 'create-eni');
  return [...world.disagreements(), ...(isCreated ? ['an ENI was made'] : [])];
}

async function live(operation: Operation, mishap: Mishap): Promise<readonly string[]> {
  const { action, shape, rows, withinMs } = operation;
  const world = new StoryWorld({ ...shape, restartMs: RESTART_MS });
  await operation.begin(world);
  const made = (): number => world.cloud.calls.filter((call) => call.action === action).length;
  const before = made();
  strike(world, action, mishap);
  operation.act(world);
  await world.passUntil(withinMs, () => made() > before);
  if (made() === before) return [`no ${action} within ${withinMs} ms`];
  if (mishap === 'the process ends, the call lands late') world.node.crash();
  await world.pass(MEANWHILE_MS);
  operation.meanwhile?.(world);
  await world.pass(HEAL_MS);
  const breaches = [...world.disagreements(), ...operation.goal(world)];
  const calls = made() - before;
  if (calls !== rows[mishap].calls) breaches.push(`${calls} calls of ${action} instead of ${rows[mishap].calls}`);
  return breaches;
}

function strike(world: StoryWorld, action: ApiAction, mishap: Mishap): void {
  const terms = { calls: 1, actions: [action] };
  if (mishap === 'the process ends, the call lands late')
    world.cloud.faults.arm({ kind: 'latency', factor: 1, plusMs: LATE_MS }, terms);
  else if (mishap === 'the connection breaks, the call lands late')
    world.cloud.faults.arm({ kind: 'lost-reply', silent: false, lateMs: LATE_MS }, terms);
  else if (mishap === 'the request is lost') world.cloud.faults.arm({ kind: 'lost-request', silent: false }, terms);
  else world.cloud.faults.arm({ kind: 'lost-reply', silent: mishap === 'no answer ever comes' }, terms);
}
