/**
 * Somebody removes what is ours, on the host and in pods, while packets flow: each object that the plans want, one by one,
 * and all at once. Packets flow again within a second, everything is as it was, and one line names what was missing.
 *
 * A machine under load may be late: what took longer than a second is done once more, and said.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import type { Mac } from '../../../src/core/brand.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { podPlan } from '../../../src/core/lease.ts';
import type { NodePlan, PodPlan } from '../../../src/core/plan.ts';
import type { Rows, Table } from '../../../src/core/rows.ts';
import { State, TABLES, Tx } from '../../../src/core/state.ts';
import { nodePlan } from '../../../src/core/sync.ts';
import { Turn } from '../../../src/core/turn.ts';
import type { KernelObject, KernelState, LinkChange } from '../../../src/datapath/kernel-state.ts';
import { MAIN_TABLE, NFT_TABLE, PROTOCOL } from '../../../src/datapath/numbering.ts';
import { objectText } from '../../../src/datapath/object-text.ts';
import { secondaryEnis } from '../../../src/datapath/veth/node.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { runCni } from '../../../src/lab/demo/cni.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { runIn } from '../../../src/lab/launch.ts';
import { found, logOf, until } from '../pod-lab.ts';
import { addressOf, FAMILIES, ownAddress, World } from '../world.ts';
import { Stream, type Way } from './stream.ts';

const LIMIT_MS = 1_000;
/** Before a change, so that packets are known to flow. */
const SETTLE_MS = 100;
const TOLD_WITHIN_MS = 10_000;
const PODS = 3;
const OTHER_MAC = '02:00:00:00:00:77' as Mac;
/** What the kernel tells nobody of is looked for every 30 s; test/kernel/veth.test.ts has it. */
const QUIET = /accept_ra|addr_gen_mode|use_oif_addrs_only/;
let world: World;
let pods: DemoPod[] = [];
let besides: DemoPod[] = [];

beforeAll(async () => {
  world = await World.up({
    nodeCount: 1,
    vmCount: 1,
    instanceType: 'm5.large',
    daemonConfig: {
      cooldownMs: 1_000,
      pool: { primaryEni: 'skip', targets: { floor: 9, headroom: 0, ceiling: 9 } },
    },
  });
  await freshPods();
}, 60_000);

afterAll(async () => {
  await deletePods();
  await world.down();
}, 30_000);

/** Each with an interface beside its first; nothing was ever put back in them. */
async function freshPods(): Promise<void> {
  await deletePods();
  pods = await world.add(world.node(1), PODS);
  besides = await Promise.all(
    pods.map(async (pod) => {
      const { error, addresses } = await runCni(pod.host.plugin, 'ADD', { ...pod, ifname: 'net1' });
      expect(error).toBeUndefined();
      return { ...pod, name: `${pod.name} net1`, addresses };
    }),
  );
  await until('the daemon is at rest', async () => {
    const [runtime] = (await page()).runtime;
    return runtime?.sync.done === runtime?.sync.wanted;
  });
}

/** Three repairs in a row are made at once in a pod; with its ADD repeated a new row begins. */
async function forgiven(): Promise<void> {
  const again = (pod: DemoPod, ifname: string) => runCni(pod.host.plugin, 'ADD', { ...pod, ifname });
  const answers = await Promise.all(pods.flatMap((pod) => [again(pod, 'eth0'), again(pod, 'net1')]));
  expect(answers.flatMap(({ error }) => error ?? [])).toEqual([]);
}

async function deletePods(): Promise<void> {
  for (const pod of pods) await runCni(pod.host.plugin, 'DEL', { ...pod, ifname: 'net1' });
  expect(await world.pods.remove([...pods], PODS)).toEqual([]);
  pods = [];
}

const page = async () =>
  JSON.parse((await world.node(1).daemon.get('/v1/state'))?.body ?? '{}') as { readonly [T in Table]: Rows[T][] };

