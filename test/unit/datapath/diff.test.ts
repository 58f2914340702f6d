import type { EniPlan, NodePlan } from '../../../src/core/plan.ts';
import { type KernelObject, type KernelState, objectIdentity, type Step } from '../../../src/datapath/kernel-state.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { link, run, type World } from './interpreter.ts';
import { cidr, eth0, eth1, eth2, ip, mac, n1, p3 } from './n1.ts';
import { stateText } from './tools-text.ts';

const NOTHING: KernelState = { links: [], objects: [] };
/** A fresh node: the links are there, the primary's is up. */
const FRESH: World = {
  host: { links: [link('eth0', eth0.mac, { up: true }), link('eth1', eth1.mac), link('eth2', eth2.mac)], objects: [] },
  pod: { links: [link('lo', mac('00:00:00:00:00:00'))], objects: [] },
};
const sync = (world: World, plan: NodePlan): World => run(world, veth.diffNode(plan, world.host));
const withEnis = (...enis: EniPlan[]): NodePlan => ({ ...n1, enis });
const shown = (object: KernelObject): KernelObject =>
  object.kind === 'route' && object.type === 'unreachable' && object.family === 6 ? { ...object, link: 'lo' } : object;
/** Sysctls of a link that left are nobody's. */
const notSysctl = (objects: readonly KernelObject[]) => objects.filter((object) => object.kind !== 'sysctl');

/** What a step does to what, in a line: `put route 4 255 10.0.1.21/32 4000000000`. */
const said = (steps: readonly Step[]): string[] =>
  steps.map((step) =>
    step.do === 'put' || step.do === 'remove'
      ? `${step.do} ${objectIdentity(step.object)}`
      : `${step.do} ${'link' in step ? step.link.name : ''}`,
  );

test('from nothing to the wanted state, and then nothing is left to do', () => {
  const done = sync(FRESH, n1);
  expect(stateText(done.host.objects)).toEqual(stateText(veth.wantedNode(n1).map(shown)));
  expect(done.host.links.every((l) => l.up)).toBe(true);
  expect(veth.diffNode(n1, done.host)).toEqual([]);
});

test('an ENI’s link is raised to the primary’s MTU as it is brought up, and is somebody’s from then on', () => {
  const mtus = ({ host }: World) => host.links.map(({ mtu }) => mtu);
  const withMtu = (world: World, name: string, mtu: number): World => ({
    ...world,
    host: { ...world.host, links: world.host.links.map((one) => (one.name === name ? { ...one, mtu } : one)) },
  });
  const done = sync(withMtu(FRESH, 'eth1', 1500), n1);
  expect(mtus(done)).toEqual([9001, 9001, 9001]);
  const lowered = withMtu(done, 'eth1', 1500);
  expect(veth.diffNode(n1, lowered.host)).toEqual([]);
  expect(mtus(sync(withMtu(FRESH, 'eth0', 1500), n1))).toEqual([1500, 9001, 9001]);
});

test('pods are not touched, nor is anything of others', () => {
  const world = run(sync(FRESH, n1), veth.wirePod(p3));
  const foreign: KernelObject[] = [
    { kind: 'rule', family: 4, priority: 710, table: 100, protocol: 117, from: cidr('10.9.0.0/16') },
    { kind: 'rule', family: 4, priority: 710, table: 7702, protocol: 3, from: cidr('10.9.0.0/16') },
    {
      kind: 'address',
      link: 'eth1',
      address: `${ip('10.0.1.99')}/32`,
      scope: 'global',
      noPrefixRoute: true,
      noDad: false,
      deprecated: false,
    },
    { kind: 'nft-table', family: 'inet', table: 'underway-policy', owned: true, counters: [] },
    {
      kind: 'route',
      family: 4,
      table: 7702,
      type: 'unicast',
      destination: cidr('10.8.0.0/16'),
      link: 'eth1',
      metric: 0,
      scope: 'link',
      protocol: 4,
    },
  ];
  const host = { ...world.host, objects: [...world.host.objects, ...foreign] };
  expect(veth.diffNode(n1, host)).toEqual([]);
  expect(
    said(veth.diffNode(withEnis(eth0), host)).filter((line) => /10\.9|10\.8|\.99|policy|metric 0$/.test(line)),
  ).toEqual([]);
});

const plans: [string, NodePlan][] = [
  ['all three', n1],
  ['the primary alone', withEnis(eth0)],
  ['without eth1', withEnis(eth0, eth2)],
  ['eth1 and eth2 with their numbers exchanged', withEnis(eth0, { ...eth1, number: 3 }, { ...eth2, number: 2 })],
  ['a prefix given back', withEnis(eth0, eth1, { ...eth2, blocks: [] })],
  [
    'a prefix instead of addresses',
    withEnis(eth0, { ...eth1, blocks: [cidr('10.0.1.16/28'), cidr('2001:db8:1::/80')] }, eth2),
  ],
  ['addresses moved from eth1 to eth2', withEnis(eth0, { ...eth1, blocks: [] }, { ...eth2, blocks: eth1.blocks })],
  ['masquerade off', { ...n1, masquerade: false }],
  ['two more VPC CIDRs', { ...n1, vpcCidrs: [...n1.vpcCidrs, cidr('10.1.0.0/16'), cidr('100.64.0.0/16')] }],
  ['another mask', { ...n1, markMask: 0x7f00 }],
  ['another primary address on eth1', withEnis(eth0, { ...eth1, primary4: ip('10.0.1.29') }, eth2)],
];
const pairs = plans.flatMap(([from, a]) => plans.filter(([to]) => to !== from).map(([to, b]) => ({ from, to, a, b })));

