/** A pod's limits in the real kernel: put with the pod, found again, told by tc, and heard of when others remove them. */
import type { Bandwidth } from '../../src/core/plan.ts';
import type { KernelObject, KernelState } from '../../src/datapath/kernel-state.ts';
import { veth } from '../../src/datapath/veth.ts';
import type { Kernel, KernelEvent } from '../../src/ports/kernel.ts';
import { n1, p3 } from '../unit/datapath/n1.ts';
import { TestNetworks, tool } from './namespaces.ts';

const nets = new TestNetworks();
let host: string;
let kernel: Kernel;
let made = 0;
beforeAll(async () => {
  host = await nets.make();
  kernel = nets.networks.kernel({ netns: host });
});
afterAll(() => nets.close());

const read = async (netns?: string): Promise<KernelState> => {
  const state = await kernel.read(netns);
  if (state === undefined) throw new Error(`${netns} cannot be read`);
  return state;
};

async function wired(bandwidth?: Bandwidth) {
  const n = made++;
  const pod = {
    ...p3,
    netns: await nets.make(),
    link: `uw00000000000b${n}`,
    linkIndex: 100_200 + n,
    nodeAddresses: [],
    ...(bandwidth && { bandwidth }),
  };
  expect(await kernel.apply(veth.wirePod(pod), pod)).toEqual([]);
  const check = async () => {
    const actual = await kernel.readPod(pod, veth.wantedPod(pod));
    return actual === undefined ? ['the pod is gone'] : veth.checkPod(pod, actual);
  };
  const remove = () => kernel.apply([{ do: 'delete-link', at: 'host', name: pod.link }]);
  return { pod, check, remove };
}

/** The one rule of the chain at the link's ingress; undefined when there is no such chain. */
function policer(link: string): string | undefined {
  const chains = tool(host, 'nft', 'list', 'ruleset', 'netdev').split('\tchain ').slice(1);
  const rules = chains
    .find((chain) => chain.startsWith(`${link} {`))
    ?.split('\n')
    .slice(1);
  if (rules === undefined) return undefined;
  expect(rules[0]).toContain(`type filter hook ingress device "${link}" priority filter`);
  return rules
    .slice(1, rules.indexOf('\t}'))
    .map((rule) => rule.trim())
    .join('; ');
}

const adopted = (state: KernelState, link: string) => veth.adopt(state).find(({ name }) => name === link);

test.each([
  {
    name: '20 Mbit/s and 50 Mbit/s',
    rates: [20e6, 50e6],
    shown: ['rate 20Mbit burst 125000b lat 50ms', 'rate 50Mbit burst 312500b lat 50ms'],
    policed: 'limit rate over 6250000 bytes/second burst 312500 bytes drop',
  },
  {
    name: '1 kbit/s',
    rates: [1e3, 1e3],
    shown: ['rate 1Kbit burst 9015b lat 262s', 'rate 1Kbit burst 9015b lat 262s'],
    policed: 'limit rate over 125 bytes/second burst 9015 bytes drop',
  },
  {
    name: '140 Gbit/s',
    rates: [140e9, 140e9],
    shown: [/rate 140Gbit burst /, /rate 140Gbit burst /],
    policed: 'limit rate over 17500000000 bytes/second burst 875000000 bytes drop',
  },
  // More than nft can police.
  { name: '1 Pbit/s', rates: [1e15, 1e15], shown: [/rate \S+ burst /, /rate \S+ burst /], policed: undefined },
] as const)(
  '$name: as wanted by our own reading, by tc and by nft, and put again without a failure',
  async ({ rates: [into, out], shown: [ingress, egress], policed }) => {
    const { pod, check, remove } = await wired({ ingress: { bitsPerSecond: into }, egress: { bitsPerSecond: out } });
    expect(await check()).toEqual([]);
    const bandwidth = {
      ingress: { bitsPerSecond: into },
      ...(policed === undefined ? {} : { egress: { bitsPerSecond: out } }),
    };
    expect(adopted(await read(), pod.link)).toMatchObject({ bandwidth });
    expect(tool(host, 'tc', 'qdisc', 'show', 'dev', pod.link)).toMatch(ingress);
    expect(tool(pod.netns, 'tc', 'qdisc', 'show', 'dev', 'eth0')).toMatch(egress);
    expect(policer(pod.link)).toBe(policed);
    const isLimit = ({ kind }: KernelObject) => kind === 'qdisc' || kind === 'policer';
    const again = veth.wirePod(pod).filter((step) => step.do === 'put' && isLimit(step.object));
    expect(again).toHaveLength(policed === undefined ? 2 : 3);
    expect(await kernel.apply(again, pod)).toEqual([]);
    expect(await check()).toEqual([]);
    await remove();
  },
);

