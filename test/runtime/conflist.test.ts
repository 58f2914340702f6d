/** When the runtime calls the node's network ready: by the conflist, and since CNI 1.1 by the plugin's STATUS. */
import { copyFileSync, readdirSync, renameSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFLIST_NAME } from '../../src/install/conflist.ts';
import { until } from '../lab/pod-lab.ts';
import { installedRuntimes } from './installed.ts';
import { RuntimeLab, type RuntimeNode } from './runtime-lab.ts';

const LIMIT_MS = 60_000;
const CEILING = 6;
const ROUNDS = 5;
const REWRITE_MS = 10;
/** A daemon that is away for longer is dead (src/cni/state.h). */
const DEAD_S = 120;

describe.each([...(await installedRuntimes())])('$name', (runtime) => {
  /** CNI 1.1 came with version 2. */
  const asksStatus = runtime.major >= 2;
  let lab: RuntimeLab;
  let node: RuntimeNode;

  beforeAll(async () => {
    lab = await RuntimeLab.up(runtime, {
      vmCount: 0,
      daemons: false,
      daemonConfig: {
        cooldownMs: 1_000,
        cooldownUnderPressureMs: 1_000,
        pool: { targets: { floor: CEILING, headroom: 0, ceiling: CEILING } },
      },
    });
    node = lab.node(1);
  }, LIMIT_MS);
  afterAll(() => lab.down(), LIMIT_MS);

  const isReady = async () => (await node.containerd.cri.networkReady()).status;
  const messageOf = async () => (await node.containerd.cri.networkReady()).message;

  /** As the daemon does: complete, under a name that no runtime reads, then renamed in its own folder. */
  function rewrite(): void {
    const list = join(node.node.folder.cniConf, CONFLIST_NAME);
    copyFileSync(list, `${list}.draft`);
    renameSync(`${list}.draft`, list);
  }

  test(
    'without a conflist the network is not ready; the daemon writes one as soon as it can serve, and it is',
    async () => {
      expect(await node.containerd.cri.networkReady()).toMatchObject({ status: false });
      expect(await messageOf()).toContain('cni plugin not initialized');
      await expect(node.run()).rejects.toThrow('cni plugin not initialized');
      node.node.daemon.start();
      await until('the network is ready', isReady);
      await node.remove([(await node.run()).id]);
    },
    LIMIT_MS,
  );

  test(
    'rewritten again and again while sandboxes come and go: each comes up, and goes',
    async () => {
      let churning = true;
      const churn = (async () => {
        for (let round = 0; round < ROUNDS; round++) await node.remove((await node.runMany(3)).map(({ id }) => id));
      })().finally(() => {
        churning = false;
      });
      let rewrites = 0;
      for (; churning; rewrites++) {
        rewrite();
        await sleep(REWRITE_MS);
      }
      await churn;
      expect(rewrites).toBeGreaterThan(ROUNDS);
      expect(await isReady()).toBe(true);
      expect(await node.leased()).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'STATUS is asked with each look at the runtime’s state, from version 2 on',
    async () => {
      const before = await node.answered('STATUS');
      for (let n = 0; n < 5; n++) expect(await isReady()).toBe(true);
      expect((await node.answered('STATUS')) - before).toBe(asksStatus ? 5 : 0);
    },
    LIMIT_MS,
  );

  test(
    'a full node is a ready node, and the sandbox is told why it gets no address',
    async () => {
      const sandboxes = await node.runMany(CEILING);
      await expect(node.run()).rejects.toThrow(/CEILING|ceiling/);
      expect(await isReady()).toBe(true);
      await node.remove(sandboxes.map(({ id }) => id));
    },
    LIMIT_MS,
  );

  test(
    'the daemon stops: the conflist stays, the node is ready, sandboxes are removed, and new ones wait for the next daemon',
    async () => {
      const { daemon, folder: files } = node.node;
      const [gone] = await node.runMany(1);
      const conflists = readdirSync(files.cniConf);
      await daemon.stop();
      expect(readdirSync(files.cniConf)).toEqual(conflists);
      expect(await isReady()).toBe(true);
      await node.remove([gone?.id ?? '']);
      expect(readdirSync(join(files.state, 'del'))).not.toEqual([]);
      const next = node.run();
      daemon.start();
      const { id, addresses } = await next;
      await until('only the new one has addresses', async () => `${await node.leased()}` === `${addresses.toSorted()}`);
      await node.remove([id]);
    },
    LIMIT_MS,
  );

  test(
    'a daemon that is dead for two minutes: not ready by STATUS, until there is another',
    async () => {
      const { daemon, folder: files } = node.node;
      await daemon.kill();
      expect(await isReady()).toBe(true);
      const longAgo = Date.now() / 1_000 - DEAD_S;
      utimesSync(join(files.state, 'heartbeat'), longAgo, longAgo);
      expect(await isReady()).toBe(!asksStatus);
      if (asksStatus) expect(await messageOf()).toContain('the Underway daemon cannot be reached');
      daemon.start();
      await until('the network is ready', isReady);
      await daemon.ready();
    },
    LIMIT_MS,
  );
});
