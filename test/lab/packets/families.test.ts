/**
 * Pods of IPv6 alone and of both families, out of prefixes and of single addresses, in subnets of both and of IPv6 alone:
 * what the runtime is told, who reaches whom and as whom, what a restart and a removed rule are to them, and that nothing
 * is left behind.
 */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cidr, cidrLength, type Family, familyOf, type Ip } from '../../../src/core/ip.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { inParallel } from '../../../src/lab/demo/pods.ts';
import { INTERNET4, INTERNET6 } from '../../../src/lab/fabric/addressing.ts';
import type { LabOptions } from '../../../src/lab/options.ts';
import { ping, probeTcp } from '../../../src/lab/probe/probe.ts';
import { found, until } from '../pod-lab.ts';
import { addressOf, ownAddress, World } from '../world.ts';

interface Shape {
  readonly what: string;
  readonly families: readonly Family[];
  readonly options: Partial<LabOptions>;
  readonly prefixes: 'prefer' | 'never';
  /** So that more than one ENI has pods. */
  readonly podsEach: number;
  readonly enisEach: number;
  /** Lengths of the blocks on a node's ENIs. */
  readonly lengths: readonly number[];
}

const SHAPES: readonly Shape[] = [
  {
    what: 'IPv6 alone, a /80 a node',
    families: [6],
    options: {},
    prefixes: 'prefer',
    podsEach: 4,
    enisEach: 1,
    lengths: [80],
  },
  {
    what: 'IPv6 alone in subnets without IPv4, single addresses',
    families: [6],
    options: { ipv4: false },
    prefixes: 'never',
    podsEach: 2,
    enisEach: 2,
    lengths: [128, 128],
  },
  {
    what: 'both families, a /28 and a /80 an ENI',
    families: [4, 6],
    options: {},
    prefixes: 'prefer',
    podsEach: 17,
    enisEach: 2,
    lengths: [28, 28, 80, 80],
  },
];

/** A place that packets are sent from, and to, and how others see it. */
interface End {
  readonly name: string;
  readonly netns: string;
  readonly address: (family: Family) => Ip;
  readonly outside: (family: Family) => Ip;
}

const GATEWAY = { 4: '169.254.1.1', 6: 'fe80::1' } as const;
const EVERYWHERE = { 4: '0.0.0.0/0', 6: '::/0' } as const;
const INTERNET = { 4: INTERNET4, 6: INTERNET6 } as const;

