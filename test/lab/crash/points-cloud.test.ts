/**
 * kill -9 at every place on the way of an ADD that needs a new ENI (create, attach), of one that needs an address
 * (assign), of addresses given back (unassign), and of an ENI that is drained (detach, delete). Each node of a lab lives
 * one life and dies in it up to three times; after each death it must come to where an undisturbed node is, in the kernel
 * and in the cloud. What a pool has too much of goes only after a while, so the nodes live at the same time.
 */

import { found, until } from '../pod-lab.ts';
import { type Deed, Gate, PointNode, pointStage } from './points-node.ts';
import { difference } from './points-text.ts';
import type { Stage } from './stage.ts';

const LIMIT_MS = 500_000;
const DEED_MS = 200_000;
const NODES = 64;
/** Live only when a place is left: events that come together are one commit, and then a node passes a place less. */
const SPARE_NODES = 10;
/** Starts at a time. */
const WIDTH = 2;
const FAMILIES = 2;
/**
 * What each node records that nobody disturbs: every story is recorded twice, and its places are those that both passed.
 * On a busy machine one may read the cloud in between, or have an answer in doubt, which no other node comes by.
 */
const RECORDERS: readonly { readonly last: Last; readonly stories: readonly Story[] }[] = [
  { last: 'give-back', stories: ['new ENI', 'assign', 'give-back'] },
  { last: 'drain', stories: ['drain'] },
  { last: 'give-back', stories: ['new ENI', 'assign', 'give-back'] },
  { last: 'drain', stories: ['drain'] },
];
let stage: Stage;

const STORIES = {
  'new ENI': (node) => node.add(),
  assign: (node) => node.add(),
  'give-back': (node) => until(`${node.name} gave back`, () => blocksOf(node) === FAMILIES, DEED_MS),
  drain: (node) => until(`${node.name} drained`, () => node.enis.length === 1, DEED_MS),
} as const satisfies Readonly<Record<string, Deed>>;
type Story = keyof typeof STORIES;
type Last = 'give-back' | 'drain';
const NAMES = Object.keys(STORIES) as Story[];
/** An ADD that is not killed goes on to the next story; what is given back is nobody's to do. */
const isDone = (story: Story): boolean => story === 'new ENI' || story === 'assign';

/**
 * A sync or a look changes nothing between the commit before it and its first step, which both are places; and on a machine
 * under load daemons miss notifications, so that some are there for no change of this node's.
 */
const isRepair = (at: string): boolean => /^(before|after)-(sync|look)/.test(at);

/** What is in the kernel for addresses that nobody has. */
const isFree = (line: string): boolean => line.includes('-FREE');
const used = (text: readonly string[]): readonly string[] => text.filter((line) => !isFree(line));
const freeOf = (text: readonly string[]): number =>
  text.filter((line) => isFree(line) && line.includes('"unreachable"')).length;

const blocksOf = (node: PointNode): number => node.enis.reduce((sum, { blocks }) => sum + blocks.length, 0);

/** An ADD that died unanswered leaves an address over: the next one needs no cloud, and is not the story. */
const isFull = (node: PointNode): boolean => blocksOf(node) === FAMILIES * node.running.length;

