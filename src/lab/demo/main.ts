/**
 * `npm run demo`: the whole of Underway on this machine, with real packets.
 * Exit codes: 0 all of it held, 1 it did not or could not begin, 64 wrong use (sysexits.h), 130 Ctrl-C.
 */

import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { NO_NAMESPACES, privilegedEnv, privilegedPrefix, settleInside } from '../privilege.ts';
import { defaultStateRoot } from '../state-folder.ts';
import { Demo, demoLab } from './demo.ts';

const EXIT = { failed: 1, usage: 64 } as const;

const HELP = `npm run demo [-- OPTIONS]

  --fast        the cloud answers at once (no latencies of AWS's API)
  --keep        leave the lab up and print commands to play with; Ctrl-C takes it down
  --json FILE   write the figures there
  --help
`;

const values = flags();
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

if (values.json !== undefined) mustBeWritable(values.json);

let prefix: readonly string[] = [];
try {
  prefix = privilegedPrefix();
} catch {
  refuse(NO_NAMESPACES, EXIT.failed);
}
if (prefix.length > 0) process.exit(insideUserNamespace(prefix));

await settleInside();
const lab = await demoLab(values).catch((error) => refuse(Error.isError(error) ? error.message : error, EXIT.failed));
const ok = await new Demo(lab, values).run();
process.exit(ok ? 0 : EXIT.failed);

function flags() {
  try {
    return parseArgs({
      options: {
        fast: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        json: { type: 'string' },
        help: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    return refuse(`${Error.isError(error) ? error.message.split('. ')[0] : error}: see --help`, EXIT.usage);
  }
}

/** Before a minute of work, not after it. */
function mustBeWritable(file: string): void {
  try {
    closeSync(openSync(file, 'a'));
  } catch (error) {
    refuse(`--json ${file} cannot be written: ${Error.isError(error) ? error.message : error}`, EXIT.usage);
  }
}

function refuse(sentence: string, code: number): never {
  console.error(`demo: ${sentence}`);
  process.exit(code);
}

/** The same program again, as root of a user namespace of its own. */
function insideUserNamespace([program = '', ...args]: readonly string[]): number {
  console.log('Not root: the lab runs inside a user namespace of its own.');
  const command = [...args, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, ...privilegedEnv(defaultStateRoot()) };
  return spawnSync(program, command, { stdio: 'inherit', env }).status ?? 1;
}
