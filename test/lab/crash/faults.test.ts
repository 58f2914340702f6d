/**
 * Each fault of the lab by its name, and where a person sees it: the pod's event (CNI's code, the reason's, its
 * sentence), a metric, a line of the log. When it is over, a pod that was refused gets its address when the runtime asks
 * again, and daemon, cloud and kernel agree. (Lost replies are in lost-reply.test.ts and kill.test.ts, lost journals in
 * journal.test.ts.)
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReasonCode } from '../../../src/core/reasons.ts';
import type { DemoPod } from '../../../src/lab/demo/pods.ts';
import { readJson } from '../../../src/lab/state-folder.ts';
import { REASON_CODE } from '../../../src/protocol/error.ts';
import { found, until } from '../pod-lab.ts';
import { reasonOf, Stage } from './stage.ts';

const LIMIT_MS = 60_000;
/** An attach is given 45 s (src/core/eni.ts), and what was refused is asked for again after half of one. */
const STUCK_LIMIT_MS = 75_000;
const HEALED_LIMIT_MS = 60_000;
const WHOLE_LIMIT_MS = LIMIT_MS + STUCK_LIMIT_MS + 2 * HEALED_LIMIT_MS;
/** An ADD waits long enough for calls that take a second, and not longer than a test may. */
const ADD_DEADLINE_MS = 5_000;
/** Nothing is kept warm, so that a pod needs the cloud. */
const CONFIG = { addDeadlineMs: ADD_DEADLINE_MS, cooldownMs: 1_000, pool: { targets: { floor: 0, headroom: 0 } } };
const FAILURES = 'underway_cloud_call_failures_total';
let stage: Stage;

/** A fault that a pod of the numbered node hears of. */
interface Refusing {
  readonly fault: string;
  readonly node: number;
  readonly code: ReasonCode;
  readonly says: RegExp;
}

const failures = (here: Stage, kind: string) => here.metric(FAILURES, `kind="${kind}"`);
const lost = () => stage.metric('underway_leases', 'state="lost"');

/** Pods take what is there: the next one needs the cloud. */
async function useUp(here = stage): Promise<void> {
  for (;;) {
    const { block, lease } = await here.state();
    if (block.length <= 2 * lease.length) return;
    await here.run(1);
  }
}

/** The fault is over, and kubelet asks again. */
async function heal(here: Stage, { fault, pod }: { readonly fault: string; readonly pod: DemoPod }): Promise<void> {
  here.lab.heal(`${fault}:${here.node.name}`);
  await here.addInTheEnd(pod, HEALED_LIMIT_MS);
  await here.atRest({ limitMs: HEALED_LIMIT_MS });
  await here.agree();
}

