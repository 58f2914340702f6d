/**
 * Who reaches whom, and as whom: every pair of pod, VM, node, node's other ENI, internet and metadata, in both families
 * and directions, under each of the node's reverse-path filters.
 */
import { Socket } from 'node:net';
import type { EniRecord } from '../../../providers/memory/records.ts';
import type { Ip } from '../../../src/core/ip.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { inParallel } from '../../../src/lab/demo/pods.ts';
import { INTERNET4, INTERNET6, METADATA_ADDRESS } from '../../../src/lab/fabric/addressing.ts';
import { sysctl } from '../../../src/lab/fabric/sysctls.ts';
import { runIn } from '../../../src/lab/launch.ts';
import type { LabNode } from '../../../src/lab/node/node.ts';
import { ping, probeTcp } from '../../../src/lab/probe/probe.ts';
import { beginConnect } from '../../../src/lab/probe/socket.ts';
import { found } from '../pod-lab.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';

type Family = 4 | 6;

/** A place that packets are sent from, and to. */
interface End {
  readonly name: string;
  /** Who says that it saw somebody: an ENI's address is its node's. */
  readonly host: string;
  readonly netns: string;
  readonly address: Readonly<Record<Family, Ip>>;
  /** What the other side sees of it, inside the VPC and on the internet. */
  readonly seenAs: Readonly<Record<Family, Ip>>;
  readonly seenOutsideAs: Readonly<Record<Family, Ip>>;
  /** An address only: nobody sends from it by default. */
  readonly onlyTarget?: boolean;
}

interface Case {
  readonly family: Family;
  readonly from: End;
  readonly to: End;
}

let world: World;
let ends: End[];
const pods = new Map<string, DemoPod>();

beforeAll(async () => {
  world = await World.up({
    nodeCount: 2,
    vmCount: 2,
    instanceType: 't3.medium',
    // Three ENIs of 6 addresses, their own among them: with 15 pods every ENI of a node has 5.
    daemonConfig: { pool: { primaryEni: 'use', targets: { floor: 15, headroom: 0, ceiling: 15 } } },
  });
  ends = [];
  for (const node of [world.node(1), world.node(2)]) ends.push(...(await endsOf(node)));
  for (const vm of world.lab.vms) ends.push(instanceEnd(vm.name, vm.netns, world.primaryOf(vm)));
  const internet = { 4: INTERNET4, 6: INTERNET6 };
  const names = { name: 'internet', host: 'internet', netns: world.lab.internetNetns };
  ends.push({ ...names, address: internet, seenAs: internet, seenOutsideAs: internet });
  for (const end of ends) if (end.onlyTarget !== true) await world.listen(end.netns, end.host);
}, 60_000);

afterAll(() => world.down(), 30_000);

/** Two pods of every ENI of the node, the node, and the addresses of its other ENIs. */
async function endsOf(node: LabNode): Promise<End[]> {
  const own = world.primaryOf(node.instance);
  const added = await world.add(node, 15);
  const made: End[] = [instanceEnd(node.name, node.instance.netns, own)];
  for (const [n, eni] of world.enisOf(node.instance).entries()) {
    const here = added.filter((pod) => world.eniOf(pod).id === eni.id);
    for (const [m, pod] of here.slice(0, n === 2 ? 1 : 2).entries()) {
      const name = `${node.name} eth${n} pod ${m + 1}`;
      const address = { 4: addressOf(pod, 4), 6: addressOf(pod, 6) };
      const outside = { 4: found(own.publicIp, 'public address'), 6: address[6] };
      pods.set(name, pod);
      made.push({ name, host: pod.name, netns: pod.netns, address, seenAs: address, seenOutsideAs: outside });
    }
    if (n > 0) {
      const address = addressesOf(eni);
      const names = { name: `${node.name} eth${n}`, host: node.name, netns: node.instance.netns };
      made.push({ ...names, address, seenAs: address, seenOutsideAs: address, onlyTarget: true });
    }
  }
  return made;
}

const addressesOf = (eni: EniRecord) => ({ 4: ownAddress(eni, 4), 6: ownAddress(eni, 6) });

function instanceEnd(name: string, netns: string, eni: EniRecord): End {
  const address = addressesOf(eni);
  const outside = { 4: found(eni.publicIp, 'public address'), 6: address[6] };
  return { name, host: name, netns, address, seenAs: address, seenOutsideAs: outside };
}

/** Nothing of the internet knows a private address. */
const allCases = (): Case[] =>
  FAMILIES.flatMap((family) =>
    ends
      .filter(({ onlyTarget }) => onlyTarget !== true)
      .flatMap((from) => ends.map((to) => ({ family, from, to })))
      .filter(({ from, to }) => from !== to && !(family === 4 && from.host === 'internet')),
  );

/** A host that speaks to an address of its own uses that very address. */
function expectedSource({ family, from, to }: Case): Ip {
  if (from.netns === to.netns) return to.address[family];
  return (to.host === 'internet' ? from.seenOutsideAs : from.seenAs)[family];
}

