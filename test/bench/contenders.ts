/** Who is timed: our plugin, Debian's plugins, the netlink-only minimum of our wiring, and a program that does nothing. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Ip } from '../../src/core/ip.ts';
import { hostOf } from '../../src/lab/demo/pods.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { Call } from './stopwatch.ts';
import { NODE_ADDRESS, recordWiring, type Wiring } from './wiring.ts';

/** Where Debian's containernetworking-plugins has them. */
const CNI_PATH = '/usr/lib/cni';
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

/** Throws with a sentence where Debian's plugins are not there. */
export function checkPlugins(): void {
  const missing = ['ptp', 'bridge', 'host-local'].filter((name) => !existsSync(join(CNI_PATH, name)));
  if (missing.length === 0) return;
  throw new Error(
    `${missing.join(', ')} not there in ${CNI_PATH}, to compare with: apt-get install containernetworking-plugins`,
  );
}

export function underway(node: LabNode): Contender {
  const { netns, plugin } = hostOf(node);
  const config = { cniVersion: VERSION, name: plugin.network, type: 'underway' };
  return cni({ name: 'underway', netns, verbs: ['ADD', 'CHECK', 'DEL'], binary: plugin.binary, config });
}

/** A namespace of its own as its host. */
export async function reference(name: 'ptp' | 'bridge', { lab, scratch }: Place): Promise<Contender> {
  const netns = await newNamespace(lab, name);
  const subnet = name === 'ptp' ? '10.99.0.0/16' : '10.97.0.0/16';
  const ipam = { type: 'host-local', dataDir: join(scratch, name), ranges: [[{ subnet }]] };
  const own = name === 'ptp' ? {} : { bridge: 'cni0', isGateway: true, isDefaultGateway: true };
  const config = { cniVersion: VERSION, name: `${name}net`, type: name, ipMasq: false, mtu: MTU, ...own, ipam };
  return cni({ name, netns, verbs: ['ADD', 'DEL'], binary: join(CNI_PATH, name), config });
}

interface Place {
  readonly lab: Lab;
  readonly scratch: string;
}

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
  const netns = await newNamespace(lab, 'minimum');
  await lab.networks.put(netns, [nodeAddress(NODE_ADDRESS)]);
  const wirings: Wiring[] = [];
  for (let n = 0; n < count; n++) {
    const pod = await newNamespace(lab, 'recorded');
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
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=${id};K8S_POD_UID=${id}`,
        PATH: process.env.PATH ?? '',
      },
    }),
  };
}

async function newNamespace(lab: Lab, name: string): Promise<string> {
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
