/**
 * Whatever ends in the middle: kubelet's patience, the runtime, the daemon. No address is lost, doubled or leaked. GC ends
 * what its runtime's list lacks, but nothing that is younger than a minute: the runtimes live side by side here, so that
 * it is waited for once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ip } from '../../src/core/ip.ts';
import { NETWORK_NAME } from '../../src/install/conflist.ts';
import { ping } from '../../src/lab/probe/probe.ts';
import { found, until } from '../lab/pod-lab.ts';
import type { SandboxConfig } from './cri.ts';
import { installedRuntimes, type Runtime } from './installed.ts';
import { cachedAttachment, check, gc } from './libcni.ts';
import { RuntimeLab, type RuntimeNode, type Sandbox } from './runtime-lab.ts';

const LIMIT_MS = 120_000;
const BURST = 24;
/** So long an ADD that finds no address has to wait for the cloud, and so long kubelet waits for that ADD. */
const CLOUD_MS = 3_000;
const PATIENCE_MS = 2_000;
/** An assign that a killed daemon may have sent is waited for, and read until two reads agree. */
const RESUMED_MS = 60_000;
/** src/core/requests.ts, src/protocol/error.ts. */
const GC_AGE_MIN_MS = 60_000;
const CODE_NOT_AS_WIRED = 101;

const runtimes = await installedRuntimes();
const labs = new Map<Runtime, RuntimeLab>();
/** Two that run from the first test to the last. */
const lasting = new Map<Runtime, readonly Sandbox[]>();
let lastingMs = 0;

beforeAll(async () => {
  const daemonConfig = {
    cooldownMs: 1_000,
    cooldownUnderPressureMs: 1_000,
    pool: { targets: { floor: 2, headroom: 0, ceiling: 50 } },
  };
  for (const runtime of runtimes) labs.set(runtime, await RuntimeLab.up(runtime, { daemonConfig }));
  for (const runtime of runtimes) lasting.set(runtime, await nodeOf(runtime).runMany(2));
  lastingMs = performance.now();
}, LIMIT_MS);
afterAll(async () => {
  const ends = await Promise.allSettled([...labs.values()].map((lab) => lab.down()));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}, LIMIT_MS);

const labOf = (runtime: Runtime): RuntimeLab => found(labs.get(runtime), runtime.name);
const nodeOf = (runtime: Runtime): RuntimeNode => labOf(runtime).node(1);
const lastingOf = (runtime: Runtime): readonly Sandbox[] => lasting.get(runtime) ?? [];
const idsOf = (sandboxes: readonly Sandbox[]): string[] => sandboxes.map(({ id }) => id).toSorted();
const addressesOf = (sandboxes: readonly Sandbox[]): string[] =>
  sandboxes.flatMap(({ addresses }) => addresses).toSorted();

/** Every call of the cloud takes its time, until that is healed. */
function slowCloud(runtime: Runtime): () => void {
  const { cloud } = labOf(runtime).lab;
  return cloud.faults.arm({ kind: 'latency', factor: 1, plusMs: CLOUD_MS }, {});
}

/**
 * Whether the sandbox was not up before kubelet's patience ended, of which the runtime is told: what is heard of it first is
 * the client's own error or the runtime's. Rejects when it failed earlier.
 */
async function givesUp(
  { containerd }: RuntimeNode,
  { config, patienceMs }: { readonly config: SandboxConfig; readonly patienceMs: number },
): Promise<boolean> {
  const endMs = Date.now() + patienceMs;
  try {
    await containerd.cri.run(config, patienceMs);
    return false;
  } catch (error) {
    if (Date.now() < endMs) throw error;
    return true;
  }
}

