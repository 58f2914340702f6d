import { attachmentKey, type LeaseId } from '../../../src/core/brand.ts';
import { familyOf, hostCidr, type Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { HOST_MAC } from '../../../src/core/plan.ts';
import { formatAlias, parseAlias } from '../../../src/datapath/alias.ts';
import { type KernelObject, objectIdentity } from '../../../src/datapath/kernel-state.ts';
import { LINK_GROUP } from '../../../src/datapath/numbering.ts';
import { objectText } from '../../../src/datapath/object-text.ts';
import { repairOf } from '../../../src/datapath/repair.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { link, run, type World } from './interpreter.ts';
import { cidr, eth0, mac, n1, p3 } from './n1.ts';
import { stateText } from './tools-text.ts';

const EMPTY: World = {
  host: { links: [link('eth0', eth0.mac, { up: true })], objects: [] },
  pod: { links: [link('lo', mac('00:00:00:00:00:00'))], objects: [] },
};
const without = (world: World, at: 'host' | 'pod', lost: (object: KernelObject) => boolean): World => ({
  ...world,
  [at]: { ...world[at], objects: world[at].objects.filter((object) => !lost(object)) },
});
const isLocal = (object: KernelObject) => object.kind === 'route' && object.type === 'local';
/** As a read shows it: without the routes to addresses of one's own. */
const wired = without(run(EMPTY, veth.wirePod(p3)), 'pod', isLocal);
const setLink = (world: World, at: 'host' | 'pod', name: string, change: object): World => ({
  ...world,
  [at]: { ...world[at], links: world[at].links.map((l) => (l.name === name ? { ...l, ...change } : l)) },
});

test('a wired pod is as planned, and the host keeps its link by name, index, group and alias', () => {
  const wanted = veth.wantedPod(p3);
  expect(stateText(wired.pod.objects)).toEqual(stateText(wanted.pod));
  expect(stateText(wired.host.objects)).toEqual(stateText(wanted.host.filter((object) => object.kind !== 'sysctl')));
  expect(wired.host.links[1]).toMatchObject({
    name: p3.link,
    index: 100_003,
    mac: HOST_MAC,
    up: true,
    group: LINK_GROUP.live,
    alias: '0123456789abcdef-7 underway p3 eth0',
  });
  expect(wired.pod.links.map((l) => [l.name, l.up])).toEqual([
    ['lo', true],
    ['eth0', true],
  ]);
  expect(veth.checkPod(p3, wired)).toEqual([]);
  expect(veth.repairPod(p3, wired)).toEqual([]);
});

test('one message sets what creation cannot; IPv6 settings only for a pod that has IPv6', () => {
  const hostLink = (plan: typeof p3) =>
    veth.wirePod(plan).flatMap((s) => (s.do === 'set-link' && s.at === 'host' ? [s.link] : []));
  expect(hostLink(p3)).toMatchObject([{ up: true, rpFilter: 1, noAddrGen: true }]);
  expect(hostLink({ ...p3, addresses: p3.addresses.slice(0, 1) })[0]).not.toHaveProperty('noAddrGen');
});

test('the host routes to a pod only when the pod is complete', () => {
  const steps = veth.wirePod(p3).flatMap((s) => (s.do === 'put' ? [`${s.at} ${s.object.kind}`] : []));
  expect(steps.slice(-2)).toEqual(['host route', 'host route']);
  expect(steps.lastIndexOf('pod route')).toBeLessThan(steps.indexOf('host neighbour'));
});

test('a fence puts the link into the dead group before any route goes, and leaves nothing but the link', () => {
  const steps = veth.fencePod(p3);
  expect(steps[0]).toEqual({ do: 'set-link', at: 'host', link: { name: p3.link, group: LINK_GROUP.dead } });
  expect(run(wired, steps).host.objects).toEqual([]);
});

test("a late fence leaves the address's next owner alone, and the node's fence too", () => {
  const next = { ...p3, lease: '0123456789abcdef-8' as LeaseId, link: 'uw00000000000c9', linkIndex: 100_009 };
  const moved = run(
    run(wired, veth.diffNode({ ...n1, enis: [{ ...eth0, blocks: [cidr('10.0.1.21')] }] }, wired.host)),
    [...veth.wirePod({ ...next, attachment: { ...next.attachment, ifname: 'eth9' } })],
  );
  const after = run(moved, veth.fencePod(p3));
  expect(stateText(after.host.objects).filter((line) => line.includes('255 10.0.1.21/32'))).toEqual([
    expect.stringContaining('10.0.1.21 dev uw00000000000c9 proto 117 scope link src 10.0.1.10'),
    expect.stringContaining('unreachable 10.0.1.21 proto 117 metric 4000000000'),
  ]);
});

test('an IPv6 address is local to its pod before the host has a way to it, and not when the kernel gets to it', () => {
  const puts = veth.wirePod(p3).flatMap((step) => (step.do === 'put' ? [step] : []));
  const [ip6 = ''] = p3.addresses.filter((ip) => ip.includes(':'));
  const local = puts.filter(({ at, object }) => at === 'pod' && isLocal(object));
  expect(local.map(({ object }) => object)).toMatchObject([{ type: 'local', link: 'eth0', destination: `${ip6}/128` }]);
  const order = puts.map(({ at, object }) => (isLocal(object) ? 'local' : `${at} ${object.kind}`));
  expect(order.indexOf('local')).toBeLessThan(order.indexOf('host route'));
  expect(order.indexOf('local')).toBeGreaterThan(order.lastIndexOf('pod address'));
});

test('every object lost of a pod is named in a sentence, and brought back alone', () => {
  for (const at of ['host', 'pod'] as const) {
    for (const object of wired[at].objects) {
      const broken = without(wired, at, (o) => objectIdentity(o) === objectIdentity(object));
      expect(veth.checkPod(p3, broken)).toEqual([expect.stringMatching(/^(address|neighbour|route) .* is missing$/)]);
      expect(veth.repairPod(p3, broken)).toEqual([{ do: 'put', at, object }]);
    }
  }
});

test.each([
  ['host', p3.link, { up: false }, `link ${p3.link} on the host is down`],
  ['host', p3.link, { group: LINK_GROUP.dead }, `link ${p3.link} on the host is not in the live group`],
  ['host', p3.link, { alias: '' }, `link ${p3.link} on the host has the alias ""`],
  ['host', p3.link, { mtu: 1500 }, `link ${p3.link} on the host has MTU 1500`],
  ['pod', 'lo', { up: false }, 'link lo in the pod is down'],
  ['pod', 'eth0', { mtu: 1500 }, 'link eth0 in the pod has MTU 1500'],
] as const)('%s link %s with %j: one sentence, one message, mended', (at, name, change, sentence) => {
  const broken = setLink(wired, at, name, change);
  expect(veth.checkPod(p3, broken)).toEqual([sentence]);
  const steps = veth.repairPod(p3, broken);
  expect(steps).toHaveLength(1);
  expect(veth.checkPod(p3, run(broken, steps))).toEqual([]);
});

test('a route that leads elsewhere is said with what was found', () => {
  const other = without(wired, 'pod', (object) => object.kind === 'route' && object.gateway === '169.254.1.1');
  const route = wired.pod.objects.find((object) => object.kind === 'route' && object.gateway === '169.254.1.1');
  if (route?.kind !== 'route') throw new Error('no default route');
  const led = { ...other, pod: { ...other.pod, objects: [...other.pod.objects, { ...route, link: 'eth1' }] } };
  expect(veth.checkPod(p3, led)).toEqual([
    'route default via 169.254.1.1 dev eth0 in table 254 in the pod differs: found route default via 169.254.1.1 dev eth1 in table 254',
  ]);
});

test('a sysctl is judged where the read shows it', () => {
  const path = `net/ipv4/conf/${p3.link}/rp_filter`;
  const sysctl = { kind: 'sysctl', path, value: '0' } as const;
  const loose = { ...wired, host: { ...wired.host, objects: [...wired.host.objects, sysctl] } };
  expect(veth.checkPod(p3, loose)).toEqual([`${path} = 1 on the host differs: found ${path} = 0`]);
});

test('a pair that cannot be mended is made anew', () => {
  const renamed = setLink(wired, 'host', p3.link, { mac: mac('aa:bb:cc:00:00:01') });
  expect(veth.checkPod(p3, renamed)).toEqual([
    `link ${p3.link} on the host has MAC aa:bb:cc:00:00:01, not ${HOST_MAC}`,
  ]);
  expect(veth.repairPod(p3, renamed)).toEqual([{ do: 'delete-link', at: 'host', name: p3.link }, ...veth.wirePod(p3)]);
  expect(veth.checkPod(p3, run(renamed, veth.repairPod(p3, renamed)))).toEqual([]);
  expect(veth.checkPod(p3, EMPTY)).toEqual([`link ${p3.link} is missing on the host`]);
  expect(veth.repairPod(p3, EMPTY)).toEqual(veth.wirePod(p3));
});

test('an ADD may die after any step: repair ends in a pod as planned', () => {
  const steps = veth.wirePod(p3);
  for (let at = 0; at <= steps.length; at++) {
    const half = run(EMPTY, steps.slice(0, at));
    expect(veth.checkPod(p3, run(half, veth.repairPod(p3, half)))).toEqual([]);
  }
});

test('at start the links say whose they are: wired, fenced, and half wired', () => {
  const half = link('uw00000000000c1', HOST_MAC, { index: 7, group: LINK_GROUP.live, type: 'veth' });
  const host = { ...wired.host, links: [...wired.host.links, half] };
  const lease = { id: p3.lease, attachment: p3.attachment };
  expect(veth.adopt(host)).toEqual([
    { name: half.name, index: 7, fenced: false, addresses: [], mtu: half.mtu },
    { name: p3.link, index: 100_003, fenced: false, lease, addresses: p3.addresses, mtu: p3.mtu },
  ]);
  expect(veth.adopt(run(wired, veth.fencePod(p3)).host)).toEqual([
    { name: p3.link, index: 100_003, fenced: true, lease, addresses: [], mtu: p3.mtu },
  ]);
});

test('a link with another name has its own back by its alias; where that is taken, and without an alias, it is left', () => {
  const own = linkName(attachmentKey(p3.attachment));
  const named = run(EMPTY, veth.wirePod({ ...p3, link: own }));
  const away = run(named, [{ do: 'rename-link', at: 'host', name: own, to: 'uwfoo' }]);
  const steps = veth.nameBack(away.host);
  expect(repairOf(steps).names).toEqual([`link ${own}: its name, which was uwfoo`]);
  expect(run(away, steps)).toEqual(named);
  expect(veth.nameBack(named.host)).toEqual([]);
  const other = link(own, HOST_MAC);
  expect(veth.nameBack({ ...away.host, links: [...away.host.links, other] })).toEqual([]);
  for (const change of [{ alias: '' }, { group: 0 }])
    expect(veth.nameBack(setLink(away, 'host', 'uwfoo', change).host)).toEqual([]);
});

test('an alias gives back its lease and attachment, and no other text does', () => {
  const owner = { id: p3.lease, attachment: { network: 'n_1.a', containerId: 'f'.repeat(64), ifname: 'net1' } };
  expect(parseAlias(formatAlias(owner))).toEqual(owner);
  for (const text of ['', 'a b c', 'a b c d e', 'a  c d', 'a b c ']) expect(parseAlias(text)).toBeUndefined();
  const long = { ...owner, attachment: { ...owner.attachment, network: 'n'.repeat(200) } };
  expect(() => formatAlias(long)).toThrow(/alias has \d+ bytes, 255 is the kernel's most/);
});

/** The node's own addresses, which the operating system gave it. */
const atHome = (world: World): World => ({
  ...world,
  host: { ...world.host, objects: [...world.host.objects, ...p3.nodeAddresses.map((ip) => own('eth0', ip))] },
});
const own = (on: string, ip: Ip): KernelObject => ({
  kind: 'address',
  link: on,
  address: `${ip}/${familyOf(ip) === 4 ? 32 : 128}`,
  scope: 'global',
  noPrefixRoute: false,
  noDad: true,
  deprecated: false,
});

test('what others did on the host is mended there, and nothing inside the pod', () => {
  const home = atHome(wired);
  const unrouted = without(home, 'host', (object) => object.kind !== 'neighbour' && object.kind !== 'address');
  const inside = without(setLink(unrouted, 'pod', 'eth0', { mtu: 1400 }), 'pod', ({ kind }) => kind === 'route');
  const down = setLink(inside, 'host', p3.link, { up: false });
  const steps = veth.mendHost(p3, down.host);
  expect(steps.map((step) => ('at' in step ? `${step.do} ${step.at}` : step.do))).toEqual([
    'set-link host',
    'put host',
    'put host',
  ]);
  const mended = run(down, steps);
  expect(veth.checkPod(p3, { host: mended.host, pod: wired.pod })).toEqual([]);
  expect(mended.pod).toEqual(inside.pod);
  expect(veth.mendHost(p3, home.host)).toEqual([]);
  expect(veth.mendHost(p3, EMPTY.host)).toEqual([]);
});

test('while the node has lost its own address the routes lead to the pod without it, and have it again when it is back', () => {
  const unrouted = without(wired, 'host', ({ kind }) => kind === 'route');
  const away = run(unrouted, veth.mendHost(p3, unrouted.host));
  const routes = (world: World) => world.host.objects.filter((object) => object.kind === 'route');
  expect(routes(away).map(({ destination, source }) => [destination, source])).toEqual(
    p3.addresses.map((ip) => [hostCidr(ip), undefined]),
  );
  expect(veth.mendHost(p3, away.host)).toEqual([]);
  const back = atHome(away);
  const again = run(back, veth.mendHost(p3, back.host));
  expect(routes(again).map(({ source }) => source)).toEqual(p3.nodeAddresses);
});

test.each(['host', 'pod'] as const)(
  'a MAC that others changed is set back at the %s end, and what went with it',
  (at) => {
    const name = at === 'host' ? p3.link : 'eth0';
    const home = atHome(wired);
    const struck = run(home, [{ do: 'set-link', at, link: { name, mac: mac('02:00:00:00:00:77') } }]);
    const steps = at === 'host' ? veth.mendHost(p3, struck.host) : veth.mendPod(p3, struck.pod);
    expect(repairOf(steps).names).toContain(`link ${name}${at === 'pod' ? ' in the pod' : ''}: mac`);
    const mended = run(struck, steps);
    expect(veth.checkPod(p3, mended)).toEqual([]);
    expect(mended[at].objects).toHaveLength(home[at].objects.length);
  },
);

describe('inside a pod', () => {
  const net1 = {
    ...p3,
    attachment: { ...p3.attachment, ifname: 'net1' },
    link: 'uw00000000000d3',
    linkIndex: 100_103,
    addresses: ['10.0.1.22' as Ip, '2001:db8:1::22' as Ip],
    podMac: mac('02:75:77:01:00:04'),
  };
  const beside = without(run(wired, veth.wirePod(net1)), 'pod', isLocal);
  const wanted = (
    [
      ['eth0', p3],
      ['net1', net1],
    ] as const
  ).flatMap(([ifname, plan]) => veth.wantedPod(plan).pod.map((object) => ({ ifname, plan, object })));

  test.each(wanted.map((one) => [`${one.ifname}: ${objectText(one.object)}`, one] as const))(
    '%s is put back where it is missing, and it alone',
    (_, { plan, object }) => {
      const broken = without(beside, 'pod', (one) => objectIdentity(one) === objectIdentity(object));
      expect(broken.pod.objects).toHaveLength(beside.pod.objects.length - 1);
      const steps = veth.mendPod(plan, broken.pod);
      expect(repairOf(steps.slice(0, 1))).toMatchObject({ count: 1, names: [`${objectText(object)} in the pod`] });
      const mended = without(run(broken, steps), 'pod', isLocal);
      expect(veth.checkPod(plan, mended)).toEqual([]);
      expect(veth.mendPod(plan, mended.pod)).toEqual([]);
    },
  );

  test.each(['lo', 'eth0'])('%s is set up where it is down', (name) => {
    const down = setLink(wired, 'pod', name, { up: false });
    const steps = veth.mendPod(p3, down.pod);
    expect(repairOf(steps).names).toEqual([`link ${name} in the pod: up`]);
    expect(run(down, steps)).toEqual(wired);
  });

  test('what somebody put in the place of ours stays', () => {
    const route = (object: KernelObject) => object.kind === 'route' && object.destination === '0.0.0.0/0';
    const vpn = wired.pod.objects.filter(route).map((object) => ({ ...object, protocol: 3, metric: 50 }));
    const ways = without(wired, 'pod', route);
    expect(veth.mendPod(p3, { ...ways.pod, objects: [...ways.pod.objects, ...vpn] })).toEqual([]);
    expect(veth.mendPod(p3, ways.pod)).toHaveLength(1);

    const [ip] = p3.addresses;
    const moved = without(wired, 'pod', (object) => object.kind === 'address' && object.address === `${ip}/32`);
    expect(veth.mendPod(p3, moved.pod)).toHaveLength(1);
    const bridged = { ...moved.pod, objects: [...moved.pod.objects, ...(ip === undefined ? [] : [own('br0', ip)])] };
    expect(veth.mendPod(p3, bridged)).toEqual([]);

    expect(veth.mendPod(p3, setLink(wired, 'pod', 'eth0', { mtu: 1_400 }).pod)).toEqual([]);
    const bare = without(wired, 'pod', () => true);
    for (const others of [{ peer: 7 }, { enslaved: true }])
      expect(veth.mendPod(p3, setLink(bare, 'pod', 'eth0', { mac: HOST_MAC, ...others }).pod)).toEqual([]);
    expect(veth.mendPod(p3, EMPTY.pod)).toEqual([]);
  });
});
