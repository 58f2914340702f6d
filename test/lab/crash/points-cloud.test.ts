/**
 * kill -9 at every place on the way of an ADD that needs a new ENI (create, attach), of one that needs an address
 * (assign), of addresses given back (unassign), and of an ENI that is drained (detach, delete). Each node of a lab lives
 * one life and dies in it up to three times; after each death it must come to where an undisturbed node is, in the kernel
 * and in the cloud. What a pool has too much of goes after a minute, so the nodes live at the same time.
 */
import { type Deed, Gate, PointNode } from './points-node.ts';
import { difference } from './points-text.ts';
import { Stage, until } from './stage.ts';

const LIMIT_MS = 400_000;
const DEED_MS = 200_000;
const NODES = 84;
/** Starts at a time. */
const WIDTH = 3;
let stage: Stage;

const STORIES = {
  'new ENI': (node) => node.add(),
  assign: (node) => node.add(),
  'give-back': (node) => until(`${node.name} gave back`, () => blocksOf(node) === 2, DEED_MS),
  drain: (node) => until(`${node.name} drained`, () => node.enis.length === 1, DEED_MS),
} as const satisfies Readonly<Record<string, Deed>>;
type Story = keyof typeof STORIES;

const blocksOf = (node: PointNode): number => node.enis.reduce((sum, { blocks }) => sum + blocks.length, 0);

/** What an undisturbed node passed, and how its kernel was afterwards. */
interface Undisturbed {
  readonly points: readonly string[];
  readonly text: readonly string[];
}

beforeAll(async () => {
  stage = await Stage.up({
    nodeCount: NODES,
    subnetCount: 1,
    daemons: false,
    instanceType: 't3.xlarge',
    daemonConfig: {
      cooldownMs: 1_000,
      cooldownUnderPressureMs: 1_000,
      pool: { primaryEni: 'skip', targets: { floor: 0, headroom: 0 } },
    },
  });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

/** One that ends in `last`; `does` is asked to do each story on the way that matters. */
async function life(node: PointNode, last: Story, does: (story: Story) => Promise<void>): Promise<void> {
  await node.start();
  await node.rest();
  await does('new ENI');
  await does('assign');
  // One free address alone is none too many: two must be.
  if (last === 'give-back') await node.add();
  await node.remove(2);
  await node.rest();
  await does(last);
  await node.stop();
}

test(
  'at every place: nothing lost, doubled or leaked, and kernel and cloud as without the crash',
  async () => {
    const gate = new Gate(WIDTH);
    const [one, other, ...rest] = stage.lab.nodes.map(
      (node) => new PointNode(node, { lab: stage.lab, pods: stage.pods, gate }),
    );
    if (one === undefined || other === undefined) throw new Error('two nodes are wanted');
    const records = Object.fromEntries(
      Object.keys(STORIES).map((story) => [story, Promise.withResolvers<Undisturbed>()]),
    ) as { [S in Story]: PromiseWithResolvers<Undisturbed> };
    const record = (node: PointNode) => async (story: Story) => {
      const points = await node.record(STORIES[story]);
      console.log(`${story}: ${points.length} places`);
      records[story].resolve({ points, text: await node.neutralText() });
    };

    const complaints: string[] = [];
    const tried = new Set<string>();
    const taken = { 'new ENI': 0, assign: 0, 'give-back': 0, drain: 0 };
    const die = (node: PointNode) => async (story: Story) => {
      const { points, text } = await records[story].promise;
      const at = points[taken[story]++];
      const say = (what: string) => complaints.push(`${story} killed at ${at} on ${node.name}: ${what}`);
      if (at === undefined) return story === 'give-back' || story === 'drain' ? undefined : STORIES[story](node);
      tried.add(`${story} ${at}`);
      if (!(await node.dieAt(at, STORIES[story]))) say('the place was not passed');
      for (const line of difference(text, await node.neutralText())) say(line);
      for (const line of await node.disagreements()) say(line);
    };
    const lastOf = (n: number): Story => (n % 3 === 0 ? 'give-back' : 'drain');
    const lives = rest.map((node, n) =>
      life(node, lastOf(n), die(node)).catch((error) => complaints.push(`${node.name}: ${error}`)),
    );
    await Promise.all([life(one, 'give-back', record(one)), life(other, 'drain', record(other)), ...lives]);

    expect(complaints).toEqual([]);
    for (const [story, { promise }] of Object.entries(records))
      expect((await promise).points.filter((at) => !tried.has(`${story} ${at}`))).toEqual([]);
    const loose = stage.lab.cloud.truth.enis().filter(({ attachment }) => attachment === undefined);
    expect(loose).toEqual([]);
  },
  LIMIT_MS,
);
