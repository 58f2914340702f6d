/** One daemon a node, and pods find it: what becomes of its socket is noticed, and put right or told. */
import { once } from 'node:events';
import { mkdirSync, unlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { SocketTakenError } from '../../../src/daemon/server.ts';
import { TestNode } from './harness.ts';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

const told = (msg: string) => node.log.filter((line) => line.msg.includes(msg));

test('removed, it is there again within seconds, and who had come by the old one is answered', async () => {
  await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 1 } }, cooldownUnderPressureMs: 4_000 });
  await node.add('c1');
  await node.cni('DEL', 'c1');
  node.sandbox('c2');
  const waiting = node.cni('ADD', 'c2', { deadlineMs: 20_000 });
  await node.until(async () => (await node.rows('waiter')).length === 1);
  unlinkSync(node.socket);
  await node.until(() =>
    node.get('/livez').then(
      () => true,
      () => false,
    ),
  );
  expect(told('listening there anew')).toMatchObject([{ level: 'warn', socket: node.socket }]);
  expect((await waiting).status).toBe(200);
}, 20_000);

test('a second daemon with a state folder of its own does not start where the first one answers', async () => {
  const first = await node.serve();
  const second = node.start({ stateDir: join(node.folder, 'other') });
  await expect(second).rejects.toBeInstanceOf(SocketTakenError);
  await expect(second).rejects.toThrow(`another daemon answers on ${node.socket}`);
  node.daemon = first;
  expect(await node.add('c1')).toMatch(/^10\./);
});

test.each(['a folder', 'a living socket'])(
  'while %s is in its place the node is not ready, and says why',
  async (what) => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const metricsListen = `127.0.0.1:${(probe.address() as AddressInfo).port}`;
    probe.close();
    await node.serve({ metricsListen });
    unlinkSync(node.socket);
    if (what === 'a folder') mkdirSync(node.socket);
    else await once(createServer().unref().listen(node.socket), 'listening');
    const readyz = async () => (await fetch(`http://${metricsListen}/readyz`)).text();
    await node.until(async () => (await readyz()).includes(`[-]socket`));
    expect(await readyz()).toContain(what === 'a folder' ? 'is in the way: it is no socket' : 'another daemon answers');
    expect(told('cannot be made anew')).toHaveLength(1);
  },
);

test('where another process owns the table of this network namespace it ends, with a sentence, and touches nothing again', async () => {
  node.kernel.refuse = (step) => (step.do === 'put' && step.object.kind === 'nft-table' ? 'EPERM' : undefined);
  await node.start();
  await node.until(() => node.exits.length > 0);
  expect(node.exits).toEqual([75]);
  expect(told('the daemon ends')).toMatchObject([
    { level: 'fatal', why: expect.stringContaining('a second underwayd') },
  ]);
});