/** What the daemon wants of the kernel, by its own rows. */
async function plans(): Promise<{ readonly node: NodePlan; readonly pods: readonly PodPlan[] }> {
  const rows = await page();
  const state = new State();
  const tx = new Tx(state);
  const put = <T extends Table>(table: T): void => {
    for (const row of rows[table]) tx.put(table, row);
  };
  for (const table of TABLES) put(table);
  const turn = new Turn(tx, { nowMs: 0, wallMs: 0, capabilities: ec2Capabilities(AWS_2026) });
  return { node: nodePlan(turn), pods: state.leasesIn('ready').map((lease) => podPlan(turn, lease)) };
}

const host = () => world.node(1).instance.netns;

async function read(netns: string): Promise<KernelState> {
  const nftTables = netns === host() ? [NFT_TABLE] : [];
  const { links, objects } = found(await world.lab.networks.read(netns, { nftTables }), netns);
  // To others' eyes the daemon's table is another's.
  return {
    links,
    objects: objects.map((object) => (object.kind === 'nft-table' ? { ...object, owned: true } : object)),
  };
}

/** What is not as it is wanted, on the host and in every pod. */
async function wrongs(): Promise<string[]> {
  const wanted = await plans();
  const actual = await read(host());
  const node = veth.diffNode(wanted.node, actual).map((step) => JSON.stringify(step));
  const checked = wanted.pods.map(async (plan) => veth.checkPod(plan, { host: actual, pod: await read(plan.netns) }));
  return [...node, ...(await Promise.all(checked)).flat()];
}

interface Told {
  readonly atMs: number;
  readonly missing: readonly string[];
}

function told(): Told[] {
  return logOf(world.node(1), '"reason":"DATAPATH_REPAIRED"').map((line) => {
    const { time, missing } = JSON.parse(line) as { readonly time: string; readonly missing: readonly string[] };
    return { atMs: Date.parse(time), missing };
  });
}

async function repairs(): Promise<number> {
  const text = (await world.node(1).daemon.get('/metrics'))?.body ?? '';
  return Number(/^underway_datapath_repairs_total (\d+)$/m.exec(text)?.[1]);
}

/** From the VM and another pod to the pod, and back from its first interface. */
function ways(pod: DemoPod): Way[] {
  const vm = world.vm(1);
  const other = found(
    pods.find(({ netns }) => netns !== pod.netns),
    'another pod',
  );
  return FAMILIES.flatMap((family): Way[] => {
    const to = addressOf(pod, family);
    const [out, across] = [ownAddress(world.primaryOf(vm), family), addressOf(other, family)];
    return [
      { name: `vm to ${pod.name} IPv${family}`, netns: vm.netns, to },
      { name: `${other.name} to ${pod.name} IPv${family}`, netns: other.netns, to },
      { name: `${pod.name} to vm IPv${family}`, netns: pod.netns, to: out },
      { name: `${pod.name} to ${other.name} IPv${family}`, netns: pod.netns, to: across },
    ];
  });
}

interface Cut {
  readonly name: string;
  readonly pod: DemoPod;
  /** Does the damage; what the kernel does not let others do throws. */
  readonly strike: () => Promise<unknown>;
  /** Of what the line has to name. */
  readonly says: readonly string[];
  /** How many lines there are, where it is not one: at least, at most. */
  readonly lines?: readonly [number, number];
}

