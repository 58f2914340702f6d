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
