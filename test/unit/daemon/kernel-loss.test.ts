/** The daemon and a kernel that it can no longer speak to, or did not hear for a while. */
import { TestNode } from './harness.ts';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

test('without the kernel it ends, so that its supervisor starts it anew', async () => {
  await node.serve();
  node.kernel.fail(new Error('the kernel worker failed'));
  await node.until(() => node.exits.length > 0);
  expect(node.exits).toEqual([70]);
  expect(node.log.at(-1)).toMatchObject({ err: { message: 'the kernel worker failed' } });
});

test('what happened while it heard nothing is made up for: pods that ended, links that came', async () => {
  await node.serve({ pool: { primaryEni: 'skip', targets: { floor: 2, headroom: 0, ceiling: 1_000 } } });
  await node.add('a');
  node.kernel.deafen();
  node.kernel.deleteNamespace('/run/netns/a');
  // More than one ENI of an m5.4xlarge holds: the link of another is missed.
  const pods = Array.from({ length: 30 }, (_, n) => node.add(`p${n}`));
  await node.until(async () => (await node.rows('eni')).some(({ state }) => state === 'linking'));
  expect((await node.rows('lease')).map(({ attachment }) => attachment)).toContainEqual(
    expect.objectContaining({ containerId: 'a' }),
  );
  node.kernel.undeafen();
  await Promise.all(pods);
  expect((await node.rows('lease')).map(({ attachment }) => attachment)).not.toContainEqual(
    expect.objectContaining({ containerId: 'a' }),
  );
});
