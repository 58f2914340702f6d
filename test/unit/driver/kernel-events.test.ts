/** What the core hears of the kernel. */
import { attachmentKey, type Mac } from '../../../src/core/brand.ts';
import type { Event } from '../../../src/core/events.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { coreEvent, hearKernel, startedEvent } from '../../../src/driver/kernel-events.ts';
import type { KernelEvent } from '../../../src/ports/kernel.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { FakeKernel } from '../../../src/sim/kernel.ts';
import { Core, eniFacts, pod, primaryFacts } from '../core/harness.ts';

const mac = '02:00:00:00:00:21' as Mac;

test('an ENI has a NIC: what is made upon one, with its MAC, is not told, neither at the start nor later', async () => {
  const clock = new VirtualClock();
  const kernel = new FakeKernel({ clock });
  const heard: KernelEvent[] = [];
  kernel.listen((event) => heard.push(event));
  // A bridge may be there before the ENI whose MAC it has been given.
  kernel.plug('br0', mac, 'bridge');
  kernel.plug('eth1', mac);
  for (const type of ['vlan', 'ipvlan', 'macvlan', 'macvtap', 'bond', 'dummy']) kernel.plug(`eth1-${type}`, mac, type);
  kernel.plug('lab1', '02:00:00:00:00:22' as Mac, 'veth');
  const started = startedEvent(new Core().state, kernel, veth);
  await clock.run(clock.nowMs() + 10);
  const nics = [
    { mac, name: 'eth1', index: 3, mtu: 9_001 },
    { mac: '02:00:00:00:00:22', name: 'lab1', index: 10, mtu: 9_001 },
  ];
  expect(await started).toMatchObject({ eniLinks: nics });
  expect(heard.flatMap((event) => coreEvent(event) ?? [])).toEqual(nics.map((nic) => ({ kind: 'link-seen', ...nic })));
});

describe('notifications that were lost', () => {
  /** A core with pods a and b on eth1 beside a kernel that has all of it. */
  async function heard() {
    const clock = new VirtualClock();
    const kernel = new FakeKernel({ clock });
    const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
    core.bringUpEni(1);
    core.add('a').add('b');
    kernel.plug('eth0', primaryFacts.mac);
    kernel.plug('eth1', eniFacts(1, [], {}).mac);
    for (const { plan } of core.effects.filter((effect) => effect.kind === 'wire')) {
      kernel.addNamespace(plan.netns);
      kernel.apply(veth.wirePod(plan), plan);
    }
    await clock.run(clock.nowMs() + 10);
    const events: Event[] = [];
    const stop = hearKernel({ kernel, clock, state: core.state, enqueue: (event) => void events.push(event) });
    const within = async (ms: number): Promise<Event[]> => {
      await clock.run(clock.nowMs() + ms);
      return events.splice(0);
    };
    return { kernel, core, within, stop };
  }
  const gone = (name: string, index: number) => expect.objectContaining({ kind: 'link-gone', name, index });
  const seen = (name: string, index: number) => expect.objectContaining({ kind: 'link-seen', name, index });
  const linkOf = (name: string) => linkName(attachmentKey(pod(name)));

  test('are made up for: links that went, pods and ENIs, and all NICs that are there', async () => {
    const { kernel, core, within } = await heard();
    const [a] = core.state.all('lease');
    kernel.deafen();
    kernel.deleteNamespace('/ns/a');
    kernel.unplug(eniFacts(1, [], {}).mac);
    kernel.plug('eth1', eniFacts(1, [], {}).mac);
    kernel.plug('eth2', eniFacts(2, [], {}).mac);
    expect(await within(10)).toEqual([]);
    kernel.undeafen();
    expect(await within(10)).toEqual([
      { kind: 'kernel-changed', lost: true },
      gone('eth1', 3),
      gone(linkOf('a'), a?.linkIndex ?? 0),
      seen('eth0', 2),
      seen('eth1', 4),
      seen('eth2', 5),
    ]);
  });

  test('a pod that is being wired is not missed', async () => {
    const { kernel, core, within } = await heard();
    core.held.add('wire');
    core.add('c');
    kernel.deafen();
    kernel.undeafen();
    expect((await within(10)).filter(({ kind }) => kind === 'link-gone')).toEqual([]);
  });

  test('a link that goes while they are looked for stays gone, whichever is heard first', async () => {
    const { kernel, within } = await heard();
    const before = kernel.read();
    await within(10);
    kernel.read = async () => {
      await kernel.apply([]);
      return before;
    };
    kernel.deafen();
    kernel.undeafen();
    kernel.unplug(eniFacts(1, [], {}).mac);
    const events = (await within(10)).filter((event) => 'name' in event && event.name === 'eth1');
    expect(events.map(({ kind }) => kind)).toEqual(['link-gone']);
  });

  test('where the kernel cannot be read it is read again; after the end it is not', async () => {
    const { kernel, within, stop } = await heard();
    const read = kernel.read.bind(kernel);
    const refusal = () => Promise.reject(Object.assign(new Error('read'), { code: 'EMFILE' }));
    kernel.read = refusal;
    kernel.deafen();
    kernel.deleteNamespace('/ns/a');
    kernel.undeafen();
    expect(await within(2_500)).toEqual([{ kind: 'kernel-changed', lost: true }]);
    kernel.read = read;
    expect(await within(1_000)).toContainEqual(expect.objectContaining({ kind: 'link-gone', name: linkOf('a') }));
    kernel.read = refusal;
    kernel.deafen();
    kernel.undeafen();
    expect(await within(100)).toEqual([{ kind: 'kernel-changed', lost: true }]);
    stop();
    kernel.read = read;
    expect(await within(5_000)).toEqual([]);
  });
});
