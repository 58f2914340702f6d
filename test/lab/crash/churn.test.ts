/** Pods come and go, and the node is as it was: not a link, route or element more or less, nor an ENI. */

import { join } from 'node:path';
import { openJournal } from '../../../src/daemon/journal.ts';
import { systemClock } from '../../../src/ports/clock.ts';
import { until } from '../pod-lab.ts';
import { Stage } from './stage.ts';
import { churn } from './traffic.ts';

const SEED = 20_261_124;
const PODS = 250;
/** Four ENIs full: the pool neither grows nor shrinks. */
const ADDRESSES = 4 * 29;
const LIMIT_MS = 90_000;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 'm5.4xlarge',
    daemonConfig: {
      cooldownMs: 1_000,
      cooldownUnderPressureMs: 1_000,
      pool: { primaryEni: 'skip', targets: { floor: ADDRESSES, headroom: 0, ceiling: ADDRESSES } },
    },
  });
  await stage.atRest({ blocks: 2 * ADDRESSES });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

test(
  `${PODS} ADDs and DELs in random order, 16 at a time: the kernel's text is as before; journal, cloud and kernel agree`,
  async () => {
    const before = { kernel: await stage.kernelText(), enis: stage.cloudEnis(), blocks: stage.cloudBlocks() };
    const complaints = await churn(stage, { seed: SEED, pods: PODS, parallel: 16, live: 60 });
    expect(complaints).toEqual([]);
    expect(await stage.leftovers()).toEqual([]);
    await until('nothing cools down', async () => (await stage.state()).address.length === 0);
    expect({ kernel: await stage.kernelText(), enis: stage.cloudEnis(), blocks: stage.cloudBlocks() }).toEqual(before);
    await stage.agree();
    const state = await stage.state();
    await stage.node.daemon.stop();
    const rows = await journalRows();
    expect(rows.filter((row) => row.startsWith('lease') || row.startsWith('operation'))).toEqual([]);
    for (const table of ['eni', 'block'] as const)
      expect(rows.filter((row) => row.startsWith(`${table} `))).toHaveLength(state[table].length);
    stage.node.daemon.start();
    await stage.node.daemon.ready();
  },
  LIMIT_MS,
);

/** `<table> <key>` of every row in the file. */
async function journalRows(): Promise<string[]> {
  const path = join(stage.node.folder.state, 'underway.db');
  const journal = await openJournal({ path, clock: systemClock, lockWaitMs: 0 });
  const { origin, rows } = journal.load();
  journal.close();
  expect(origin).toBe('intact');
  return rows.map(({ table, key }) => `${table} ${key}`);
}
