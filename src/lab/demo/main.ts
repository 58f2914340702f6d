/**
 * `npm run demo`: the whole of Underway on this machine, with real packets. Exit code 0 when all of it held.
 */

import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { NO_NAMESPACES, privilegedEnv, privilegedPrefix, settleInside } from '../privilege.ts';
import { defaultStateRoot } from '../state-folder.ts';
import { Demo } from './demo.ts';

const HELP = `npm run demo [-- OPTIONS]

  --fast        the cloud answers at once (no latencies of AWS's API)
  --keep        leave the lab up and print commands to play with; Ctrl-C takes it down
  --json FILE   write the figures there
  --help
`;

const { values } = parseArgs({
  options: {
    fast: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});

if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

let prefix: readonly string[] = [];
try {
  prefix = privilegedPrefix();
} catch {
  console.error(NO_NAMESPACES);
  process.exit(1);
}
if (prefix.length > 0) process.exit(insideUserNamespace(prefix));

await settleInside();
const demo = new Demo(values);
const ok = await demo.run();
process.exit(ok ? 0 : 1);

/** The same program again, as root of a user namespace of its own. */
function insideUserNamespace([program = '', ...args]: readonly string[]): number {
  console.log('Not root: the lab runs inside a user namespace of its own.');
  const command = [...args, process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const env = { ...process.env, ...privilegedEnv(defaultStateRoot()) };
  return spawnSync(program, command, { stdio: 'inherit', env }).status ?? 1;
}
