/** The fabric lets a packet through only if the cloud agrees; shown by packets that it drops, and counts. */
import { type Cidr, cidrBase, type Ip } from '../../src/core/ip.ts';
import { FABRIC_END, gatewayOf, INTERNET4, INTERNET6, ROUTER_MAC } from '../../src/lab/fabric/addressing.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { runIn } from '../../src/lab/launch.ts';
import type { NamespaceServer } from '../../src/lab/namespace-server.ts';
import { startEcho } from '../../src/lab/probe/echo.ts';
import { ping, probeTcp, probeUdp } from '../../src/lab/probe/probe.ts';
import { until } from './pod-lab.ts';
import { call, dropsSince, giveAddress, instance, own, primaryEni, routeFrom, smallLab } from './stand.ts';

const SILENT_MS = 300;
let lab: Lab;
const echoes: NamespaceServer[] = [];
const netns = (name: string) => instance(lab, name).netns;

beforeAll(async () => {
  lab = await smallLab();
  for (const name of ['vm-1', 'vm-2']) echoes.push(await startEcho(lab.networks, { netns: netns(name), name }));
  echoes.push(await startEcho(lab.networks, { netns: lab.internetNetns, name: 'internet' }));
}, 30_000);

afterAll(async () => {
  await Promise.all(echoes.map((echo) => echo.close()));
  expect(await lab.close()).toEqual({ processes: 0, namespaces: 0, mounts: 0, files: 0 });
}, 30_000);

afterEach(() => expect(lab.cloud.invariants()).toEqual([]));
afterEach(async () => expect((await lab.status()).problems).toEqual([]));

describe.each([4, 6] as const)('IPv%i', (family) => {
  const address = (name: string) => own(primaryEni(lab, name), family);

  test('instances of one subnet and of two reach each other, and see who called', async () => {
    for (const to of ['vm-1', 'vm-2']) {
      const target = { netns: netns('node-1'), to: address(to) };
      const seen = `${to} saw ${address('node-1')}`;
      expect(await ping(target)).toMatchObject({ ok: true });
      expect(await probeTcp(target)).toMatchObject({ ok: true, said: seen });
      expect(await probeUdp(target)).toMatchObject({ ok: true, said: seen });
    }
  });

  test('the internet sees a public address (IPv4) or the instance’s own (IPv6)', async () => {
    const to = family === 4 ? INTERNET4 : INTERNET6;
    const as = family === 4 ? primaryEni(lab, 'vm-1').publicIp : address('vm-1');
    expect(await probeTcp({ netns: netns('vm-1'), to })).toMatchObject({ ok: true, said: `internet saw ${as}` });
  });

  test('a packet whose source is not on the ENI is dropped and counted', async () => {
    const foreign = (family === 4 ? '10.0.16.99' : '2001:db8:ec2:1::99') as Ip;
    const to = address('vm-1');
    const gateway = family === 4 ? gatewayOf('10.0.16.0/20' as Cidr) : FABRIC_END[6];
    const lie = [
      await giveAddress(lab, netns('node-1'), foreign),
      // With its MAC known nobody asks by ARP, which has a check of its own.
      { kind: 'neighbour', link: 'eth0', address: gateway, mac: ROUTER_MAC } as const,
      routeFrom({ to: `${to}/${family === 4 ? 32 : 128}` as Cidr, source: foreign, gateway }),
    ];
    const before = await lab.drops();
    await lab.networks.put(netns('node-1'), lie);
    expect(await ping({ netns: netns('node-1'), to, timeoutMs: SILENT_MS })).toMatchObject({ ok: false });
    expect(await dropsSince(lab, before)).toEqual({ [`source${family}`]: 1 });
    await lab.networks.remove(netns('node-1'), lie.reverse());
    expect(await ping({ netns: netns('node-1'), to })).toMatchObject({ ok: true });
  });

  test('delivery starts when the cloud assigns an address and ends when it takes it back', async () => {
    const eni = primaryEni(lab, 'vm-1').id;
    const assigned = await call(lab, 'assign', {
      eni,
      family,
      wishes: [{ family, prefixLength: family === 4 ? 32 : 128, count: 1 }],
    });
    const block = only(assigned);
    const to = cidrBase(block);
    const given = await giveAddress(lab, netns('vm-1'), to);
    const target = { netns: netns('node-1'), to, timeoutMs: SILENT_MS };
    expect(await ping(target)).toMatchObject({ ok: true });
    const before = await lab.drops();
    await call(lab, 'unassign', { eni, family, blocks: [block] });
    expect(await ping({ netns: netns('vm-2'), to, timeoutMs: SILENT_MS })).toMatchObject({ ok: false });
    expect(await dropsSince(lab, before)).toEqual({ [`unowned${family}`]: expect.any(Number) });
    expect(await ping(target)).toMatchObject({ ok: false });
    await lab.networks.remove(netns('vm-1'), [given]);
  });

  test('every address of an assigned prefix is delivered', async () => {
    const eni = primaryEni(lab, 'vm-1').id;
    const prefixLength = family === 4 ? 28 : 80;
    const assigned = await call(lab, 'assign', { eni, family, wishes: [{ family, prefixLength, count: 1 }] });
    const block = only(assigned);
    const base = cidrBase(block);
    const inside = (family === 4 ? base.replace(/\d+$/, (last) => String(Number(last) + 9)) : `${base}7`) as Ip;
    const given = await giveAddress(lab, netns('vm-1'), inside);
    expect(await probeUdp({ netns: netns('node-1'), to: inside })).toMatchObject({ ok: true });
    await call(lab, 'unassign', { eni, family, blocks: [block] });
    expect(await ping({ netns: netns('node-1'), to: inside, timeoutMs: SILENT_MS })).toMatchObject({ ok: false });
    await lab.networks.remove(netns('vm-1'), [given]);
  });

  test('a VPC route to an ENI whose check is on leads nowhere; with the check off it passes', async () => {
    const { id: eni, subnet } = primaryEni(lab, 'vm-1');
    const table = lab.cloud.truth.routeTableOf(subnet)?.id ?? '';
    const destination = (family === 4 ? '172.16.5.0/24' : '2001:db8:5::/64') as Cidr;
    const to = (family === 4 ? '172.16.5.1' : '2001:db8:5::1') as Ip;
    await call(lab, 'create-route', { table, destination, target: { kind: 'eni', eni } });
    const given = await giveAddress(lab, netns('vm-1'), to);
    const target = { netns: netns('node-1'), to, timeoutMs: SILENT_MS };
    const before = await lab.drops();
    expect(await ping(target)).toMatchObject({ ok: false });
    expect(await dropsSince(lab, before)).toEqual({ [`destination${family}`]: 1 });
    await call(lab, 'modify-eni', { eni, sourceDestCheck: false });
    expect(await ping(target)).toMatchObject({ ok: true });
    await call(lab, 'modify-eni', { eni, sourceDestCheck: true });
    expect(await ping(target)).toMatchObject({ ok: false });
    await call(lab, 'delete-route', { table, destination });
    await lab.networks.remove(netns('vm-1'), [given]);
  });

  test('jumbo frames pass in the VPC, and the way to the internet says that it is narrower', async () => {
    const big = ['ping', `-${family}`, '-M', 'do', '-c', '1', '-W', '1', '-s', '8000'];
    const inside = await runIn(netns('vm-1'), [...big, address('vm-2')]);
    expect(inside.stdout).toContain('1 received');
    const outside = await runIn(netns('vm-1'), [...big, family === 4 ? INTERNET4 : INTERNET6]);
    expect(outside.stdout).toMatch(/mtu ?= ?1500/i);
  });
});

