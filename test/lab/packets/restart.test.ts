/**
 * A daemon's restart is nothing to the pods: the kernel tells of no change, and no ping is lost. The one thing it tells
 * is that the nf_tables table, which outlived its owner, has a new one; nothing in the table moves.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isLinkName } from '../../../src/core/link-name.ts';
import type { KernelState } from '../../../src/datapath/kernel-state.ts';
import { NFT_TABLE } from '../../../src/datapath/numbering.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { spawnIn } from '../../../src/lab/launch.ts';
import { ping } from '../../../src/lab/probe/probe.ts';
import type { KernelEvent } from '../../../src/ports/kernel.ts';
import { until } from '../pod-lab.ts';
import { addressOf, FAMILIES, World } from '../world.ts';

const PODS = 100;
const EVERY_MS = 20;
/** Until then a new pod's link-local address is being checked for duplicates. */
const SETTLE_MS = 3_000;
/** A monitor takes a moment to begin. */
const MONITOR_MS = 1_000;
let world: World;
let pods: DemoPod[];

beforeAll(async () => {
  world = await World.up({
    nodeCount: 1,
    vmCount: 1,
    instanceType: 'm5.4xlarge',
    daemonConfig: { pool: { primaryEni: 'skip', targets: { floor: PODS, headroom: 0, ceiling: 200 } } },
  });
  pods = await world.add(world.node(1), PODS);
}, 60_000);

afterAll(() => world.down(), 30_000);

/** The node's whole namespace and its pods', sorted, a line an object. */
async function everything(): Promise<string> {
  const { networks } = world.lab;
  const node = await networks.read(world.node(1).instance.netns, { nftTables: [NFT_TABLE] });
  const inside = await Promise.all(pods.map(async ({ name, netns }) => [name, await networks.read(netns)] as const));
  return [['node', node] as const, ...inside].flatMap(([name, state]) => linesOf(name, state)).join('\n');
}

const linesOf = (name: string, state: KernelState | undefined): string[] =>
  [...(state?.links ?? []), ...(state?.objects ?? [])].map((each) => `${name} ${JSON.stringify(each)}`).sort();

/** Pings the pods one after the other, each in both families, until it is told to stop: who did not answer. */
function keepPinging() {
  let stopped = false;
  let sent = 0;
  const lost: string[] = [];
  const answers: Promise<void>[] = [];
  const loop = async () => {
    while (!stopped) {
      const pod = pods[sent++ % pods.length];
      for (const family of pod === undefined ? [] : FAMILIES) answers.push(one(pod as DemoPod, family));
      await sleep(EVERY_MS);
    }
    await Promise.all(answers);
  };
  const one = async (pod: DemoPod, family: 4 | 6) => {
    const answer = await ping({ netns: world.vm(1).netns, to: addressOf(pod, family) });
    if (!answer.ok) lost.push(`${pod.name} IPv${family}: ${answer.why}`);
  };
  const ended = loop();
  return async () => {
    stopped = true;
    await ended;
    return { sent: answers.length, lost };
  };
}

/** Not through our own socket, whose filter drops what the daemon itself does to the pods' links. */
const MONITORS = {
  nft: ['nft', 'monitor'],
  /** The pods' namespaces too. Pings keep the neighbours moving; the listener hears those that matter. */
  ip: ['ip', 'monitor', 'link', 'address', 'route', 'rule', 'netconf', 'all-nsid'],
};

/** What a monitor tells from now on, a line a change. */
function watch(netns: string, program: keyof typeof MONITORS) {
  const monitor = spawnIn(netns, MONITORS[program], { stdio: ['ignore', 'pipe', 'inherit'] });
  let told = '';
  monitor.stdout?.on('data', (data) => {
    told += data;
  });
  const ended = new Promise<void>((resolve) => monitor.once('close', () => resolve()));
  const heard = () => told.split('\n').filter((line) => line !== '' && !line.startsWith('# new generation'));
  const stop = async () => {
    monitor.kill();
    await ended;
    return heard();
  };
  return { heard, stop };
}

test.each([
  ['stopped in order', 'stop'],
  ['killed', 'kill'],
] as const)(
  'a daemon that is %s and started again touches nothing of its 100 pods',
  async (_, way) => {
    const { daemon, instance } = world.node(1);
    await sleep(SETTLE_MS);
    const before = await everything();
    const events: KernelEvent[] = [];
    const kernel = world.lab.networks.kernel({ netns: instance.netns });
    const unlisten = kernel.listen((event) => events.push(event));
    const monitors = [watch(instance.netns, 'nft'), watch(instance.netns, 'ip')] as const;
    const stopPinging = keepPinging();
    await sleep(MONITOR_MS);
    events.length = 0;
    const first = daemon.pid;
    await daemon[way]();
    daemon.start();
    await daemon.ready();
    // What it finds wrong it mends within a second.
    await sleep(1_500);
    expect(daemon.pid).not.toBe(first);
    const { sent, lost } = await stopPinging();
    unlisten();
    const [nft, ip] = [await monitors[0].stop(), await monitors[1].stop()];
    console.log(
      `${PODS} pods, daemon ${way}: ${sent} pings, ${lost.length} lost; events ${JSON.stringify(events)}; nft ${nft.join('; ')}`,
    );
    expect(ip).toEqual([]);
    expect(await everything()).toBe(before);
    expect(events.filter((event) => event.kind !== 'changed' || event.what !== 'nft')).toEqual([]);
    expect(nft.filter((line) => !line.startsWith('add table inet underway'))).toEqual([]);
    expect(lost).toEqual([]);
    expect(sent).toBeGreaterThan(2 * 50);
  },
  30_000,
);

test('who heard nothing is not deaf', async () => {
  const { networks } = world.lab;
  const { netns } = world.node(1).instance;
  const events: KernelEvent[] = [];
  const unlisten = networks.kernel({ netns }).listen((event) => events.push(event));
  const monitor = watch(netns, 'ip');
  await sleep(200);
  const link = (await networks.read(netns))?.links.find(({ name }) => isLinkName(name))?.name ?? '';
  let mtu = 8_000;
  await until('ip monitor hears of a pod’s link', async () => {
    await networks.apply([{ do: 'set-link', at: 'host', link: { name: link, mtu: mtu++ } }], { netns });
    return monitor.heard().some((line) => line.includes(link));
  });
  await monitor.stop();
  await world.add(world.node(1), 1);
  await sleep(700);
  unlisten();
  expect(events.map((event) => (event.kind === 'changed' ? event.what : event.kind))).toEqual(
    expect.arrayContaining(['route', 'neighbour']),
  );
});
