/** A running pod's link, changed by others at either end: heard at once, and put back by the sync or look that follows. */

import { attachmentKey } from '../../src/core/brand.ts';
import type { Effect, Event } from '../../src/core/events.ts';
import { linkName } from '../../src/core/link-name.ts';
import type { PodPlan } from '../../src/core/plan.ts';
import { State } from '../../src/core/state.ts';
import type { KernelState, Step } from '../../src/datapath/kernel-state.ts';
import { veth } from '../../src/datapath/veth.ts';
import { runEffect } from '../../src/driver/effects.ts';
import { coreEvent, startedEvent } from '../../src/driver/kernel-events.ts';
import type { Kernel, KernelEvent } from '../../src/ports/kernel.ts';
import type { Provider } from '../../src/ports/provider.ts';
import { n1, p3 } from '../unit/datapath/n1.ts';
import { TestNetworks, tool } from './namespaces.ts';

const nets = new TestNetworks();
const events: KernelEvent[] = [];
let host: string;
let kernel: Kernel;
let plan: PodPlan;
let stop = () => {};
afterAll(() => {
  stop();
  return nets.close();
});

/** A node with its primary alone. */
const node = { ...n1, enis: n1.enis.slice(0, 1) };
const up = (name: string): Step => ({ do: 'set-link', at: 'host', link: { name, up: true } });

beforeAll(async () => {
  host = await nets.make();
  kernel = nets.networks.kernel({ netns: host });
  tool(host, 'ip', 'link', 'add', 'eth0', 'type', 'bridge');
  await kernel.apply([up('lo'), up('eth0')]);
  await nets.networks.put(
    host,
    p3.nodeAddresses.map((ip) => ({
      kind: 'address',
      link: 'eth0',
      address: `${ip}/${ip.includes(':') ? 128 : 32}`,
      scope: 'global',
      noPrefixRoute: false,
      noDad: true,
      deprecated: false,
    })),
  );
  plan = { ...p3, netns: await nets.make(), link: linkName(attachmentKey(p3.attachment)) };
  expect(await kernel.apply(veth.diffNode(node, await state()))).toEqual([]);
  stop = kernel.listen((event) => events.push(event));
  expect(await kernel.apply(veth.wirePod(plan), plan)).toEqual([]);
});

async function state(netns?: string): Promise<KernelState> {
  const found = await kernel.read(netns);
  if (found === undefined) throw new Error(`${netns} cannot be read`);
  return found;
}

const outcome = (effect: Effect): Promise<Event> =>
  new Promise((enqueue) => {
    const signal = new AbortController().signal;
    runEffect(effect, { kernel, datapath: veth, provider: {} as Provider, reply: () => {}, enqueue, signal });
  });

/** Long before the next read of what the kernel tells nobody of. */
async function heard(isIt: (event: KernelEvent) => boolean): Promise<boolean> {
  for (let tries = 0; tries < 200 && !events.some(isIt); tries++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  return events.some(isIt);
}

async function expectWired(): Promise<void> {
  expect(veth.checkPod(plan, { host: await state(), pod: await state(plan.netns) })).toEqual([]);
  for (const to of plan.addresses) expect(tool(host, 'ping', '-c1', '-W1', to)).toContain('1 received');
}

test('a pod that is wired is no change', async () => {
  await expectWired();
  // What was changed after it is heard.
  tool(host, 'ip', 'rule', 'add', 'pref', '799', 'lookup', '7799', 'protocol', '117');
  expect(await heard(({ kind }) => kind === 'changed')).toBe(true);
  expect(events.filter(({ kind }) => kind !== 'link-seen')).toEqual([{ kind: 'changed', what: 'rule' }]);
  tool(host, 'ip', 'rule', 'del', 'pref', '799');
});

test.each([
  ['MAC', ['address', '02:00:00:00:00:77'], /: mac$/],
  ['MTU', ['mtu', '1400'], /: mtu$/],
  ['name', ['name', 'uwfoo'], /: its name, which was uwfoo$/],
])('the %s of the host’s end', async (_, change, says) => {
  events.length = 0;
  tool(host, 'ip', 'link', 'set', plan.link, ...change);
  expect(await heard(({ kind }) => kind === 'changed')).toBe(true);
  const synced = await outcome({ kind: 'sync', sync: 1, plan: node, pods: [plan] });
  const names = expect.arrayContaining([expect.stringMatching(says)]);
  expect(synced).toMatchObject({ kind: 'synced', damaged: [{ lease: plan.lease, names }] });
  await expectWired();
});

test('a renamed link is no NIC, and a process that starts knows it again', async () => {
  tool(host, 'ip', 'link', 'set', plan.link, 'name', 'uwfoo');
  const renamed = (await state()).links.filter(({ name }) => name === 'uwfoo');
  expect(renamed.map((link) => coreEvent({ kind: 'link-seen', ...link }))).toEqual([undefined]);
  const { lease: id, attachment, link: name } = plan;
  expect(await startedEvent(new State(), kernel, veth)).toMatchObject({
    links: [{ name, lease: { id, attachment }, addresses: plan.addresses }],
  });
  await expectWired();
});

test('the MAC of the pod’s end', async () => {
  events.length = 0;
  tool(plan.netns, 'ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:78');
  expect(await heard(({ kind }) => kind === 'pod-changed')).toBe(true);
  const names = expect.arrayContaining(['link eth0 in the pod: mac']);
  expect(await outcome({ kind: 'look', pods: [plan] })).toMatchObject({ kind: 'looked', pods: [{ names }] });
  await expectWired();
});

test("the node's own address that is gone is told with each sync, until it is back", async () => {
  const synced = () => outcome({ kind: 'sync', sync: 1, plan: node, pods: [] });
  expect(await synced()).toMatchObject({ absent: [] });
  const [own] = plan.nodeAddresses;
  events.length = 0;
  tool(host, 'ip', '-4', 'address', 'flush', 'dev', 'eth0');
  expect(await heard(({ kind }) => kind === 'changed')).toBe(true);
  expect(await synced()).toMatchObject({ absent: [own] });
  events.length = 0;
  tool(host, 'ip', 'address', 'add', `${own}/24`, 'dev', 'eth0');
  expect(await heard(({ kind }) => kind === 'changed')).toBe(true);
  expect(await synced()).toMatchObject({ absent: [] });
});
