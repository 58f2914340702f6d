/** `underway lab break` and `heal`: faults by name. */
import { askControl } from '../../lab/control.ts';
import { FAULTS } from '../../lab/fault.ts';
import { labCommand } from '../../lab/options.ts';
import { readFlags, UsageError } from '../../program/flags.ts';
import { type Command, NAME_OPTION, namedLab } from '../command.ts';

const faultList = Object.entries(FAULTS)
  .map(([name, { what }]) => `  ${name.padEnd(14)} ${what}`)
  .join('\n');

export const labBreak: Command = {
  summary: 'inject a fault by name',
  help: `underway lab break FAULT[:INSTANCE] [--name NAME]

${faultList}

Without :INSTANCE a fault is everybody's. It lasts until \`underway lab heal\`, where it does not say "once".
`,
  async run(args) {
    const { values, positionals } = readFlags({ args: [...args], options: NAME_OPTION, allowPositionals: true });
    const [fault, ...more] = positionals;
    if (fault === undefined || more.length > 0) throw new UsageError('one fault at a time');
    const asked = { method: 'POST', path: '/break', body: { fault } } as const;
    const struck = (await askControl(namedLab(values.name).folder, asked)) as { what: string; lasts: boolean };
    process.stdout.write(
      `${fault}: ${struck.what}${struck.lasts ? ` (until \`${labCommand('heal', values.name)}\`)` : ''}\n`,
    );
    return 0;
  },
};

export const labHeal: Command = {
  summary: 'end faults',
  help: `underway lab heal [FAULT[:INSTANCE]] [--name NAME]

Ends the fault that was injected by this name; all of them without one.
`,
  async run(args) {
    const { values, positionals } = readFlags({ args: [...args], options: NAME_OPTION, allowPositionals: true });
    const [fault, ...more] = positionals;
    if (more.length > 0) throw new UsageError('one fault, or none for all');
    const asked = { method: 'POST', path: '/heal', body: fault === undefined ? {} : { fault } } as const;
    const { healed } = (await askControl(namedLab(values.name).folder, asked)) as { healed: number };
    process.stdout.write(`${healed} healed\n`);
    return 0;
  },
};
