/**
 * kill -9 at every place on the way of an ADD and a DEL from the pool: before and after each commit and effect, after each
 * kernel step and each of the cloud's answers. The daemon is started again, the runtime tries again, and the kernel's
 * text is that of a node where nothing happened. (ENIs and addresses from the cloud: points-cloud.test.ts.)
 */

import { found, until } from '../pod-lab.ts';
import { type Deed, Gate, PointNode, pointStage } from './points-node.ts';
import { difference } from './points-text.ts';
import type { Stage } from './stage.ts';

const LIMIT_MS = 180_000;
const NODES = 4;
const FLOOR = 4;
let stage: Stage;
let nodes: PointNode[];

beforeAll(async () => {
  const pool = { targets: { floor: FLOOR, headroom: 0, ceiling: FLOOR } };
  stage = await pointStage({ nodeCount: NODES, pool });
  const gate = new Gate(2);
  nodes = stage.lab.nodes.map((node) => new PointNode(node, { lab: stage.lab, pods: stage.pods, gate }));
  await Promise.all(
    nodes.map(async (node) => {
      await node.start();
      await until('the pool is full', () => node.enis.every(({ blocks }) => blocks.length === 2 * FLOOR));
      // One that runs all the while.
      await node.add();
      await node.rest();
    }),
  );
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

const add: Deed = (node) => node.add();
const remove: Deed = (node) => node.remove(1);

test(
  'at every place of an ADD and of a DEL: nothing lost, doubled or left, and the kernel as without the crash',
  async () => {
    const first = found(nodes[0], 'node');
    const points = { add: await first.record(add), remove: [] as string[] };
    const wired = await first.neutralText();
    points.remove = await first.record(remove);
    const bare = await first.neutralText();
    console.log(`${points.add.length} places of an ADD, ${points.remove.length} of a DEL`);
    expect(points.add).toEqual(expect.arrayContaining(['before-commit:1', 'after-wire:1', 'step:1', 'after-reply:1']));
    expect(points.remove).toEqual(expect.arrayContaining(['after-unwire:1', 'step:1', 'after-flush:1']));

    const complaints: string[] = [];
    const rounds = Array.from({ length: Math.max(points.add.length, points.remove.length) }, (_, n) => n);
    const round = async (node: PointNode, n: number): Promise<void> => {
      const before = await node.text();
      for (const { deed, at, text } of [
        { deed: add, at: points.add[n], text: wired },
        { deed: remove, at: points.remove[n], text: bare },
      ]) {
        const say = (what: string) => complaints.push(`${deed === add ? 'ADD' : 'DEL'} killed at ${at}: ${what}`);
        if (at === undefined) await deed(node);
        else if (!(await node.dieAt(at, deed))) say('the place was not passed');
        await node.rest();
        for (const line of difference(text, await node.neutralText())) say(line);
        for (const line of await node.disagreements()) say(line);
      }
      for (const line of difference(before, await node.text())) complaints.push(`after round ${n}: ${line}`);
    };
    await Promise.all(
      nodes.map(async (node) => {
        for (let n = rounds.shift(); n !== undefined; n = rounds.shift()) await round(node, n);
      }),
    );
    expect(complaints).toEqual([]);
  },
  LIMIT_MS,
);
