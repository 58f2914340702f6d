/** `underway lab up`: a process of its own that holds a lab until `lab down`. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Family } from '../../core/ip.ts';
import { askControl } from '../../lab/control.ts';
import { createLab, refuseSecond } from '../../lab/lab.ts';
import { DEFAULT_LAB, type LabOptions } from '../../lab/options.ts';
import { isPrivileged, privilegedEnv, privilegedPrefix, runPrivileged, settleInside } from '../../lab/privilege.ts';
import { downLab, interruptedText, isNothing, leftText } from '../../lab/removal.ts';
import type { LabStatus } from '../../lab/status.ts';
import { readFlags, UsageError, wholeNumber } from '../../program/flags.ts';
import { interruption } from '../../program/interruption.ts';
import { type Command, NAME_OPTION, type NamedLab, namedLab } from '../command.ts';
import { statusText } from './status-text.ts';

const READY_POLL_MS = 50;

const FLAGS = {
  ...NAME_OPTION,
  nodes: { type: 'string', default: String(DEFAULT_LAB.nodeCount) },
  vms: { type: 'string', default: String(DEFAULT_LAB.vmCount) },
  subnets: { type: 'string', default: String(DEFAULT_LAB.subnetCount) },
  'instance-type': { type: 'string', default: DEFAULT_LAB.instanceType },
  seed: { type: 'string', default: String(DEFAULT_LAB.seed) },
  ipv4: { type: 'boolean', default: DEFAULT_LAB.ipv4 },
  ipv6: { type: 'boolean', default: DEFAULT_LAB.ipv6 },
  families: { type: 'string' },
  prefixes: { type: 'boolean', default: false },
  fast: { type: 'boolean', default: DEFAULT_LAB.fast },
  daemons: { type: 'boolean', default: DEFAULT_LAB.daemons },
  foreground: { type: 'boolean', default: false },
} as const;

export const labUp: Command = {
  summary: 'bring up a VPC with packets on this machine',
  help: `underway lab up: a VPC on this machine, with an EC2 endpoint, instance metadata, and real packets.

  --nodes N            nodes, each with a daemon (default ${DEFAULT_LAB.nodeCount})
  --vms N              instances without one (default ${DEFAULT_LAB.vmCount})
  --subnets N          subnets, all in one zone; instances take turns (default ${DEFAULT_LAB.subnetCount})
  --instance-type T    a shape of AWS's (default ${DEFAULT_LAB.instanceType})
  --no-ipv6            subnets without IPv6
  --no-ipv4            subnets without IPv4, which EC2 calls IPv6-only
  --families LIST      addresses of a pod: 4, 6 or 4,6 (default: one of each that the subnets have)
  --prefixes           daemons prefer prefixes (/28 and /80) to single addresses
  --fast               the cloud answers at once; without it, as fast as AWS
  --no-daemons         nodes without daemons: start your own
  --seed N             of the cloud's latencies and ids (default ${DEFAULT_LAB.seed})
  --name NAME          of the lab and its namespaces (default ${DEFAULT_LAB.name})
  --foreground         stay here until Ctrl-C, instead of in a process of its own

Needs root, or user namespaces. With those, the lab's namespaces are in one of its own: \`lab exec\` enters it, other
programs do with nsenter, and the EC2 endpoint on 127.0.0.1 is in there too.
`,
  async run(args) {
    const { values } = readFlags({ args: [...args], options: FLAGS, allowNegative: true });
    const options: Partial<LabOptions> = {
      name: values.name,
      nodeCount: wholeNumber('nodes', values.nodes, { min: 0, max: 20 }),
      vmCount: wholeNumber('vms', values.vms, { min: 0, max: 50 }),
      subnetCount: wholeNumber('subnets', values.subnets, { min: 1, max: 15 }),
      seed: wholeNumber('seed', values.seed, { min: 0, max: 2 ** 32 - 1 }),
      instanceType: values['instance-type'],
      ipv4: values.ipv4,
      ipv6: values.ipv6,
      families: familiesIn(values),
      fast: values.fast,
      daemons: values.daemons,
      ...(values.prefixes && { daemonConfig: { pool: { prefixes: 'prefer' } } }),
    };
    const lab = namedLab(values.name);
    if (!values.foreground) return inBackground(args, lab);
    const prefix = privilegedPrefix();
    return prefix.length > 0 ? runPrivileged(prefix, inForeground(args)) : hold(options);
  },
};

/** Of a pod. Throws UsageError for what the subnets do not have. */
function familiesIn(values: { ipv4: boolean; ipv6: boolean; families?: string | undefined }): readonly Family[] {
  const had = ([4, 6] as const).filter((family) => (family === 4 ? values.ipv4 : values.ipv6));
  if (had.length === 0) throw new UsageError('--no-ipv4 and --no-ipv6 together leave no addresses');
  if (values.families === undefined) return had;
  const asked = values.families.split(',');
  const wrong = asked.find((text) => !had.some((family) => String(family) === text));
  if (wrong !== undefined)
    throw new UsageError(
      `--families is a list of ${had.join(' and ')}, which the subnets have; it has ${wrong || 'an empty word'}`,
    );
  return had.filter((family) => asked.includes(String(family)));
}

/** In this process, until somebody says that it is enough. */
async function hold(options: Partial<LabOptions>): Promise<number> {
  await settleInside();
  const enough = interruption();
  const lab = await createLab(options);
  process.stdout.write(statusText(await lab.status()));
  await enough;
  const left = await lab.close();
  process.stdout.write(`${leftText(left)}\n`);
  return isNothing(left) ? 0 : 1;
}

const inForeground = (args: readonly string[]): readonly string[] => [
  process.execPath,
  process.argv[1] ?? '',
  'lab',
  'up',
  ...args,
];

async function inBackground(args: readonly string[], lab: NamedLab): Promise<number> {
  const { name, folder } = lab;
  refuseSecond(folder, name);
  const prefix = privilegedPrefix();
  const interrupted = interruption();
  mkdirSync(dirname(folder.log), { recursive: true });
  const log = openSync(folder.log, 'w');
  const [program = '', ...words] = [...prefix, ...inForeground([...args, '--foreground'])];
  const child = spawn(program, words, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...(prefix.length > 0 && privilegedEnv()) },
  });
  closeSync(log);
  const ended = new Promise<string>((resolve) => {
    child.on('error', ({ message }) => resolve(message));
    child.on('exit', () => resolve(lastWords(folder.log)));
  });
  for (;;) {
    const end = await Promise.race([sleep(READY_POLL_MS), ended, interrupted]);
    if (typeof end === 'string') throw new Error(end);
    if (end !== undefined) {
      child.kill('SIGTERM');
      await ended;
      const left = await downLab(lab, { privileged: isPrivileged() });
      process.stdout.write(`${interruptedText(left)}\n`);
      return end.code;
    }
    const asked = await askControl(folder, { method: 'GET', path: '/status' }).catch(() => undefined);
    const status = asked as LabStatus | undefined;
    if (status?.ready) {
      process.stdout.write(statusText(status));
      child.unref();
      return 0;
    }
  }
}

/** Of a lab that did not come up. Its log stays where it ended without a sentence of its own. */
function lastWords(log: string): string {
  const said = /^underway: (.*)$/.exec(readFileSync(log, 'utf8').trim().split('\n').at(-1) ?? '')?.[1];
  if (said === undefined) return `the lab ended before it was up: see ${log}`;
  rmSync(log);
  return said;
}
