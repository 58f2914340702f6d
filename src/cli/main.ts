/**
 * `underway`: what a person does with Underway by hand.
 * Exit codes: 0 done, 1 not done (a sentence on stderr says why), 64 wrong use (sysexits.h). `why` has its own.
 */

import { EXIT_USAGE, sentenceOf, UNDERWAY, UsageError } from '../program/flags.ts';
import type { Command } from './command.ts';
import { install } from './install.ts';
import { labBreak, labHeal } from './lab/break.ts';
import { labDown } from './lab/down.ts';
import { labExec } from './lab/exec.ts';
import { labKill, labRestart } from './lab/restart.ts';
import { labStatus } from './lab/status.ts';
import { labUp } from './lab/up.ts';
import { why } from './why.ts';

const EXIT = { failed: 1, usage: EXIT_USAGE } as const;

/** Commands of one word. */
const SINGLE: Readonly<Record<string, Command>> = { why, install };

const COMMANDS: Readonly<Record<string, Readonly<Record<string, Command>>>> = {
  lab: {
    up: labUp,
    status: labStatus,
    exec: labExec,
    break: labBreak,
    heal: labHeal,
    kill: labKill,
    restart: labRestart,
    down: labDown,
  },
};

function help(): string {
  const grouped = Object.entries(COMMANDS).flatMap(([group, commands]) =>
    Object.entries(commands).map(([name, { summary }]) => `  underway ${group} ${name.padEnd(8)} ${summary}`),
  );
  const single = Object.entries(SINGLE).map(([name, { summary }]) => `  underway ${name.padEnd(12)} ${summary}`);
  const lines = [...single, ...grouped];
  return `underway: addresses of the cloud's own VPC for pods\n\n${lines.join('\n')}\n\nEach takes --help.\n`;
}

async function main(args: readonly string[]): Promise<number> {
  const [group = '', name = '', ...rest] = args;
  const isHelp = (word: string) => ['', '--help', '-h', 'help'].includes(word);
  const single = Object.hasOwn(SINGLE, group) ? SINGLE[group] : undefined;
  if (single !== undefined) return asksHelp(args.slice(1)) ? say(single.help) : single.run(args.slice(1));
  const commands = Object.hasOwn(COMMANDS, group) ? COMMANDS[group] : undefined;
  if (isHelp(group) || (commands !== undefined && isHelp(name))) {
    process.stdout.write(help());
    return group === '' ? EXIT.usage : 0;
  }
  const command = commands !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) throw new UsageError(`there is no \`${['underway', group, name].join(' ').trim()}\``);
  return asksHelp(rest) ? say(command.help) : command.run(rest);
}

/** Anywhere among its flags; what follows `--` is another program's. */
function asksHelp(words: readonly string[]): boolean {
  const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words;
  return own.includes('--help') || own.includes('-h');
}

function say(text: string): 0 {
  process.stdout.write(text);
  return 0;
}

/** The command whose help says what is right. */
function commandIn([group = '', name = '']: readonly string[]): string {
  if (Object.hasOwn(SINGLE, group)) return `${UNDERWAY} ${group}`;
  return Object.hasOwn(COMMANDS, group) && Object.hasOwn(COMMANDS[group] ?? {}, name)
    ? `${UNDERWAY} ${group} ${name}`
    : UNDERWAY;
}

const args = process.argv.slice(2);
try {
  process.exitCode = await main(args);
} catch (error) {
  const isUsage = error instanceof UsageError;
  process.stderr.write(`underway: ${sentenceOf(error)}${isUsage ? `: see ${commandIn(args)} --help` : ''}\n`);
  process.exitCode = isUsage ? EXIT.usage : EXIT.failed;
}
