/** `underway lab down`: nothing stays behind, also when the lab's process was killed. */
import { isPrivileged } from '../../lab/privilege.ts';
import { downLab, isNothing, leftText } from '../../lab/removal.ts';
import { readFlags } from '../../program/flags.ts';
import { type Command, NAME_OPTION, namedLab } from '../command.ts';

export const labDown: Command = {
  summary: 'take it down, and count what is left',
  help: `underway lab down [--name NAME]

Stops the daemons and the lab, ends every process in its namespaces, and removes namespaces, mounts and files; also
after the lab's process was killed. Exit code 0 when nothing is left, also when there was nothing.
`,
  async run(args) {
    const { values } = readFlags({ args: [...args], options: NAME_OPTION });
    const lab = namedLab(values.name);
    const left = await downLab(lab, { privileged: isPrivileged() });
    process.stdout.write(`${leftText(left)}\n`);
    return isNothing(left) ? 0 : 1;
  },
};
