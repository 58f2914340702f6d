/**
 * What brings the kernel back to the plan: a sync, for the node's part and the host's half of pods, and a look into pods'
 * own namespaces. Both say what was not as planned, in the words of the datapath.
 */
import {
  type Effect,
  type Event,
  type KernelFailure,
  type NicLink,
  NO_REPAIR,
  type PodLook,
  type PodRepair,
} from '../core/events.ts';
import type { PodPlan } from '../core/plan.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { KernelObject, KernelState, Step } from '../datapath/kernel-state.ts';
import { absentNodeAddresses } from '../datapath/node-addresses.ts';
import { repairOf } from '../datapath/repair.ts';
import type { Kernel } from '../ports/kernel.ts';
import { readNamedHost } from './named-host.ts';
import { applied, attemptForPod, kernelFailure } from './steps.ts';

export interface RepairPorts {
  readonly kernel: Kernel;
  readonly datapath: Datapath;
  readonly enqueue: (event: Event) => void;
}

type Of<K extends Effect['kind']> = Extract<Effect, { kind: K }>;

const HOST_GONE: KernelFailure = { step: "find the host's network namespace", errno: 'ENONET' };

export async function sync(
  { sync, plan, pods }: Of<'sync'>,
  { kernel, datapath, enqueue }: RepairPorts,
): Promise<Event> {
  const ofPod = new Set(pods.map(({ link }) => link));
  const read = (await readNamedHost({ kernel, datapath }, (name) => ofPod.has(name)).catch(kernelFailure)) ?? HOST_GONE;
  if ('errno' in read) return { kind: 'synced', sync, changed: NO_REPAIR, damaged: [], failure: read };
  const { host, renames } = read;
  const steps = datapath.diffNode(plan, host);
  const partOf = pods.length === 0 ? undefined : byLink(host);
  const mends = pods
    .map((pod) => ({
      lease: pod.lease,
      renamed: renames.filter(({ to }) => to === pod.link),
      steps: datapath.mendHost(pod, partOf?.(pod.link) ?? NOTHING),
    }))
    .filter(({ renamed, steps }) => renamed.length + steps.length > 0);
  const ofPods = mends.flatMap((mend) => mend.steps);
  // Together: the node's gateways are waited for, which is nothing to the pods. ENODEV: the pod ended meanwhile.
  const [failure, podFailure] = await Promise.all([
    applied(kernel, steps).then((refused) => {
      if (refused === undefined) for (const link of resized(steps, host)) enqueue({ kind: 'link-seen', ...link });
      return refused;
    }),
    applied(kernel, ofPods, { forgiven: ['ENODEV'] }),
  ]);
  const damaged = mends.map(({ lease, renamed, steps }): PodRepair => ({ lease, ...repairOf([...renamed, ...steps]) }));
  const ofPodsFailure = read.failure ?? podFailure;
  const failures = { ...(failure && { failure }), ...(ofPodsFailure && { podFailure: ofPodsFailure }) };
  const absent = absentNodeAddresses(plan, host);
  return { kind: 'synced', sync, changed: repairOf(steps), damaged, ...failures, absent };
}

/** ENIs' links with the MTU that they have by now. The kernel tells it too, perhaps when pods have their addresses. */
const resized = (steps: readonly Step[], { links }: KernelState): NicLink[] =>
  steps.flatMap((step) => {
    const { mtu, name: of } = step.do === 'set-link' ? step.link : {};
    const link = mtu === undefined ? undefined : links.find(({ name }) => name === of);
    return link === undefined || mtu === undefined ? [] : [{ mac: link.mac, name: link.name, index: link.index, mtu }];
  });

/** One after the other: what asks for the kernel meanwhile, such as an ADD, has its turn in between. */
export async function look({ pods }: Of<'look'>, ports: RepairPorts): Promise<Event> {
  const looked: PodLook[] = [];
  for (const plan of pods) looked.push(await lookInside(plan, ports));
  return { kind: 'looked', pods: looked };
}

async function lookInside(plan: PodPlan, { kernel, datapath }: RepairPorts): Promise<PodLook> {
  const { lease, netns } = plan;
  const pod = await kernel.read(netns).catch(kernelFailure);
  if (pod === undefined) return { lease, ...NO_REPAIR };
  if ('errno' in pod) return { lease, ...NO_REPAIR, failure: pod };
  const steps = datapath.mendPod(plan, pod);
  const failed = await attemptForPod(plan, steps, { kernel, datapath });
  const failure = failed.find(({ failure }) => !ENDED.includes(failure.errno))?.failure;
  return { lease, ...repairOf(steps), ...(failure && { failure }) };
}

/** The pod did, meanwhile. */
const ENDED: readonly string[] = ['ENODEV', 'ENONET'];

const NOTHING: KernelState = { links: [], objects: [] };

/**
 * The part of a state that one link makes, with the host's addresses: a pod is compared with its own, not with a thousand
 * others'.
 */
function byLink({ links, objects }: KernelState): (name: string) => KernelState {
  const addresses = objects.filter(({ kind }) => kind === 'address');
  const parts = new Map(links.map((link) => [link.name, { links: [link], objects: [...addresses] }]));
  for (const object of objects) if (object.kind !== 'address') parts.get(linkOf(object) ?? '')?.objects.push(object);
  return (name) => parts.get(name) ?? NOTHING;
}

/** A sysctl's, such as `net/ipv4/conf/<link>/rp_filter`, too. */
const linkOf = (object: KernelObject): string | undefined =>
  object.kind === 'sysctl' ? object.path.split('/')[3] : 'link' in object ? object.link : undefined;