/** What was wrong, in a few words; undefined when nothing was. */
async function fault(one: Case): Promise<string | undefined> {
  const { family, from, to } = one;
  const target = { netns: from.netns, to: to.address[family] };
  const tcp = await probeTcp(target);
  if (!tcp.ok) return `tcp ${tcp.why}`;
  const said = tcp.said.replace('::ffff:', '');
  const wanted = `${to.host} saw ${expectedSource(one)}`;
  if (said !== wanted) return `"${said}" instead of "${wanted}"`;
  const echo = await ping(target);
  return echo.ok ? undefined : `ping ${echo.why}`;
}

async function matrix(cases: readonly Case[]): Promise<Map<Case, string | undefined>> {
  const results = new Map<Case, string | undefined>();
  await inParallel(cases, 16, async (one) => results.set(one, await fault(one)));
  return results;
}

/** A row a sender, a column a target. */
function asText(results: ReadonlyMap<Case, string | undefined>): string {
  const lines = ends.map((end, n) => `${n} ${end.name}: ${end.address[4]}, ${end.address[6]}`);
  for (const family of FAMILIES) {
    lines.push('', `IPv${family}   ${ends.map((_, n) => String(n).padStart(3)).join('')}`);
    for (const [n, from] of ends.entries()) {
      const cells = ends.map((to) => cell(results, { family, from, to }));
      lines.push(`${String(n).padStart(6)} ${cells.map((text) => text.padStart(3)).join('')}`);
    }
  }
  const wrong = [...results].filter(([, why]) => why !== undefined);
  lines.push('', ...wrong.map(([{ family, from, to }, why]) => `IPv${family} ${from.name} -> ${to.name}: ${why}`));
  return lines.join('\n');
}

function cell(results: ReadonlyMap<Case, string | undefined>, { family, from, to }: Case): string {
  const entry = [...results].find(([one]) => one.family === family && one.from === from && one.to === to);
  return entry === undefined ? '' : entry[1] === undefined ? '.' : 'X';
}

/** Sets what every interface's own value is raised to (the kernel takes the greater of the two). */
async function setReversePathFilter(value: number): Promise<void> {
  for (const { instance } of world.lab.nodes)
    await world.lab.networks.put(instance.netns, [sysctl('net/ipv4/conf/all/rp_filter', value)]);
}

test('pods are on the primary and on two secondary ENIs of each node, and both subnets are used', () => {
  for (const node of world.lab.nodes) {
    const here = [...pods].filter(([name]) => name.startsWith(node.name)).map(([, pod]) => world.eniOf(pod));
    expect(new Set(here.map(({ id }) => id)).size).toBe(3);
  }
  expect(new Set([...pods.values()].map((pod) => world.eniOf(pod).subnet)).size).toBe(2);
});

describe.each([0, 1, 2])('with all.rp_filter %i on the nodes', (value) => {
  beforeAll(() => setReversePathFilter(value));

  test('everybody reaches everybody, and is seen as who it is', async () => {
    const cases = allCases();
    const beganMs = performance.now();
    const results = await matrix(cases);
    const wrong = [...results.values()].filter((why) => why !== undefined);
    const tookMs = performance.now() - beganMs;
    console.log(`rp_filter ${value}: ${cases.length - wrong.length} of ${cases.length} pairs, ${tookMs.toFixed(0)} ms`);
    if (wrong.length > 0) throw new Error(`${wrong.length} of ${cases.length} pairs are wrong\n${asText(results)}`);
  });

  test('metadata answers pods of every ENI, nodes and VMs', async () => {
    const answers: Record<string, string> = {};
    for (const { name, netns, onlyTarget } of ends)
      if (onlyTarget !== true && name !== 'internet') answers[name] = await askMetadata(netns);
    expect(new Set(Object.values(answers))).toEqual(new Set(['HTTP/1.1 401 Unauthorized']));
  });

  test('a node that speaks from its other ENI is answered there', async () => {
    const node = world.node(1);
    const targets = ends.filter(({ name }) => ['vm-1', 'node-2', 'node-2 eth1 pod 1'].includes(name));
    expect(targets).toHaveLength(3);
    for (const eni of world.enisOf(node.instance).slice(1))
      for (const family of FAMILIES) {
        const pings = targets.map(async ({ name, address }) => {
          const command = ['ping', '-n', '-c1', '-W1', '-I', ownAddress(eni, family), address[family]];
          const { code, stdout } = await runIn(node.instance.netns, command);
          return code === 0 ? [] : [`IPv${family} ${eni.id} -> ${name}: ${stdout}`];
        });
        expect((await Promise.all(pings)).flat()).toEqual([]);
      }
  });
});

/** The status line of a request without a token. */
function askMetadata(netns: string): Promise<string> {
  return new Promise((resolve) => {
    const fd = beginConnect(netns, { address: METADATA_ADDRESS, port: 80 });
    const socket = new Socket({ fd, readable: true, writable: true });
    socket.setTimeout(1_500, () => socket.destroy(new Error('no answer in 1500 ms')));
    socket.once('data', (data) => {
      resolve(data.toString().split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.once('error', (error) => resolve(error.message));
    socket.write('GET /latest/meta-data/ HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\n\r\n');
  });
}
