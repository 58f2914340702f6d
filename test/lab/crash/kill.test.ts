/**
 * kill -9 of the daemon at random moments while pods come and go on node-1. A pool gives back what it had too much of for
 * a while: node-2 is left to itself for that time, and its unassign's answer is lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Streams } from '../../../providers/memory/random.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { until } from '../pod-lab.ts';
import { Stage } from './stage.ts';
import { churn, mesh, Pings } from './traffic.ts';

const SEED = 4_711;
const KILLS = 20;
const UP_MS_MAX = 600;
/** One in so many is killed while it starts, within this time. */
const YOUNG_ONE_IN = 4;
const START_MS = 1_000;
const LIMIT_MS = 120_000;
const FLOOR = 16;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 'm5.4xlarge',
    nodeCount: 2,
    vmCount: 1,
    daemonConfig: {
      cooldownMs: 1_000,
      cooldownUnderPressureMs: 1_000,
      surplusMs: 15_000,
      pool: { primaryEni: 'skip', targets: { floor: FLOOR, headroom: 4, ceiling: 87 } },
    },
  });
  const idle = stage.on(2);
  await idle.remove(await idle.run(FLOOR + 12));
  expect(idle.cloudBlocks().length).toBeGreaterThan(2 * FLOOR);
  stage.lab.cloud.faults.arm(
    { kind: 'lost-reply', silent: false },
    { calls: 1, actions: ['unassign'], caller: idle.node.instance.id },
  );
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

test(
  `${KILLS} times at a random moment of churn: no address on two pods, nothing left over, no ping lost`,
  async () => {
    const old = await stage.run(2);
    const pings = new Pings(mesh(stage, old));
    const doubled: string[] = [];
    const wrong: string[] = [];
    const added = async (pod: DemoPod, live: readonly DemoPod[]) => {
      const told = pod.addresses;
      const owners = await stage.owners([...old, ...live]);
      // One that is being deleted is no attachment any more, although its namespace may still be there.
      const runs = (name: string) => [...old, ...live].some((each) => each.name === name);
      for (const [ip, pods] of owners)
        if (pods.filter(runs).length > 1) doubled.push(`${ip} is on ${pods.join(' and ')}`);
      const own = [...owners].filter(([, pods]) => pods.includes(pod.name)).map(([ip]) => ip.split('/')[0]);
      if (runs(pod.name) && own.toSorted().join() !== told.toSorted().join())
        wrong.push(`${pod.name} was told ${told} and has ${own}`);
    };
    let going = true;
    const complaints: string[] = [];
    const traffic = (async () => {
      for (let round = 0; going; round++)
        complaints.push(...(await churn(stage, { seed: SEED + round, pods: 20, parallel: 6, live: 20, added })));
    })();
    const dice = new Streams(SEED);
    for (let n = 0; n < KILLS; n++) {
      const young = dice.pick('young', YOUNG_ONE_IN) === 0;
      if (!young) await until('somebody listens', async () => (await stage.node.daemon.get('/livez')) !== undefined);
      await sleep((young ? START_MS : UP_MS_MAX) * dice.uniform('moment'));
      await stage.node.daemon.kill();
      stage.node.daemon.start();
    }
    await stage.node.daemon.ready();
    going = false;
    await traffic;
    await pings.stop();
    expect({ complaints, doubled, wrong, lost: pings.lost }).toEqual({
      complaints: [],
      doubled: [],
      wrong: [],
      lost: [],
    });
    expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
    expect(await stage.remove(old)).toEqual([]);
    expect(await stage.leftovers()).toEqual([]);
    await stage.atRest();
    await stage.agree();
  },
  LIMIT_MS,
);

test(
  'unassign: after a lost reply no address is in the cloud that the daemon does not know of',
  async () => {
    const idle = stage.on(2);
    await until('the answer was lost', () => stage.lab.cloud.faults.fired.get('lost-reply') === 1, 80_000);
    await until('it is given back', () => idle.cloudBlocks().length === 2 * FLOOR);
    await idle.atRest({ blocks: 2 * FLOOR });
    await idle.agree();
    expect(idle.said('"kind":"ambiguous"')).not.toEqual([]);
  },
  LIMIT_MS,
);
