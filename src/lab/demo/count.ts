/**
 * What is lost, doubled or leaked, counted from outside: the kernel of every namespace and the cloud's own truth.
 * No daemon is asked.
 */
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { InstanceId } from '../../core/brand.ts';
import { type Cidr, cidrContains, type Ip } from '../../core/ip.ts';
import { isLinkName } from '../../core/link-name.ts';
import type { KernelState } from '../../datapath/kernel-state.ts';
import type { Networks } from '../../kernel/networks.ts';

export interface CountedNode {
  readonly netns: string;
  readonly instance: InstanceId;
}

export interface CountedPod {
  readonly name: string;
  readonly netns: string;
  /** As the runtime was told. */
  readonly addresses: readonly string[];
}

export interface CrashCount {
  /** Running pods whose address is not in their namespace, has no way to it on its node, or is on no ENI of that node. */
  readonly lost: number;
  /** Addresses in more than one pod's namespace. */
  readonly doubled: number;
  /** Pod links and pod routes without a pod, and ENIs of ours that are attached to nothing. */
  readonly leaked: number;
  readonly details: readonly string[];
}

export async function countCrash(
  world: { readonly networks: Networks; readonly cloud: MemoryCloud; readonly nodes: readonly CountedNode[] },
  pods: readonly CountedPod[],
): Promise<CrashCount> {
  const { networks, cloud, nodes } = world;
  const hosts = await Promise.all(nodes.map(async (node) => ({ node, state: await networks.read(node.netns) })));
  const details: string[] = [];
  const owners = new Map<string, string[]>();
  let lost = 0;
  for (const pod of pods) {
    const inside = await networks.read(pod.netns);
    for (const ip of addressesIn(inside)) owners.set(ip, [...(owners.get(ip) ?? []), pod.name]);
    const missing = pod.addresses.filter((ip) => !addressesIn(inside).includes(ip) || !served(cloud, hosts, ip));
    if (missing.length > 0) {
      lost++;
      details.push(`${pod.name} lost ${missing.join(', ')}`);
    }
  }
  const doubled = [...owners].filter(([, names]) => names.length > 1);
  for (const [ip, names] of doubled) details.push(`${ip} is on ${names.join(' and ')}`);
  const expected = new Set(pods.flatMap((pod) => pod.addresses));
  const leaks = [...hosts.flatMap(({ state }) => strays(state, expected)), ...strayEnis(cloud)];
  details.push(...leaks);
  return { lost, doubled: doubled.length, leaked: leaks.length, details };
}

const addressesIn = (state: KernelState | undefined): string[] =>
  (state?.objects ?? []).flatMap((object) =>
    object.kind === 'address' && object.link === 'eth0' && object.scope === 'global'
      ? [object.address.split('/')[0] ?? '']
      : [],
  );

/** The node has a route to the address by a pod's link, and the cloud has it on an ENI attached to that node. */
function served(
  cloud: MemoryCloud,
  hosts: readonly { node: CountedNode; state: KernelState | undefined }[],
  ip: string,
): boolean {
  return hosts.some(
    ({ node, state }) => podWays(state).some((way) => way.ip === ip) && onEniOf(cloud, node.instance, ip as Ip),
  );
}

const onEniOf = (cloud: MemoryCloud, instance: InstanceId, ip: Ip): boolean =>
  cloud.truth.enisOf(instance).some((eni) => eni.blocks.some((block: Cidr) => cidrContains(block, ip)));

/** The way to a pod: its address, and the host's link to it. */
interface Way {
  readonly ip: string;
  readonly link: string;
}

const podWays = (state: KernelState | undefined): Way[] =>
  (state?.objects ?? []).flatMap((object) =>
    object.kind === 'route' &&
    object.link !== undefined &&
    isLinkName(object.link) &&
    object.type === 'unicast' &&
    !/^f[ef]/.test(object.destination)
      ? [{ ip: object.destination.split('/')[0] ?? '', link: object.link }]
      : [],
  );

/** Routes to no pod that runs, and pods' links that no such pod is reached by. */
function strays(state: KernelState | undefined, expected: ReadonlySet<string>): string[] {
  const ways = podWays(state);
  const used = new Set(ways.filter(({ ip }) => expected.has(ip)).map(({ link }) => link));
  const links = (state?.links ?? []).filter(({ name }) => isLinkName(name) && !used.has(name));
  return [
    ...ways.filter(({ ip }) => !expected.has(ip)).map(({ ip }) => `a route to ${ip} is left`),
    ...links.map(({ name }) => `a link ${name} is left`),
  ];
}

const strayEnis = (cloud: MemoryCloud): string[] =>
  cloud.truth
    .enis()
    .filter((eni) => !eni.primary && eni.attachment === undefined)
    .map((eni) => `${eni.id} is attached to nothing`);
