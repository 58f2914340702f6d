/** The cloud does the work and its answer is lost: nothing more is in the cloud than the daemon knows of. (Unassign: kill.test.ts.) */
import { Stage } from './stage.ts';

/** The call's own deadline is 10 s, and reads decide only after it. */
const LIMIT_MS = 60_000;
let stage: Stage;

beforeAll(async () => {
  stage = await Stage.up({
    nodeCount: 2,
    instanceType: 't3.large',
    daemonConfig: { addDeadlineMs: 30_000, pool: { primaryEni: 'skip', targets: { floor: 0, headroom: 0 } } },
  });
  // An ENI with a free slot or two: what comes next is an assign.
  await stage.on(2).run(1);
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

test.concurrent.each([
  { action: 'create-eni', node: 1, enis: 1 },
  { action: 'assign', node: 2, enis: 1 },
] as const)(
  '$action: no ENI or address more than recorded, and the pod is served',
  async ({ action, node, enis }) => {
    const here = stage.on(node);
    const caller = here.node.instance.id;
    stage.lab.cloud.faults.arm({ kind: 'lost-reply', silent: false }, { calls: 1, actions: [action], caller });
    await here.run(1);
    await here.atRest();
    await here.agree();
    expect(here.said('"kind":"ambiguous"')).not.toEqual([]);
    expect(await here.metric('underway_cloud_call_failures_total', 'kind="ambiguous"')).toBe(1);
    expect(stage.lab.cloud.truth.enisOf(caller)).toHaveLength(1 + enis);
    expect(stage.lab.cloud.truth.enis().filter(({ attachment }) => attachment === undefined)).toEqual([]);
    expect(here.cloudBlocks()).toHaveLength(2 * here.running.length);
  },
  LIMIT_MS,
);
