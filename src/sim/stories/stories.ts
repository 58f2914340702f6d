/**
 * The canonical stories: what every node lives through, each as small as it can be told. `begin` is undisturbed;
 * `act` is what a process is ended in the middle of, at every one of its failpoints; `goal` names what is not so.
 */
import type { RequestId } from '../../core/brand.ts';
import type { Shape, StoryWorld } from './story-world.ts';

export interface Story {
  readonly name: string;
  readonly shape: Shape;
  /** Hundreds of failpoints. */
  readonly isLong?: boolean;
  readonly begin: (world: StoryWorld) => Promise<void>;
  /** Returns when an undisturbed node is done. */
  readonly act: (world: StoryWorld) => Promise<void>;
  /** Beyond what every story ends with: pods that are wanted run, others are gone, and all agree. */
  readonly goal?: (world: StoryWorld, undisturbed: boolean) => readonly string[];
}

const START_MS = 3_000;
/** A new ENI takes about 3 s, a give-back of it 60 s of surplus, a cooldown 30 s before that, and 3 s of calls. */
const ENI_MS = 6_000;
const GIVE_BACK_MS = 130_000;
/** No cloud call is as short. */
const AT_ONCE_MS = 50;

const started = async (world: StoryWorld): Promise<void> => {
  world.start();
  await world.pass(START_MS);
};

const withPods = (count: number) => async (world: StoryWorld) => {
  await started(world);
  world.wantMany(count);
  await world.pass(2 * ENI_MS);
};

