/** Sandboxes of a real container runtime: each has an address of the VPC and answers at it, and goes without a trace. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { familyOf, type Ip } from '../../src/core/ip.ts';
import { ping } from '../../src/lab/probe/probe.ts';
import { FAMILIES } from '../lab/world.ts';
import { installedRuntimes } from './installed.ts';
import { RuntimeLab, type RuntimeNode, type Sandbox } from './runtime-lab.ts';

const EACH = 50;
const LIMIT_MS = 60_000;

const addressOf = ({ addresses }: Sandbox, family: 4 | 6): Ip =>
  (addresses as Ip[]).find((ip) => familyOf(ip) === family) ?? ('' as Ip);

describe.each([...(await installedRuntimes())])('$name', (runtime) => {
  let lab: RuntimeLab;
  let sandboxes: Sandbox[][];

  beforeAll(async () => {
    lab = await RuntimeLab.up(runtime, {
      nodeCount: 2,
      instanceType: 'm5.4xlarge',
      daemonConfig: { pool: { targets: { floor: 8, headroom: 8, ceiling: 200 } } },
    });
  }, LIMIT_MS);
  afterAll(() => lab.down(), LIMIT_MS);

  /** Who of them did not answer, as `from 10.0.16.6 to 10.0.16.7: no answer in 1500 ms`. */
  async function silent(pairs: readonly { readonly from: string; readonly to: Sandbox }[]): Promise<string[]> {
    const asked = pairs.flatMap(({ from, to }) => FAMILIES.map((family) => ({ from, to: addressOf(to, family) })));
    const answers = await Promise.all(asked.map(({ from, to }) => ping({ netns: from, to })));
    return answers.flatMap((answer, at) => (answer.ok ? [] : [`to ${asked[at]?.to}: ${answer.why}`]));
  }

  test(
    `${EACH} sandboxes a node, all at once: each with addresses of its own`,
    async () => {
      const beganMs = performance.now();
      sandboxes = await Promise.all(lab.nodes.map((node) => node.runMany(EACH)));
      const addresses = sandboxes.flat().flatMap((sandbox) => sandbox.addresses);
      console.log(`${runtime.name}: ${2 * EACH} sandboxes in ${Math.round(performance.now() - beganMs)} ms`);
      expect(addresses).toHaveLength(2 * EACH * FAMILIES.length);
      expect(new Set(addresses).size).toBe(addresses.length);
      for (const [n, node] of lab.nodes.entries()) {
        expect(await node.count(sandboxes[n] ?? [])).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
      }
    },
    LIMIT_MS,
  );

  test(
    'each answers a VM, and another node’s sandboxes both ways',
    async () => {
      const [here = [], there = []] = sandboxes;
      const mates = here.flatMap((one, at) => {
        const other = there[at];
        return other === undefined ? [] : [{ one, other }];
      });
      expect(mates).toHaveLength(EACH);
      expect(await silent(sandboxes.flat().map((to) => ({ from: lab.vm.netns, to })))).toEqual([]);
      expect(await silent(mates.map(({ one, other }) => ({ from: one.netns, to: other })))).toEqual([]);
      expect(await silent(mates.map(({ one, other }) => ({ from: other.netns, to: one })))).toEqual([]);
    },
    LIMIT_MS,
  );

  test(
    'stopped twice, then removed: DEL comes again without a namespace, and nothing is left',
    async () => {
      const node = lab.node(1);
      const { cri } = node.containerd;
      const [first, ...others] = sandboxes[0] ?? [];
      const before = await node.answered('DEL');
      const ended = [first, ...others.slice(0, 4)].flatMap((sandbox) => sandbox ?? []);
      for (const { id } of ended) {
        await cri.stop(id);
        await cri.stop(id);
        await cri.remove(id);
        await cri.remove(id);
      }
      // A stop, another, and a remove: each with a DEL of its own.
      expect(await node.answered('DEL')).toBe(before + 3 * ended.length);
      const left = (sandboxes[0] ?? []).filter((sandbox) => !ended.includes(sandbox));
      expect(await node.count(left)).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
      expect(await node.leased()).toEqual(left.flatMap(({ addresses }) => addresses).toSorted());
      expect((await node.ids()).toSorted()).toEqual(left.map(({ id }) => id).toSorted());
    },
    LIMIT_MS,
  );

  test(
    'all removed: neither a link, a rule nor a route of theirs is there, and no address is leased',
    () => removeAll(lab.node(1)),
    LIMIT_MS,
  );

  test(
    'the node boots: its sandboxes are dead, their addresses rest, and the runtime can still end them',
    async () => {
      const node = lab.node(2);
      const old = sandboxes[1] ?? [];
      await node.reboot();
      expect(await node.leased()).toEqual([]);
      expect([...(await node.containerd.cri.list()).values()]).toEqual(Array(EACH).fill('SANDBOX_NOTREADY'));
      const anew = await node.runMany(4);
      const resting = old.flatMap(({ addresses }) => addresses);
      expect(anew.flatMap(({ addresses }) => addresses).filter((address) => resting.includes(address))).toEqual([]);
      expect(await silent(anew.map((to) => ({ from: lab.vm.netns, to })))).toEqual([]);
      await node.remove(old.map(({ id }) => id));
      expect(await node.count(anew)).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
      await removeAll(node);
    },
    LIMIT_MS,
  );

  async function removeAll(node: RuntimeNode): Promise<void> {
    await node.remove(await node.ids());
    expect(await node.leased()).toEqual([]);
    expect(await node.count([])).toMatchObject({ leaked: 0 });
    expect(await lab.leftovers(node)).toEqual([]);
    expect(readdirSync(join(node.node.folder.state, 'del'))).toEqual([]);
  }
});
