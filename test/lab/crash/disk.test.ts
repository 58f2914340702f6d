/** The journal's disk is full in mid-burst: pods are deleted but not added, and nothing is left when there is space again. */
import { until } from '../pod-lab.ts';
import { reasonOf, Stage } from './stage.ts';

const LIMIT_MS = 40_000;
const ADDRESSES = 29;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 'm5.xlarge',
    daemonConfig: {
      cooldownMs: 1_000,
      cooldownUnderPressureMs: 1_000,
      addDeadlineMs: 3_000,
      pool: { targets: { floor: ADDRESSES, headroom: 0, ceiling: ADDRESSES } },
    },
  });
  await stage.atRest({ blocks: 2 * ADDRESSES });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

test(
  'ADDs hear JOURNAL_UNWRITABLE, DELs succeed, and nothing is left after space returns',
  async () => {
    const before = { kernel: await stage.kernelText(), enis: stage.cloudEnis(), blocks: stage.cloudBlocks() };
    const early = await stage.run(8);
    const burst = stage.add(16, 4);
    await until('the burst is half way', () => stage.pods.running.length >= 14, 10_000);
    stage.node.fillDisk();
    await burst;
    const late = await stage.add(6);
    const refused = stage.pods.all.filter(({ error }) => error !== undefined);
    const codes = refused.map(({ error }) => error && reasonOf(error));
    expect(refused.length).toBeGreaterThanOrEqual(late.length);
    expect(new Set(codes)).toEqual(new Set(['JOURNAL_UNWRITABLE']));
    expect(refused[0]?.error).toMatchObject({ code: 11, msg: expect.stringContaining('disk is full') });
    expect(stage.said('the journal cannot be written')).not.toEqual([]);

    expect(await stage.remove(early.slice(0, 6))).toEqual([]);
    expect(await stage.count()).toMatchObject({ lost: 0, doubled: 0, leaked: 0, details: [] });

    stage.node.freeDisk();
    for (const pod of refused) await stage.addInTheEnd(pod);
    await stage.agree();
    expect(await stage.remove([...stage.pods.all])).toEqual([]);
    expect(await stage.leftovers()).toEqual([]);
    expect({ kernel: await stage.kernelText(), enis: stage.cloudEnis(), blocks: stage.cloudBlocks() }).toEqual(before);
    await stage.agree();
  },
  LIMIT_MS,
);

test(
  'a daemon killed with a full disk frees what was deleted meanwhile',
  async () => {
    const pods = await stage.run(6);
    stage.node.fillDisk();
    expect(await stage.remove(pods.slice(0, 3))).toEqual([]);
    await stage.node.daemon.kill();
    stage.node.daemon.start();
    await until('somebody listens', async () => (await stage.node.daemon.get('/livez')) !== undefined);
    const [late] = await stage.add(1);
    expect(late?.error && reasonOf(late.error)).toBe('JOURNAL_UNWRITABLE');
    stage.node.freeDisk();
    await stage.node.daemon.ready();
    if (late !== undefined) await stage.addInTheEnd(late);
    expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
    await until('three leases and one', async () => (await stage.state()).lease.length === 4);
    // The cloud is read at each start, and on a busy machine this may be under way still.
    await stage.atRest();
    await stage.agree();
  },
  LIMIT_MS,
);
