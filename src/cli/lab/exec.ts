/** `underway lab exec`: a command inside an instance. */
import { spawn } from 'node:child_process';
import { askControl } from '../../lab/control.ts';
import { commandIn } from '../../lab/launch.ts';
import { joinPrefix } from '../../lab/privilege.ts';
import type { LabStatus } from '../../lab/status.ts';
import { readFlags, UsageError } from '../../program/flags.ts';
import { exitCodeOf } from '../../program/interruption.ts';
import { type Command, NAME_OPTION, namedLab } from '../command.ts';

export const labExec: Command = {
  summary: 'run a command inside an instance',
  help: `underway lab exec INSTANCE [--name NAME] -- COMMAND [ARGUMENT...]

In the instance's network namespace, with the exit code of the command. INSTANCE is node-1, vm-1, internet or fabric.
`,
  async run(args) {
    const split = args.indexOf('--');
    const command = split < 0 ? [] : args.slice(split + 1);
    const own = split < 0 ? [...args] : args.slice(0, split);
    const { values, positionals } = readFlags({ args: own, options: NAME_OPTION, allowPositionals: true });
    const [name, ...more] = positionals;
    if (name === undefined || more.length > 0 || command.length === 0)
      throw new UsageError('an instance, then -- and a command');
    const status = (await askControl(namedLab(values.name).folder, { method: 'GET', path: '/status' })) as LabStatus;
    const netns = netnsOf(status, name);
    const [program = '', ...words] = [...joinPrefix(status.pid), ...commandIn(netns, command)];
    return exitCodeOf(spawn(program, words, { stdio: 'inherit' }));
  },
};

function netnsOf({ instances, internet, fabric }: LabStatus, name: string): string {
  if (name === 'internet') return internet.netns;
  if (name === 'fabric') return fabric.netns;
  const instance = instances.find((candidate) => candidate.name === name || candidate.id === name);
  if (instance !== undefined) return instance.netns;
  const known = [...instances.map((candidate) => candidate.name), 'internet', 'fabric'];
  throw new UsageError(`no instance ${name}: there are ${known.join(', ')}`);
}
