/** A pod's limits in the real kernel: put with the pod, found again, told by tc, and heard of when others remove them. */
import type { Bandwidth } from '../../src/core/plan.ts';
import type { KernelState } from '../../src/datapath/kernel-state.ts';
import { veth } from '../../src/datapath/veth.ts';
import type { Kernel, KernelEvent } from '../../src/ports/kernel.ts';
import { p3 } from '../unit/datapath/n1.ts';
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

const adopted = (state: KernelState, link: string) => veth.adopt(state).find(({ name }) => name === link);

test.each([
  ['20 Mbit/s and 50 Mbit/s', 20e6, 50e6, 'rate 20Mbit burst 125000b lat 50ms', 'rate 50Mbit burst 312500b lat 50ms'],
  ['1 kbit/s', 1e3, 1e3, 'rate 1Kbit burst 9015b lat 262s', 'rate 1Kbit burst 9015b lat 262s'],
  ['1 Pbit/s', 1e15, 1e15, /rate \S+ burst /, /rate \S+ burst /],
])(
  '%s: as wanted by our own reading and by tc, and put again without a failure',
  async (_, into, out, ingress, egress) => {
    const { pod, check, remove } = await wired({ ingress: { bitsPerSecond: into }, egress: { bitsPerSecond: out } });
    expect(await check()).toEqual([]);
    expect(adopted(await read(), pod.link)).toMatchObject({ bandwidth: { ingress: { bitsPerSecond: into } } });
    expect(tool(host, 'tc', 'qdisc', 'show', 'dev', pod.link)).toMatch(ingress);
    expect(tool(pod.netns, 'tc', 'qdisc', 'show', 'dev', 'eth0')).toMatch(egress);
    const again = veth.wirePod(pod).filter((step) => step.do === 'put' && step.object.kind === 'qdisc');
    expect(again).toHaveLength(2);
    expect(await kernel.apply(again, pod)).toEqual([]);
    expect(await check()).toEqual([]);
    await remove();
  },
);

test('removed by others, on either side: heard, told by CHECK, put back; our own doing is not heard', async () => {
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  const isHeard = async () => {
    for (let n = 0; n < 80 && events.length === 0; n++) await new Promise((resolve) => setTimeout(resolve, 25));
    return events.splice(0);
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
    await remove();
  } finally {
    stop();
  }
});

test('a pod without limits has the kernel’s own queue, and another’s limit on it is left alone', async () => {
  const { pod, check, remove } = await wired();
  expect(tool(host, 'tc', 'qdisc', 'show', 'dev', pod.link)).toContain('noqueue');
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
