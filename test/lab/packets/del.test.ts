/**
 * DEL costs nobody a wait: an ADD in the namespace of a pod just deleted is served at once, and of many pods whose
 * namespaces stay the links go a moment later, while pods come. What was connected to a deleted pod is forgotten before
 * its address is another's.
 */
import { createServer, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isLinkName } from '../../../src/core/link-name.ts';
import { runCni } from '../../../src/lab/demo/cni.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { inParallel } from '../../../src/lab/demo/pods.ts';
import { runIn } from '../../../src/lab/launch.ts';
import { ping, probeTcp } from '../../../src/lab/probe/probe.ts';
import { beginConnect } from '../../../src/lab/probe/socket.ts';
import type { StatePage } from '../crash/stage.ts';
import { found, PARALLEL, until } from '../pod-lab.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';

const PODS = 40;
const ROUNDS = 10;
/** A dead link goes after 2 s, or before an ADD in its namespace. */
const REAP_AFTER_MS = 2_000;
const PORT = 9998;
let world: World;

beforeAll(async () => {
  world = await World.up({
    nodeCount: 1,
    vmCount: 1,
    instanceType: 'm5.4xlarge',
    daemonConfig: {
      pool: { primaryEni: 'skip', targets: { floor: 100, headroom: 0, ceiling: 100 } },
      cooldownMs: 3_000,
      cooldownUnderPressureMs: 3_000,
    },
  });
}, 60_000);

afterAll(() => world.down(), 30_000);

const host = () => world.node(1).instance.netns;

/** The links of pods on the node. */
async function links(): Promise<string[]> {
  const { links = [] } = (await world.lab.networks.read(host())) ?? {};
  return links.map(({ name }) => name).filter(isLinkName);
}

const del = async (pod: DemoPod): Promise<void> =>
  expect((await runCni(pod.host.plugin, 'DEL', pod)).error).toBeUndefined();

test('ADD in the namespace of a pod just deleted, with the same interface name, waits for nothing', async () => {
  const [pod] = await world.add(world.node(1), 1);
  let current = found(pod, 'pod');
  const beganMs = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    await del(current);
    const next = { ...current, containerId: `${current.containerId}x` };
    const { error, addresses } = await runCni(next.host.plugin, 'ADD', next);
    expect(error).toBeUndefined();
    current = { ...next, addresses };
    for (const family of FAMILIES)
      expect(await ping({ netns: world.vm(1).netns, to: addressOf(current, family) })).toMatchObject({ ok: true });
  }
  const tookMs = performance.now() - beganMs;
  console.log(`DEL and ADD in one namespace: ${(tookMs / ROUNDS).toFixed(0)} ms a round, pings included`);
  expect(tookMs).toBeLessThan(ROUNDS * REAP_AFTER_MS);
  expect(await links()).toHaveLength(1);
  await del(current);
}, 60_000);

test('of many pods deleted whose namespaces stay, no link is left a while later, though pods come all the while', async () => {
  const pods = await world.add(world.node(1), PODS);
  await inParallel(pods, PARALLEL, del);
  const stayed = await links();
  const came: DemoPod[] = [];
  const endMs = performance.now() + 2 * REAP_AFTER_MS;
  while (performance.now() < endMs && came.length < PODS) {
    came.push(...(await world.add(world.node(1), 1)));
    await sleep(50);
  }
  await until('only the links of pods that run are left', async () => (await links()).length === came.length);
  console.log(`${stayed.length} links stayed, ${came.length} pods came while they went`);
  expect(stayed.length).toBeGreaterThan(0);
  for (const pod of came.slice(0, 3))
    expect(await ping({ netns: world.vm(1).netns, to: addressOf(pod, 4) })).toMatchObject({ ok: true });
  expect(await world.pods.remove([...pods, ...came], PARALLEL)).toEqual([]);
}, 60_000);

/** A connection from the pod to the VM that neither side ends; closed by the function returned. */
async function connected(pod: DemoPod, family: 4 | 6): Promise<() => Promise<void>> {
  const vm = world.vm(1);
  const to = { address: ownAddress(world.primaryOf(vm), family), port: PORT };
  const server = createServer();
  const fd = await world.lab.networks.openSocketIn(vm.netns, { kind: 'tcp', ...to });
  await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = new Socket({ fd: beginConnect(pod.netns, to), readable: true, writable: true });
  client.on('error', () => {});
  client.write('hello');
  const other = await accepted;
  other.on('error', () => {});
  return async () => {
    client.destroy();
    other.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
}

test('an established connection of a deleted pod is forgotten before its address may be another’s', async () => {
  const node = world.node(1);
  const gone = found((await world.add(node, 1))[0], 'pod');
  await world.listen(gone.netns, gone.name);
  const ips = FAMILIES.map((family) => addressOf(gone, family));
  const entries = async (): Promise<string[]> => {
    const listed = await Promise.all(
      ['ipv4', 'ipv6'].map(async (family) => (await runIn(host(), ['conntrack', '-L', '-f', family])).stdout),
    );
    return listed.flatMap((text) => text.split('\n')).filter((line) => ips.some((ip) => line.includes(`=${ip} `)));
  };
  const isTaken = async (): Promise<boolean> => {
    const { address } = JSON.parse((await node.daemon.get('/v1/state'))?.body ?? '{}') as StatePage;
    return address.some(({ ip }) => ips.includes(ip));
  };
  const ends = await Promise.all(FAMILIES.map((family) => connected(gone, family)));
  for (const to of ips) expect(await probeTcp({ netns: world.vm(1).netns, to })).toMatchObject({ ok: true });
  const before = await entries();
  expect(before.filter((line) => line.includes('ESTABLISHED'))).toHaveLength(2);
  expect(before).toHaveLength(4);

  await del(gone);
  expect(await isTaken()).toBe(true);
  await until('its addresses are free', async () => !(await isTaken()));
  expect(await entries()).toEqual([]);
  for (const end of ends) await end();
}, 60_000);
