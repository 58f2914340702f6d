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
const NODES = 48;
/** Starts at a time. */
const WIDTH = 2;
let stage: Stage;

const STORIES = {
  'new ENI': (node) => node.add(),
  assign: (node) => node.add(),
  'give-back': (node) => until(`${node.name} gave back`, () => blocksOf(node) === 1, DEED_MS),
  drain: (node) => until(`${node.name} drained`, () => node.enis.length === 1, DEED_MS),
} as const satisfies Readonly<Record<string, Deed>>;
type Story = keyof typeof STORIES;

/**
 * A sync changes nothing between the commit before it and its first step, which both are places; and daemons hear changes
 * in the lab's fabric, their links' other end, so that some syncs are there for other nodes' sake.
 */
const isSync = (at: string): boolean => at.startsWith('before-sync') || at.startsWith('after-sync');

/** What is in the kernel for addresses that nobody has. */
const isFree = (line: string): boolean => line.includes('-FREE');
const used = (text: readonly string[]): readonly string[] => text.filter((line) => !isFree(line));
const freeOf = (text: readonly string[]): number =>
  text.filter((line) => isFree(line) && line.includes('"unreachable"')).length;

/** An ADD that died unanswered leaves an address behind, which the next one takes without asking the cloud. */
const hasSpare = (node: PointNode): boolean => blocksOf(node) > node.running.length;

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
    // Half the places; what IPv6 adds to a pod's wiring is in points.test.ts.
    ipv6: false,
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

interface Death {
  /** Resolves when it is known how the story goes. */
  known(story: Story): Promise<unknown>;
  does(story: Story): Promise<void>;
}

/** A node's, which ends in `last`. */
async function life(node: PointNode, last: Story, { known, does }: Death): Promise<void> {
  await node.start();
  await node.rest();
  await does('new ENI');
  await does('assign');
  // One free address alone is none too many: two must be.
  if (last === 'give-back') await node.add();
  await known(last);
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
    const record = (node: PointNode, stories: readonly Story[]): Death => ({
      known: () => Promise.resolve(),
      async does(story) {
        if (!stories.includes(story)) return STORIES[story](node).then(() => node.rest());
        const points = (await node.record(STORIES[story])).filter((at) => !isSync(at));
        console.log(`${story}: ${points.length} places`);
        records[story].resolve({ points, text: await node.neutralText() });
      },
    });

    const complaints: string[] = [];
    /** Places at which no node has died yet. */
    const left = new Map<Story, string[]>();
    const passed: Record<Story, number> = { 'new ENI': 0, assign: 0, 'give-back': 0, drain: 0 };
    const die = async (node: PointNode, story: Story): Promise<void> => {
      const { points, text } = await records[story].promise;
      const places = left.get(story) ?? [...points];
      left.set(story, places);
      const at = story === 'assign' && hasSpare(node) ? undefined : places.shift();
      const say = (what: string) => complaints.push(`${story} killed at ${at} on ${node.name}: ${what}`);
      if (at === undefined) return story === 'give-back' || story === 'drain' ? undefined : STORIES[story](node);
      // Events that come together are one commit, and a node passes a place less: the next one dies there.
      if (await node.dieAt(at, STORIES[story])) passed[story]++;
      else places.push(at);
      for (const line of difference(used(text), used(await node.neutralText()))) say(line);
      // The address of an ADD that died unanswered cools down while the next try takes another.
      if (freeOf(await node.neutralText()) > freeOf(text) + 1) say('more than one address is left over');
      for (const line of await node.disagreements()) say(line);
    };
    const lastOf = (n: number): Story => (n % 3 === 0 ? 'give-back' : 'drain');
    const lives = rest.map((node, n) =>
      life(node, lastOf(n), {
        known: (story) => records[story].promise,
        does: (story) => die(node, story),
      }).catch((error) => complaints.push(`${node.name}: ${error}`)),
    );
    await Promise.all([
      life(one, 'give-back', record(one, ['new ENI', 'assign', 'give-back'])),
      life(other, 'drain', record(other, ['drain'])),
      ...lives,
    ]);
    console.log(`died at: ${JSON.stringify(passed)}`);

    expect(complaints).toEqual([]);
    const notPassed = [...left].flatMap(([story, places]) => places.map((at) => `${story} ${at}`));
    expect(notPassed).toEqual([]);
    expect([...left.keys()].toSorted()).toEqual(Object.keys(STORIES).toSorted());
    const loose = stage.lab.cloud.truth.enis().filter(({ attachment }) => attachment === undefined);
    expect(loose).toEqual([]);
  },
  LIMIT_MS,
);