/** What is wrong with the repair; empty when it was within a second and told once. */
async function tried({ pod, strike, says, lines: [least, most] = [1, 1] }: Cut): Promise<string[]> {
  const [lines, count] = [told().length, await repairs()];
  const streams = await Promise.all(ways(pod).map((way) => Stream.begin(way)));
  await sleep(SETTLE_MS);
  await strike();
  const struckMs = Date.now();
  if (least > 0) await until('it is told', () => told().length > lines, TOLD_WITHIN_MS).catch(() => {});
  const left = await untilRight();
  // In which a second line would come.
  const outages = await Promise.all(streams.map(async (stream) => ({ ...stream.way, ms: await stream.stop() })));
  const lines2 = told().slice(lines);
  const text = lines2.flatMap(({ missing }) => missing).join('\n');
  return [
    ...outages.flatMap(({ name, ms }) => (ms > LIMIT_MS ? [`${name}: out for ${Math.round(ms)} ms`] : [])),
    ...lines2.flatMap(({ atMs }) => (atMs - struckMs > LIMIT_MS ? [`told after ${atMs - struckMs} ms`] : [])),
    ...(lines2.length >= least && lines2.length <= most ? [] : [`told ${lines2.length} times: ${text}`]),
    ...says.flatMap((part) => (new RegExp(part).test(text) ? [] : [`not said: ${part}; but ${text}`])),
    ...((await repairs()) === count + lines2.length ? [] : ['told and not counted']),
    ...left,
  ];
}

/** What is wrong in the end. */
async function untilRight(): Promise<string[]> {
  let left: string[] = [];
  const isRight = async () => {
    left = await wrongs();
    return left.length === 0;
  };
  await until('all is as it was', isRight, TOLD_WITHIN_MS).catch(() => {});
  return left;
}

/** Once more where it was late. */
async function expectRepaired(cut: Cut): Promise<string[]> {
  await forgiven();
  const first = await tried(cut);
  if (first.length === 0) return [];
  console.warn(`${cut.name}, done once more: ${first.join('; ')}`);
  await untilRight();
  await forgiven();
  return (await tried(cut)).map((problem) => `${cut.name}: ${problem}`);
}

const quoted = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&');

/** Another process's netlink socket, or its write to /proc. */
const remove = (netns: string, object: KernelObject) =>
  object.kind === 'sysctl'
    ? world.lab.networks.put(netns, [{ ...object, value: '0' }])
    : world.lab.networks.remove(netns, [object]);

const setLink = async (netns: string, link: LinkChange): Promise<void> =>
  expect(await world.lab.networks.apply([{ do: 'set-link', at: 'host', link }], { netns })).toEqual([]);

const loud = (object: KernelObject): boolean => object.kind !== 'sysctl' || !QUIET.test(object.path);

const ofPod = (all: readonly PodPlan[], { netns }: DemoPod, ifname: string): PodPlan =>
  found(
    all.find((plan) => plan.netns === netns && plan.attachment.ifname === ifname),
    `plan of ${netns}`,
  );

test('each object of the node and of a pod’s host side, one by one', async () => {
  const wanted = await plans();
  const [pod] = pods;
  if (pod === undefined) throw new Error('no pod');
  const plan = ofPod(wanted.pods, pod, 'eth0');
  const objects = [...veth.wantedNode(wanted.node), ...veth.wantedPod(plan).host].filter(loud);
  const cuts = objects.map(
    (object): Cut => ({
      name: objectText(object),
      pod,
      strike: () => remove(host(), object),
      says: [quoted(objectText(object))],
    }),
  );
  const links = [plan.link, ...secondaryEnis(wanted.node).map(({ link }) => link)];
  for (const link of links)
    cuts.push({
      name: `${link} down`,
      pod,
      strike: () => setLink(host(), { name: link, up: false }),
      says: [`link ${link}: .*up`],
    });
  cuts.push({
    name: `${plan.link} in another group`,
    pod,
    strike: () => setLink(host(), { name: plan.link, group: 7 }),
    says: [`link ${plan.link}: group`],
  });
  cuts.push({
    name: `${plan.link} with another MAC, MTU and name`,
    pod,
    strike: async () => {
      await setLink(host(), { name: plan.link, mac: OTHER_MAC, mtu: 1_400 });
      const rename = { do: 'rename-link', at: 'host', name: plan.link, to: 'uwfoo' } as const;
      expect(await world.lab.networks.apply([rename], { netns: host() })).toEqual([]);
    },
    says: ['mac', 'mtu', 'its name'].map((what) => `link ${plan.link}: ${what}`),
  });
  const problems: string[] = [];
  const kept: string[] = [];
  for (const [n, cut] of cuts.entries()) {
    if (objects[n]?.kind.startsWith('nft-')) {
      // A kernel that lets us own the table (6.9) keeps others from it.
      const refusal = await cut.strike().then(
        () => undefined,
        (error) => String(error),
      );
      if (refusal !== undefined) {
        expect(refusal).toMatch(/EPERM/);
        kept.push(cut.name);
        continue;
      }
    }
    problems.push(...(await expectRepaired(cut)));
  }
  console.log(`${cuts.length} on the host, of which the kernel kept ${kept.length} itself`);
  expect(problems).toEqual([]);
  expect(cuts.length).toBeGreaterThan(kept.length + 30);
}, 240_000);

