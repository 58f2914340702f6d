/** Links as the kernel tells of them: which are NICs, and which only have a NIC's MAC. */
import type { Event } from '../../src/core/events.ts';
import { State } from '../../src/core/state.ts';
import { veth } from '../../src/datapath/veth.ts';
import { coreEvent, startedEvent } from '../../src/driver/kernel-events.ts';
import type { KernelEvent } from '../../src/ports/kernel.ts';
import { mac, TestNetworks, tool } from './namespaces.ts';

const nets = new TestNetworks();
afterAll(() => nets.close());

test("what is made upon an ENI's link, with its MAC, is no NIC: not in notifications, not in a read", async () => {
  const [fabric, host] = [await nets.make(), await nets.make()];
  const kernel = nets.networks.kernel({ netns: host });
  const heard: Event[] = [];
  const told: string[] = [];
  const stop = kernel.listen((event) => {
    if (event.kind === 'link-seen') told.push(event.name);
    const forCore = coreEvent(event);
    if (forCore !== undefined) heard.push(forCore);
  });
  try {
    const eni = mac('02:00:00:00:0e:01');
    const outside = { netns: fabric, name: 'f1', mac: mac('06:00:00:00:0e:01'), mtu: 9001 };
    await nets.networks.createVeth(outside, { netns: host, name: 'eth1', mac: eni, mtu: 9001 });
    tool(host, 'ip', 'link', 'add', 'link', 'eth1', 'name', 'mv0', 'type', 'macvlan', 'mode', 'passthru');
    tool(host, 'ip', 'link', 'add', 'br0', 'address', eni, 'type', 'bridge');
    const { links = [] } = (await kernel.read()) ?? {};
    const sharing = links.filter((link) => link.mac === eni);
    expect(sharing.map(({ name, type }) => `${name} ${type}`).sort()).toEqual([
      'br0 bridge',
      'eth1 veth',
      'mv0 macvlan',
    ]);
    const index = sharing.find(({ name }) => name === 'eth1')?.index ?? 0;
    for (let tries = 0; tries < 80 && !told.includes('br0'); tries++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    expect(new Set(told)).toEqual(new Set(['eth1', 'mv0', 'br0']));
    const nic = { mac: eni, name: 'eth1', index, mtu: 9001 };
    expect(heard.filter(({ kind }) => kind === 'link-seen')).toContainEqual({ kind: 'link-seen', ...nic });
    expect(heard.filter((event) => event.kind === 'link-seen' && event.name !== 'eth1')).toEqual([]);
    expect(await startedEvent(new State(), kernel, veth)).toMatchObject({ eniLinks: [nic] });
  } finally {
    stop();
  }
});

test('a subscription that cannot be opened is tried again, and everything until then was lost', async () => {
  const netns = `${await nets.make()}-later`;
  const heard: KernelEvent[] = [];
  const stop = nets.networks.kernel({ netns }).listen((event) => heard.push(event));
  const until = async (isIt: () => boolean) => {
    for (let tries = 0; tries < 200 && !isIt(); tries++) await new Promise((resolve) => setTimeout(resolve, 25));
    return isIt();
  };
  const lost = { kind: 'changed', what: 'lost' };
  try {
    expect(await until(() => heard.length > 0)).toBe(true);
    expect(heard[0]).toEqual(lost);
    await nets.networks.createNamespace(netns);
    heard.length = 0;
    expect(await until(() => heard.length > 0)).toBe(true);
    expect(heard).toEqual([lost]);
    tool(netns, 'ip', 'link', 'add', 'nic0', 'type', 'veth', 'peer', 'name', 'nic1');
    expect(await until(() => heard.some((event) => event.kind === 'link-seen' && event.name === 'nic0'))).toBe(true);
  } finally {
    stop();
    await nets.networks.deleteNamespace(netns);
  }
});