beforeAll(async () => {
  const pool = { primaryEni: 'skip', targets: { floor: 0, headroom: 0 } };
  stage = await pointStage({ nodeCount: NODES + SPARE_NODES, pool });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

/** What is done at each story of a life. */
interface Part {
  /** Resolves when it is known how the story goes. */
  known(story: Story): Promise<unknown>;
  does(story: Story): Promise<void>;
}

/** A node's, which ends in `last`. */
async function life(node: PointNode, last: Last, { known, does }: Part): Promise<void> {
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

/** Undisturbed nodes find out the places; the others take one each, and one that was not passed is put back. */
class Places {
  readonly complaints: string[] = [];
  readonly #passed = new Map<Story, (readonly string[])[]>();
  /** How the kernel of an undisturbed node is after the story; it comes with the places. */
  readonly #texts = new Map(NAMES.map((story) => [story, Promise.withResolvers<readonly string[]>()]));
  readonly #left = new Map<Story, string[]>();

  recording(node: PointNode, stories: readonly Story[]): Part {
    return {
      known: () => Promise.resolve(),
      does: async (story) => {
        if (!stories.includes(story)) return STORIES[story](node).then(() => node.rest());
        this.#recorded(story, await node.record(STORIES[story]), await node.neutralText());
      },
    };
  }

  dying(node: PointNode): Part {
    return {
      known: (story) => this.#text(story).promise,
      does: async (story) => {
        const text = await this.#text(story).promise;
        const at = story === 'assign' && !isFull(node) ? undefined : this.#left.get(story)?.shift();
        if (at !== undefined) await this.#die(node, { story, at, text });
        else if (isDone(story)) await STORIES[story](node);
      },
    };
  }

  /** Those at which no node died yet. */
  get left(): string[] {
    return [...this.#left].flatMap(([story, points]) => points.map((at) => `${story} ${at}`));
  }

  /** What the next node's life had best end in. */
  get last(): Last {
    return (this.#left.get('give-back') ?? []).length > 0 ? 'give-back' : 'drain';
  }

  #recorded(story: Story, points: readonly string[], text: readonly string[]): void {
    const passed = [...(this.#passed.get(story) ?? []), points.filter((at) => !isRepair(at))];
    this.#passed.set(story, passed);
    if (passed.length < RECORDERS.filter(({ stories }) => stories.includes(story)).length) return;
    const isOfAll = (at: string): boolean => passed.every((each) => each.includes(at));
    const once = passed.flat().filter((at) => !isOfAll(at));
    this.#left.set(story, points.filter(isOfAll));
    console.log(`${story}: ${this.#left.get(story)?.length} places`, ...once.map((at) => `(${at} once)`));
    this.#text(story).resolve(text);
  }

  async #die(
    node: PointNode,
    { story, at, text }: { readonly story: Story; readonly at: string; readonly text: readonly string[] },
  ): Promise<void> {
    const say = (what: string) => this.complaints.push(`${story} killed at ${at} on ${node.name}: ${what}`);
    if (!(await node.dieAt(at, STORIES[story]))) {
      console.log(`${node.name} did not pass ${story} ${at}`);
      this.#left.get(story)?.push(at);
    }
    for (const line of difference(used(text), used(await node.neutralText()))) say(line);
    // The address of an ADD that died unanswered cools down while the next try takes another.
    if (freeOf(await node.neutralText()) > freeOf(text) + FAMILIES) say('more than one address is left over');
    for (const line of await node.disagreements()) say(line);
  }

  #text(story: Story): PromiseWithResolvers<readonly string[]> {
    return found(this.#texts.get(story), 'text');
  }
}

test(
  'at every place: nothing lost, doubled or leaked, and kernel and cloud as without the crash',
  async () => {
    const { lab, pods } = stage;
    // The others wait for what the recorders find out, who wait for nobody.
    const [first, others] = [new Gate(WIDTH), new Gate(WIDTH)];
    const gateOf = (n: number): Gate => (n < RECORDERS.length ? first : others);
    const nodes = lab.nodes.map((node, n) => new PointNode(node, { lab, pods, gate: gateOf(n) }));
    const recorders = nodes.splice(0, RECORDERS.length);
    const spare = nodes.splice(-SPARE_NODES);
    const places = new Places();
    const dies = (node: PointNode, last: Last) =>
      life(node, last, places.dying(node)).catch((error) => places.complaints.push(`${node.name}: ${error}`));
    await Promise.all([
      ...recorders.map((node, n) => {
        const { last, stories } = found(RECORDERS[n], 'recorder');
        return life(node, last, places.recording(node, stories));
      }),
      ...nodes.map((node, n) => dies(node, n % 3 === 0 ? 'give-back' : 'drain')),
    ]);
    while (places.left.length > 0 && spare.length > 0) {
      console.log(`left to the spare nodes: ${places.left.join(', ')}`);
      await Promise.all(spare.splice(0, places.left.length).map((node) => dies(node, places.last)));
    }

    expect(places.complaints).toEqual([]);
    expect(places.left).toEqual([]);
    const loose = stage.lab.cloud.truth.enis().filter(({ attachment }) => attachment === undefined);
    expect(loose).toEqual([]);
  },
  LIMIT_MS,
);
