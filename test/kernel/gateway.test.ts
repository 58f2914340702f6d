/** A way is usable when its apply resolves, also where the network behind a link comes after the link. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KernelObject, Step } from '../../src/datapath/kernel-state.ts';
import { cidr, ip, mac, TestNetworks, tool } from './namespaces.ts';

const GATEWAY = { 4: ip('10.0.1.1'), 6: ip('fe80::1') } as const;
const nets = new TestNetworks();
afterAll(() => nets.close());

const up = (name: string): Step => ({ do: 'set-link', at: 'host', link: { name, up: true, noAddrGen: true } });
const put = (object: KernelObject): Step => ({ do: 'put', at: 'host', object });
const address = (text: `${ReturnType<typeof ip>}/${number}`, scope: 'global' | 'link'): Step =>
  put({ kind: 'address', link: 'eth1', address: text, scope, noPrefixRoute: false, noDad: true, deprecated: false });
const way = (family: 4 | 6): Step =>
  put({
    kind: 'route',
    family,
    table: 254,
    type: 'unicast',
    destination: cidr(family === 4 ? '0.0.0.0/0' : '::/0'),
    link: 'eth1',
    gateway: GATEWAY[family],
    onLink: true,
    metric: 1024,
    scope: 'global',
    protocol: 117,
  });
/** What a daemon does with an ENI whose link has just come. */
const ENI = [
  up('eth1'),
  address(`${ip('10.0.1.20')}/32`, 'global'),
  address(`${ip('fe80::20')}/64`, 'link'),
  way(4),
  way(6),
];

async function pair(): Promise<{ fabric: string; host: string }> {
  const [fabric, host] = [await nets.make(), await nets.make()];
  await nets.networks.createVeth(
    { netns: fabric, name: 'eth1', mac: mac('06:00:00:00:0a:01'), mtu: 9001 },
    { netns: host, name: 'eth1', mac: mac('02:00:00:00:0a:01'), mtu: 9001 },
  );
  return { fabric, host };
}

/** States of the gateways' neighbours. */
const neighbours = (host: string) =>
  [4, 6].map((family) => tool(host, 'ip', `-${family}`, 'neigh', 'show', 'dev', 'eth1').trim().split(' ').at(-1));

test('an apply waits for a gateway whose network comes later than the link, and no longer', async () => {
  const { fabric, host } = await pair();
  const beganMs = performance.now();
  const applied = nets.networks.kernel({ netns: host }).apply(ENI);
  await sleep(100);
  await nets.networks.apply([up('eth1'), address(`${GATEWAY[4]}/32`, 'global'), address(`${GATEWAY[6]}/64`, 'link')], {
    netns: fabric,
  });
  expect(await applied).toEqual([]);
  // The kernel's own second solicitation would be sent after a second.
  expect(performance.now() - beganMs).toBeLessThan(700);
  expect(neighbours(host)).toEqual(['REACHABLE', 'REACHABLE']);
});

test('an apply does not wait for ever, holds nobody up meanwhile, and asks nothing of a gateway that is known', async () => {
  const { host } = await pair();
  const kernel = nets.networks.kernel({ netns: host });
  const beganMs = performance.now();
  const applied = kernel.apply(ENI);
  await kernel.apply([up('lo')]);
  expect(performance.now() - beganMs).toBeLessThan(200);
  expect(await applied).toEqual([]);
  expect(performance.now() - beganMs).toBeLessThan(4_000);
  for (const family of [4, 6] as const)
    await nets.networks.put(host, [
      { kind: 'neighbour', link: 'eth1', address: GATEWAY[family], mac: mac('06:00:00:00:0a:01') },
    ]);
  const againMs = performance.now();
  expect(await kernel.apply(ENI)).toEqual([]);
  expect(performance.now() - againMs).toBeLessThan(200);
  expect(neighbours(host)).toEqual(['PERMANENT', 'PERMANENT']);
});
