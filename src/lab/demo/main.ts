/**
 * `npm run demo`: the whole of Underway on this machine, with real packets.
 * Exit codes: 0 all of it held, 1 it did not or could not begin, 64 wrong use (sysexits.h), 128 and the signal's number
 * when it was ended before.
 */
import { checkWritable } from '../../program/figures.ts';
import { readFlags, runProgram, sentenceOf } from '../../program/flags.ts';
import { type Interruption, interruption } from '../../program/interruption.ts';
import type { Lab } from '../lab.ts';
import { privilegedPrefix, runPrivileged, settleInside } from '../privilege.ts';
import { Demo, type DemoOptions, demoLab } from './demo.ts';

const EXIT_FAILED = 1;

const HELP = `npm run demo [-- OPTIONS]

  --fast        the cloud answers at once (no latencies of AWS's API)
  --keep        leave the lab up and print commands to play with; Ctrl-C takes it down
  --json FILE   write the figures there
  --help
`;

await runProgram('demo', async () => {
  const { values } = readFlags({
    options: {
      fast: { type: 'boolean', default: false },
      keep: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.json !== undefined) checkWritable('json', values.json);
  return begin(values);
});
// What an interrupted demo still waits for is nobody's any more.
process.exit();

async function begin(options: DemoOptions): Promise<number> {
  let interrupted: Promise<Interruption>;
  let lab: Lab;
  try {
    const prefix = privilegedPrefix();
    if (prefix.length > 0) return await insideUserNamespace(prefix);
    interrupted = interruption();
    await settleInside();
    lab = await demoLab(options);
  } catch (error) {
    process.stderr.write(`demo: ${sentenceOf(error)}\n`);
    return EXIT_FAILED;
  }
  return new Demo(lab, options).run(interrupted);
}

/** The same program again, as root of a user namespace of its own. */
function insideUserNamespace(prefix: readonly string[]): Promise<number> {
  console.log('No right to make namespaces here: the lab runs inside a user namespace of its own.');
  return runPrivileged(prefix, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
}
