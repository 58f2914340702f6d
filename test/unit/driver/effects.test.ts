/** Effects on a kernel that refuses to be read: each is answered, whatever the port throws. */
import { attachmentKey, type LeaseId } from '../../../src/core/brand.ts';
import type { Effect, Event } from '../../../src/core/events.ts';
import type { Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { HOST_MAC } from '../../../src/core/plan.ts';
import type { KernelObject, Step } from '../../../src/datapath/kernel-state.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { runEffect } from '../../../src/driver/effects.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import type { Provider } from '../../../src/ports/provider.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { FakeKernel } from '../../../src/sim/kernel.ts';
import { Core, pod, primaryFacts } from '../core/harness.ts';
import { n1, p3 } from '../datapath/n1.ts';

class CountsReads extends FakeKernel {
  readonly reads: string[] = [];

  override read(netns?: string) {
    this.reads.push(netns ?? 'the host');
    return super.read(netns);
  }
}

class Unreadable extends FakeKernel {
  readonly code: string;

  constructor(code: string) {
    super({ clock: new VirtualClock() });
    this.code = code;
  }

  override read(): Promise<never> {
    return Promise.reject(Object.assign(new Error('dump, interrupted by changes each time'), { code: this.code }));
  }
}

const answerOf = (effect: Effect, kernel: FakeKernel): Promise<Event> =>
  new Promise((enqueue) => {
    const signal = new AbortController().signal;
    runEffect(effect, { kernel, datapath: veth, provider: {} as Provider, reply: () => {}, enqueue, signal });
  });

test.each(['EINTR', 'EMFILE'])(
  'a kernel that cannot be read (%s) fails the CHECK and the repeated ADD, nothing else',
  async (code) => {
    const kernel = new Unreadable(code);
    const { lease } = p3;
    expect(await answerOf({ kind: 'verify', plan: p3 }, kernel)).toEqual({
      kind: 'verified',
      lease,
      problems: [`the kernel cannot be read (${code})`],
    });
    const wire = { kind: 'wire', plan: p3, fresh: false, deadLinks: ['uw1'] } as const;
    const failure = { step: 'dump, interrupted by changes each time', errno: code };
    expect(await answerOf(wire, kernel)).toEqual({ kind: 'wired', lease, failure });
  },
);

test('a pod whose repeated ADD failed on the read is served as before, and its end is noticed', () => {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  core.bringUpEni(1);
  core.add('a');
  const [lease] = core.state.all('lease');
  if (lease === undefined) throw new Error('no lease');
  core.held.add('wire');
  core.replies.clear();
  core.add('a').send({ kind: 'wired', lease: lease.id, failure: { step: 'read', errno: 'EINTR' } });
  expect(core.replyOf('add-a')).toBe('KERNEL');
  expect(core.state.get('lease', lease.id)).toMatchObject({ state: 'ready', linkIndex: lease.linkIndex });
  core.send({
    kind: 'link-gone',
    mac: '02:75:77:00:00:01' as never,
    name: linkName(attachmentKey(pod('a'))),
    index: lease.linkIndex,
  });
  expect(core.state.count('lease')).toBe(0);
});

test('a namespace that was made with IPv6 off: it is turned on there, and only then', async () => {
  const kernel = new FakeKernel({ clock: systemClock });
  kernel.addNamespace(p3.netns);
  const seen: Step[] = [];
  const isOn = () => seen.some((step) => step.do === 'put' && step.at === 'pod' && isSwitch(step.object));
  kernel.refuse = (step) => {
    seen.push(step);
    const isAddress6 = step.do === 'put' && step.object.kind === 'address' && step.object.address.includes(':');
    return isAddress6 && !isOn() ? 'EACCES' : undefined;
  };
  const wire = { kind: 'wire', plan: p3, fresh: true, deadLinks: [] } as const;
  expect(await answerOf(wire, kernel)).toMatchObject({ kind: 'wired', lease: p3.lease, linkIndex: p3.linkIndex });
  const inside = kernel.namespaceAt(p3.netns);
  for (const ip of p3.addresses)
    expect([...(inside?.objects.values() ?? [])]).toContainEqual(
      expect.objectContaining({ kind: 'address', address: expect.stringMatching(`^${ip}/`) }),
    );
  const other = { ...p3, lease: 'other' as LeaseId, netns: '/ns/other', link: 'uwother', linkIndex: p3.linkIndex + 1 };
  kernel.addNamespace(other.netns);
  kernel.refuse = (step) => (step.do === 'put' && isSwitch(step.object) ? 'EPERM' : undefined);
  expect(await answerOf({ ...wire, plan: other }, kernel)).not.toHaveProperty('failure');
});

test('a pod that turned IPv6 off for its interface has it on again, with what went; who ends meanwhile is left', async () => {
  const kernel = new FakeKernel({ clock: systemClock });
  kernel.addNamespace(p3.netns);
  await answerOf({ kind: 'wire', plan: p3, fresh: true, deadLinks: [] }, kernel);
  const objects = kernel.namespaceAt(p3.netns)?.objects;
  const isOf6 = ([, object]: readonly [string, KernelObject]) =>
    object.kind === 'address' && object.address.includes(':');
  for (const [key] of [...(objects ?? [])].filter(isOf6)) objects?.delete(key);
  let isOn = false;
  kernel.refuse = (step) => {
    if (step.do !== 'put') return undefined;
    isOn ||= step.at === 'pod' && isSwitch(step.object);
    return !isOn && step.object.kind === 'address' && step.object.address.includes(':') ? 'EACCES' : undefined;
  };
  const look = { kind: 'look', pods: [p3] } as const;
  const mended = await answerOf(look, kernel);
  expect(mended).toMatchObject({ kind: 'looked', pods: [{ lease: p3.lease, count: 1 }] });
  expect(mended).not.toHaveProperty('pods.0.failure');
  expect([...(objects ?? [])].filter(isOf6)).toHaveLength(1);
  for (const [key] of [...(objects ?? [])].filter(isOf6)) objects?.delete(key);
  for (const [errno, failure] of [
    ['ENODEV', undefined],
    ['EPERM', { errno: 'EPERM' }],
  ] as const) {
    kernel.refuse = () => errno;
    expect(await answerOf(look, kernel)).toMatchObject({ pods: [failure === undefined ? {} : { failure }] });
  }
});

const isSwitch = (object: KernelObject): boolean =>
  object.kind === 'sysctl' && object.path === 'net/ipv6/conf/eth0/disable_ipv6' && object.value === '0';

test.each(['before', 'after'] as const)(
  'a pod whose pair went and could not be made anew is released; its link was heard to go %s that',
  async (when) => {
    const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
    core.bringUpEni(1);
    core.add('a');
    const [lease] = core.state.all('lease');
    if (lease === undefined) throw new Error('no lease');
    const gone = { kind: 'link-gone', mac: HOST_MAC, name: linkName(lease.key), index: lease.linkIndex } as const;
    core.held.add('wire');
    core.add('a');
    const wire = core.effects.findLast((effect) => effect.kind === 'wire');
    if (wire === undefined) throw new Error('not wired again');
    const kernel = new FakeKernel({ clock: systemClock });
    kernel.addNamespace(lease.netns.path);
    kernel.refuse = (step) => (step.do === 'create-veth' ? 'ENOMEM' : undefined);
    const wired = await answerOf(wire, kernel);
    for (const event of when === 'before' ? [gone, wired] : [wired, gone]) core.send(event);
    expect(core.state.count('lease')).toBe(0);
  },
);

test('a sync puts the host side of many pods back from one read, and asks nothing of the pods', async () => {
  const kernel = new CountsReads({ clock: systemClock });
  const [primary4, primary6] = p3.nodeAddresses;
  kernel.configure({ mac: primaryFacts.mac, ...(primary4 && { primary4 }), ...(primary6 && { primary6 }) });
  kernel.plug('eth0', primaryFacts.mac);
  const pods = Array.from({ length: 20 }, (_, n) => {
    const attachment = pod(`c${n}`);
    const link = linkName(attachmentKey(attachment));
    const addresses = [`10.9.0.${n}` as Ip];
    return { ...p3, lease: `e1-${n}` as LeaseId, attachment, link, linkIndex: 100 + n, netns: `/ns/${n}`, addresses };
  });
  for (const plan of pods) {
    kernel.addNamespace(plan.netns);
    expect(await kernel.apply(veth.wirePod(plan), plan)).toEqual([]);
  }
  const wired = (await kernel.read())?.objects;
  for (const { link } of pods) kernel.sabotage((all) => all.find((one) => one.kind === 'route' && one.link === link));
  const nothing = { vpcCidrs: [], masquerade: false, markMask: 0x7f, enis: [] };
  const answer = await answerOf({ kind: 'sync', sync: 1, plan: nothing, pods }, kernel);
  expect(answer).toMatchObject({ kind: 'synced', damaged: pods.map(({ lease }) => ({ lease, count: 1 })) });
  expect(answer).not.toHaveProperty('podFailure');
  // The first is this test's own.
  expect(kernel.reads).toEqual(['the host', 'the host']);
  const routes = (objects: typeof wired) => objects?.filter(({ kind }) => kind === 'route');
  expect(routes((await kernel.read())?.objects)).toEqual(expect.arrayContaining(routes(wired) ?? []));
});

test('an ENI’s link that a sync gave another MTU is told before the ENI serves', async () => {
  const clock = new VirtualClock();
  const kernel = new FakeKernel({ clock });
  for (const { link, mac } of n1.enis) kernel.plug(link, mac);
  const eth1 = kernel.host.links.get('eth1');
  if (eth1 === undefined) throw new Error('no eth1');
  kernel.host.links.set('eth1', { ...eth1, mtu: 1500 });
  const told: Event[] = [];
  const enqueue = (event: Event) => void told.push(event);
  const signal = new AbortController().signal;
  const ports = { kernel, datapath: veth, provider: {} as Provider, reply: () => {}, enqueue, signal };
  runEffect({ kind: 'sync', sync: 1, plan: n1, pods: [] }, ports);
  await clock.run(clock.nowMs() + 1_000);
  const { mac, index } = eth1;
  expect(told).toMatchObject([
    { kind: 'link-seen', mac, name: 'eth1', index, mtu: 9_001 },
    { kind: 'synced', sync: 1 },
  ]);
});
