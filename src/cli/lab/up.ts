/** `underway lab up`: a process of its own that holds a lab until `lab down`. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askControl } from '../../lab/control.ts';
import { createLab } from '../../lab/lab.ts';
import { DEFAULT_LAB, type LabOptions, labCommand } from '../../lab/options.ts';
import { privilegedEnv, privilegedPrefix, settleInside } from '../../lab/privilege.ts';
import { leftText } from '../../lab/removal.ts';
import { defaultStateRoot } from '../../lab/state-folder.ts';
import type { LabStatus } from '../../lab/status.ts';
import { readFlags, wholeNumber } from '../../program/flags.ts';
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
  ipv6: { type: 'boolean', default: DEFAULT_LAB.ipv6 },
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
  --no-ipv6            IPv4 only
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
      ipv6: values.ipv6,
      fast: values.fast,
      daemons: values.daemons,
    };
    const lab = namedLab(values.name);
    if (!values.foreground) return inBackground(args, lab);
    const prefix = privilegedPrefix();
    return prefix.length > 0 ? inUserNamespace(prefix, args) : hold(options);
  },
};

/** In this process, until somebody says that it is enough. */
async function hold(options: Partial<LabOptions>): Promise<number> {
  await settleInside();
  const stop = Promise.withResolvers<void>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.resolve());
  const lab = await createLab(options);
  process.stdout.write(statusText(await lab.status()));
  await stop.promise;
  const left = await lab.close();
  process.stdout.write(`${leftText(left)}\n`);
  return Object.values(left).some((count) => count > 0) ? 1 : 0;
}

const ownCommand = (args: readonly string[]): [string, ...string[]] => [
  process.execPath,
  process.argv[1] ?? '',
  'lab',
  'up',
  ...args,
];

/** The same command where this user is root. */
function inUserNamespace([program, ...flags]: readonly string[], args: readonly string[]): Promise<number> {
  const child = spawn(program ?? '', [...flags, ...ownCommand(args)], {
    stdio: 'inherit',
    env: { ...process.env, ...privilegedEnv(defaultStateRoot()) },
  });
  // Ctrl-C reaches the child by itself; this one waits for it to end in order.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

async function inBackground(args: readonly string[], { name, folder }: NamedLab): Promise<number> {
  const already = await askControl(folder, { method: 'GET', path: '/status' }).catch(() => undefined);
  if (already !== undefined) throw new Error(`a lab named ${name} is up already: ${labCommand('down', name)}`);
  mkdirSync(dirname(folder.log), { recursive: true });
  const log = openSync(folder.log, 'w');
  const [program, ...words] = [...privilegedPrefix(), ...ownCommand([...args, '--foreground'])];
  const isInside = privilegedPrefix().length > 0;
  const child = spawn(program ?? '', words, {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, ...(isInside && privilegedEnv(defaultStateRoot())) },
  });
  closeSync(log);
  let ended: string | undefined;
  child.on('error', (error) => {
    ended = error.message;
  });
  child.on('exit', () => {
    ended = readFileSync(folder.log, 'utf8').trim().split('\n').at(-1) ?? '';
    // One that ended without a word of its own left only its log.
    if (ended !== '') rmSync(folder.log);
  });
  for (;;) {
    if (ended !== undefined) throw new Error(ended.replace(/^underway: /, '') || `see ${folder.log}`);
    const asked = await askControl(folder, { method: 'GET', path: '/status' }).catch(() => undefined);
    const status = asked as LabStatus | undefined;
    if (status?.ready) {
      process.stdout.write(statusText(status));
      child.unref();
      return 0;
    }
    await sleep(READY_POLL_MS);
  }
}