export const STORIES: readonly Story[] = [
  {
    name: 'the first start and the first ADD',
    shape: {},
    begin: async () => {},
    act: async (world) => {
      world.start();
      world.want();
      await world.pass(START_MS);
    },
  },
  {
    name: 'the first ADD needs an ENI',
    shape: { primaryEni: 'skip' },
    begin: started,
    act: async (world) => {
      world.want();
      await world.pass(ENI_MS);
    },
  },
  {
    name: 'ADD from the warm pool',
    shape: { targets: { floor: 3, headroom: 0, ceiling: 3 } },
    begin: started,
    act: async (world) => {
      world.want();
      await world.pass(1_000);
    },
    goal: (world) => (world.blocks.length >= 3 ? [] : [`${world.blocks.length} blocks are held`]),
  },
  {
    name: 'DEL',
    shape: { targets: { floor: 2, headroom: 0, ceiling: 2 } },
    begin: withPods(1),
    act: async (world) => {
      for (const pod of world.wantedPods()) world.unwant(pod);
      await world.pass(5_000);
    },
  },
  {
    name: 'CHECK, and a namespace that outlives its DEL',
    shape: { targets: { floor: 2, headroom: 0, ceiling: 2 }, netnsLingersMs: 4_000 },
    begin: withPods(1),
    act: async (world) => {
      for (const { pod } of world.wantedPods()) world.pods.check(pod);
      await world.pass(1_000);
      for (const pod of world.wantedPods()) world.unwant(pod);
      await world.pass(8_000);
    },
  },
  {
    name: 'a burst fills the primary and needs an ENI',
    isLong: true,
    shape: { instanceType: 'm5.large' },
    begin: started,
    act: async (world) => {
      world.wantMany(12);
      await world.pass(2 * ENI_MS);
    },
    goal: (world) => (world.secondaries.length > 0 ? [] : ['no ENI was made']),
  },
  {
    name: 'no prefix is left, singles do',
    shape: { instanceType: 'm5.large', prefixes: 'prefer' },
    begin: async (world) => {
      await started(world);
      world.cloud.faults.arm({ kind: 'no-prefix' });
    },
    act: async (world) => {
      world.wantMany(3);
      await world.pass(ENI_MS);
    },
    goal: (world) => world.blocks.filter((block) => !block.endsWith('/32')).map((block) => `${block} is held`),
  },
  {
    name: 'drain: a whole ENI is given back',
    shape: { primaryEni: 'skip' },
    begin: withPods(2),
    act: async (world) => {
      for (const pod of world.wantedPods()) world.unwant(pod);
      await world.pass(GIVE_BACK_MS);
    },
    // One free address is kept: the hysteresis of a pool without headroom.
    goal: (world) => (world.secondaries.length <= 1 ? [] : [`${world.secondaries.length} ENIs are kept`]),
  },
  {
    name: 'demand returns while an ENI drains',
    shape: { primaryEni: 'skip' },
    begin: withPods(1),
    act: async (world) => {
      for (const pod of world.wantedPods()) world.unwant(pod);
      await world.pass(95_000);
      world.want();
      await world.pass(ENI_MS);
    },
  },
  {
    name: 'single blocks are given back',
    shape: {},
    begin: withPods(4),
    act: async (world) => {
      for (const pod of world.wantedPods().slice(1)) world.unwant(pod);
      await world.pass(GIVE_BACK_MS);
    },
    goal: (world) => (world.blocks.length <= 3 ? [] : [`${world.blocks.length} blocks are kept`]),
  },
  {
    name: 'restart with pods',
    shape: { primaryEni: 'skip' },
    begin: withPods(3),
    act: async (world) => {
      world.node.crash();
      await world.pass(START_MS + 25_000);
    },
  },
  {
    name: 'somebody removes what is ours, on the host and in pods',
    shape: { targets: { floor: 3, headroom: 0, ceiling: 3 } },
    begin: withPods(2),
    act: async (world) => {
      world.kernel.sabotage((objects) => objects.find(({ kind }) => kind === 'rule'));
      const [one, other] = world.wantedPods().map(({ pod }) => pod.netns);
      if (one !== undefined) world.kernel.sabotagePod(one, (objects) => objects.find(({ kind }) => kind === 'route'));
      if (other !== undefined) world.kernel.sabotagePod(other, () => undefined);
      await world.pass(2_000);
    },
  },
  {
    name: 'a pod comes and another goes, crossing',
    shape: { targets: { floor: 0, headroom: 0, ceiling: 2 } },
    begin: withPods(2),
    act: async (world) => {
      for (const pod of world.wantedPods().slice(0, 1)) world.unwant(pod);
      world.want();
      await world.pass(10_000);
    },
  },
  {
    name: 'a pod of both families',
    shape: { families: [4, 6] },
    begin: started,
    act: async (world) => {
      world.want();
      await world.pass(ENI_MS);
    },
  },
  {
    name: 'a pod of both families, out of a prefix of each',
    shape: { families: [4, 6], prefixes: 'prefer' },
    begin: started,
    act: async (world) => {
      world.want();
      await world.pass(ENI_MS);
    },
    goal: (world, undisturbed) => {
      const assigns = world.cloud.calls.filter(({ action }) => action === 'assign').length;
      return undisturbed && assigns !== 2 ? [`${assigns} assigns brought a /28 and a /80`] : [];
    },
  },
  {
    name: 'a limited pod, an ADD that names one limit only, a restart, somebody who takes limits away, and the DEL of another',
    shape: { bandwidth: { ingress: { bitsPerSecond: 10e6 }, egress: { bitsPerSecond: 20e6 } } },
    begin: started,
    act: async (world) => {
      const { pod } = world.want();
      const other = world.want();
      await world.pass(ENI_MS);
      world.pods.addAgain(pod, { egress: { bitsPerSecond: 20e6 } });
      await world.pass(START_MS);
      world.node.crash();
      await world.pass(START_MS);
      for (const limit of ['qdisc', 'policer']) {
        world.kernel.sabotage((objects) => objects.find(({ kind }) => kind === limit));
        await world.pass(START_MS);
      }
      world.unwant(other);
      await world.pass(START_MS);
    },
  },
  {
    name: 'pods that are bound find their ENI when they ask',
    shape: { primaryEni: 'skip', boundMs: ENI_MS },
    begin: started,
    act: async (world) => {
      world.wantMany(2);
      await world.pass(2 * ENI_MS);
    },
    goal: ({ pods, cloud }, undisturbed) => {
      if (!undisturbed) return [];
      const creates = cloud.calls.filter(({ action }) => action === 'create-eni').length;
      const longMs = Math.max(...pods.waitsMs);
      return [...(longMs > AT_ONCE_MS ? [`a pod waited ${longMs} ms`] : []), ...(creates > 1 ? ['two were made'] : [])];
    },
  },
  {
    name: 'no more than the ceiling',
    shape: { targets: { floor: 0, headroom: 0, ceiling: 2 } },
    begin: withPods(2),
    act: async (world) => {
      const third = world.want();
      await world.pass(ENI_MS);
      world.unwant(third);
      await world.pass(ENI_MS);
    },
    // A power loss may leave blocks on the primary that are nobody's, beside the two.
    goal: (world, undisturbed) =>
      undisturbed && world.blockCountMax > 2 ? [`${world.blockCountMax} blocks were held`] : [],
  },
  {
    name: 'STATUS is asked while the last slot of an ENI is filled',
    shape: { instanceType: 't3.micro' },
    begin: started,
    act: async (world) => {
      world.want();
      await world.pass(50);
      world.node.send({ kind: 'status', request: 'status' as RequestId });
      await world.pass(ENI_MS);
    },
    // After a crash the pod's new sandbox may have to wait for the address of the old one, or for an ENI.
    goal: (world, undisturbed) =>
      undisturbed && world.cloud.calls.some(({ action }) => action === 'create-eni') ? ['an ENI was made'] : [],
  },
  {
    name: 'pods come while blocks are given back',
    shape: {},
    begin: withPods(4),
    act: async (world) => {
      for (const pod of world.wantedPods().slice(1)) world.unwant(pod);
      await world.passUntil(GIVE_BACK_MS, () => world.cloud.calls.some(({ action }) => action === 'unassign'));
      world.wantMany(3);
      await world.pass(ENI_MS);
    },
  },
  {
    name: 'ADD again before its DEL is done',
    shape: { targets: { floor: 3, headroom: 0, ceiling: 3 } },
    begin: withPods(1),
    act: async (world) => {
      for (const wanted of world.wantedPods()) {
        const { attachment, netns: path } = wanted.pod;
        const id = world.kernel.namespaceAt(path)?.id ?? '';
        world.unwant(wanted);
        const deadlineMs = world.clock.nowMs() + 60_000;
        world.node.send({ kind: 'add', request: 'again' as RequestId, attachment, netns: { path, id }, deadlineMs });
      }
      await world.pass(ENI_MS);
    },
  },
];