describe('on a node with slots to fill', () => {
  beforeAll(async () => {
    stage = await Stage.up({ instanceType: 't3.xlarge', daemonConfig: CONFIG });
  }, LIMIT_MS);
  afterAll(() => stage.down(), LIMIT_MS);
  afterEach(() => stage.lab.heal());

  test.each(['api-latency', 'stale-reads', 'no-prefix'])(
    '%s: no pod hears anything, and no call fails',
    async (fault) => {
      await useUp();
      const before = await stage.metric(FAILURES);
      await stage.lab.break(fault);
      await stage.run(1);
      expect(await stage.metric(FAILURES)).toBe(before);
      expect(await stage.count()).toMatchObject({ lost: 0, doubled: 0, leaked: 0 });
      stage.lab.heal();
      await stage.atRest();
      await stage.agree();
    },
    LIMIT_MS,
  );

  test(
    'ways-gone: DATAPATH_REPAIRED is logged and counted, and the kernel is as before',
    async () => {
      const pods = await stage.run(1);
      await stage.atRest();
      const before = {
        kernel: await stage.kernelText(),
        repairs: await stage.metric('underway_datapath_repairs_total'),
      };
      await stage.lab.break('ways-gone');
      await until('the rules are back', async () => (await stage.kernelText()).join() === before.kernel.join(), 1_500);
      await until('it is said', () => stage.said('DATAPATH_REPAIRED').length > 0, 2_000);
      expect(await stage.metric('underway_datapath_repairs_total')).toBeGreaterThan(before.repairs);
      await stage.remove(pods);
    },
    LIMIT_MS,
  );

  test(
    'disk-full: the pod hears JOURNAL_UNWRITABLE, and readiness names the journal',
    async () => {
      await stage.lab.break('disk-full');
      const [pod] = await stage.add(1);
      expect(pod?.error).toMatchObject({ code: 11, msg: expect.stringMatching(/journal cannot be written/) });
      expect((await stage.node.daemon.get('/readyz'))?.body).toMatch(/^\[-\]journal .*full/m);
      stage.lab.heal();
      await stage.addInTheEnd(found(pod, 'pod'));
      await stage.node.daemon.ready();
      await stage.agree();
    },
    LIMIT_MS,
  );

  test(
    'metadata-down: a daemon without a journal says METADATA_UNREACHABLE until it knows who it is',
    async () => {
      await stage.node.daemon.stop();
      for (const file of ['underway.db', 'underway.db-wal'])
        rmSync(join(stage.node.folder.state, file), { force: true });
      await stage.lab.break('metadata-down');
      stage.node.daemon.start();
      await until('somebody listens', async () => (await stage.node.daemon.get('/livez')) !== undefined);
      const [pod] = await stage.add(1);
      expect(pod?.error && reasonOf(pod.error)).toBe('METADATA_UNREACHABLE');
      expect(stage.said('"reason":"METADATA_UNREACHABLE"')).not.toEqual([]);
      stage.lab.heal();
      await stage.addInTheEnd(found(pod, 'pod'));
      await stage.atRest();
      await stage.agree();
    },
    LIMIT_MS,
  );

  test(
    'address-gone: a running pod’s lease is counted as lost, its ADD repeated hears ADDRESS_LOST, its DEL succeeds',
    async () => {
      // The daemon asks for the very address again within seconds, and would get it.
      const lift = stage.lab.cloud.faults.arm({ kind: 'throttle' }, { actions: ['assign'] });
      const blocks = stage.cloudBlocks();
      await stage.lab.break('address-gone');
      const gone = blocks.find((block) => !stage.cloudBlocks().includes(block)) ?? '';
      await stage.node.daemon.stop();
      stage.node.daemon.start();
      await stage.node.daemon.ready();
      await until('a lease is lost', async () => (await lost()) === 1);
      const pod = found(
        stage.running.find(({ addresses }) => addresses.some((ip) => gone.includes(` ${ip}/`))),
        'pod with that address',
      );
      expect(await stage.count()).toMatchObject({ lost: 1, doubled: 0, leaked: 0 });
      // kubelet's ADD of a pod that runs, repeated.
      const { addresses } = pod;
      expect(await stage.hears(pod)).toBe('ADDRESS_LOST');
      pod.addresses = addresses;
      expect(await stage.remove([pod])).toEqual([]);
      lift();
      await until('no lease is lost', async () => (await lost()) === 0);
      expect(await stage.count()).toEqual({ lost: 0, doubled: 0, leaked: 0, details: [] });
    },
    LIMIT_MS,
  );

  test(
    'no-prefix, where prefixes are preferred: single addresses serve the pod, and NO_PREFIX is said',
    async () => {
      await stage.lab.break('no-prefix');
      const config = readJson<{ pool: object }>(stage.node.folder.config);
      writeFileSync(
        stage.node.folder.config,
        JSON.stringify({ ...config, pool: { ...config?.pool, prefixes: 'prefer' } }),
      );
      process.kill(found(stage.node.daemon.pid, 'daemon'), 'SIGHUP');
      await until('it is taken', () => readFileSync(stage.node.folder.log, 'utf8').includes('configuration taken'));
      await useUp();
      await stage.run(1);
      expect(await failures(stage, 'exhausted')).toBeGreaterThan(0);
      const { subnet } = await stage.state();
      expect(subnet.some(({ noPrefixUntilMs }) => noPrefixUntilMs[4] > 0)).toBe(true);
      await stage.atRest();
      await stage.agree();
    },
    LIMIT_MS,
  );

  test(
    'reboot: no lease outlives the boot, every late DEL succeeds, and a pod of the new boot is served',
    async () => {
      await stage.lab.break('reboot');
      await stage.node.daemon.ready();
      expect((await stage.state()).lease).toEqual([]);
      expect(await stage.leftovers()).toEqual([]);
      expect(await stage.remove([...stage.running])).toEqual([]);
      await stage.run(1);
      await stage.atRest();
      await stage.agree();
    },
    LIMIT_MS,
  );
});

