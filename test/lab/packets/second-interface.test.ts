/**
 * A second interface in a pod, as Multus asks for one: the pod's own traffic stays with eth0, whatever is added or
 * deleted beside it, and what is sent to the second interface's address is answered from there.
 */
import type { Ip } from '../../../src/core/ip.ts';
import { type CniPod, runCni } from '../../../src/lab/demo/cni.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { type ProbeAnswer, ping, probeTcp } from '../../../src/lab/probe/probe.ts';
import { found, until } from '../pod-lab.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';

let world: World;
let pod: DemoPod;

beforeAll(async () => {
  world = await World.up({ nodeCount: 1, vmCount: 1, instanceType: 'm5.large' });
  pod = found((await world.add(world.node(1), 1))[0], 'pod');
  await world.listen(pod.netns, pod.name);
  await world.listen(world.vm(1).netns, 'vm-1');
}, 60_000);

afterAll(() => world.down(), 30_000);

const nameIn = (ifname: string): CniPod => ({ ...pod, ifname });

async function add(ifname: string): Promise<DemoPod> {
  const { error, addresses } = await runCni(pod.host.plugin, 'ADD', nameIn(ifname));
  expect(error).toBeUndefined();
  return { ...pod, addresses };
}

async function remove(ifname: string): Promise<void> {
  expect((await runCni(pod.host.plugin, 'DEL', nameIn(ifname))).error).toBeUndefined();
}

/** What the pod holds on eth0, routes and all. */
const onEth0 = async () =>
  (await world.lab.networks.read(pod.netns))?.objects.filter((object) => 'link' in object && object.link === 'eth0');

/** The pod opens a connection as it likes: whom the VM saw. */
const seenByVm = async (family: 4 | 6): Promise<ProbeAnswer> =>
  probeTcp({ netns: pod.netns, to: ownAddress(world.primaryOf(world.vm(1)), family) });

/** From the VM and from the pod's own node. */
async function isAnswered(to: Ip): Promise<boolean> {
  const [vm, node] = await Promise.all([world.vm(1).netns, pod.host.netns].map((netns) => ping({ netns, to })));
  return vm?.ok === true && node?.ok === true;
}

async function expectOwnTraffic(by: DemoPod): Promise<void> {
  for (const family of FAMILIES) {
    expect(await seenByVm(family)).toMatchObject({ ok: true, said: `vm-1 saw ${addressOf(by, family)}` });
    expect(await isAnswered(addressOf(by, family))).toBe(true);
  }
}

test('eth1 and net1 come and go, each answers, and eth0 is as it was', async () => {
  const before = await onEth0();
  const [eth1, net1] = [await add('eth1'), await add('net1')];
  expect(await onEth0()).toEqual(before);
  await expectOwnTraffic(pod);
  for (const beside of [eth1, net1])
    for (const family of FAMILIES) {
      const to = addressOf(beside, family);
      expect(await isAnswered(to)).toBe(true);
      expect(await probeTcp({ netns: world.vm(1).netns, to })).toMatchObject({ ok: true });
    }

  await remove('eth1');
  for (const family of FAMILIES) {
    expect(await ping({ netns: world.vm(1).netns, to: addressOf(eth1, family), timeoutMs: 300 })).toMatchObject({
      ok: false,
    });
    expect(await isAnswered(addressOf(net1, family))).toBe(true);
  }
  expect(await onEth0()).toEqual(before);
  await expectOwnTraffic(pod);
  await remove('net1');
  expect(await onEth0()).toEqual(before);
  await expectOwnTraffic(pod);
}, 30_000);

test('eth0 takes over from an interface that was alone in the pod', async () => {
  const net1 = await add('net1');
  await remove('eth0');
  await until('its link is gone', async () => (await onEth0())?.length === 0);
  await expectOwnTraffic(net1);
  const eth0 = await add('eth0');
  await expectOwnTraffic(eth0);
  for (const family of FAMILIES) expect(await isAnswered(addressOf(net1, family))).toBe(true);
  await remove('net1');
}, 30_000);
