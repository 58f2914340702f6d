/**
 * `underway`: what a person does with Underway by hand.
 * Exit codes: 0 done, 1 not done (a sentence on stderr says why), 64 wrong use (sysexits.h). `why` has its own.
 */

import { EXIT_USAGE, sentenceOf, UsageError } from '../program/flags.ts';
import type { Command } from './command.ts';
import { labBreak, labHeal } from './lab/break.ts';
import { labDown } from './lab/down.ts';
import { labExec } from './lab/exec.ts';
import { labStatus } from './lab/status.ts';
import { labUp } from './lab/up.ts';
import { why } from './why.ts';

const EXIT = { failed: 1, usage: EXIT_USAGE } as const;

/** Commands of one word. */
const SINGLE: Readonly<Record<string, Command>> = { why };

const COMMANDS: Readonly<Record<string, Readonly<Record<string, Command>>>> = {
  lab: { up: labUp, status: labStatus, down: labDown, break: labBreak, heal: labHeal, exec: labExec },
};

function help(): string {
  const grouped = Object.entries(COMMANDS).flatMap(([group, commands]) =>
    Object.entries(commands).map(([name, { summary }]) => `  underway ${group} ${name.padEnd(7)} ${summary}`),
  );
  const single = Object.entries(SINGLE).map(([name, { summary }]) => `  underway ${name.padEnd(11)} ${summary}`);
  const lines = [...single, ...grouped];
  return `underway: addresses of the cloud's own VPC for pods\n\n${lines.join('\n')}\n\nEach takes --help.\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [group = '', name = '', ...rest] = args;
  const isHelp = (word: string) => ['', '--help', '-h', 'help'].includes(word);
  const single = Object.hasOwn(SINGLE, group) ? SINGLE[group] : undefined;
  if (single !== undefined) return name !== '' && isHelp(name) ? say(single.help) : single.run(args.slice(1));
  const commands = Object.hasOwn(COMMANDS, group) ? COMMANDS[group] : undefined;
  if (isHelp(group) || (commands !== undefined && isHelp(name))) {
    process.stdout.write(help());
    return group === '' ? EXIT.usage : 0;
  }
  const command = commands !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`there is no \`underway ${group} ${name}\`: see underway --help`);
  return isHelp(rest[0] ?? 'none') ? say(command.help) : command.run(rest);
}

function say(text: string): 0 {
  process.stdout.write(text);
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`underway: ${sentenceOf(error)}\n`);
  process.exitCode = error instanceof UsageError ? EXIT.usage : EXIT.failed;
}
