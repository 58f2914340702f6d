/** Who is timed: our plugin, Debian's plugins, the netlink-only minimum of our wiring, and a program that does nothing. */
import { join } from 'node:path';
import type { Ip } from '../../src/core/ip.ts';
import { hostOf } from '../../src/lab/demo/pods.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { Call } from './stopwatch.ts';
import { NODE_ADDRESS, recordWiring, type Wiring } from './wiring.ts';

/** Where Debian's containernetworking-plugins has them. */
export const CNI_PATH = '/usr/lib/cni';
export const POD_NAMESPACE = 'bench';
const VERSION = '1.0.0';
const MTU = 9001;

export type Verb = 'ADD' | 'CHECK' | 'DEL';
export type ContenderName = 'underway' | 'ptp' | 'bridge' | 'minimum' | 'exec';

export interface BenchPod {
  /** Among those that are alive at a time. */
  readonly n: number;
  readonly id: string;
  readonly netns: string;
  /** What ADD said. */
  result?: string;
}

export interface Contender {
  readonly name: ContenderName;
  /** The namespace of its host, in which its calls are started. */
  readonly netns: string;
  /** What is timed, in this order. The one that does nothing has ADD alone. */
  readonly verbs: readonly Verb[];
  call(verb: Verb, pod: BenchPod): Call;
}

export function underway(node: LabNode): Contender {
  const { netns, plugin } = hostOf(node);
  const config = { cniVersion: VERSION, name: plugin.network, type: 'underway' };
  return cni({ name: 'underway', netns, verbs: ['ADD', 'CHECK', 'DEL'], binary: plugin.binary, config });
}

/** Debian's plugins, over an IPAM plugin with this configuration. */
export function reference(
  name: 'ptp' | 'bridge',
  { netns, ipam }: { readonly netns: string; readonly ipam: object },
): Contender {
  const own = name === 'ptp' ? {} : { bridge: 'cni0', isGateway: true, isDefaultGateway: true };
  const config = { cniVersion: VERSION, name: `${name}net`, type: name, ipMasq: false, mtu: MTU, ...own, ipam };
  return cni({ name, netns, verbs: ['ADD', 'DEL'], binary: join(CNI_PATH, name), config });
}

export const hostLocal = (subnet: string, dataDir: string) => ({ type: 'host-local', dataDir, ranges: [[{ subnet }]] });

/** `count` pods are recorded, one after the other: one more never lives at a time. */
export async function minimum({
  lab,
  program,
  count,
}: {
  lab: Lab;
  program: string;
  count: number;
}): Promise<Contender> {
  const netns = await hostNamespace(lab, 'minimum');
  await lab.networks.put(netns, [nodeAddress(NODE_ADDRESS)]);
  const wirings: Wiring[] = [];
  for (let n = 0; n < count; n++) {
    const pod = await hostNamespace(lab, 'recorded');
    wirings.push(recordWiring(n, { host: netns, netns: pod }));
    await lab.networks.deleteNamespace(pod);
  }
  return {
    name: 'minimum',
    netns,
    verbs: ['ADD', 'DEL'],
    call(verb, pod) {
      const wiring = wirings[pod.n];
      if (wiring === undefined) throw new RangeError(`pod ${pod.n} was not recorded`);
      const { add, del, netnsFd } = wiring;
      if (verb === 'DEL') return { program, input: del, env: {} };
      return { program, input: add, env: { NETNS: pod.netns, NETNS_FD: String(netnsFd) } };
    },
  };
}

export const emptyProgram = (program: string, netns: string): Contender => ({
  name: 'exec',
  netns,
  verbs: ['ADD'],
  call: () => ({ program, input: '', env: {} }),
});

function cni({
  binary,
  config,
  ...contender
}: Omit<Contender, 'call'> & { binary: string; config: object }): Contender {
  return {
    ...contender,
    call: (verb, { id, netns, result }) => ({
      program: binary,
      input: JSON.stringify(
        verb === 'ADD' || result === undefined ? config : { ...config, prevResult: JSON.parse(result) },
      ),
      env: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: id,
        CNI_NETNS: netns,
        CNI_IFNAME: 'eth0',
        CNI_PATH,
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${POD_NAMESPACE};K8S_POD_NAME=${id};K8S_POD_UID=${id}`,
        PATH: process.env.PATH ?? '',
      },
    }),
  };
}

/** With its loopback up. */
export async function hostNamespace(lab: Lab, name: string): Promise<string> {
  const netns = netnsPath(lab.name, name);
  await lab.networks.createNamespace(netns);
  await lab.networks.apply([{ do: 'set-link', at: 'host', link: { name: 'lo', up: true } }], { netns });
  return netns;
}

const nodeAddress = (ip: Ip) =>
  ({
    kind: 'address',
    link: 'lo',
    address: `${ip}/32`,
    scope: 'global',
    noPrefixRoute: true,
    noDad: false,
    deprecated: false,
  }) as const;
