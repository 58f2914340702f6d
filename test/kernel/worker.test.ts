/** The worker's end: asked for it is silent, else whoever speaks to the kernel is told. */
import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { createKernel } from '../../src/kernel/kernel.ts';

/** This process's sockets; a netlink one is its worker's. */
const sockets = (): number[] =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:') ? [Number(fd)] : [];
    } catch {
      return [];
    }
  });

test('a worker that ends by itself is told, with the reason, and every deed after it is refused', async () => {
  const before = sockets();
  const kernel = createKernel();
  const stop = kernel.listen(() => {});
  await kernel.read();
  for (const fd of sockets()) if (!before.includes(fd)) closeSync(fd);
  const reason = await kernel.failed;
  expect(reason.message).toBe('the kernel worker failed');
  expect(reason.cause).toMatchObject({ code: 'EBADF' });
  await expect(kernel.read()).rejects.toBe(reason);
  stop();
  await kernel.close();
});

test('one that is closed says nothing', async () => {
  const kernel = createKernel();
  let failure: Error | undefined;
  kernel.failed.then((reason) => {
    failure = reason;
  });
  await kernel.read();
  await kernel.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(failure).toBeUndefined();
});
