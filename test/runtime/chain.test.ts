/**
 * Plugins chained behind us by a real runtime: they find pod and host link in our result, and the runtime's capabilities,
 * whatever the case of their keys, reach them and us. On node-1 the daemon's own list, with `portmap`; on node-2 one made by
 * hand that leaves rates to the reference plugin `bandwidth`, and ends as nerdctl's does: with `firewall` and `tuning`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLinkName } from '../../src/core/link-name.ts';
import { CONFLIST_NAME, NETWORK_NAME } from '../../src/install/conflist.ts';
import { runIn } from '../../src/lab/launch.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { startEcho } from '../../src/lab/probe/echo.ts';
import { probeTcp } from '../../src/lab/probe/probe.ts';
import { found, until } from '../lab/pod-lab.ts';
import { FAMILIES, ownAddress } from '../lab/world.ts';
import { installedRuntimes } from './installed.ts';
import { cachedAttachment } from './libcni.ts';
import { RuntimeLab, type RuntimeNode, type Sandbox } from './runtime-lab.ts';

const LIMIT_MS = 60_000;
const HOST_PORT = 30_080;
const POD_PORT = 8_080;
const MEGABIT = 1_000_000;
const TO_POD = 20 * MEGABIT;
const FROM_POD = 10 * MEGABIT;

/** As `tc` prints it: bytes a second. */
interface Qdisc {
  readonly kind: string;
  readonly dev: string;
  readonly options: { readonly rate: number };
}

const CHAINED = ['portmap', 'bandwidth', 'firewall', 'tuning'];
const SYSCTL = 'net/core/somaxconn';
const SYSCTL_VALUE = '511';

const isOwnList = ({ name }: LabNode): boolean => name === 'node-1';
const listsOf = (node: LabNode): string =>
  isOwnList(node) ? node.folder.cniConf : join(node.folder.path, 'net.d.chain');