test.each(pairs)('from $from to $to: every step is possible, the end is as wanted, and stays', ({ a, b }) => {
  const before = sync(FRESH, a);
  const after = sync(before, b);
  expect(stateText(notSysctl(after.host.objects))).toEqual(stateText(notSysctl(veth.wantedNode(b).map(shown))));
  expect(veth.diffNode(b, after.host)).toEqual([]);
});

test('the process may die after any step: the next diff ends as wanted', () => {
  const before = sync(FRESH, n1);
  const target = withEnis(eth0, { ...eth2, number: 2 });
  const steps = veth.diffNode(target, before.host);
  for (let at = 0; at <= steps.length; at++) {
    const after = sync(run(before, steps.slice(0, at)), target);
    expect(stateText(notSysctl(after.host.objects))).toEqual(stateText(notSysctl(veth.wantedNode(target).map(shown))));
  }
});

test('an ENI that leaves takes all of it along', () => {
  const after = sync(sync(FRESH, n1), withEnis(eth0, eth1));
  expect(
    stateText(notSysctl(after.host.objects)).filter((line) => /eth2|7703|10\.0\.2|db8:2:|eni3|new3/.test(line)),
  ).toEqual([]);
});

test('puts come before removals; only what stands in the way of a put goes just before it', () => {
  const steps = said(veth.diffNode(withEnis(eth0, { ...eth1, blocks: [cidr('10.0.1.16/28')] }), sync(FRESH, n1).host));
  const put = steps.indexOf('put nft-element inet underway from4 10.0.1.16/28');
  expect(steps.slice(put - 2, put)).toEqual([
    'remove nft-element inet underway from4 10.0.1.21/32',
    'remove nft-element inet underway from4 10.0.1.22/32',
  ]);
  const rest = steps.filter((_, at) => at !== put - 1 && at !== put - 2).map((line) => line.split(' ')[0]);
  expect(rest.lastIndexOf('put')).toBeLessThan(rest.indexOf('remove'));
});

test("a block's fence comes before its map element and goes after it", () => {
  const without = withEnis(eth0, eth1, { ...eth2, blocks: [] });
  const fence = 'route 4 255 10.0.2.32/28 4000000000';
  const element = 'nft-element inet underway from4 10.0.2.32/28';
  const coming = said(veth.diffNode(n1, sync(FRESH, without).host));
  expect(coming.filter((line) => line.endsWith(fence) || line.endsWith(element))).toEqual([
    `put ${fence}`,
    `put ${element}`,
  ]);
  const going = said(veth.diffNode(without, sync(FRESH, n1).host));
  expect(going.filter((line) => line.endsWith(fence) || line.endsWith(element))).toEqual([
    `remove ${element}`,
    `remove ${fence}`,
  ]);
});

test('traffic is steered to a new ENI only when its way exists', () => {
  const steps = said(veth.diffNode(n1, sync(FRESH, withEnis(eth0)).host));
  const order = [
    'put sysctl net/ipv6/conf/eth1/addr_gen_mode',
    'set-link eth1',
    'put address eth1 10.0.1.20/32',
    'put route 4 7702 0.0.0.0/0 0',
    'put rule 4 710 7702 2/127  ',
    'put nft-chain inet underway new2',
    'put nft-element inet underway arrive eth1',
  ].map((line) => steps.indexOf(line));
  expect(order).not.toContain(-1);
  expect(order).toEqual([...order].sort((a, b) => a - b));
});

test('what a link flap takes is brought back, and only that', () => {
  const done = sync(FRESH, n1);
  const lost = (object: KernelObject) =>
    (object.kind === 'route' && object.link === 'eth1' && object.table === 7702) ||
    (object.kind === 'address' && object.link === 'eth1' && object.address.includes('2001'));
  const flapped = { ...done.host, objects: done.host.objects.filter((object) => !lost(object)) };
  expect(said(veth.diffNode(n1, flapped))).toEqual([
    'put address eth1 2001:db8:1::20/128',
    'put route 4 7702 10.0.1.1/32 0',
    'put route 4 7702 0.0.0.0/0 0',
    'put route 6 7702 ::/0 1024',
  ]);
});

test('a flushed ruleset comes back whole; an orphaned table is taken over again', () => {
  const { host } = sync(FRESH, n1);
  const flushed = { ...host, objects: host.objects.filter((object) => !object.kind.startsWith('nft-')) };
  expect(new Set(said(veth.diffNode(n1, flushed)).map((line) => line.split(' ')[1]))).toEqual(
    new Set(['nft-table', 'nft-set', 'nft-chain', 'nft-element']),
  );
  const orphaned = host.objects.map((o): KernelObject => (o.kind === 'nft-table' ? { ...o, owned: false } : o));
  expect(said(veth.diffNode(n1, { ...host, objects: orphaned }))).toEqual(['put nft-table inet underway']);
});

test("another version's table, whose chain hooks elsewhere, is made anew in one go", () => {
  const { host } = sync(FRESH, n1);
  const old = host.objects.map(
    (o): KernelObject =>
      o.kind === 'nft-chain' && o.chain.hook?.hook === 'prerouting'
        ? { ...o, chain: { ...o.chain, hook: { ...o.chain.hook, priority: -150 } } }
        : o,
  );
  const steps = said(veth.diffNode(n1, { ...host, objects: old }));
  expect(steps.slice(0, 2)).toEqual(['remove nft-table inet underway', 'put nft-table inet underway']);
  expect(steps.slice(1).every((line) => line.startsWith('put nft-'))).toBe(true);
});

test('a state of which nothing was read is built whole', () => {
  expect(said(veth.diffNode(n1, NOTHING)).length).toBe(veth.wantedNode(n1).length + 2);
});
