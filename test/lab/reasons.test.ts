/**
 * Every reason that a fault can give a pod, end to end on shipped programs: the CNI error that the runtime shows, the
 * metric's label and what `underway why` says carry one code and one sentence. A node for each fault.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { ApiAction } from '../../providers/memory/api.ts';
import { ec2Capabilities } from '../../providers/memory/capabilities.ts';
import { AWS_2026 } from '../../providers/memory/figures.ts';
import { MemoryProvider } from '../../providers/memory/provider.ts';
import type { ReasonCode } from '../../src/core/reasons.ts';
import type { DemoPod } from '../../src/lab/demo/pods.ts';
import { runIn } from '../../src/lab/launch.ts';
import { systemClock } from '../../src/ports/clock.ts';
import { REASON_CODE } from '../../src/protocol/error.ts';
import type { WhyAnswer } from '../../src/protocol/why.ts';
import { reasonOf, Stage } from './crash/stage.ts';
import { found, until } from './pod-lab.ts';

const UNDERWAYD = fileURLToPath(new URL('../../src/daemon/main.ts', import.meta.url));
const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const LIMIT_MS = 60_000;
const DEADLINE_MS = 2_500;
const CALL = { signal: new AbortController().signal, timeoutMs: 5_000 };

/** Two ENIs with one address for a pod each, of which none is kept warm. */
const CONFIG = {
  addDeadlineMs: DEADLINE_MS,
  cooldownUnderPressureMs: 20_000,
  metricsListen: null,
  pool: { targets: { floor: 0, headroom: 0 } },
};

interface Fault {
  readonly code: ReasonCode;
  /** Its pool, over the others'. */
  readonly pool?: object;
  /** Of the node whose daemon serves already (unless it is to start with the fault). */
  readonly before?: (here: Stage) => Promise<unknown>;
  readonly strikes: readonly string[];
  /** Calls of the cloud that take that much longer. */
  readonly slow?: { readonly plusMs: number; readonly actions?: readonly ApiAction[] };
  /** The daemon starts when the fault is there. */
  readonly fromTheStart?: true;
  /** Of its ADD, where the reason takes longer to be true. */
  readonly deadlineMs?: number;
}

const FAULTS: readonly Fault[] = [
  { code: 'SUBNET_EXHAUSTED', strikes: ['subnet-full'] },
  { code: 'ENI_LIMIT', before: (here) => here.run(1), strikes: [] },
  { code: 'ADDRESS_LIMIT', before: (here) => here.run(2), strikes: [] },
  { code: 'THROTTLED', strikes: ['throttle'] },
  { code: 'DENIED', strikes: ['deny'] },
  { code: 'METADATA_UNREACHABLE', strikes: ['metadata-down'], fromTheStart: true },
  { code: 'ATTACHING', before: (here) => here.run(1), strikes: ['link-late'] },
  { code: 'ATTACH_STUCK', before: (here) => here.run(1), strikes: ['attach-stuck'], deadlineMs: 12_500 },
  { code: 'COOLING', before: async (here) => here.remove([found((await here.run(2))[0], 'pod')]), strikes: [] },
  {
    code: 'NO_PREFIX',
    pool: { prefixes: 'prefer' },
    slow: { plusMs: 2_000, actions: ['assign'] },
    strikes: ['no-prefix'],
  },
  { code: 'ASSIGNING', slow: { plusMs: 4_000, actions: ['assign'] }, strikes: [] },
  { code: 'ACCOUNT_QUOTA', before: (here) => here.run(1), strikes: ['eni-limit'] },
  // Nobody has IPv6 here.
  { code: 'CLOUD_MISCONFIGURED', pool: { families: [4, 6] }, strikes: [] },
  { code: 'CLOUD_UNREACHABLE', strikes: ['api-down'] },
  { code: 'JOURNAL_UNWRITABLE', strikes: ['disk-full'] },
  { code: 'DAEMON_STARTING', slow: { plusMs: 4_000 }, strikes: [], fromTheStart: true },
];

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.up({
    instanceType: 't3.micro',
    nodeCount: FAULTS.length,
    subnetCount: 1,
    ipv6: false,
    daemons: false,
    daemonConfig: CONFIG,
  });
}, LIMIT_MS);
afterAll(() => stage.down(), LIMIT_MS);