/** Runtime, daemon, kernel and cloud know of these and of no others; each answers. */
async function expectOnly(runtime: Runtime, sandboxes: readonly Sandbox[]): Promise<void> {
  const node = nodeOf(runtime);
  await until('its daemon has only theirs', async () => (await node.leased()).join() === addressesOf(sandboxes).join());
  expect((await node.ids()).toSorted()).toEqual(idsOf(sandboxes));
  expect(await node.count(sandboxes)).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
  expect(node.namespaces().toSorted()).toEqual(sandboxes.map(({ netns }) => netns).toSorted());
  for (const to of addressesOf(sandboxes) as Ip[])
    expect(await ping({ netns: labOf(runtime).vm.netns, to })).toMatchObject({ ok: true });
}

/**
 * containerd 2.4 lists a sandbox again after its restart, as not ready, that was given up while its task began and removed
 * since: its container could not be deleted then ("cannot delete running task"). No address is behind it. kubelet removes it.
 */
async function removeRelics(runtime: Runtime, known: readonly Sandbox[]): Promise<void> {
  const node = nodeOf(runtime);
  expect(await node.leased()).toEqual(addressesOf(known));
  const ids = idsOf(known);
  await node.remove((await node.ids()).filter((id) => !ids.includes(id)));
}

describe.each([...runtimes])('$name', (runtime) => {
  test(
    'kubelet gives up while the ADD waits for the cloud: the plugin is killed, nothing waits or leaks',
    async () => {
      const node = nodeOf(runtime);
      const heal = slowCloud(runtime);
      const config = node.config();
      const givenUp = givesUp(node, { config, patienceMs: PATIENCE_MS });
      await until('it waits', async () => (await node.waiting()) === 1);
      expect(await givenUp).toBe(true);
      await until('the plugin is killed', () => node.containerd.said('signal: killed').length > 0);
      await until('nobody waits', async () => (await node.waiting()) === 0);
      await until('its namespace is gone', () => node.namespaces().length === lastingOf(runtime).length);
      heal();
      await expectOnly(runtime, lastingOf(runtime));
      const again = await node.run({ ...config, metadata: { ...config.metadata, attempt: 1 } });
      await expectOnly(runtime, [...lastingOf(runtime), again]);
      await node.remove([again.id]);
    },
    LIMIT_MS,
  );

  test(
    'the runtime is killed while ADDs wait: it lists them when it is back, and removed they are gone',
    async () => {
      const node = nodeOf(runtime);
      const heal = slowCloud(runtime);
      const waiting = Promise.allSettled(Array.from({ length: 8 }, () => node.run()));
      await until('most wait', async () => (await node.waiting()) >= 5);
      await node.containerd.end('SIGKILL');
      heal();
      const cut = (await waiting).filter(({ status }) => status === 'rejected');
      expect(cut.length).toBeGreaterThanOrEqual(5);
      await node.containerd.start();
      const kept = idsOf(lastingOf(runtime));
      const mine = (await node.ids()).filter((id) => !kept.includes(id));
      expect(mine.length).toBeGreaterThanOrEqual(5);
      await node.remove(mine);
      await until('the cloud has answered', async () => (await node.calling()) === 0);
      await expectOnly(runtime, lastingOf(runtime));
    },
    LIMIT_MS,
  );

  test(
    'kubelet gives up at any moment of a sandbox’s making: what came up is removed, of the rest nothing is left',
    async () => {
      const node = nodeOf(runtime);
      let late = 0;
      await Promise.all(
        Array.from({ length: BURST }, async (_, n) => {
          await sleep(n * 20);
          if (await givesUp(node, { config: node.config(), patienceMs: 10 + n * 60 })) late++;
        }),
      );
      expect(late).toBeGreaterThan(0);
      const kept = new Set(idsOf(lastingOf(runtime)));
      await until('what is half made is ended', async () => {
        await node.remove((await node.ids()).filter((id) => !kept.has(id)));
        return node.namespaces().length === kept.size;
      });
      console.log(`${runtime.name}: ${late} of ${BURST} sandboxes were given up`);
      await expectOnly(runtime, lastingOf(runtime));
    },
    LIMIT_MS,
  );

  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'the runtime is restarted (%s): its sandboxes run on, and can be removed',
    async (signal) => {
      const node = nodeOf(runtime);
      const mine = await node.runMany(2);
      await node.containerd.end(signal);
      for (const to of addressesOf(mine) as Ip[])
        expect(await ping({ netns: labOf(runtime).vm.netns, to })).toMatchObject({ ok: true });
      await node.containerd.start();
      await removeRelics(runtime, [...lastingOf(runtime), ...mine]);
      await expectOnly(runtime, [...lastingOf(runtime), ...mine]);
      expect((await node.look(mine[0]?.id ?? '')).addresses).toEqual(mine[0]?.addresses);
      await node.remove(idsOf(mine));
      await expectOnly(runtime, lastingOf(runtime));
    },
    LIMIT_MS,
  );

  test(
    'the daemon is killed twice in a burst: every sandbox comes up, with an address of its own',
    async () => {
      const node = nodeOf(runtime);
      const { daemon } = node.node;
      const burst = node.runMany(BURST);
      for (const moment of [BURST / 4, BURST / 2]) {
        const isReached = async () => (await node.ids()).length >= lastingOf(runtime).length + moment;
        await until(`${moment} are up`, isReached, RESUMED_MS);
        await daemon.kill();
        daemon.start();
        await daemon.ready();
      }
      const mine = await burst;
      expect(new Set(addressesOf(mine)).size).toBe(2 * BURST);
      await expectOnly(runtime, [...lastingOf(runtime), ...mine]);
      await node.remove(idsOf(mine));
      await expectOnly(runtime, lastingOf(runtime));
    },
    LIMIT_MS,
  );

  test(
    'CHECK, as CRI-O calls it after each ADD: yes to what ADD made, no to another result',
    async () => {
      const { node } = nodeOf(runtime);
      for (const { id, netns } of lastingOf(runtime)) {
        const attachment = cachedAttachment(id);
        expect(await check(node, attachment, netns)).toBeUndefined();
        const { prevResult } = attachment.config;
        const ips = prevResult.ips.map((ip) => ({
          ...ip,
          address: ip.address.replace(/[^.:]+\//, (last) => (last === '99/' ? '98/' : '99/')),
        }));
        const other = { ...attachment, config: { ...attachment.config, prevResult: { ...prevResult, ips } } };
        expect(await check(node, other, netns)).toMatchObject({ code: CODE_NOT_AS_WIRED });
      }
    },
    LIMIT_MS,
  );
});

