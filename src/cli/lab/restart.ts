/** `underway lab kill` and `restart`: a node's daemon, ended as by a crash. */
import { askControl } from '../../lab/control.ts';
import type { Restarted } from '../../lab/lab.ts';
import { labCommand } from '../../lab/options.ts';
import { readFlags, UsageError } from '../../program/flags.ts';
import { type Command, NAME_OPTION, namedLab } from '../command.ts';

interface Asked {
  readonly node: string;
  readonly lab: string;
}

function askedIn(args: readonly string[]): Asked {
  const { values, positionals } = readFlags({ args: [...args], options: NAME_OPTION, allowPositionals: true });
  const [node, ...more] = positionals;
  if (node === undefined || more.length > 0) throw new UsageError('one node, such as node-1');
  return { node, lab: values.name };
}

/** Which daemon ran, and which runs now. */
async function ask(path: '/kill' | '/restart', { node, lab }: Asked): Promise<Restarted> {
  const { folder } = namedLab(lab);
  return (await askControl(folder, { method: 'POST', path, body: { node } })) as Restarted;
}

export const labKill: Command = {
  summary: "kill -9 a node's daemon",
  help: `underway lab kill NODE [--name NAME]

As a crash does it. Pods keep their network; the CNI binary asks again until \`underway lab restart NODE\`, or until its
own deadline.
`,
  async run(args) {
    const asked = askedIn(args);
    const { killed } = await ask('/kill', asked);
    if (killed === null) throw new Error(`no daemon runs on ${asked.node}`);
    const next = labCommand(`restart ${asked.node}`, asked.lab);
    process.stdout.write(`${asked.node}: daemon ${killed} was killed (kill -9); another: \`${next}\`\n`);
    return 0;
  },
};

export const labRestart: Command = {
  summary: "start a node's daemon, and kill -9 the one that runs",
  help: `underway lab restart NODE [--name NAME]

Kills the node's daemon as a crash does it, where one runs, and starts another, which reads its configuration anew.
Answers when it serves.
`,
  async run(args) {
    const asked = askedIn(args);
    const { killed, started, readyMs } = await ask('/restart', asked);
    const before = killed === null ? 'no daemon ran' : `daemon ${killed} was killed (kill -9)`;
    process.stdout.write(
      `${asked.node}: ${before}; daemon ${started} serves after ${(readyMs / 1_000).toFixed(1)} s\n`,
    );
    return 0;
  },
};
