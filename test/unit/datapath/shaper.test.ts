import { HOST_MAC } from '../../../src/core/plan.ts';
import type { KernelObject, KernelState } from '../../../src/datapath/kernel-state.ts';
import { policer, shaper } from '../../../src/datapath/veth/shaper.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { link, run, type World } from './interpreter.ts';
import { eth0, mac, n1, p3 } from './n1.ts';

const EMPTY: World = {
  host: { links: [link('eth0', eth0.mac, { up: true })], objects: [] },
  pod: { links: [link('lo', mac('00:00:00:00:00:00'))], objects: [] },
};
const limited = {
  ...p3,
  bandwidth: { ingress: { bitsPerSecond: 20e6 }, egress: { bitsPerSecond: 50e6, burstBits: 2 ** 32 - 1 } },
};
const wired = run(EMPTY, veth.wirePod(limited));
const isLimit = ({ kind }: KernelObject) => kind === 'qdisc' || kind === 'policer';
const unlimited = (state: KernelState) => ({ ...state, objects: state.objects.filter((each) => !isLimit(each)) });
const withoutLimits = { host: unlimited(wired.host), pod: unlimited(wired.pod) };

test.each([
  // A twentieth of a second, whatever the runtime says of bursts; as much again may wait.
  ['20 Mbit/s', { bitsPerSecond: 20e6, burstBits: 2 ** 32 - 1 }, 9001, [2_500_000, 781_250, 250_000]],
  ['a smaller burst', { bitsPerSecond: 20e6, burstBits: 160_000 }, 9001, [2_500_000, 125_000, 145_000]],
  // A bucket that holds no packet would send none; a queue that holds a few stops TCP.
  ['1 Mbit/s', { bitsPerSecond: 1e6 }, 1500, [125_000, 781_250, 6_250 + 32_768]],
  ['a burst of a byte', { bitsPerSecond: 20e6, burstBits: 8 }, 1500, [2_500_000, 9_463, 126_514]],
  ['the least', { bitsPerSecond: 1e3 }, 9001, [125, 1_126_875_000, 9_015 + 32_768]],
  ['the most', { bitsPerSecond: 1e15 }, 9001, [125e12, 781_250, 0xffff_ffff]],
])('%s', (_, rate, mtu, [bytesPerSecond, bucketTicks, queueBytes]) => {
  expect(shaper({ link: 'a', mtu, rate })).toEqual({
    kind: 'qdisc',
    link: 'a',
    bytesPerSecond,
    bucketTicks,
    queueBytes,
  });
});

test.each([
  ['20 Mbit/s', { bitsPerSecond: 20e6, burstBits: 2 ** 32 - 1 }, 125_000],
  ['a burst of a byte', { bitsPerSecond: 20e6, burstBits: 8 }, 1_514],
  ['the least', { bitsPerSecond: 1e3 }, 1_514],
])('the policer behind it, %s: the same rate and no smaller a bucket', (_, rate, bucketBytes) => {
  const bytesPerSecond = rate.bitsPerSecond / 8;
  expect(policer({ link: 'a', mtu: 1500, rate })).toEqual({ kind: 'policer', link: 'a', bytesPerSecond, bucketBytes });
});

test('what the kernel cannot count is not policed: its bucket is nanoseconds times the rate, in 64 bits', () => {
  const policed = [140e9, 141e9].map((bitsPerSecond) => policer({ link: 'a', mtu: 1500, rate: { bitsPerSecond } }));
  const [largest] = policed;
  const { bytesPerSecond = 0, bucketBytes = 0 } = largest ?? {};
  expect(BigInt(bytesPerSecond + bucketBytes) * 1_000_000_000n).toBeLessThan(2n ** 64n);
  expect(policed[1]).toBeUndefined();
});

