/** A pod's packet leaves by the ENI that has its address; without our rules it leaves by another, and is dropped there. */
import type { RuleObject } from '../../../src/datapath/kernel-state.ts';
import { PROTOCOL } from '../../../src/datapath/numbering.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { ping, probeTcp } from '../../../src/lab/probe/probe.ts';
import { found } from '../pod-lab.ts';
import { dropsSince } from '../stand.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';
import { linkCounters } from './counters.ts';

const SILENT_MS = 300;
const PINGS = 5;
let world: World;
let pod: DemoPod;

beforeAll(async () => {
  world = await World.up({
    nodeCount: 1,
    vmCount: 2,
    instanceType: 't3.medium',
    daemonConfig: { pool: { primaryEni: 'skip', targets: { floor: 2, headroom: 0, ceiling: 10 } } },
  });
  pod = found((await world.add(world.node(1), 1))[0], 'pod');
  for (const { netns, name } of world.lab.vms) await world.listen(netns, name);
}, 60_000);

afterAll(() => world.down(), 30_000);

/** What chooses an ENI. */
async function eniRules(): Promise<RuleObject[]> {
  const state = await world.lab.networks.read(world.node(1).instance.netns);
  return (state?.objects ?? []).filter(
    (object): object is RuleObject => object.kind === 'rule' && object.protocol === PROTOCOL,
  );
}

test.each(FAMILIES)('IPv%i packets of a pod go out and come in by the ENI of its address', async (family) => {
  const { netns } = world.node(1).instance;
  const eni = `eth${world.eniOf(pod).attachment?.deviceIndex}`;
  expect(eni).not.toBe('eth0');
  for (const vm of world.lab.vms) {
    const to = ownAddress(world.primaryOf(vm), family);
    const before = linkCounters(netns);
    for (let n = 0; n < PINGS; n++) expect(await ping({ netns: pod.netns, to })).toMatchObject({ ok: true });
    const after = linkCounters(netns);
    const [sent, received] = (['sent', 'received'] as const).map(
      (way) => (after[eni]?.[way] ?? 0) - (before[eni]?.[way] ?? 0),
    );
    expect(sent).toBeGreaterThanOrEqual(PINGS);
    expect(received).toBeGreaterThanOrEqual(PINGS);
  }
});

test.each(FAMILIES)(
  'without our rules the fabric drops them (IPv%i), and with the rules back they pass',
  async (family) => {
    const { daemon, instance } = world.node(1);
    const { networks } = world.lab;
    const targets = world.lab.vms.map((vm) => ({
      netns: pod.netns,
      to: ownAddress(world.primaryOf(vm), family),
      timeoutMs: SILENT_MS,
    }));
    await daemon.stop();
    const rules = await eniRules();
    expect(rules.filter((rule) => rule.family === family).length).toBeGreaterThanOrEqual(2);
    await networks.remove(instance.netns, rules);
    const before = await world.lab.drops();
    for (const target of targets) expect(await ping(target)).toMatchObject({ ok: false });
    // One echo request to each.
    expect(await dropsSince(world.lab, before)).toEqual({ [`source${family}`]: targets.length });
    await networks.put(instance.netns, rules);
    for (const target of targets)
      expect(await probeTcp(target)).toMatchObject({
        ok: true,
        said: expect.stringContaining(` saw ${addressOf(pod, family)}`),
      });
    daemon.start();
    await daemon.ready();
  },
  30_000,
);

test('a running daemon puts rules and routes that somebody removed back within a second', async () => {
  const [vm] = world.lab.vms;
  const to = ownAddress(world.primaryOf(found(vm, 'VM')), 4);
  const removed = await world.node(1).loseWays();
  expect(removed).toBeGreaterThanOrEqual(8);
  const beganMs = performance.now();
  let passed = false;
  while (!passed && performance.now() - beganMs < 1_000)
    passed = (await ping({ netns: pod.netns, to, timeoutMs: 50 })).ok;
  expect(passed).toBe(true);
  expect(await eniRules()).not.toEqual([]);
});

test("a pod's link that somebody set down on the node is up again within a second, with its routes", async () => {
  const { netns } = world.node(1).instance;
  const { networks } = world.lab;
  const state = await networks.read(netns);
  const { name } = found(
    state?.links.find(({ alias }) => alias.includes(` ${pod.containerId} `)),
    'link',
  );
  await networks.apply([{ do: 'set-link', at: 'host', link: { name, up: false } }], { netns });
  const beganMs = performance.now();
  for (const family of FAMILIES) {
    const target = { netns: found(world.lab.vms[0], 'VM').netns, to: addressOf(pod, family), timeoutMs: 50 };
    let passed = false;
    while (!passed && performance.now() - beganMs < 1_000) passed = (await ping(target)).ok;
    expect(passed).toBe(true);
  }
});
