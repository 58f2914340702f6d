/** What docs/parameters.md promises of host ports, the MTU and what is refused, from the runtime's call to packets. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { attachmentKey } from '../../../src/core/brand.ts';
import type { Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { runIn } from '../../../src/lab/launch.ts';
import { ECHO_PORT } from '../../../src/lab/probe/echo.ts';
import { probeTcp } from '../../../src/lab/probe/probe.ts';
import { found, until } from '../pod-lab.ts';
import { FAMILIES, ownAddress, World } from '../world.ts';

/** Where Debian's containernetworking-plugins has it. */
const CNI_PATH = '/usr/lib/cni';
const HOST_PORT = 8_888;
const OTHERS_LIMIT = { ingressRate: 9_000_000, ingressBurst: 900_000 };
const MAC = '02:00:00:00:00:99';
const portMappings = [{ hostPort: HOST_PORT, containerPort: ECHO_PORT, protocol: 'tcp' }];

let world: World;
let pod: DemoPod;

beforeAll(async () => {
  if (!existsSync(join(CNI_PATH, 'portmap')))
    throw new Error('portmap is missing: apt-get install containernetworking-plugins iptables');
  // Off the primary: what comes by the node's own address has to be answered by it.
  const pool = { primaryEni: 'skip', targets: { floor: 6, headroom: 0, ceiling: 20 } };
  world = await World.up({ nodeCount: 1, vmCount: 1, instanceType: 'm5.large', daemonConfig: { pool } });
  pod = found((await world.add(world.node(1), 1))[0], 'pod');
  await world.listen(pod.netns, pod.name);
}, 60_000);

afterAll(() => world?.down(), 30_000);

const linkOf = ({ host, containerId }: DemoPod): string =>
  linkName(attachmentKey({ network: host.plugin.network, containerId, ifname: 'eth0' }));

/** One plugin of the chain, with what libcni puts into its configuration; what it printed. */
async function run(verb: 'ADD' | 'DEL', binary: string, config: object): Promise<string> {
  const env = {
    PATH: process.env.PATH ?? '',
    CNI_COMMAND: verb,
    CNI_CONTAINERID: pod.containerId,
    CNI_NETNS: pod.netns,
    CNI_IFNAME: 'eth0',
    CNI_PATH,
  };
  const input = JSON.stringify({ cniVersion: '1.0.0', name: pod.host.plugin.network, ...config });
  const { code, stdout, stderr } = await runIn(pod.host.netns, [binary], { input, env });
  expect({ code, said: code === 0 ? '' : stdout + stderr }).toEqual({ code: 0, said: '' });
  return stdout;
}

const bandwidth = (verb: 'ADD' | 'DEL', prevResult: object): Promise<string> =>
  run(verb, join(CNI_PATH, 'bandwidth'), { type: 'bandwidth', ...OTHERS_LIMIT, prevResult });

const portmap = (verb: 'ADD' | 'DEL', prevResult: object): Promise<string> =>
  run(verb, join(CNI_PATH, 'portmap'), { type: 'portmap', snat: true, runtimeConfig: { portMappings }, prevResult });

const reach = (netns: string, to: Ip) => probeTcp({ netns, to, port: HOST_PORT, timeoutMs: 1_000 });

test('by portmap behind us the node’s port is the pod’s, from outside and from the node, until its DEL', async () => {
  // Repeated, ADD says what it said: that is the chain's first result.
  const result: object = JSON.parse(await run('ADD', pod.host.plugin.binary, { type: 'underway' }));
  expect(JSON.parse(await portmap('ADD', result))).toMatchObject({ ips: [{}, {}] });
  const node = world.primaryOf(world.node(1).instance);
  const vm = world.vm(1);
  for (const family of FAMILIES) {
    const seen = await reach(vm.netns, ownAddress(node, family));
    // Who connects is seen as who it is.
    const source = ownAddress(world.primaryOf(vm), family);
    expect(seen).toMatchObject({ ok: true, said: `${pod.name} saw ${source}` });
    expect(await reach(pod.host.netns, ownAddress(node, family))).toMatchObject({ ok: true });
  }
  expect(await reach(pod.host.netns, '127.0.0.1' as Ip)).toMatchObject({ ok: true });
  await portmap('DEL', result);
  for (const family of FAMILIES) expect(await reach(vm.netns, ownAddress(node, family))).toMatchObject({ ok: false });
}, 30_000);

test('the plugin `bandwidth` behind us is left its limits, when the kernel has been looked at too', async () => {
  const { netns } = pod.host;
  const result: object = JSON.parse(await run('ADD', pod.host.plugin.binary, { type: 'underway' }));
  await bandwidth('ADD', result);
  const shown = async () => (await runIn(netns, ['tc', 'qdisc', 'show', 'dev', linkOf(pod)])).stdout;
  expect(await shown()).toContain('tbf 1: root');
  await runIn(netns, ['ip', 'rule', 'del', 'priority', '710']);
  await until('the rule is back', async () => (await runIn(netns, ['ip', 'rule'])).stdout.includes('710:'));
  await run('ADD', pod.host.plugin.binary, { type: 'underway' });
  expect(await shown()).toContain('tbf 1: root');
  await bandwidth('DEL', result);
}, 30_000);

test('a pod has the MTU of the link of its ENI, as of its ADD', async () => {
  const { networks } = world.lab;
  const { instance } = world.node(1);
  const mtuOf = async (netns: string, isIt: (name: string) => boolean) =>
    (await networks.read(netns))?.links.find(({ name }) => isIt(name))?.mtu;
  const inside = ({ netns }: DemoPod) => mtuOf(netns, (name) => name === 'eth0');
  expect(await inside(pod)).toBe(9_001);
  const { mac } = world.eniOf(pod);
  const { name } = found(
    (await networks.read(instance.netns))?.links.find((link) => link.mac === mac),
    'link',
  );
  await networks.apply([{ do: 'set-link', at: 'host', link: { name, mtu: 8_500 } }], { netns: instance.netns });
  let next: DemoPod | undefined;
  // The daemon hears of it in a moment.
  await until('a new pod has it', async () => {
    if (next !== undefined) await world.pods.remove([next], 1);
    [next] = await world.add(world.node(1), 1);
    return next !== undefined && (await inside(next)) === 8_500;
  });
  const outside = await mtuOf(instance.netns, (one) => one === linkOf(found(next, 'next pod')));
  expect([outside, await inside(pod)]).toEqual([8_500, 9_001]);
}, 30_000);

test('a MAC of the runtime’s is refused with code 2, key and value', async () => {
  const { plugin, ...host } = pod.host;
  const [refused] = await world.pods.add({ ...host, plugin: { ...plugin, runtimeConfig: { mac: MAC } } }, 1, 1);
  expect(refused).toMatchObject({
    addresses: [],
    error: { code: 2, msg: expect.stringContaining(`runtimeConfig.mac is "${MAC}"`) },
  });
});
