/**
 * The whole of veth mode, put by the Kernel port into real namespaces and read back, by us and by the tools.
 */
import type { Effect, Event } from '../../src/core/events.ts';
import type { KernelObject, KernelState, Step } from '../../src/datapath/kernel-state.ts';
import { objectText } from '../../src/datapath/object-text.ts';
import { repairOf } from '../../src/datapath/repair.ts';
import { secondaryEnis } from '../../src/datapath/veth/node.ts';
import { veth } from '../../src/datapath/veth.ts';
import { runEffect } from '../../src/driver/effects.ts';
import type { Kernel, KernelEvent } from '../../src/ports/kernel.ts';
import type { Provider } from '../../src/ports/provider.ts';
import { n1, p3 } from '../unit/datapath/n1.ts';
import { cidr, ip, mac, TestNetworks, tool } from './namespaces.ts';

const nets = new TestNetworks();
let host: string;
let kernel: Kernel;
afterAll(() => nets.close());

/** A node's namespace with the ENIs of n1, the primary configured as the operating system would. */
beforeAll(async () => {
  const fabric = await nets.make();
  host = await nets.make();
  for (const { link, mac: address } of n1.enis) {
    const outside = { netns: fabric, name: `f-${link}`, mac: mac(`06${address.slice(2)}`), mtu: 9001 };
    await nets.networks.createVeth(outside, { netns: host, name: link, mac: address, mtu: 9001 });
    await nets.networks.apply([up(`f-${link}`)], { netns: fabric });
  }
  kernel = nets.networks.kernel({ netns: host });
  const addresses = [cidr('10.0.1.10/32'), cidr('2001:db8:1::10/128')] as const;
  await kernel.apply([up('lo'), up('eth0')]);
  await nets.networks.put(
    host,
    addresses.map((address) => ({
      kind: 'address',
      link: 'eth0',
      address: address as `${(typeof plan.addresses)[number]}/${number}`,
      scope: 'global',
      noPrefixRoute: false,
      noDad: true,
      deprecated: false,
    })),
  );
});

const up = (name: string): Step => ({ do: 'set-link', at: 'host', link: { name, up: true } });
const state = async (netns?: string): Promise<KernelState> => {
  const found = await kernel.read(netns);
  if (found === undefined) throw new Error(`${netns} cannot be read`);
  return found;
};
let plan = p3;