test.each(FAULTS.map((fault, at) => ({ ...fault, node: at + 1 })))(
  '$code: one code and one sentence in the CNI error, the metric and underway why',
  async ({ code, pool, before, strikes, slow, fromTheStart, deadlineMs, node }) => {
    const here = stage.on(node);
    if (pool !== undefined) configure(here, { pool: { ...CONFIG.pool, ...pool } });
    if (deadlineMs !== undefined) configure(here, { addDeadlineMs: deadlineMs });
    if (code === 'ENI_LIMIT') await attachForeign(here);
    const strike = async () => {
      if (slow !== undefined) slowDown(here, slow);
      for (const fault of strikes) await stage.lab.break(`${fault}:${here.node.name}`);
    };
    if (fromTheStart) await strike();
    here.node.daemon.start();
    try {
      if (fromTheStart) await listening(here);
      else await here.node.daemon.ready();
      await before?.(here);
      if (!fromTheStart) await strike();
      const pod = found((await here.add(1))[0], 'pod');
      await compare(here, pod, code);
    } finally {
      stage.lab.heal();
      stage.lab.cloud.faults.clear();
      await here.remove(stage.pods.all.filter(({ host }) => host.name === here.node.name));
      await here.node.daemon.stop();
    }
  },
  LIMIT_MS,
);

test(
  'underwayd --print-config says what the targets come to on the instance it is asked on',
  async () => {
    const { instance, folder } = stage.on(1).node;
    const said = await runIn(instance.netns, [
      process.execPath,
      UNDERWAYD,
      '--print-config',
      '--config',
      folder.config,
    ]);
    expect(JSON.parse(said.stdout)).toMatchObject({ pool: { targets: { floor: 0, headroom: 0 } } });
    expect(said.stderr).toBe(
      [
        "underwayd: targets: t3.micro: 0 ENIs, 0 addresses; every pod causes a cloud call; grows to 2 ENIs, 2 addresses (the instance's limit)",
        'underwayd: warning: floor and headroom are 0: every pod waits for the cloud',
        '',
      ].join('\n'),
    );
  },
  LIMIT_MS,
);

async function compare(here: Stage, pod: DemoPod, code: ReasonCode): Promise<void> {
  const error = found(pod.error, 'error');
  expect(error).toMatchObject({
    code: REASON_CODE[code],
    details: `${code}, see docs/errors.md#${code.toLowerCase()}`,
  });
  expect(reasonOf(error)).toBe(code);
  // Numbers, and when or by what it ends.
  expect(error.msg).toMatch(/\d/);
  expect(await here.metric('underway_cni_refusals_total{command="ADD"', `reason="${code}"`)).toBe(1);
  expect(await here.metric('underway_cni_refusals_total')).toBe(1);

  const name = `demo/${pod.name}`;
  const told = await underway('why', name, '--socket', here.node.folder.socket);
  expect(told.code).toBe(1);
  expect(told.stdout).toMatch(new RegExp(`^${name} was refused once, last \\d\\.\\d s ago `));
  expect(told.stdout).toContain(`\n${code}: ${error.msg}\nsee docs/errors.md#${code.toLowerCase()}\n`);
  const { stdout } = await underway('why', pod.containerId, '--json', '--socket', here.node.folder.socket);
  const answer = JSON.parse(stdout) as WhyAnswer;
  expect(answer).toMatchObject({ status: 'refused', refused: { who: name, code, text: error.msg, count: 1 } });
}

function underway(...args: readonly string[]): Promise<{ readonly code: number | null; readonly stdout: string }> {
  const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout })));
}

async function listening(here: Stage): Promise<void> {
  await until('somebody listens', async () => (await here.node.daemon.get('/livez')) !== undefined);
}

/** Somebody else's ENI, as another program on the node would bring it. */
async function attachForeign(here: Stage): Promise<void> {
  const { cloud } = here.lab;
  const instance = here.node.instance.id;
  const subnet = found(cloud.truth.enisOf(instance)[0], 'primary ENI').subnet;
  const provider = new MemoryProvider({ cloud, instance, capabilities: ec2Capabilities(AWS_2026), clock: systemClock });
  const made = await provider.createEni({ subnet, groups: [], blocks: [], tags: {}, token: 'foreign' as never }, CALL);
  if (!made.ok) throw new Error(made.failure.message);
  const attached = await provider.attachEni(made.value.id, { deviceIndex: 1 }, CALL);
  if (!attached.ok) throw new Error(attached.failure.message);
}

function configure({ node }: Stage, change: object): void {
  const config = JSON.parse(readFileSync(node.folder.config, 'utf8'));
  writeFileSync(node.folder.config, JSON.stringify({ ...config, ...change }));
}

function slowDown({ lab, node }: Stage, { plusMs, actions }: NonNullable<Fault['slow']>): void {
  const caller = node.instance.id;
  lab.cloud.faults.arm({ kind: 'latency', factor: 1, plusMs }, { caller, ...(actions && { actions }) });
}