test('ARP with a sender that is not on the ENI is not answered, and counted', async () => {
  const eni = primaryEni(lab, 'vm-1').id;
  const block = '10.0.17.50/32' as Cidr;
  await call(lab, 'assign', { eni, family: 4, wishes: [], blocks: [block] });
  // In the node's own subnet and asked for by nobody yet.
  const to = cidrBase(block);
  const foreign = '10.0.16.98' as Ip;
  const lie = [await giveAddress(lab, netns('node-1'), foreign), routeFrom({ to: block, source: foreign })];
  const given = await giveAddress(lab, netns('vm-1'), to);
  const before = await lab.drops();
  await lab.networks.put(netns('node-1'), lie);
  expect(await ping({ netns: netns('node-1'), to, timeoutMs: SILENT_MS })).toMatchObject({ ok: false });
  expect(Object.keys(await dropsSince(lab, before))).toEqual(['arp']);
  await lab.networks.remove(netns('node-1'), lie.reverse());
  await until('its own sender is answered', async () => (await ping({ netns: netns('node-1'), to })).ok);
  await call(lab, 'unassign', { eni, family: 4, blocks: [block] });
  await lab.networks.remove(netns('vm-1'), [given]);
});

test('a secondary address has no way to the internet, and is counted', async () => {
  const eni = primaryEni(lab, 'vm-1').id;
  const wishes = [{ family: 4, prefixLength: 32, count: 1 } as const];
  const block = only(await call(lab, 'assign', { eni, family: 4, wishes }));
  const source = cidrBase(block);
  const way = [
    await giveAddress(lab, netns('vm-1'), source),
    routeFrom({ to: `${INTERNET4}/32` as Cidr, source, gateway: gatewayOf('10.0.16.0/20' as Cidr) }),
  ];
  await lab.networks.put(netns('vm-1'), way);
  const before = await lab.drops();
  expect(await ping({ netns: netns('vm-1'), to: INTERNET4, timeoutMs: SILENT_MS })).toMatchObject({ ok: false });
  expect(await dropsSince(lab, before)).toEqual({ internet4: 1 });
  await lab.networks.remove(netns('vm-1'), way.reverse());
  await call(lab, 'unassign', { eni, family: 4, blocks: [block] });
});

function only([block, ...more]: readonly Cidr[]): Cidr {
  if (block === undefined || more.length > 0) throw new Error('one block was asked for');
  return block;
}
