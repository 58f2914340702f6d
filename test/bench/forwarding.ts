/**
 * What a packet costs: throughput, requests and small packets from a pod to another on its node and to a VM, through our
 * datapath, through ptp's, and through ptp's with rules, on nodes of few and of many pods. All nodes are up at once and
 * have their turns within seconds, since what else the machine does comes and goes.
 */
import type { Lab } from '../../src/lab/lab.ts';
import type { Bench } from './bench.ts';
import { ForwardingHost } from './forwarding-host.ts';
import { compile } from './programs.ts';
import { median, quantile } from './quantile.ts';
import { Stopwatch } from './stopwatch.ts';
import { send, TrafficServer } from './traffic.ts';

/** ptp alone, with one `ip rule`, and with two a pod. */
export type DatapathName = 'underway' | 'ptp' | 'rule' | 'rules';
/** On the node; 1 is one that sends to one other. */
export const POD_COUNTS = [1, 50, 250] as const;
export type PodCount = (typeof POD_COUNTS)[number];
/** Nodes that are up at once. One rule costs the same however many pods there are. */
export const NODES: readonly { readonly datapath: DatapathName; readonly pods: PodCount }[] = [
  ...POD_COUNTS.flatMap((pods) => (['underway', 'ptp', 'rules'] as const).map((datapath) => ({ datapath, pods }))),
  { datapath: 'rule', pods: 250 },
];
export const KINDS = ['tcp', 'rr', 'smallPackets'] as const;
export type Kind = (typeof KINDS)[number];
export const PATHS = ['pod-pod', 'pod-vm'] as const;
export type Path = (typeof PATHS)[number];

export interface ForwardingRow {
  readonly datapath: DatapathName;
  readonly pods: PodCount;
  readonly path: Path;
  readonly kind: Kind;
  /** A second, a round each: bytes (tcp), requests (rr), packets (smallPackets). */
  readonly rates: readonly number[];
  /** Nine tenths of the rounds came to less: whatever else the machine does makes it slower, never faster. */
  readonly rate: number;
  /** The middle round's. */
  readonly middle: number;
}

const UNDISTURBED = 0.9;
const ROUNDS = { warmUp: 2, quick: 20, full: 100 };

export async function measureForwarding(bench: Bench): Promise<ForwardingRow[]> {
  const lab = await bench.lab({
    nodeCount: NODES.length,
    vmCount: 1,
    subnetCount: 1,
    ipv6: false,
    // 15 ENIs of 50 addresses.
    instanceType: 'm5.16xlarge',
    daemons: false,
    // Every pod on a secondary ENI, whose packets have the longest way.
    daemonConfig: { pool: { primaryEni: 'skip', targets: { floor: 0, headroom: 4, ceiling: 300 } } },
  });
  const servers: TrafficServer[] = [];
  try {
    return await run(bench, lab, servers);
  } finally {
    for (const server of servers) await server.close();
    await bench.close(lab);
  }
}

interface Lane {
  readonly host: ForwardingHost;
  readonly path: Path;
  readonly to: string;
  readonly server: TrafficServer;
}

async function run(bench: Bench, lab: Lab, servers: TrafficServer[]): Promise<ForwardingRow[]> {
  const program = compile('traffic', bench.scratch);
  const serve = async (netns: string): Promise<TrafficServer> => {
    const server = await TrafficServer.start(program, netns);
    servers.push(server);
    return server;
  };
  const hosts = await hostsIn(bench, lab);
  const [vm] = lab.vms;
  if (vm === undefined) throw new Error('the lab has no VM');
  const vmServer = await serve(vm.netns);
  const vmAddress = lab.cloud.truth.enisOf(vm.id)[0]?.primary4 ?? '';
  const lanes: Lane[] = [];
  for (const host of hosts) {
    const { netns, address } = host.receiver;
    lanes.push({ host, path: 'pod-pod', to: address, server: await serve(netns) });
    lanes.push({ host, path: 'pod-vm', to: vmAddress, server: vmServer });
  }
  return measure(bench, program, lanes);
}

async function hostsIn(bench: Bench, lab: Lab): Promise<ForwardingHost[]> {
  const hosts: ForwardingHost[] = [];
  const stopwatch = new Stopwatch(bench.scratch);
  try {
    for (const [n, { datapath, pods }] of NODES.entries()) {
      const node = lab.nodes[n];
      if (node === undefined) throw new Error('the lab has too few nodes');
      bench.progress(`forwarding: ${datapath} with ${pods === 1 ? '1 pod' : `${pods} pods`}`);
      hosts.push(await ForwardingHost.build({ lab, node, stopwatch, scratch: bench.scratch, datapath, pods }));
    }
    return hosts;
  } finally {
    stopwatch.close();
  }
}

async function measure(bench: Bench, program: string, lanes: readonly Lane[]): Promise<ForwardingRow[]> {
  // Short ones: some of many fall between what disturbs them.
  const ms = bench.quick ? 25 : 40;
  const rates = new Map<string, number[]>();
  for (const round of bench.rounds('forwarding', ROUNDS)) {
    if (round === 0) rates.clear();
    for (const kind of KINDS) {
      // There and back, so that who is first takes turns.
      for (const lane of round % 2 === 0 ? lanes : lanes.toReversed()) {
        const { host, to, server } = lane;
        const rate = await send({ program, kind, netns: host.sender.netns, to, ms, server });
        const key = keyOf(lane, kind);
        rates.set(key, [...(rates.get(key) ?? []), rate]);
      }
    }
  }
  return lanes.flatMap((lane) =>
    KINDS.map((kind) => {
      const { host, path } = lane;
      const seen = rates.get(keyOf(lane, kind)) ?? [];
      const [rate, middle] = [quantile(seen, UNDISTURBED), median(seen)];
      return { datapath: host.datapath, pods: host.pods, path, kind, rates: seen, rate, middle };
    }),
  );
}

const keyOf = ({ host, path }: Lane, kind: Kind): string => [host.datapath, host.pods, path, kind].join(' ');
