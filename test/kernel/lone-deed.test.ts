/** Who does what is asked of the kernel: a short deed that is alone is done on the calling thread, all else by the worker. */
import { attachmentKey, type LeaseId } from '../../src/core/brand.ts';
import { linkName } from '../../src/core/link-name.ts';
import type { PodPlan } from '../../src/core/plan.ts';
import { wantedPod, wirePod } from '../../src/datapath/veth/pod.ts';
import { veth } from '../../src/datapath/veth.ts';
import { createKernel } from '../../src/kernel/kernel.ts';
import type { Kernel, KernelEvent } from '../../src/ports/kernel.ts';
import { p3 } from '../unit/datapath/n1.ts';
import { ip, TestNetworks } from './namespaces.ts';

const nets = new TestNetworks();
/** Of this thread. */
const passed: string[] = [];
const events: KernelEvent[] = [];
let kernel: Kernel;

beforeAll(async () => {
  kernel = createKernel({ netns: await nets.make(), failpoint: (at) => void passed.push(at) });
  kernel.listen((event) => events.push(event));
  await kernel.read();
});

afterAll(async () => {
  await kernel.close();
  await nets.close();
});

async function pod(n: number): Promise<PodPlan> {
  const attachment = { ...p3.attachment, containerId: `lone${n}` };
  const link = linkName(attachmentKey(attachment));
  return {
    ...p3,
    lease: `l-${n}` as LeaseId,
    attachment,
    link,
    linkIndex: 5000 + n,
    addresses: [ip(`10.0.1.${30 + n}`), ip(`2001:db8:1::${30 + n}`)],
    netns: await nets.make(),
    nodeAddresses: [],
  };
}

const wire = (plan: PodPlan) => kernel.apply(wirePod(plan), plan);

test('one pod is wired on this thread, and several at once by the worker', async () => {
  const [one, two, three] = [await pod(1), await pod(2), await pod(3)];
  expect(await wire(one)).toEqual([]);
  expect(passed.length).toBe(wirePod(one).length);
  expect(await Promise.all([wire(two), wire(three)])).toEqual([[], []]);
  expect(passed.length).toBe(wirePod(one).length);
  for (const plan of [one, two, three]) {
    const actual = await kernel.readPod(plan, wantedPod(plan));
    expect(actual && veth.checkPod(plan, actual)).toEqual([]);
  }
});

test('what this thread changed is our own doing, which the worker that listens does not tell', async () => {
  const plan = await pod(4);
  await wire(plan);
  await kernel.apply(veth.fencePod(plan));
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(events.filter((event) => event.kind === 'changed')).toEqual([]);
});

test("a pod's own read is what the whole read has of its link, and of its namespace", async () => {
  const plan = await pod(5);
  await wire(plan);
  const own = await kernel.readPod(plan, wantedPod(plan));
  const whole = { host: await kernel.read(), pod: await kernel.read(plan.netns) };
  const { ifname } = plan.attachment;
  const text = (objects: readonly object[] = []) => objects.map((object) => JSON.stringify(object)).sort();
  const hangsOn = (link: string) => (object: object) =>
    ('link' in object && object.link === link) || ('path' in object && `${object.path}`.includes(`/${link}/`));
  expect(own?.host.links).toEqual(whole.host?.links.filter(({ name }) => name === plan.link));
  expect(text(own?.host.objects)).toEqual(text(whole.host?.objects.filter(hangsOn(plan.link))));
  expect(own?.host.objects.length).toBeGreaterThan(4);
  expect(text(own?.pod.objects.filter(hangsOn(ifname)))).toEqual(text(whole.pod?.objects.filter(hangsOn(ifname))));
  expect(own?.pod.links.map(({ name }) => name)).toEqual(['lo', ifname]);
});

test('a namespace that is gone, or was never one, is no reason to throw', async () => {
  const plan = await pod(6);
  expect(await kernel.readPod({ ...plan, netns: '/run/netns/uwk-none' }, wantedPod(plan))).toBeUndefined();
  expect(await kernel.apply(wirePod(plan), { netns: '/run/netns/uwk-none' })).toMatchObject([{ errno: 'ENONET' }]);
  // Its link is not there: nothing hangs on it.
  expect((await kernel.readPod(plan, wantedPod(plan)))?.host).toEqual({ links: [], objects: [] });
});
