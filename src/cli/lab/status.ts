/** `underway lab status`: what is in the lab, and what its fabric dropped. */
import { askControl } from '../../lab/control.ts';
import { labsBeside } from '../../lab/state-folder.ts';
import type { LabStatus } from '../../lab/status.ts';
import { readFlags } from '../../program/flags.ts';
import { type Command, NAME_OPTION, namedLab } from '../command.ts';
import { statusText } from './status-text.ts';

export const labStatus: Command = {
  summary: 'instances, ENIs, addresses, dropped packets, faults',
  help: `underway lab status [--json] [--name NAME]

  --json   each instance's namespace, its metadata endpoint, its daemon's socket and its CNI folders, and the cloud's
           endpoint: enough to point any other program at the lab
`,
  async run(args) {
    const { values } = readFlags({ args: [...args], options: { ...NAME_OPTION, json: { type: 'boolean' } } });
    const { folder } = namedLab(values.name);
    const status = (await askControl(folder, { method: 'GET', path: '/status' })) as LabStatus;
    const others = labsBeside(folder).map((name) => `also up: lab ${name} (--name ${name})\n`);
    process.stdout.write(
      values.json ? `${JSON.stringify(status, null, 2)}\n` : [statusText(status), ...others].join(''),
    );
    return 0;
  },
};