test('a limited pod has a queue at each end, there before the links are up; another has no step more', () => {
  const steps = veth.wirePod(limited).map((step) => {
    if (step.do === 'put') return `${step.at} ${step.object.kind}`;
    return step.do === 'set-link' ? `${step.at} ${step.link.name} up` : step.do;
  });
  expect(steps.slice(0, 6)).toEqual([
    'create-veth',
    'host qdisc',
    `host ${p3.link} up`,
    'pod qdisc',
    'pod lo up',
    'pod eth0 up',
  ]);
  expect(veth.wirePod(limited).filter((step) => !(step.do === 'put' && isLimit(step.object)))).toEqual(
    veth.wirePod(p3),
  );
  expect(veth.fencePod(limited).filter((step) => !(step.do === 'remove' && isLimit(step.object)))).toEqual(
    veth.fencePod(p3),
  );
});

test('a limit that is gone is told at both ends, and brought back; unasked only on the host', () => {
  expect(veth.checkPod(limited, wired)).toEqual([]);
  expect(veth.checkPod(limited, withoutLimits)).toEqual([
    'limit of 50000000 bit/s on eth0 in the pod is missing',
    `limit of 20000000 bit/s on ${p3.link} on the host is missing`,
    `limit of 50000000 bit/s on what comes in by ${p3.link} on the host is missing`,
  ]);
  const mended = run(withoutLimits, veth.repairPod(limited, withoutLimits));
  expect(veth.checkPod(limited, mended)).toEqual([]);
  expect(veth.mendHost(limited, withoutLimits.host)).toMatchObject([
    { do: 'put', at: 'host', object: { kind: 'qdisc', link: p3.link } },
    { do: 'put', at: 'host', object: { kind: 'policer', link: p3.link } },
  ]);
});

test('another rate is told and set; a limit that nobody asked us for is left to whoever made it', () => {
  const faster = { ...limited, bandwidth: { ...limited.bandwidth, ingress: { bitsPerSecond: 30e6 } } };
  expect(veth.checkPod(faster, wired)).toEqual([
    `limit of 30000000 bit/s on ${p3.link} on the host differs: found limit of 20000000 bit/s on ${p3.link}`,
  ]);
  expect(veth.checkPod(faster, run(wired, veth.repairPod(faster, wired)))).toEqual([]);
  expect(veth.checkPod(p3, wired)).toEqual([]);
  expect(veth.repairPod(p3, wired)).toEqual([]);
});

test('where nothing else knows it, the link tells what its pod may receive and send', () => {
  const [found] = veth.adopt(wired.host);
  const bandwidth = { ingress: { bitsPerSecond: 20e6 }, egress: { bitsPerSecond: 50e6 } };
  expect(found).toMatchObject({ name: p3.link, bandwidth });
  const plain = { ...wired.host, links: [...wired.host.links, link('uw00000000000c1', HOST_MAC)] };
  expect(veth.adopt(plain)[0]).not.toHaveProperty('bandwidth');
});

test('a fence takes the policer along; one that its link left behind is taken by the next sync, no other', () => {
  const policers = ({ objects }: KernelState) => objects.filter(({ kind }) => kind === 'policer');
  expect(policers(wired.host)).toHaveLength(1);
  expect(policers(run(wired, veth.fencePod(limited)).host)).toEqual([]);
  const removed = (host: KernelState) =>
    veth.diffNode(n1, host).filter((step) => step.do === 'remove' && step.object.kind === 'policer');
  expect(removed(wired.host)).toEqual([]);
  const links = wired.host.links.filter(({ name }) => name !== p3.link);
  expect(removed({ ...wired.host, links })).toMatchObject([{ object: { link: p3.link } }]);
});

test('a queue that is not as ours are is not adopted as ours: the plugin bandwidth, chained, lets wait 25 ms', () => {
  const ours = shaper({ link: p3.link, mtu: p3.mtu, rate: limited.bandwidth.ingress });
  for (const theirs of [
    { ...ours, queueBytes: 125_000 + 62_500 },
    { ...ours, bucketTicks: ours.bucketTicks * 2 },
  ]) {
    const objects = withoutLimits.host.objects.concat(theirs);
    expect(veth.adopt({ ...wired.host, objects })[0]).not.toHaveProperty('bandwidth');
  }
});
