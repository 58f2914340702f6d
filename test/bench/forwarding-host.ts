/** A node with pods, wired by one of the datapaths that are compared, and two of its pods: one sends, one receives. */
import { join } from 'node:path';
import type { Lab } from '../../src/lab/lab.ts';
import { runIn } from '../../src/lab/launch.ts';
import { netnsPath } from '../../src/lab/namespaces.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { call } from '../lab/stand.ts';
import { type BenchPod, type Contender, hostLocal, reference, underway } from './contenders.ts';
import type { DatapathName, PodCount } from './forwarding.ts';
import { loadKubeProxy } from './kube-proxy.ts';
import type { Stopwatch } from './stopwatch.ts';

/** What a pod of ptp calls its node: it has to be in the subnet, whose last address nobody has. */
const GATEWAY = '10.0.31.254';
const ADD_WAYS = 4;
const PAIR = 2;
/** AWS's: to a pod by the main table, from a pod by its ENI's. */
const RULE = { to: 512, from: 1_536, table: 2 } as const;
/** That there is a rule is what costs: the kernel then asks the tables one by one, for the way back too. */
const ONE_RULE = 'rule add lookup 3 priority 700';

export interface ForwardingPod {
  readonly netns: string;
  readonly address: string;
}

interface Parts {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly stopwatch: Stopwatch;
  readonly scratch: string;
  readonly datapath: DatapathName;
  readonly pods: PodCount;
}

export class ForwardingHost {
  readonly datapath: DatapathName;
  readonly pods: PodCount;
  readonly sender: ForwardingPod;
  readonly receiver: ForwardingPod;

  private constructor(
    { datapath, pods }: Parts,
    { sender, receiver }: { sender: ForwardingPod; receiver: ForwardingPod },
  ) {
    this.datapath = datapath;
    this.pods = pods;
    this.sender = sender;
    this.receiver = receiver;
  }

  static async build(parts: Parts): Promise<ForwardingHost> {
    const { node, datapath } = parts;
    await loadKubeProxy(node.instance.netns);
    const pods = datapath === 'underway' ? await ownPods(parts) : await ptpPods(parts);
    const middle = PAIR + (pods.length - PAIR) / 2;
    if (datapath === 'rule') await addRules(node, [ONE_RULE]);
    // The pair in the middle: a rule that comes first or last costs less or more than most do.
    if (datapath === 'rules') await addRules(node, twoEach([...pods.slice(middle), ...pods.slice(0, middle)]));
    const [sender, receiver] = pods;
    if (sender === undefined || receiver === undefined) throw new Error('a node has at least two pods');
    return new ForwardingHost(parts, { sender, receiver });
  }
}

async function ownPods(parts: Parts): Promise<ForwardingPod[]> {
  const { daemon } = parts.node;
  daemon.start();
  await daemon.ready();
  return added(parts, underway(parts.node), { first: 0, count: Math.max(PAIR, parts.pods) });
}

/** The pair has addresses of the node's ENI, so that the cloud carries their packets; the others are only there. */
async function ptpPods(parts: Parts): Promise<ForwardingPod[]> {
  const { lab, node, scratch } = parts;
  const [eni] = lab.cloud.truth.enisOf(node.instance.id);
  if (eni === undefined) throw new Error(`${node.name} has no ENI`);
  const wishes = [{ family: 4, prefixLength: 32, count: PAIR }] as const;
  const blocks = await call(lab, 'assign', { eni: eni.id, family: 4, wishes });
  const netns = node.instance.netns;
  const pair: ForwardingPod[] = [];
  for (const [n, block] of blocks.entries()) {
    const address = block.replace(/\/32$/, '/20');
    const ipam = { type: 'static', addresses: [{ address, gateway: GATEWAY }], routes: [{ dst: '0.0.0.0/0' }] };
    pair.push(...(await added(parts, reference('ptp', { netns, ipam }), { first: n, count: 1 })));
  }
  const ipam = hostLocal('10.99.0.0/16', join(scratch, node.name));
  const others = Math.max(PAIR, parts.pods) - PAIR;
  return [...pair, ...(await added(parts, reference('ptp', { netns, ipam }), { first: PAIR, count: others }))];
}

async function added(
  { lab, node, stopwatch }: Parts,
  contender: Contender,
  { first, count }: { readonly first: number; readonly count: number },
): Promise<ForwardingPod[]> {
  const pods: BenchPod[] = [];
  for (let n = first; n < first + count; n++) {
    const id = `${node.name}-pod-${n}`;
    const netns = netnsPath(lab.name, id);
    await lab.networks.createNamespace(netns);
    pods.push({ n, id, netns });
  }
  if (count === 0) return [];
  const calls = pods.map((pod) => contender.call('ADD', pod));
  const { calls: answers } = await stopwatch.run(calls, { netns: contender.netns, ways: ADD_WAYS });
  return pods.map(({ netns }, at) => {
    const answer = answers[at];
    if (answer?.code !== 0) throw new Error(`${contender.name}: ADD failed: ${answer?.said}`);
    const { ips }: { readonly ips: readonly { readonly address: string }[] } = JSON.parse(answer.said);
    return { netns, address: ips[0]?.address.split('/')[0] ?? '' };
  });
}

/** As AWS writes them for the pods of a secondary ENI. */
const twoEach = (pods: readonly ForwardingPod[]): string[] =>
  pods.flatMap(({ address }) => [
    `rule add to ${address} lookup main priority ${RULE.to}`,
    `rule add from ${address} lookup ${RULE.table} priority ${RULE.from}`,
  ]);

/** And a table with the node's default route. */
async function addRules({ instance }: LabNode, rules: readonly string[]): Promise<void> {
  const shown = await runIn(instance.netns, ['ip', '-json', 'route', 'show', 'default']);
  const [way]: readonly { readonly gateway: string; readonly dev: string }[] = JSON.parse(shown.stdout);
  const table = `route add default via ${way?.gateway} dev ${way?.dev} table ${RULE.table}`;
  const input = `${[table, ...rules].join('\n')}\n`;
  const { code, stderr } = await runIn(instance.netns, ['ip', '-batch', '-'], { input });
  if (code !== 0) throw new Error(`the rules cannot be made: ${stderr}`);
}