describe.each([...runtimes])('GC with $name', (runtime) => {
  const validOf = (sandboxes: readonly Sandbox[]) => sandboxes.map(({ id }) => ({ containerID: id, ifname: 'eth0' }));

  test(
    'no list ends nothing, and none ends what is younger than a minute',
    async () => {
      const node = nodeOf(runtime);
      const young = await node.run();
      const leased = await node.leased();
      expect(await gc(node.node, NETWORK_NAME)).toBeUndefined();
      expect(await node.leased()).toEqual(leased);
      expect(await gc(node.node, NETWORK_NAME, validOf(lastingOf(runtime)))).toBeUndefined();
      expect(await node.leased()).toEqual(expect.arrayContaining([...young.addresses]));
      await node.remove([young.id]);
    },
    LIMIT_MS,
  );

  test(
    'what is not in the list is ended, and its runtime may still remove it',
    async () => {
      const node = nodeOf(runtime);
      const stays = found(lastingOf(runtime)[0], 'sandbox');
      await sleep(Math.max(0, lastingMs + GC_AGE_MIN_MS - performance.now()));
      expect(await gc(node.node, NETWORK_NAME, validOf([stays]))).toBeUndefined();
      await until('only one is left', async () => (await node.leased()).join() === addressesOf([stays]).join());
      await node.remove(idsOf(lastingOf(runtime)).filter((id) => id !== stays.id));
      await expectOnly(runtime, [stays]);
    },
    LIMIT_MS,
  );
});