test('each object inside a pod, of its first interface and of one beside it, one by one; its links set down', async () => {
  const wanted = await plans();
  const cutsOf = (pod: DemoPod, ifname: string): Cut[] => [
    ...veth.wantedPod(ofPod(wanted.pods, pod, ifname)).pod.map((object) => ({
      name: `${objectText(object)} in ${pod.name}`,
      pod,
      strike: () => remove(pod.netns, object),
      says: [`${quoted(objectText(object))} in the pod`],
    })),
    ...(ifname === 'eth0' ? ['lo', ifname] : [ifname]).map((link) => ({
      name: `${link} down in ${pod.name}`,
      pod,
      strike: () => setLink(pod.netns, { name: link, up: false }),
      says: [`link ${link} in the pod: up`],
    })),
  ];
  const problems: string[] = [];
  let count = 0;
  for (const [ifname, victims] of [
    ['eth0', pods],
    ['net1', besides],
  ] as const) {
    const kinds = cutsOf(found(victims[0], 'pod'), ifname).length;
    for (let n = 0; n < kinds; n++) {
      const pod = found(victims[n % victims.length], 'pod');
      problems.push(...(await expectRepaired(found(cutsOf(pod, ifname)[n], 'cut'))));
      count++;
    }
  }
  console.log(`${count} inside pods`);
  expect(problems).toEqual([]);
  expect(count).toBeGreaterThan(16);
}, 240_000);

