/** The daemon as it is shipped: bundled, with the launcher that gives it its memory. The other tests run the sources. */
import { readFileSync } from 'node:fs';
import { buildDaemon } from '../../deploy/build.ts';
import { World } from './world.ts';

/** Of a node of a few pods; the bar of 250 pods is the bench's. */
const RESIDENT_MB_MAX = 150;

test('it serves, is restarted with its pods running, and takes the memory that it was given', async () => {
  await buildDaemon();
  const world = await World.up({ nodeCount: 1, vmCount: 1, shipped: true });
  try {
    const node = world.node(1);
    const pods = await world.add(node, 20);
    await node.daemon.kill();
    node.daemon.start();
    await node.daemon.ready();
    await world.add(node, 20);
    expect(pods.every(({ addresses }) => addresses.length === 2)).toBe(true);
    const command = readFileSync(`/proc/${node.daemon.pid}/cmdline`, 'utf8').split('\0');
    expect(command).toEqual(expect.arrayContaining(['--max-semi-space-size=1', '--max-old-space-size=256']));
    expect(readFileSync(`/proc/${node.daemon.pid}/environ`, 'utf8')).toContain('MALLOC_ARENA_MAX=2');
    const [, kilobytes] =
      /^Rss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${node.daemon.pid}/smaps_rollup`, 'utf8')) ?? [];
    expect((Number(kilobytes) * 1_024) / 1e6).toBeLessThan(RESIDENT_MB_MAX);
  } finally {
    await world.down();
  }
}, 60_000);