test('removed by others, on either side: heard, told by CHECK, put back; our own doing is not heard', async () => {
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  // The first pod's link of an MTU is heard: by it that MTU is learnt.
  const others = () => events.filter(({ kind }) => kind !== 'link-seen');
  const isHeard = async () => {
    for (let n = 0; n < 80 && others().length === 0; n++) await new Promise((resolve) => setTimeout(resolve, 25));
    const heard = others();
    events.length = 0;
    return heard;
  };
  try {
    await kernel.apply([]);
    const rate = { bitsPerSecond: 20e6 };
    const { pod, check, remove } = await wired({ ingress: rate, egress: rate });
    const repair = async () =>
      kernel.apply(veth.repairPod(pod, { host: await read(), pod: await read(pod.netns) }), pod);
    for (const [netns, link, where, event] of [
      [host, pod.link, 'on the host', { kind: 'changed', what: 'qdisc' }],
      [pod.netns, 'eth0', 'in the pod', { kind: 'pod-changed', index: pod.linkIndex }],
    ] as const) {
      tool(netns, 'tc', 'qdisc', 'del', 'dev', link, 'root');
      expect(await isHeard()).toEqual([event]);
      expect(await check()).toEqual([`limit of 20000000 bit/s on ${link} ${where} is missing`]);
      expect(await repair()).toEqual([]);
      expect(await check()).toEqual([]);
    }
    tool(host, 'tc', 'qdisc', 'replace', 'dev', pod.link, 'root', 'pfifo_fast');
    expect(await isHeard()).toEqual([{ kind: 'changed', what: 'qdisc' }]);
    expect(await repair()).toEqual([]);
    tool(
      host,
      'tc',
      'qdisc',
      'change',
      'dev',
      pod.link,
      'root',
      'tbf',
      'rate',
      '1gbit',
      'burst',
      '1mb',
      'limit',
      '1mb',
    );
    expect(await isHeard()).toEqual([{ kind: 'changed', what: 'qdisc' }]);
    expect(await check()).toEqual([expect.stringMatching(/ differs: found limit of 1000000000 bit\/s on /)]);
    expect(await repair()).toEqual([]);
    expect(await check()).toEqual([]);
    for (const spoil of [
      ['flush', 'ruleset'],
      ['insert', 'rule', 'netdev', 'underway', pod.link, 'accept'],
    ]) {
      tool(host, 'nft', ...spoil);
      expect(await isHeard()).toEqual([{ kind: 'changed', what: 'nft' }]);
      expect(await check()).toEqual([`limit of 20000000 bit/s on what comes in by ${pod.link} on the host is missing`]);
      expect(await kernel.apply(veth.mendHost(pod, await read()))).toEqual([]);
      expect(await check()).toEqual([]);
      expect(policer(pod.link)).toBe('limit rate over 2500000 bytes/second burst 125000 bytes drop');
    }
    await remove();
  } finally {
    stop();
  }
});

test('a pod without limits has the kernel’s own queue, and another’s limit on it is left alone', async () => {
  const { pod, check, remove } = await wired();
  expect(tool(host, 'tc', 'qdisc', 'show', 'dev', pod.link)).toContain('noqueue');
  expect(policer(pod.link)).toBeUndefined();
  // As the bandwidth plugin does where it is chained.
  tool(
    host,
    'tc',
    'qdisc',
    'add',
    'dev',
    pod.link,
    'root',
    'handle',
    '1:',
    'tbf',
    'rate',
    '9mbit',
    'burst',
    '9kb',
    'latency',
    '25ms',
  );
  expect(await check()).toEqual([]);
  expect(veth.repairPod(pod, { host: await read(), pod: await read(pod.netns) })).toEqual([]);
  // Nor is it ours where the journal is lost.
  expect(adopted(await read(), pod.link)).not.toHaveProperty('bandwidth');
  await remove();
});

test('a policer goes with its pod, and one whose pod went without a word by the next sync', async () => {
  const egress = { bitsPerSecond: 20e6 };
  const { pod, remove } = await wired({ egress });
  expect(policer(pod.link)).toBeDefined();
  expect(await kernel.apply(veth.fencePod(pod))).toEqual([]);
  expect(policer(pod.link)).toBeUndefined();
  // Once more, as a repeated DEL does, and without its link too.
  expect(await kernel.apply(veth.fencePod(pod))).toEqual([]);
  await remove();
  const lost = await wired({ egress });
  await lost.remove();
  // Linux 6.16 and later keep it, older ones do not.
  const left = veth.diffNode(n1, await read()).filter((step) => step.do === 'remove');
  expect(await kernel.apply(left)).toEqual([]);
  expect(policer(lost.pod.link)).toBeUndefined();
});
