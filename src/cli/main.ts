/**
 * `underway`: what a person does with Underway by hand.
 * Exit codes: 0 done, 1 not done (a sentence on stderr says why), 64 wrong use (sysexits.h).
 */

import { type Command, UsageError } from './command.ts';
import { labBreak, labHeal } from './lab/break.ts';
import { labDown } from './lab/down.ts';
import { labExec } from './lab/exec.ts';
import { labStatus } from './lab/status.ts';
import { labUp } from './lab/up.ts';

const EXIT = { failed: 1, usage: 64 } as const;

const COMMANDS: Readonly<Record<string, Readonly<Record<string, Command>>>> = {
  lab: { up: labUp, status: labStatus, down: labDown, break: labBreak, heal: labHeal, exec: labExec },
};

function help(): string {
  const lines = Object.entries(COMMANDS).flatMap(([group, commands]) =>
    Object.entries(commands).map(([name, { summary }]) => `  underway ${group} ${name.padEnd(7)} ${summary}`),
  );
  return `underway: addresses of the cloud's own VPC for pods\n\n${lines.join('\n')}\n\nEach takes --help.\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [group = '', name = '', ...rest] = args;
  const isHelp = (word: string) => ['', '--help', '-h', 'help'].includes(word);
  const commands = Object.hasOwn(COMMANDS, group) ? COMMANDS[group] : undefined;
  if (isHelp(group) || (commands !== undefined && isHelp(name))) {
    process.stdout.write(help());
    return group === '' ? EXIT.usage : 0;
  }
  const command = commands !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`there is no \`underway ${group} ${name}\`: see underway --help`);
  if (isHelp(rest[0] ?? 'none')) {
    process.stdout.write(command.help);
    return 0;
  }
  return command.run(rest);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`underway: ${Error.isError(error) ? error.message : String(error)}\n`);
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
}