/** Waits for what others' doing makes us hear. */
async function heard(events: readonly KernelEvent[], isIt: (event: KernelEvent) => boolean): Promise<boolean> {
  for (let tries = 0; tries < 40 && !events.some(isIt); tries++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  return events.some(isIt);
}

test('a node is built in one apply, is found as wanted, and nft prints the tested ruleset', async () => {
  expect(await kernel.apply(veth.diffNode(n1, await state()))).toEqual([]);
  expect(veth.diffNode(n1, await state())).toEqual([]);
  expect(new Map(veth.eniNumbers(await state()))).toEqual(
    new Map(secondaryEnis(n1).map((eni) => [eni.link, eni.number])),
  );
  // What a person sees; the golden is what nft 1.0.6 printed for the ruleset written as text.
  const ruleset = tool(host, 'nft', 'list', 'table', 'inet', 'underway');
  expect(ruleset).toContain('elements = { 0x00000001 : goto eni1, 0x00000002 : goto eni2, 0x00000003 : goto eni3 }');
  expect(ruleset).toContain('elements = { "eth0" : goto new1,');
  expect(ruleset).toContain('elements = { 10.0.1.21 : goto new2, 10.0.1.22 : goto new2,');
  expect(ruleset).toContain('ip6 saddr != fe80::/10 fib saddr . iif oif 0 drop');
  expect(ruleset).toContain('oifname "eth0" ip daddr != @inside4 snat ip to 10.0.1.10 fully-random');
  expect(tool(host, 'ip', 'rule')).toContain('710:\tfrom all fwmark 0x2/0x7f lookup 7702 proto 117');
  expect(tool(host, 'ip', 'route', 'show', 'table', '7702')).toContain(
    'unreachable default proto 117 metric 4000000000',
  );
  expect(tool(host, 'ip', '-6', 'addr', 'show', 'eth1')).toContain('inet6 fe80::ff:fe00:20/64 scope link nodad');
});

test('applying what is there again changes nothing and fails nowhere', async () => {
  const again = veth.wantedNode(n1).filter((object) => object.kind !== 'nft-element');
  expect(await kernel.apply(again.map((object) => ({ do: 'put', at: 'host', object })))).toEqual([]);
  expect(veth.diffNode(n1, await state())).toEqual([]);
});

test('a chain with other rules reads as not wanted, and is put right', async () => {
  const chain = veth.wantedNode(n1).find((object) => object.kind === 'nft-chain');
  if (chain?.kind !== 'nft-chain') throw new Error('n1 has no chain');
  const wrong = { ...chain, chain: { ...chain.chain, rules: [] } };
  await nets.networks.put(host, [wrong]);
  const steps = veth.diffNode(n1, await state());
  expect(steps).toEqual([{ do: 'put', at: 'host', object: chain }]);
  expect(await kernel.apply(steps)).toEqual([]);
  expect(veth.diffNode(n1, await state())).toEqual([]);
});

test('a pod is wired as planned, in both families', async () => {
  plan = { ...p3, netns: await nets.make() };
  expect(await kernel.apply(veth.wirePod(plan), plan)).toEqual([]);
  expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
  const link = tool(host, 'ip', '-d', 'link', 'show', plan.link);
  expect(link).toContain(`${plan.linkIndex}: ${plan.link}@if2:`);
  expect(link).toContain('addrgenmode none');
  expect(link).toContain(`alias ${plan.lease} `);
  expect(tool(host, 'cat', `/proc/sys/net/ipv4/conf/${plan.link}/rp_filter`)).toBe('1\n');
  expect(tool(host, 'ip', '-6', 'addr', 'show', 'dev', plan.link)).toBe('');
  expect(tool(plan.netns, 'ip', 'route')).toContain('default via 169.254.1.1 dev eth0 proto 117\n');
  expect(tool(plan.netns, 'ip', '-6', 'route')).toContain('default via fe80::1 dev eth0 proto 117 metric 1024');
  expect(tool(host, 'ping', '-c1', '-W1', plan.addresses[0] ?? '')).toContain('1 received');
});

const outcome = (effect: Effect): Promise<Event> =>
  new Promise((enqueue) => {
    const signal = new AbortController().signal;
    runEffect(effect, { kernel, datapath: veth, provider: {} as Provider, reply: () => {}, enqueue, signal });
  });

test.each(['host', 'pod'] as const)(
  'a %s namespace that makes links with IPv6 off has it on for the pod',
  async (where) => {
    const inside = await nets.make();
    const offPlan = {
      ...plan,
      netns: inside,
      link: `uw0000000000${where}`.slice(0, 15),
      linkIndex: where === 'host' ? 100_104 : 100_105,
      addresses: [ip('10.0.1.22'), ip('2001:db8:1::22')],
    };
    const turn = (value: string): Promise<unknown> =>
      nets.networks.put(where === 'host' ? host : inside, [
        { kind: 'sysctl', path: 'net/ipv6/conf/default/disable_ipv6', value },
      ]);
    await turn('1');
    const wired = await outcome({ kind: 'wire', plan: offPlan, fresh: true, deadLinks: [] });
    await turn('0');
    expect(wired).toEqual({ kind: 'wired', lease: plan.lease, linkIndex: offPlan.linkIndex });
    expect(veth.checkPod(offPlan, { host: await state(), pod: await state(inside) })).toEqual([]);
    for (const to of offPlan.addresses) expect(tool(host, 'ping', '-c1', '-W1', to)).toContain('1 received');
    expect(await kernel.apply(veth.fencePod(offPlan))).toEqual([]);
    expect(await kernel.apply([{ do: 'delete-link', at: 'host', name: offPlan.link }])).toEqual([]);
  },
);

test('an interface beside the first answers on its own address, and leaves the default route where it is', async () => {
  const addresses = [ip('10.0.1.22'), ip('2001:db8:1::22')];
  const attachment = { ...plan.attachment, ifname: 'net1' };
  const beside = {
    ...plan,
    attachment,
    link: 'uw00000000000d3',
    linkIndex: 100_103,
    addresses,
    podMac: mac('02:00:00:00:22:00'),
  };
  const ways = () => ['-4', '-6'].map((family) => tool(plan.netns, 'ip', family, 'route', 'show', 'default').trim());
  const before = ways();
  expect(await kernel.apply(veth.wirePod(beside), beside)).toEqual([]);
  expect(veth.checkPod(beside, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
  expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
  expect(ways()).toEqual([
    `${before[0]}\ndefault via 169.254.1.1 dev net1 proto 117 metric 2147483682 onlink`,
    `${before[1]}\ndefault via fe80::1 dev net1 proto 117 metric 2147483682 pref medium`,
  ]);
  for (const to of [...addresses, ...plan.addresses])
    expect(tool(host, 'ping', '-c1', '-W1', to)).toContain('1 received');
  expect(await kernel.apply(veth.fencePod(beside))).toEqual([]);
  expect(await kernel.apply([{ do: 'delete-link', at: 'host', name: beside.link }])).toEqual([]);
  expect(ways()).toEqual(before);
  expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
});

test('wiring a pod whose link is there fails at the create and stops', async () => {
  const [failure, ...more] = await kernel.apply(veth.wirePod(plan), plan);
  expect(failure).toMatchObject({ step: { do: 'create-veth' }, errno: 'EEXIST' });
  expect(more).toEqual([]);
});

test('wiring a pod that has a link of the name fails at the create, and leaves nothing on the host', async () => {
  const other = { ...p3, netns: await nets.make(), link: 'uw00000000000d6', linkIndex: 100_106 };
  const end = { netns: other.netns, mtu: 1500 };
  await nets.networks.createVeth(
    { ...end, name: 'eth0', mac: mac('02:00:00:00:0b:01') },
    { ...end, name: 'b', mac: mac('02:00:00:00:0b:02') },
  );
  const failures = await kernel.apply(veth.wirePod(other), other);
  expect(failures).toMatchObject([{ step: { do: 'create-veth' }, errno: 'EEXIST' }]);
  const { links, objects } = await state();
  expect(links.map(({ name }) => name)).not.toContain(other.link);
  expect(objects.filter((object) => 'link' in object && object.link === other.link)).toEqual([]);
});

test('in a pod where index 2 is taken, the link is found all the same', async () => {
  const other = { ...p3, netns: await nets.make(), link: 'uw00000000000d4', linkIndex: 100_104 };
  const addresses = [ip('10.0.1.22')];
  await nets.networks.createVeth(
    { netns: other.netns, name: 'a', mac: mac('02:00:00:00:0a:01'), mtu: 1500 },
    { netns: other.netns, name: 'b', mac: mac('02:00:00:00:0a:02'), mtu: 1500 },
  );
  expect(await kernel.apply(veth.wirePod({ ...other, addresses }), other)).toEqual([]);
  expect(tool(other.netns, 'ip', 'addr', 'show', 'eth0')).toContain('inet 10.0.1.22/32 scope global eth0');
  expect(await kernel.apply([{ do: 'delete-link', at: 'host', name: other.link }])).toEqual([]);
});

test('a change by another program is heard, ours are not', async () => {
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  const changes = () => events.filter((event) => event.kind === 'changed').map((event) => event.what);
  try {
    await kernel.apply([]);
    const route = veth.wantedPod(plan).host.find((object) => object.kind === 'route');
    if (route === undefined) throw new Error('p3 has no route');
    await nets.networks.remove(host, [route]);
    await nets.networks.put(host, [route]);
    tool(host, 'ip', 'link', 'add', 'uwk-a', 'type', 'veth', 'peer', 'name', 'uwk-b');
    expect(await heard(events, (event) => event.kind === 'link-seen' && event.name === 'uwk-a')).toBe(true);
    expect(changes()).toEqual([]);

    tool(host, 'ip', 'rule', 'del', 'priority', '710');
    expect(await heard(events, (event) => event.kind === 'changed' && event.what === 'rule')).toBe(true);
    expect(await kernel.apply(veth.diffNode(n1, await state()))).toEqual([]);

    tool(plan.netns, 'ip', 'route', 'del', 'default');
    const isOfPod = (event: KernelEvent) => event.kind === 'pod-changed' && event.index === plan.linkIndex;
    expect(await heard(events, isOfPod)).toBe(true);
    expect(events.filter(({ kind }) => kind === 'changed')).toHaveLength(1);
    const repair = veth.repairPod(plan, { host: await state(), pod: await state(plan.netns) });
    expect(repair).toMatchObject([{ do: 'put', at: 'pod', object: { kind: 'route', destination: '0.0.0.0/0' } }]);
    expect(await kernel.apply(repair, plan)).toEqual([]);

    tool(host, 'ip', 'link', 'del', 'uwk-a');
    expect(await heard(events, (event) => event.kind === 'link-gone' && event.name === 'uwk-a')).toBe(true);
  } finally {
    stop();
  }
});

test("wiring and fencing a pod is not heard; another program's sysctl is, and the end of the pod's link", async () => {
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  const addresses = [ip('10.0.1.23'), ip('2001:db8:1::23')];
  const pod = { ...p3, netns: await nets.make(), link: 'uw00000000000d5', linkIndex: 100_105, addresses };
  try {
    expect(await kernel.apply(veth.wirePod(pod), pod)).toEqual([]);
    expect(await kernel.apply(veth.fencePod(pod))).toEqual([]);
    tool(host, 'sh', '-c', `echo 2 > /proc/sys/net/ipv4/conf/${pod.link}/rp_filter`);
    expect(await heard(events, ({ kind }) => kind === 'changed')).toBe(true);
    expect(events).toEqual([{ kind: 'changed', what: 'sysctl' }]);
    expect(await kernel.apply([{ do: 'delete-link', at: 'host', name: pod.link }])).toEqual([]);
    expect(await heard(events, (event) => event.kind === 'link-gone' && event.name === pod.link)).toBe(true);
  } finally {
    stop();
  }
});

/** How another program takes it away. */
function removal(object: KernelObject): string[] {
  switch (object.kind) {
    case 'address':
      return ['address', 'del', object.address, 'dev', object.link];
    case 'neighbour':
      return ['neighbour', 'del', object.address, 'dev', object.link];
    case 'route':
      return [`-${object.family}`, 'route', 'del', object.destination, 'dev', object.link ?? ''];
    default:
      throw new Error(`no pod has a ${object.kind} here`);
  }
}

describe('in a pod', () => {
  const events: KernelEvent[] = [];
  let stop = () => {};
  beforeAll(() => {
    stop = kernel.listen((event) => events.push(event));
  });
  afterAll(() => stop());
  const isOfPod = (event: KernelEvent) => event.kind === 'pod-changed' && event.index === plan.linkIndex;

  test('each object that somebody removes is heard and, alone, put back; ours is heard no more', async () => {
    for (const object of veth.wantedPod(plan).pod) {
      tool(plan.netns, 'ip', ...removal(object));
      const steps = veth.mendPod(plan, await state(plan.netns));
      expect(repairOf(steps).names[0]).toBe(`${objectText(object)} in the pod`);
      expect(await heard(events, isOfPod)).toBe(true);
      events.length = 0;
      expect(await kernel.apply(steps, plan)).toEqual([]);
      expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
      expect(events).toEqual([]);
    }
  });

  test.each(['lo', 'eth0'])('%s that is set down is heard, and all that went with it is put back', async (link) => {
    tool(plan.netns, 'ip', 'link', 'set', link, 'down');
    expect(await heard(events, isOfPod)).toBe(true);
    events.length = 0;
    const steps = veth.mendPod(plan, await state(plan.netns));
    expect(repairOf(steps).names[0]).toBe(`link ${link} in the pod: up`);
    expect(await kernel.apply(steps, plan)).toEqual([]);
    expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
    for (const to of plan.addresses) expect(tool(host, 'ping', '-c1', '-W1', to)).toContain('1 received');
  });

  test('IPv6 that was turned off there is heard, and is on again with all that went with it', async () => {
    await nets.networks.put(plan.netns, [{ kind: 'sysctl', path: 'net/ipv6/conf/eth0/disable_ipv6', value: '1' }]);
    expect(await heard(events, isOfPod)).toBe(true);
    const looked = await outcome({ kind: 'look', pods: [plan] });
    expect(looked).toMatchObject({ kind: 'looked', pods: [{ kinds: { address: 1 } }] });
    expect(looked).not.toHaveProperty('pods.0.failure');
    expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
    for (const to of plan.addresses) expect(tool(host, 'ping', '-c1', '-W1', to)).toContain('1 received');
    events.length = 0;
  });

  test('of a namespace that ends nothing is heard but that the link on the host is gone', async () => {
    const netns = await nets.make();
    const pod = { ...p3, netns, link: 'uw00000000000d7', linkIndex: 100_107, addresses: [ip('10.0.1.24')] };
    expect(await kernel.apply(veth.wirePod(pod), pod)).toEqual([]);
    events.length = 0;
    await nets.networks.deleteNamespace(netns);
    expect(await heard(events, (event) => event.kind === 'link-gone' && event.name === pod.link)).toBe(true);
    expect(events.filter(({ kind }) => kind === 'pod-changed')).toEqual([]);
  });
});

test('sysctls that the kernel tells nobody of are heard when they are read, and put back', async () => {
  const events: KernelEvent[] = [];
  const paths = ['eth0/accept_ra', 'eth1/addr_gen_mode', 'eth1/use_oif_addrs_only'].map(
    (name) => `net/ipv6/conf/${name}`,
  );
  const stop = nets.networks.kernel({ netns: host, quietEveryMs: 100 }).listen((event) => events.push(event));
  const isQuiet = (event: KernelEvent) => event.kind === 'changed' && event.what === 'sysctl';
  try {
    // Until that is so, what is set may be what is read first.
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const path of paths) {
      events.length = 0;
      tool(host, 'sh', '-c', `echo 0 > /proc/sys/${path}`);
      expect(await heard(events, isQuiet)).toBe(true);
      const steps = veth.diffNode(n1, await state());
      expect(repairOf(steps).names).toEqual([expect.stringContaining(path)]);
      expect(await kernel.apply(steps)).toEqual([]);
      expect(veth.diffNode(n1, await state())).toEqual([]);
    }
  } finally {
    stop();
  }
});

test("a link that another program set down is heard by itself, an ENI's and a pod's, and is put right", async () => {
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  const setDown = async (link: string): Promise<boolean> => {
    events.length = 0;
    tool(host, 'ip', 'link', 'set', link, 'down');
    return heard(events, (event) => event.kind === 'changed' && event.what === 'link');
  };
  try {
    expect(await setDown('eth1')).toBe(true);
    expect(await kernel.apply(veth.diffNode(n1, await state()))).toEqual([]);
    expect(veth.diffNode(n1, await state())).toEqual([]);
    expect(await setDown(plan.link)).toBe(true);
    const actual = async () => ({ host: await state(), pod: await state(plan.netns) });
    expect(veth.checkPod(plan, await actual())).not.toEqual([]);
    expect(await kernel.apply(veth.repairPod(plan, await actual()), plan)).toEqual([]);
    expect(veth.checkPod(plan, await actual())).toEqual([]);
  } finally {
    stop();
  }
});

test("another program's flush leaves our table (kernel 6.9 and later)", async () => {
  expect(tool(host, 'nft', 'list', 'table', 'inet', 'underway')).toContain('flags owner');
  tool(host, 'nft', 'flush', 'ruleset');
  expect(veth.diffNode(n1, await state())).toEqual([]);
  expect(() => tool(host, 'nft', 'delete', 'table', 'inet', 'underway')).toThrow();
});

test('a fenced pod keeps its link, in the dead group; fencing twice, and after the link is gone, is told apart', async () => {
  expect(await kernel.apply(veth.fencePod(plan))).toEqual([]);
  expect(await kernel.apply(veth.fencePod(plan))).toEqual([]);
  const links = (await state()).links.find(({ name }) => name === plan.link);
  expect(links).toMatchObject({ group: 0x5557_0001, type: 'veth', up: true });
  expect(tool(host, 'ip', 'route', 'show', 'table', 'local')).not.toContain(plan.link);
  expect(await kernel.apply([{ do: 'delete-links', names: [plan.link, 'uw-never-there'] }])).toEqual([]);
  expect((await state()).links.map(({ name }) => name)).not.toContain(plan.link);
  expect(await kernel.apply(veth.fencePod(plan))).toMatchObject([{ step: { do: 'set-link' }, errno: 'ENODEV' }]);
});

test('a node that is taken down leaves nothing of ours', async () => {
  const bare = { ...n1, enis: [] };
  const node = (objects: KernelState['objects']) =>
    objects.filter(
      (object) => object.kind !== 'sysctl' && !(object.kind === 'address' && /^(eth0|lo)$/.test(object.link)),
    );
  const steps = veth.diffNode(bare, await state());
  expect(await kernel.apply(steps)).toEqual([]);
  const left = node((await state()).objects).filter(({ kind }) => kind === 'route' || kind === 'rule');
  expect(left).toEqual([]);
});