describe.each(SHAPES)('$what', ({ families, options, prefixes, podsEach, enisEach, lengths }) => {
  let world: World;
  let pods: DemoPod[];
  let ends: End[];

  beforeAll(async () => {
    world = await World.up({
      nodeCount: 2,
      vmCount: 1,
      // Two ENIs with two slots of each family, their own among them: a block each.
      instanceType: 't3.micro',
      ...options,
      families,
      daemonConfig: { pool: { primaryEni: 'use', prefixes, targets: { floor: 0, headroom: 0, ceiling: 100 } } },
    });
    pods = (await Promise.all(world.lab.nodes.map((node) => world.add(node, podsEach)))).flat();
    ends = [...world.lab.nodes.flatMap(({ instance }) => podsOfEachEni(instance.netns)).map(podEnd), ...instanceEnds()];
    for (const { netns, name } of ends) await world.listen(netns, name);
    await world.listen(world.lab.internetNetns, 'internet');
  }, 60_000);

  afterAll(() => world.down(), 30_000);

  /** Two of each ENI, where it has two. */
  function podsOfEachEni(netns: string): DemoPod[] {
    const here = pods.filter(({ host }) => host.netns === netns);
    const ofEni = Map.groupBy(here, (pod) => world.eniOf(pod).id);
    return [...ofEni.values()].flatMap((those) => those.slice(0, 2));
  }

  function podEnd(pod: DemoPod): End {
    const node = found(
      world.lab.nodes.find(({ name }) => name === pod.host.name),
      'node',
    );
    const outside = (family: Family) =>
      family === 6 ? addressOf(pod, 6) : found(world.primaryOf(node.instance).publicIp, 'public address');
    return { name: pod.name, netns: pod.netns, address: (family) => addressOf(pod, family), outside };
  }

  const instanceEnds = (): End[] =>
    world.lab.instances.map((instance) => {
      const eni = world.primaryOf(instance);
      const address = (family: Family) => ownAddress(eni, family);
      const outside = (family: Family) => (family === 6 ? address(6) : found(eni.publicIp, 'public address'));
      return { name: instance.name, netns: instance.netns, address, outside };
    });

  /** One verb as a runtime of that version calls it. */
  async function cni(pod: DemoPod, verb: 'ADD' | 'CHECK', config: object): Promise<Record<string, unknown>> {
    const { binary, network } = pod.host.plugin;
    const env = {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/opt/cni/bin',
    };
    const { promise, resolve } = Promise.withResolvers<string>();
    const child = execFile(binary, [], { env, timeout: 30_000 }, (_, stdout) => resolve(stdout));
    child.stdin?.end(JSON.stringify({ name: network, type: 'underway', ...config }));
    return JSON.parse((await promise) || '{}') as Record<string, unknown>;
  }

  test('a pod has one address of each family, out of as few blocks as they need', () => {
    for (const { addresses } of pods) expect(addresses.map((ip) => familyOf(ip as Ip))).toEqual(families);
    for (const { instance } of world.lab.nodes) {
      const enis = world.enisOf(instance).filter(({ blocks }) => blocks.length > 0);
      expect(enis).toHaveLength(enisEach);
      expect(enis.flatMap(({ blocks }) => blocks.map((block: Cidr) => cidrLength(block))).toSorted()).toEqual(lengths);
    }
  });

  test.each(['0.3.1', '0.4.0', '1.0.0', '1.1.0'])(
    'ADD is answered in CNI %s, and CHECK finds it so',
    async (cniVersion) => {
      const pod = found(pods[0], 'pod');
      const result = await cni(pod, 'ADD', { cniVersion });
      const isOld = cniVersion < '1.0.0';
      expect(result).toMatchObject({
        cniVersion,
        ips: families.map((family) => ({
          address: `${addressOf(pod, family)}/${family === 4 ? 32 : 128}`,
          gateway: GATEWAY[family],
          ...(isOld && { version: String(family) }),
        })),
        routes: families.map((family) => ({ dst: EVERYWHERE[family], gw: GATEWAY[family] })),
      });
      if (cniVersion !== '0.3.1') expect(await cni(pod, 'CHECK', { cniVersion, prevResult: result })).toEqual({});
    },
  );

  test('everybody reaches everybody, and is seen as who it is', async () => {
    const wrong: string[] = [];
    const cases = families.flatMap((family) =>
      ends.flatMap((from) => ends.filter((to) => to !== from).map((to) => ({ family, from, to }))),
    );
    await inParallel(cases, 16, async ({ family, from, to }) => {
      const target = { netns: from.netns, to: to.address(family) };
      const [tcp, echo] = [await probeTcp(target), await ping(target)];
      const said = `${to.name} saw ${from.address(family)}`;
      if (!tcp.ok || tcp.said.replace('::ffff:', '') !== said || !echo.ok)
        wrong.push(`IPv${family} ${from.name} -> ${to.name}: ${JSON.stringify([tcp, echo])}`);
    });
    for (const family of families)
      for (const from of ends) {
        const tcp = await probeTcp({ netns: from.netns, to: INTERNET[family] });
        if (!tcp.ok || tcp.said.replace('::ffff:', '') !== `internet saw ${from.outside(family)}`)
          wrong.push(`IPv${family} ${from.name} -> internet: ${JSON.stringify(tcp)}`);
      }
    console.log(`${cases.length} pairs, ${wrong.length} wrong`);
    expect(wrong).toEqual([]);
  }, 60_000);

  test('a restart is nothing to the pods, and ways that somebody removed are back within a second', async () => {
    const node = world.node(1);
    const targets = podsOfEachEni(node.instance.netns).flatMap((pod) =>
      families.map((family) => ({ netns: world.vm(1).netns, to: addressOf(pod, family) })),
    );
    await node.daemon.kill();
    for (const target of targets) expect(await ping(target)).toMatchObject({ ok: true });
    node.daemon.start();
    await node.daemon.ready();
    for (const target of targets) expect(await ping(target)).toMatchObject({ ok: true });
    expect(await node.loseWays()).toBeGreaterThanOrEqual(families.length);
    await sleep(1_000);
    for (const target of targets) expect(await ping(target)).toMatchObject({ ok: true });
  }, 30_000);

  test('an address has a row while a pod has it or it cools, and no other', async () => {
    const node = world.node(2);
    const rows = async () => {
      const page = await node.daemon.get('/v1/state');
      return (JSON.parse(page?.body ?? '{}') as { address: { ip: Ip; state: string }[] }).address;
    };
    const here = pods.filter(({ host }) => host.name === node.name);
    expect((await rows()).map(({ ip }) => ip).toSorted()).toEqual(
      here.flatMap(({ addresses }) => addresses).toSorted(),
    );
    const gone = found(here.at(-1), 'pod');
    const addresses = [...gone.addresses];
    expect(await world.pods.remove([gone], 1)).toEqual([]);
    pods = pods.filter((pod) => pod !== gone);
    const cooling = (await rows()).filter(({ state }) => state === 'cooling');
    expect(cooling.map(({ ip }) => ip).toSorted()).toEqual(addresses.toSorted());
    const isSilent = async (to: Ip) => !(await ping({ netns: world.vm(1).netns, to, timeoutMs: 100 })).ok;
    for (const ip of addresses) await until(`${ip} is silent`, () => isSilent(ip as Ip), 5_000);
  }, 30_000);
});
