/** What goes wrong beside the work, a file in the way or a page that throws, does not end the daemon. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { listenOnSocket } from '../../../src/daemon/server.ts';
import { TestNode } from './harness.ts';

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

test('a spooled DEL that cannot be put aside holds up neither the start nor the others', async () => {
  await node.serve();
  await node.add('c1');
  await node.daemon?.stop();
  const spool = join(node.stateDir, 'del');
  writeFileSync(join(spool, 'a@eth0.json'), '{"command":');
  mkdirSync(join(spool, 'a@eth0.json.unreadable'));
  node.spool('c1');
  await node.serve();
  await node.until(() => !existsSync(join(spool, 'c1@eth0.json')));
  expect(await node.rows('lease')).toEqual([]);
  expect(readdirSync(spool)).toContain('a@eth0.json');
  expect(node.log.filter(({ msg }) => msg === 'spooled DEL stuck')).toMatchObject([
    { file: 'a@eth0.json', why: expect.stringContaining('EISDIR') },
  ]);
  expect(node.exits).toEqual([]);
});

test('whom the journal is believed to be is not taken for sure while that cannot be written: the cloud has to say', async () => {
  await node.serve();
  await node.daemon?.stop();
  node.boot('b0000000-0000-4000-8000-000000000002');
  const lift = node.cloud.faults.arm({ kind: 'api-down' });
  const doubt = join(node.stateDir, 'instance-unverified');
  mkdirSync(doubt);
  await node.start();
  node.sandbox('c1');
  const refused = await node.cni('ADD', 'c1', { deadlineMs: 300 });
  expect(refused.json).toMatchObject({ code: 11, details: expect.stringContaining('JOURNAL_UNWRITABLE') });
  // What is in the way cannot be removed either, and that is no reason to end.
  lift();
  expect((await node.cni('ADD', 'c1')).status).toBe(200);
  expect(node.exits).toEqual([]);
});

test('a page that throws is answered with a 500', async () => {
  const fails = (): never => {
    throw new Error('a row nobody expected');
  };
  const server = await listenOnSocket(node.socket, { cni: fails, pages: { '/v1/why': fails } });
  expect(await node.get('/v1/why')).toMatchObject({ status: 500, text: 'Error: a row nobody expected\n' });
  await server.close();
});