/** A node for each fault, all at a time: an ADD waits for its whole deadline. */
describe('on nodes whose next address the cloud refuses', () => {
  beforeAll(async () => {
    stage = await Stage.up({ instanceType: 't3.xlarge', nodeCount: 4, daemonConfig: CONFIG });
  }, LIMIT_MS);
  afterAll(() => stage.down(), LIMIT_MS);

  test.concurrent.each<Refusing & { readonly kind: string }>([
    {
      fault: 'throttle',
      node: 1,
      code: 'THROTTLED',
      says: /the cloud throttles \w+; the next try is in/,
      kind: 'throttled',
    },
    { fault: 'deny', node: 2, code: 'DENIED', says: /denies assign .*UnauthorizedOperation/, kind: 'denied' },
    { fault: 'subnet-full', node: 3, code: 'SUBNET_EXHAUSTED', says: /no free address in subnet-/, kind: 'exhausted' },
    { fault: 'api-down', node: 4, code: 'CLOUD_UNREACHABLE', says: /API does not answer assign/, kind: 'ambiguous' },
  ])(
    '$fault: the pod hears $code, the metric counts $kind, and after it the pod is served',
    async ({ fault, node, code, says, kind }) => {
      const here = stage.on(node);
      await useUp(here);
      const before = await failures(here, kind);
      await stage.lab.break(`${fault}:${here.node.name}`);
      const pod = found((await here.add(1))[0], 'pod');
      expect(pod.error).toMatchObject({ code: REASON_CODE[code], msg: expect.stringMatching(says) });
      expect(pod.error && reasonOf(pod.error)).toBe(code);
      expect(await failures(here, kind)).toBeGreaterThan(before);
      expect(here.said('cloud call failed')).not.toEqual([]);
      expect(await here.count()).toMatchObject({ lost: 0, doubled: 0 });
      await heal(here, { fault, pod });
    },
    WHOLE_LIMIT_MS,
  );
});

/** Two ENIs with one address for a pod each: the second pod of each node needs the second ENI. */
describe('on nodes that need another ENI', () => {
  beforeAll(async () => {
    stage = await Stage.up({ instanceType: 't3.micro', nodeCount: 3, daemonConfig: CONFIG });
    await Promise.all([1, 2, 3].map((n) => stage.on(n).run(1)));
  }, LIMIT_MS);
  afterAll(() => stage.down(), LIMIT_MS);

  test.concurrent.each<Refusing & { readonly thenCode?: ReasonCode }>([
    { fault: 'eni-limit', node: 1, code: 'ACCOUNT_QUOTA', says: /ENI quota is used up/ },
    {
      fault: 'attach-stuck',
      node: 2,
      code: 'ATTACHING',
      says: /a new ENI is on its way/,
      thenCode: 'ATTACH_STUCK',
    },
    { fault: 'link-late', node: 3, code: 'ATTACHING', says: /a new ENI is on its way/, thenCode: 'ATTACH_STUCK' },
  ])(
    '$fault: the pod hears $code, and after it the pod is served',
    async ({ fault, node, code, says, thenCode }) => {
      const here = stage.on(node);
      await stage.lab.break(`${fault}:${here.node.name}`);
      const pod = found((await here.add(1))[0], 'pod');
      expect(pod.error).toMatchObject({ code: REASON_CODE[code], msg: expect.stringMatching(says) });
      expect(pod.error && reasonOf(pod.error)).toBe(code);
      if (thenCode !== undefined)
        await until(`${thenCode} is said`, async () => (await here.hears(pod)) === thenCode, STUCK_LIMIT_MS);
      expect(await here.count()).toMatchObject({ lost: 0, doubled: 0 });
      await heal(here, { fault, pod });
    },
    WHOLE_LIMIT_MS,
  );
});
