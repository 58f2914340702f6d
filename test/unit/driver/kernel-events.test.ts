/** What the core hears of the kernel. */
import type { Mac } from '../../../src/core/brand.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { coreEvent, startedEvent } from '../../../src/driver/kernel-events.ts';
import type { KernelEvent } from '../../../src/ports/kernel.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { FakeKernel } from '../../../src/sim/kernel.ts';
import { Core } from '../core/harness.ts';

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
    { mac, name: 'eth1', index: 3 },
    { mac: '02:00:00:00:00:22', name: 'lab1', index: 10 },
  ];
  expect(await started).toMatchObject({ eniLinks: nics });
  expect(heard.flatMap((event) => coreEvent(event) ?? [])).toEqual(nics.map((nic) => ({ kind: 'link-seen', ...nic })));
});
