/**
 * A pod's bandwidth annotations, from the runtime's call to packets: TCP comes to the asked rate both ways, within a
 * tenth; after a restart, after a repeated ADD and after others took the limit away too. Who goes past the limit inside gets
 * no more.
 */
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { attachmentKey } from '../../../src/core/brand.ts';
import type { Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { type DemoPod, hostOf } from '../../../src/lab/demo/pods.ts';
import { runIn } from '../../../src/lab/launch.ts';
import { serveIn } from '../../../src/lab/namespace-server.ts';
import { DAEMON_NFT_TABLE } from '../../../src/lab/node/node.ts';
import { beginConnect } from '../../../src/lab/probe/socket.ts';
import { found, until } from '../pod-lab.ts';
import { addressOf, ownAddress, World } from '../world.ts';
import { linkCounters } from './counters.ts';
import { FRAME_BYTES, flood } from './flood.ts';

const PORT = 7_001;
/** What the bucket held at the beginning goes at once, and TCP has to find its pace. */
const RUN_UP_MS = 600;
const MEASURED_MS = 2_000;
/** Until the bucket of a second's worth is empty. */
const FLOOD_UP_MS = 1_000;
/** A machine that does something else for a while measures too little. */
const ATTEMPTS = 3;
const INGRESS = { annotation: '40M', megabits: 40 } as const;
const EGRESS = { annotation: '20M', megabits: 20 } as const;

let world: World;
let pod: DemoPod;

beforeAll(async () => {
  world = await World.up({ nodeCount: 1, vmCount: 1, instanceType: 'm5.large' });
  const { plugin, ...host } = hostOf(world.node(1));
  const annotations = {
    'kubernetes.io/ingress-bandwidth': INGRESS.annotation,
    'kubernetes.io/egress-bandwidth': EGRESS.annotation,
  };
  const runtimeConfig = { 'io.kubernetes.cri.pod-annotations': annotations };
  pod = found((await world.pods.add({ ...host, plugin: { ...plugin, runtimeConfig } }, 1, 1))[0], 'pod');
  expect(pod.error).toBeUndefined();
}, 60_000);

afterAll(() => world.down(), 30_000);

interface End {
  readonly netns: string;
  readonly address: Ip;
}
const podEnd = (family: 4 | 6): End => ({ netns: pod.netns, address: addressOf(pod, family) });
const vmEnd = (family: 4 | 6): End => ({
  netns: world.vm(1).netns,
  address: ownAddress(world.primaryOf(world.vm(1)), family),
});

/** What one connection brings of its payload, in Mbit/s. */
async function measure({ from, to }: { readonly from: End; readonly to: End }): Promise<number> {
  let bytes = 0;
  const server = await serveIn(world.lab.networks, { ...to, port: PORT }, (socket) => {
    socket.on('data', ({ length }) => {
      bytes += length;
    });
  });
  const sender = new Socket({ fd: beginConnect(from.netns, { address: to.address, port: PORT }), writable: true });
  const chunk = Buffer.alloc(1 << 16);
  const send = (): void => {
    while (sender.write(chunk));
    sender.once('drain', send);
  };
  sender.on('error', () => {});
  send();
  try {
    await sleep(RUN_UP_MS);
    const before = { bytes, ms: performance.now() };
    await sleep(MEASURED_MS);
    return ((bytes - before.bytes) * 8) / (performance.now() - before.ms) / 1_000;
  } finally {
    sender.destroy();
    await server.close();
  }
}

/** What of a flood past the pod's own queue comes to the VM, and what was sent, in Mbit/s. */
async function measureFlood(): Promise<number> {
  const vm = world.vm(1);
  const received = (): number =>
    Object.values(linkCounters(vm.netns)).reduce((sum, { received }) => sum + received, 0) * FRAME_BYTES;
  const beginMs = performance.now();
  const stop = flood({ netns: pod.netns, from: addressOf(pod, 6), to: vmEnd(6).address });
  const rate = (bytes: number, sinceMs: number) => (bytes * 8) / (performance.now() - sinceMs) / 1_000;
  try {
    await sleep(FLOOD_UP_MS);
    const before = { bytes: received(), ms: performance.now() };
    await sleep(MEASURED_MS);
    return rate(received() - before.bytes, before.ms);
  } finally {
    console.log(`sent ${rate((await stop()) * FRAME_BYTES, beginMs).toFixed(0)} Mbit/s`);
  }
}

async function expectRate(asked: number, way: Parameters<typeof measure>[0]): Promise<void> {
  await expectNear(asked, () => measure(way));
}

async function expectNear(asked: number, measureOnce: () => Promise<number>): Promise<void> {
  const measured: number[] = [];
  const isNear = (rate: number) => Math.abs(rate / asked - 1) <= 0.1;
  while (measured.length < ATTEMPTS && !measured.some(isNear)) measured.push(await measureOnce());
  console.log(`asked ${asked} Mbit/s, measured ${measured.map((rate) => rate.toFixed(2)).join(', ')}`);
  expect({ asked, measured, isNear: measured.some(isNear) }).toMatchObject({ isNear: true });
}

async function expectRates(): Promise<void> {
  await expectRate(EGRESS.megabits, { from: podEnd(4), to: vmEnd(4) });
  await expectRate(INGRESS.megabits, { from: vmEnd(6), to: podEnd(6) });
}

/** Bits a second at each end of the pod's link, and of what the host lets in by it. */
async function limits(): Promise<readonly (number | undefined)[]> {
  const { networks } = world.lab;
  const link = linkName(
    attachmentKey({ network: pod.host.plugin.network, containerId: pod.containerId, ifname: 'eth0' }),
  );
  return Promise.all(
    (
      [
        [world.node(1).instance.netns, 'qdisc', link],
        [pod.netns, 'qdisc', 'eth0'],
        [world.node(1).instance.netns, 'policer', link],
      ] as const
    ).map(async ([netns, kind, name]) => {
      const { objects = [] } = (await networks.read(netns, { nftTables: [DAEMON_NFT_TABLE] })) ?? {};
      const limit = objects.find((one) => one.kind === kind && one.link === name);
      return limit?.kind === kind ? limit.bytesPerSecond * 8 : undefined;
    }),
  );
}
const ALL = [40e6, 20e6, 20e6];

const removeLimit = async (netns: string, link: string): Promise<void> => {
  expect(await runIn(netns, ['tc', 'qdisc', 'del', 'dev', link, 'root'])).toMatchObject({ code: 0 });
};

test('TCP comes to the asked rate, each way its own', async () => {
  expect(await limits()).toEqual(ALL);
  await expectRates();
}, 40_000);

test('a packet socket that goes past the queue in the pod brings no more than the asked rate', async () => {
  await expectNear(EGRESS.megabits, measureFlood);
}, 40_000);

test('a limit on the host that somebody takes away is back within a moment, after a restart too', async () => {
  const { daemon, instance } = world.node(1);
  await daemon.kill();
  daemon.start();
  await daemon.ready();
  expect(await limits()).toEqual(ALL);
  const link = found(
    (await world.lab.networks.read(instance.netns))?.links.find(({ name }) => /^uw/.test(name)),
    'link',
  );
  await removeLimit(instance.netns, link.name);
  await until('the limit is back', async () => (await limits())[0] === ALL[0]);
  expect(await runIn(instance.netns, ['nft', 'flush', 'ruleset'])).toMatchObject({ code: 0 });
  await until('the other is back', async () => (await limits())[2] === ALL[2]);
}, 40_000);

test('a limit in the pod that was taken away is back after its repeated ADD, and holds', async () => {
  await removeLimit(pod.netns, 'eth0');
  const again = await world.pods.addOne(pod);
  expect(again.error).toBeUndefined();
  expect(await limits()).toEqual(ALL);
  await expectRate(EGRESS.megabits, { from: podEnd(6), to: vmEnd(6) });
}, 40_000);
