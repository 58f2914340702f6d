import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checksOf } from '../../../src/daemon/readiness.ts';
import { TestNode } from './harness.ts';
import { canMount, mountDisk, unmountDisk } from './small-disk.ts';

(canMount() ? test : test.skip)(
  'a full disk: ADD is refused, DEL works, nothing is lost or left when there is space',
  async () => {
    const node = new TestNode();
    mountDisk(node.stateDir, '1m');
    try {
      await node.serve({ pool: { targets: { floor: 30, headroom: 0 } } });
      const ips = [];
      for (const id of ['c1', 'c2', 'c3']) ips.push(await node.add(id));
      const ballast = join(node.stateDir, 'ballast');
      fill(ballast);
      node.sandbox('full');
      const refused = await refusedAdd(node);
      expect(refused).toMatchObject({ code: 11, details: expect.stringContaining('JOURNAL_UNWRITABLE') });
      expect(await node.cni('DEL', 'c1')).toMatchObject({ status: 200, text: '' });
      expect((await node.get('/readyz')).text).toMatch(/\[-\]journal .*full/);
      const status = { config: '{"cniVersion":"1.1.0","name":"underway","type":"underway"}' };
      const unable = await node.cni('STATUS', '', status);
      expect(unable.json).toMatchObject({ code: 50, details: expect.stringContaining('JOURNAL_UNWRITABLE') });

      // Killed now, it would leave a heartbeat that says the contrary.
      const heartbeat = join(node.stateDir, 'heartbeat');
      expect(existsSync(heartbeat)).toBe(false);

      // Nobody sends pods to a node that says so: it finds out by itself.
      rmSync(ballast);
      await node.until(async () => (await node.cni('STATUS', '', status)).status === 200);
      expect((await node.get('/readyz')).status).toBe(200);
      expect(existsSync(heartbeat)).toBe(true);
      expect((await node.cni('ADD', 'full')).status).toBe(200);
      await node.daemon?.stop();
      await node.serve({ pool: { targets: { floor: 30, headroom: 0 } } });
      const leases = await node.rows('lease');
      expect(leases.map(({ key }) => key).sort()).toEqual(['c2', 'c3', 'full'].map((id) => `underway/${id}/eth0`));
      expect(leases.flatMap(({ addresses }) => addresses as string[])).not.toContain(ips[0]?.split('/')[0]);
      expect(node.exits).toEqual([]);
    } finally {
      await node.daemon?.stop();
      unmountDisk(node.stateDir);
      await node.close();
    }
  },
  20_000,
);

test('a start that cannot write its journal says so once, at the journal', () => {
  const said = checksOf(undefined, { code: 'JOURNAL_UNWRITABLE', detail: 'disk full' }).filter(({ detail }) => detail);
  expect(said).toMatchObject([{ name: 'journal', ok: false, detail: expect.stringContaining('(disk full)') }]);
});

function fill(path: string): void {
  for (const size of [65_536, 4_096, 512, 1]) {
    for (;;) {
      try {
        writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
      } catch {
        break;
      }
    }
  }
}

/** The log's last page may still have room for a commit or two. */
async function refusedAdd(node: TestNode): Promise<unknown> {
  for (let n = 0; n < 5; n++) {
    node.sandbox(`full${n}`);
    const { status, json } = await node.cni('ADD', `full${n}`);
    if (status !== 200) return json;
    await node.cni('DEL', `full${n}`);
  }
  return undefined;
}