describe.each([...(await installedRuntimes())])('$name', (runtime) => {
  let lab: RuntimeLab;
  let sandboxes: ReadonlyMap<RuntimeNode, Sandbox>;

  beforeAll(async () => {
    lab = await RuntimeLab.up(runtime, { nodeCount: 2, plugins: CHAINED, conflists: listsOf });
    writeChain(listsOf(lab.node(2).node));
    sandboxes = new Map(await Promise.all(lab.nodes.map(async (node) => [node, await run(node)] as const)));
  }, LIMIT_MS);
  afterAll(() => lab.down(), LIMIT_MS);

  function writeChain(folder: string): void {
    const plugins = [
      { type: 'underway' },
      { type: 'portmap', capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
      { type: 'firewall' },
      { type: 'tuning', sysctl: { [SYSCTL.replaceAll('/', '.')]: SYSCTL_VALUE } },
    ];
    // A runtime that finds 1.1.0 in `cniVersions` speaks it to the whole chain, and Debian 12's plugins refuse it.
    writeFileSync(join(folder, CONFLIST_NAME), JSON.stringify({ cniVersion: '1.0.0', name: NETWORK_NAME, plugins }));
  }

  async function run(node: RuntimeNode): Promise<Sandbox> {
    const config = node.config({
      port_mappings: [{ protocol: 'TCP', container_port: POD_PORT, host_port: HOST_PORT }],
      annotations: { 'kubernetes.io/ingress-bandwidth': '20M', 'kubernetes.io/egress-bandwidth': '10M' },
    });
    await until('the network is ready', async () => (await node.containerd.cri.networkReady()).status);
    return node.run(config);
  }

  const sandboxOf = (node: RuntimeNode): Sandbox => found(sandboxes.get(node), `sandbox of ${node.name}`);

  async function print(netns: string, ...command: string[]): Promise<string> {
    const { code, stdout, stderr } = await runIn(netns, command);
    expect({ command, code, stderr }).toMatchObject({ code: 0 });
    return stdout;
  }

  /** Bits a second by link. */
  async function ratesIn(netns: string): Promise<Readonly<Record<string, number>>> {
    const qdiscs: readonly Qdisc[] = JSON.parse(await print(netns, 'tc', '-j', 'qdisc', 'show'));
    return Object.fromEntries(
      qdiscs.flatMap(({ kind, dev, options }) => (kind === 'tbf' ? [[dev, options.rate * 8]] : [])),
    );
  }

  const firewallOf = async ({ node }: RuntimeNode): Promise<string> => {
    const { netns } = node.instance;
    return `${await print(netns, 'iptables-save', '-t', 'filter')}${await print(netns, 'ip6tables-save', '-t', 'filter')}`;
  };

  test(
    'the runtime writes the keys of its capabilities in its own way',
    () => {
      const { runtimeConfig } = cachedAttachment(sandboxOf(lab.node(2)).id).config;
      expect(runtimeConfig).toMatchObject({
        portMappings: [{ HostPort: HOST_PORT, ContainerPort: POD_PORT }],
        bandwidth: { IngressRate: TO_POD, EgressRate: FROM_POD },
      });
    },
    LIMIT_MS,
  );

  test.each([1, 2])(
    'a VM reaches the pod at the address of node-%i and its host port, and is seen as itself',
    async (n) => {
      const node = lab.node(n);
      const { netns } = sandboxOf(node);
      const echo = await startEcho(lab.lab.networks, { netns, name: 'pod', port: POD_PORT });
      try {
        const primaryOf = (id: typeof lab.vm.id) => found(lab.lab.cloud.truth.enisOf(id)[0], 'primary ENI');
        for (const family of FAMILIES) {
          const to = ownAddress(primaryOf(node.node.instance.id), family);
          const answer = await probeTcp({ netns: lab.vm.netns, to, port: HOST_PORT });
          const source = ownAddress(primaryOf(lab.vm.id), family);
          expect(answer).toMatchObject({ ok: true, said: expect.stringContaining(source) });
        }
      } finally {
        await echo.close();
      }
    },
    LIMIT_MS,
  );

  test(
    'the rates of the pod’s annotations are in force: ours at both ends of its link',
    async () => {
      const { node } = lab.node(1);
      expect(Object.values(await ratesIn(node.instance.netns))).toEqual([TO_POD]);
      expect(await ratesIn(sandboxOf(lab.node(1)).netns)).toEqual({ eth0: FROM_POD });
    },
    LIMIT_MS,
  );

  test(
    '`bandwidth` finds our host link, and makes a device for the other way',
    async () => {
      const rates = Object.entries(await ratesIn(lab.node(2).node.instance.netns));
      expect(rates.flatMap(([link, rate]) => (isLinkName(link) ? [rate] : []))).toEqual([TO_POD]);
      expect(rates.flatMap(([link, rate]) => (isLinkName(link) ? [] : [rate]))).toEqual([FROM_POD]);
      expect(await ratesIn(sandboxOf(lab.node(2)).netns)).toEqual({});
    },
    LIMIT_MS,
  );

  test(
    '`firewall` lets our addresses through, and `tuning` sets what it was told in the pod',
    async () => {
      const { netns, addresses } = sandboxOf(lab.node(2));
      const rules = await firewallOf(lab.node(2));
      for (const address of addresses) expect(rules).toContain(address);
      expect((await print(netns, 'cat', `/proc/sys/${SYSCTL}`)).trim()).toBe(SYSCTL_VALUE);
    },
    LIMIT_MS,
  );

  test.each([1, 2])(
    'removed from node-%i: neither a rate, a device, a port nor a rule of theirs is left',
    async (n) => {
      const node = lab.node(n);
      const { netns } = node.node.instance;
      expect(await print(netns, 'iptables-save', '-t', 'nat')).toContain(`${HOST_PORT}`);
      await node.remove([sandboxOf(node).id]);
      expect(await node.count([])).toMatchObject({ leaked: 0 });
      expect(await lab.leftovers(node)).toEqual([]);
      expect(await ratesIn(netns)).toEqual({});
      expect(await print(netns, 'iptables-save', '-t', 'nat')).not.toContain(`${HOST_PORT}`);
      for (const address of sandboxOf(node).addresses) expect(await firewallOf(node)).not.toContain(`${address}/`);
    },
    LIMIT_MS,
  );
});