describe('all at once', () => {
  beforeAll(freshPods, 30_000);
  const [one] = [() => found(pods[0], 'pod')];

  test('every rule and route of ours, of both families, on the host and in every pod: one line', async () => {
    const spaces = [host(), ...pods.map(({ netns }) => netns)];
    const isOurs = (object: KernelObject) =>
      (object.kind === 'rule' || object.kind === 'route') && object.protocol === PROTOCOL;
    const before = await Promise.all(spaces.map(read));
    const strike = async () => {
      await Promise.all(
        spaces.map((netns, n) => world.lab.networks.remove(netns, (before[n]?.objects ?? []).filter(isOurs))),
      );
    };
    const says = ['rule 720 from', 'route unreachable', 'in the pod'];
    expect(await expectRepaired({ name: 'flush', pod: one(), strike, says })).toEqual([]);
  }, 60_000);

  test('an ENI whose link flaps', async () => {
    const { node } = await plans();
    const { link: name } = found(secondaryEnis(node)[0], 'ENI');
    const strike = async () => {
      await setLink(host(), { name, up: false });
      await sleep(50);
      await setLink(host(), { name, up: true });
    };
    expect(
      await expectRepaired({ name: 'flap', pod: one(), strike, says: [`address .* on ${name}|route .* ${name}`] }),
    ).toEqual([]);
  }, 60_000);

  test('nft flush ruleset: what the kernel does not keep is put back', async () => {
    const strike = async () => {
      expect(await runIn(host(), ['nft', 'flush', 'ruleset'])).toMatchObject({ code: 0 });
    };
    expect(await expectRepaired({ name: 'nft flush', pod: one(), strike, lines: [0, 1], says: [] })).toEqual([]);
  }, 60_000);

  test.each([
    ['at once', 0, [1, 1]],
    ['half a second later', 500, [1, 2]],
  ] as const)(
    "the node's own addresses, which its operating system gives back %s",
    async (_, awayMs, lines) => {
      const primary = world.primaryOf(world.node(1).instance);
      const own = FAMILIES.map((family): string => ownAddress(primary, family));
      const { objects } = await read(host());
      const addresses = objects.filter(
        (object) => object.kind === 'address' && own.includes(object.address.split('/')[0] ?? ''),
      );
      const isMain = (object: KernelObject) =>
        object.kind === 'route' && object.table === MAIN_TABLE && object.protocol !== 2;
      expect(addresses).toHaveLength(2);
      const strike = async () => {
        await world.lab.networks.remove(host(), addresses);
        await sleep(awayMs);
        await world.lab.networks.put(host(), [...addresses, ...objects.filter(isMain)]);
      };
      expect(
        await expectRepaired({ name: 'own addresses', pod: one(), strike, lines, says: ['route .* table local'] }),
      ).toEqual([]);
    },
    60_000,
  );

  test('what is changed while notifications are lost (ENOBUFS), on the host and in a pod', async () => {
    const plan = ofPod((await plans()).pods, one(), 'eth0');
    const inside = veth
      .wantedPod(plan)
      .pod.filter(({ kind }) => kind === 'route')
      .slice(-1);
    const rule = (await read(host())).objects.filter((object) => object.kind === 'rule' && object.priority === 710);
    const flood = Array.from({ length: 30_000 }, (_, n): KernelObject => {
      const destination = `10.250.${n >> 8}.${n & 255}/32` as Cidr;
      const route = { kind: 'route', family: 4, table: 9_999, type: 'unreachable', destination } as const;
      return { ...route, metric: 0, scope: 'global', protocol: 4 };
    });
    const strike = async () => {
      const pid = found(world.node(1).daemon.pid, 'daemon');
      process.kill(pid, 'SIGSTOP');
      try {
        await world.lab.networks.put(host(), flood);
        await world.lab.networks.remove(host(), rule);
        await world.lab.networks.remove(one().netns, inside);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    };
    try {
      const says = [
        'rule 710 fwmark 0x2/0x7f lookup 7702',
        ...inside.map((object) => `${quoted(objectText(object))} in the pod`),
      ];
      expect(await expectRepaired({ name: 'ENOBUFS', pod: one(), strike, says })).toEqual([]);
    } finally {
      await world.lab.networks.remove(host(), flood);
    }
  }, 60_000);

  test('a pod that removes it again and again finds it back three times, and is told', async () => {
    const pod = found(pods[1], 'pod');
    const [route] = veth.wantedPod(ofPod((await plans()).pods, pod, 'eth0')).pod.filter(({ kind }) => kind === 'route');
    const isThere = async () =>
      (await read(pod.netns)).objects.some(
        (object) => object.kind === 'route' && objectText(object) === objectText(found(route, 'route')),
      );
    await forgiven();
    const said = logOf(world.node(1), 'keeps undoing').length;
    let repairs = 0;
    for (let n = 0; n < 5 && repairs === n; n++) {
      await remove(pod.netns, found(route, 'route'));
      await until('it is back', isThere, 2_000).then(
        () => repairs++,
        () => {},
      );
    }
    expect(repairs).toBe(3);
    expect(logOf(world.node(1), 'keeps undoing')).toHaveLength(said + 1);
    const text = (await world.node(1).daemon.get('/metrics'))?.body;
    expect(text).toMatch(/^underway_pods_undoing_repairs 1$/m);
  }, 30_000);
});
