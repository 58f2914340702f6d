/**
 * A pod that sends on after its DEL reaches nobody, also when its address has another owner; a packet to an address that
 * nobody has is refused on the node and never leaves it.
 */
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { familyOf, type Ip } from '../../../src/core/ip.ts';
import { runCni } from '../../../src/lab/demo/cni.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { runIn } from '../../../src/lab/launch.ts';
import { ping, probeTcp, probeUdp } from '../../../src/lab/probe/probe.ts';
import { openDatagram } from '../../../src/lab/probe/socket.ts';
import { found, until } from '../pod-lab.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';
import { linkCounters } from './counters.ts';

/** Nobody else listens there. */
const PORT = 9999;
const EVERY_MS = 5;
const PODS = 4;
let world: World;

beforeAll(async () => {
  world = await World.up({
    nodeCount: 1,
    vmCount: 1,
    instanceType: 'm5.large',
    daemonConfig: {
      // No address more than there are pods: the next pod gets the one that the last one left.
      pool: { primaryEni: 'skip', targets: { floor: PODS, headroom: 0, ceiling: PODS } },
      cooldownMs: 2_000,
      cooldownUnflushedMs: 2_000,
      cooldownUnderPressureMs: 1_000,
    },
  });
}, 60_000);

afterAll(() => world.down(), 30_000);

/** Hears everything that is sent to the port. */
async function hear(netns: string, messages: string[]): Promise<() => Promise<void>> {
  const sockets = await Promise.all(
    (['0.0.0.0', '::'] as Ip[]).map(async (address) => {
      const fd = await world.lab.networks.openSocketIn(netns, { kind: 'udp', address, port: PORT });
      const socket = createSocket(familyOf(address) === 4 ? 'udp4' : 'udp6');
      socket.on('message', (message) => messages.push(message.toString()));
      await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
      return socket;
    }),
  );
  return async () => void (await Promise.all(sockets.map((socket) => new Promise<void>((done) => socket.close(done)))));
}

/** Sends `<name> <phase>` to each of the addresses over and over, whatever becomes of it. */
function keepSending(pod: DemoPod, targets: readonly Ip[]) {
  let phase = 'before';
  const sockets = FAMILIES.map((family) => {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    socket.on('error', () => {});
    socket.bind({ fd: openDatagram(pod.netns, { family, icmp: false }) });
    return [family, socket] as const;
  });
  const timer = setInterval(() => {
    for (const [family, socket] of sockets)
      for (const to of targets.filter((ip) => familyOf(ip) === family))
        socket.send(`${pod.name} IPv${family} ${phase}`, PORT, to, () => {});
  }, EVERY_MS);
  return {
    enter: (next: string) => {
      phase = next;
    },
    stop: () => {
      clearInterval(timer);
      for (const [, socket] of sockets) socket.close();
    },
  };
}

test('a pod that sends on after DEL, and after its address went to another, reaches nobody', async () => {
  const node = world.node(1);
  const vm = world.vm(1);
  const [gone, other] = await world.add(node, PODS);
  if (gone === undefined || other === undefined) throw new Error('pods were added');
  const addresses = FAMILIES.map((family) => addressOf(gone, family));
  const heard: string[] = [];
  const deaf = await Promise.all([vm.netns, other.netns, node.instance.netns].map((netns) => hear(netns, heard)));
  const targets = [
    ...FAMILIES.map((family) => ownAddress(world.primaryOf(vm), family)),
    ...FAMILIES.map((family) => addressOf(other, family)),
    ...FAMILIES.map((family) => ownAddress(world.primaryOf(node.instance), family)),
  ];
  const sender = keepSending(gone, targets);
  // Each of the three hears it in both families.
  await until('the pod is heard', () => heard.length >= 60);
  expect(new Set(heard)).toEqual(new Set(FAMILIES.map((family) => `${gone.name} IPv${family} before`)));

  const { error } = await runCni(gone.host.plugin, 'DEL', gone);
  expect(error).toBeUndefined();
  sender.enter('after DEL');
  await sleep(300);

  // Waits until the address has cooled down, and takes it.
  const [heir] = await world.add(node, 1);
  expect(FAMILIES.map((family) => addressOf(found(heir, 'heir'), family))).toEqual(addresses);
  sender.enter('with an heir');
  const heirHeard: string[] = [];
  deaf.push(await hear(found(heir, 'heir').netns, heirHeard));
  const heirSends = keepSending(found(heir, 'heir'), targets);
  await sleep(300);
  for (const family of FAMILIES) {
    const target = { netns: vm.netns, to: addressOf(gone, family) };
    expect(await ping(target)).toMatchObject({ ok: true });
  }
  heirSends.stop();
  sender.stop();
  await Promise.all(deaf.map((stop) => stop()));
  expect(heirHeard).toEqual([]);
  const senders = [...new Set(heard)].sort();
  expect(senders).toEqual(
    [
      `${gone.name} IPv4 before`,
      `${gone.name} IPv6 before`,
      `${heir?.name} IPv4 before`,
      `${heir?.name} IPv6 before`,
    ].sort(),
  );
}, 30_000);

