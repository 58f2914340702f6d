/** What is inside an instance: metadata, the cloud's API, links that come and go. */
import type { EniId } from '../../src/core/brand.ts';
import type { Lab } from '../../src/lab/lab.ts';
import { runIn } from '../../src/lab/launch.ts';
import type { NamespaceServer } from '../../src/lab/namespace-server.ts';
import { startEcho } from '../../src/lab/probe/echo.ts';
import { probeTcp } from '../../src/lab/probe/probe.ts';
import { until } from './pod-lab.ts';
import { call, instance, own, primaryEni, smallLab } from './stand.ts';

let lab: Lab;
let echo: NamespaceServer;

beforeAll(async () => {
  lab = await smallLab();
  echo = await startEcho(lab.networks, { netns: instance(lab, 'vm-2').netns, name: 'vm-2' });
}, 30_000);

afterAll(async () => {
  await echo.close();
  expect(await lab.close()).toEqual({ processes: 0, namespaces: 0, mounts: 0, files: 0 });
}, 30_000);

/** A program in vm-1 that uses nothing but Node's own. */
const inside = async (program: string) =>
  (await runIn(instance(lab, 'vm-1').netns, [process.execPath, '--input-type=module', '-e', program])).stdout.trim();

const METADATA = `
  const base = 'http://169.254.169.254/latest';
  const token = await (await fetch(base + '/api/token', {
    method: 'PUT', headers: { 'x-aws-ec2-metadata-token-ttl-seconds': '60' } })).text();
  const get = async (path) => (await fetch(base + path, { headers: { 'x-aws-ec2-metadata-token': token } })).text();`;

test('an instance learns from metadata who it is, and reaches the cloud', async () => {
  const { id } = instance(lab, 'vm-1');
  expect(await inside(`${METADATA} console.log(await get('/meta-data/instance-id'))`)).toBe(id);
  expect(await inside(`console.log((await fetch('http://169.254.169.252/?Action=DescribeVpcs')).status)`)).toBe('403');
});

test('the services’ addresses are never the source of the instance’s own packets', async () => {
  const [netns, to] = [instance(lab, 'vm-1').netns, own(primaryEni(lab, 'vm-2'), 4)];
  const said = `vm-2 saw ${primaryEni(lab, 'vm-1').primary4}`;
  expect(await probeTcp({ netns, to })).toMatchObject({ ok: true, said });
});

test('the primary link is configured as DHCP and router advertisements would', async () => {
  const eni = primaryEni(lab, 'vm-1');
  const state = await lab.networks.read(instance(lab, 'vm-1').netns);
  expect(state?.links.find(({ name }) => name === 'eth0')).toMatchObject({ mac: eni.mac, mtu: 9001, up: true });
  const addresses = state?.objects.flatMap((object) => (object.kind === 'address' ? [object.address] : []));
  expect(addresses).toEqual(expect.arrayContaining([`${eni.primary4}/20`, `${eni.primary6}/128`]));
  const defaults = state?.objects.flatMap((object) =>
    object.kind === 'route' && object.destination.endsWith('/0') ? [object.gateway] : [],
  );
  expect(defaults).toEqual(['10.0.16.1', 'fe80:ec2::1']);
});

test('a NIC with the ENI’s MAC is there from attach to detach, down and without addresses', async () => {
  const { id, netns } = instance(lab, 'vm-1');
  const nics = async () => (await lab.networks.read(netns))?.links.filter(({ name }) => name === 'eth2') ?? [];
  const subnet = [...lab.cloud.truth.subnets.keys()][1] ?? primaryEni(lab, 'vm-1').subnet;
  const eni = await call(lab, 'create-eni', { subnet, groups: [], tags: {}, wishes: [] });
  await until('the new ENI is known', () => lab.cloud.truth.eni(eni.id as EniId)?.state === 'available');
  await call(lab, 'attach-eni', { eni: eni.id, instance: id, deviceIndex: 2 });
  await until('its link is there', async () => (await nics()).length === 1);
  expect(await nics()).toMatchObject([{ mac: eni.mac, mtu: 9001, up: false }]);
  await call(lab, 'detach-eni', { eni: eni.id, force: false });
  await until('its link is gone', async () => (await nics()).length === 0);
  expect((await lab.networks.read(lab.fabricNetns))?.links.filter(({ name }) => name.startsWith('eni'))).toHaveLength(
    3,
  );
  expect((await lab.status()).problems).toEqual([]);
});
