/**
 * IPv6 works at once: the first packet passes within 50 ms of ADD's reply. (With the kernel's own ways it takes 2 s: an
 * interface's link-local address is being checked for duplicates, and until then nobody is asked where a pod is.)
 */

import type { Ip } from '../../../src/core/ip.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { ping } from '../../../src/lab/probe/probe.ts';
import { found } from '../pod-lab.ts';
import { addressOf, ownAddress, World } from '../world.ts';

const LIMIT_MS = 50;
const GIVE_UP_MS = 3_000;
let world: World;

beforeAll(async () => {
  world = await World.up({
    nodeCount: 3,
    vmCount: 1,
    instanceType: 'm5.large',
    // No ENI before the first pod.
    daemonConfig: { pool: { primaryEni: 'skip', targets: { floor: 0, headroom: 0, ceiling: 18 } } },
  });
}, 60_000);

afterAll(() => world.down(), 30_000);

const vmAddress = () => ownAddress(world.primaryOf(world.vm(1)), 6);

/** From now, which is ADD's reply, to the answer of one packet: it is the first, and no other is sent. */
async function firstAnswerMs(target: { readonly netns: string; readonly to: Ip }): Promise<number> {
  const answer = await ping({ ...target, timeoutMs: GIVE_UP_MS });
  return answer.ok ? answer.ms : Number.POSITIVE_INFINITY;
}

/** Who sends the first packet; a node each, so that each of them meets an ENI of its own. */
const SENDERS = [
  { who: 'its node', node: 1, first: (pod: DemoPod) => ({ netns: pod.host.netns, to: addressOf(pod, 6) }) },
  { who: 'a VM', node: 2, first: (pod: DemoPod) => ({ netns: world.vm(1).netns, to: addressOf(pod, 6) }) },
  { who: 'the pod', node: 3, first: (pod: DemoPod) => ({ netns: pod.netns, to: vmAddress() }) },
] as const;

describe.each([
  { where: 'an ENI attached a moment ago', enisBefore: 1 },
  { where: 'an ENI that is there', enisBefore: 2 },
])('on $where', ({ enisBefore }) => {
  test.each(SENDERS)('the first packet from $who passes within 50 ms', async ({ node, first }) => {
    const { instance } = world.node(node);
    expect(world.enisOf(instance)).toHaveLength(enisBefore);
    const pod = found((await world.add(world.node(node), 1))[0], 'pod');
    const tookMs = await firstAnswerMs(first(pod));
    console.log(`${tookMs.toFixed(2)} ms`);
    expect(tookMs).toBeLessThanOrEqual(LIMIT_MS);
    expect(world.enisOf(instance)).toHaveLength(2);
  });
});