describe('a packet to an address that nobody has', () => {
  let from: DemoPod;
  const cooling: Ip[] = [];

  beforeAll(async () => {
    const [first, last] = [world.pods.running[1], world.pods.running[2]];
    from = found(first, 'pod');
    cooling.push(...FAMILIES.map((family) => addressOf(found(last, 'pod'), family)));
    expect(await world.pods.remove([found(last, 'pod')], 1)).toEqual([]);
  });

  /** What left the node or came in, and what the fabric had to refuse. */
  const outside = async () => {
    const { eth0, eth1 } = linkCounters(world.node(1).instance.netns);
    return { eth0, eth1, drops: await world.lab.drops() };
  };
  /**
   * The kernel's answer comes while connect() still holds the socket, which then believes only the one to its second SYN,
   * a second later. On a busy machine that one is missed as well in 1 of 16 probes, although the node's counters show an
   * answer to each SYN (2 IcmpOutDestUnreachs, nothing on its ENIs); the third's was then heard after 2,035 ms.
   */
  const REFUSED_MS = 3_300;
  const UNREACHABLE = /^(EHOSTUNREACH|ENETUNREACH)$/;

  // The daemon speaks with its cloud by links that are not counted here, so nothing else moves these counters.
  test.each([4, 6] as const)(
    'is refused to a pod and to the node, and stays on the node (IPv%i)',
    async (family) => {
      const to = found(
        cooling.find((ip) => familyOf(ip) === family),
        'cooling address',
      );
      const before = await outside();
      for (const netns of [from.netns, world.node(1).instance.netns]) {
        const answer = await probeTcp({ netns, to, timeoutMs: REFUSED_MS });
        expect(answer).toEqual({ ok: false, why: expect.stringMatching(UNREACHABLE) });
      }
      expect(await outside()).toEqual(before);
    },
    10_000,
  );

  test.each([4, 6] as const)(
    'does not go round between the cloud and the node when a VM sends it (IPv%i)',
    async (family) => {
      const to = found(
        cooling.find((ip) => familyOf(ip) === family),
        'cooling address',
      );
      const before = linkCounters(world.node(1).instance.netns);
      expect(await probeUdp({ netns: world.vm(1).netns, to, timeoutMs: 300 })).toMatchObject({ ok: false });
      const after = linkCounters(world.node(1).instance.netns);
      const moved = ['eth0', 'eth1'].map((link) => ({
        received: (after[link]?.received ?? 0) - (before[link]?.received ?? 0),
        sent: (after[link]?.sent ?? 0) - (before[link]?.sent ?? 0),
      }));
      // The datagram, and one answer that says it is unreachable; both may need a neighbour asked for.
      expect(moved[0]?.received).toBeLessThanOrEqual(2);
      expect((moved[1]?.received ?? 0) + (moved[1]?.sent ?? 0)).toBeGreaterThanOrEqual(1);
      expect((moved[1]?.received ?? 0) + (moved[1]?.sent ?? 0)).toBeLessThanOrEqual(6);
    },
  );
});

test('a pod whose DEL comes while no daemon runs reaches nobody from then on, and the next daemon ends its lease', async () => {
  const { daemon } = world.node(1);
  const vm = world.vm(1);
  const pod = found(world.pods.running.at(-1), 'pod');
  const leases = async () => JSON.parse(found(await daemon.get('/v1/state'), 'state').body).lease as readonly object[];
  const isLeased = async () => JSON.stringify(await leases()).includes(pod.containerId);
  expect(await isLeased()).toBe(true);
  const heard: string[] = [];
  const deaf = await hear(vm.netns, heard);
  const sender = keepSending(
    pod,
    FAMILIES.map((family) => ownAddress(world.primaryOf(vm), family)),
  );
  try {
    await until('the pod is heard', () => heard.length >= 20);
    await daemon.kill();
    sender.enter('without a daemon');
    await until('it is heard without a daemon', () => heard.some((message) => message.endsWith('without a daemon')));
    // Where a runtime runs its plugins; a binary outside reaches the daemon's socket, but not the pod's link.
    const env = {
      ...process.env,
      CNI_COMMAND: 'DEL',
      CNI_CONTAINERID: pod.containerId,
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/',
    };
    const input = JSON.stringify({ cniVersion: '1.0.0', name: pod.host.plugin.network, type: 'underway' });
    const said = await runIn(pod.host.netns, [pod.host.plugin.binary], { input, env });
    expect(said).toEqual({ code: 0, stdout: '', stderr: '' });
    sender.enter('after DEL');
    await sleep(300);
    daemon.start();
    await daemon.ready();
    await until('the DEL is done', async () => !(await isLeased()));
    await sleep(100);
  } finally {
    sender.stop();
    await deaf();
  }
  const phases = FAMILIES.flatMap((family) =>
    ['before', 'without a daemon'].map((phase) => `${pod.name} IPv${family} ${phase}`),
  );
  expect([...new Set(heard)].sort()).toEqual(phases.sort());
}, 40_000);
