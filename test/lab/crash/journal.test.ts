/** The journal is lost, fought over or too old for the world it comes back to. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runIn } from '../../../src/lab/launch.ts';
import { until } from '../pod-lab.ts';
import { Stage } from './stage.ts';
import { mesh, Pings } from './traffic.ts';

const LIMIT_MS = 60_000;
const PODS = 50;
/** The last of the pods need addresses that are assigned a moment before the end. */
const FLOOR = 40;
/** More than the daemon believes a read to lag (providers/aws/capabilities.ts): it outlasts the daemon's start. */
const LAG_MS = 1_500;
const DAEMON = fileURLToPath(new URL('../../../src/daemon/main.ts', import.meta.url));
/** sysexits of src/daemon/main.ts. */
const EXIT_LOCKED = 75;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 'm5.4xlarge',
    vmCount: 1,
    daemonConfig: {
      addDeadlineMs: 20_000,
      lockWaitMs: 500,
      cooldownMs: 2_000,
      pool: { primaryEni: 'skip', targets: { floor: FLOOR, headroom: 0, ceiling: 4 * 29 } },
    },
  });
  await stage.atRest({ blocks: 2 * FLOOR });
}, LIMIT_MS);
// The next test finds the pool as the first did, whatever became of this one.
afterEach(async () => {
  stage.lab.heal();
  stage.lab.cloud.faults.clear();
  await stage.remove([...stage.pods.all]);
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

/** By which marks and tables know each ENI. */
async function numbersOfEnis(): Promise<Record<string, number>> {
  const { eni } = await stage.state();
  return Object.fromEntries(
    eni.flatMap((row) => ('id' in row && row.number !== undefined ? [[row.id, row.number]] : [])),
  );
}

test(
  `the journal deleted while ${PODS} pods run, the daemon restarted with stale reads: no ping lost, no address doubled`,
  async () => {
    const old = await stage.run(FLOOR);
    stage.lab.cloud.faults.arm({ kind: 'stale-reads', lagMs: LAG_MS });
    old.push(...(await stage.run(PODS - FLOOR)));
    const pings = new Pings(mesh(stage, old));
    const numbers = await numbersOfEnis();
    expect(Object.keys(numbers).length).toBeGreaterThan(2);
    await stage.node.daemon.kill();
    for (const file of ['underway.db', 'underway.db-wal']) rmSync(join(stage.node.folder.state, file), { force: true });
    stage.node.daemon.start();
    const fresh = await stage.run(6);
    await stage.node.daemon.ready();
    await pings.stop();
    expect(pings.sent).toBeGreaterThan(20);
    expect(pings.lost).toEqual([]);
    expect(await numbersOfEnis()).toMatchObject(numbers);
    const before = new Set(old.flatMap(({ addresses }) => addresses));
    expect(fresh.flatMap(({ addresses }) => addresses).filter((ip) => before.has(ip))).toEqual([]);
    const doubled = [...(await stage.owners(stage.running))].filter(([, names]) => names.length > 1);
    expect(doubled).toEqual([]);
    expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
    stage.lab.cloud.faults.clear();
    await stage.atRest();
    await stage.agree();
    expect(await stage.remove(old)).toEqual([]);
    await stage.agree();
  },
  LIMIT_MS,
);

test(
  'a second daemon on the node ends with a sentence, and the first goes on',
  async () => {
    const { node } = stage;
    const { code, stderr } = await runIn(node.instance.netns, [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      DAEMON,
      '--config',
      node.folder.config,
    ]);
    expect(stderr).toMatch(/another daemon has the journal .*underway\.db and did not end within 0\.5 s/);
    expect(code).toBe(EXIT_LOCKED);
    await stage.run(1);
    // Where all that the last test's pods had still cools, this one's address is on its way from the cloud beside.
    await stage.atRest();
    await stage.agree();
  },
  LIMIT_MS,
);

test(
  'a namespace deleted without DEL: the address is not given to two, and the DEL that comes later succeeds',
  async () => {
    const [gone, ...others] = await stage.run(3);
    if (gone === undefined) throw new Error('three pods are wanted');
    await stage.lab.networks.deleteNamespace(gone.netns);
    await until('its link is gone', async () => {
      const { objects } = await stage.kernel();
      return !objects.some(
        (object) =>
          object.kind === 'route' && object.destination === `${gone.addresses[0]}/32` && object.type === 'unicast',
      );
    });
    const more = await stage.run(10);
    const owners = await stage.owners([...others, ...more]);
    expect([...owners].filter(([, names]) => names.length > 1)).toEqual([]);
    const { lease } = await stage.state();
    // The link's end is the lease's: nobody need wait for a DEL that may never come.
    expect(lease.filter(({ attachment }) => attachment.containerId === gone.containerId)).toEqual([]);
    expect(await stage.remove([gone])).toEqual([]);
    await stage.atRest();
    await stage.agree();
  },
  LIMIT_MS,
);

test(
  'the cloud and the metadata unreachable at daemon start: an ADD is served from the pool',
  async () => {
    await stage.lab.break('api-down');
    await stage.lab.break('metadata-down');
    await stage.node.daemon.kill();
    stage.node.daemon.start();
    const pods = await stage.run(3);
    await stage.node.daemon.ready();
    expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
    expect(await stage.remove(pods)).toEqual([]);
    stage.lab.heal();
    await stage.atRest();
    await stage.agree();
  },
  LIMIT_MS,
);
