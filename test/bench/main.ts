/**
 * `npm run bench`: how fast, beside others on the same machine in the same run.
 * Exit codes: 0 it was measured, whatever the bars say (a bench is no test); 1 it could not be; 64 wrong use
 * (sysexits.h); 74 the figures could not be written; 128 and the signal's number when it was ended before.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privilegedPrefix, runPrivileged, settleInside } from '../../src/lab/privilege.ts';
import { checkWritable, writeFigures } from '../../src/program/figures.ts';
import { OutputError, readFlags, runProgram, sentenceOf, UsageError } from '../../src/program/flags.ts';
import { type Interruption, interruption } from '../../src/program/interruption.ts';
import { Bench } from './bench.ts';
import { figuresOf, type Measured } from './figures.ts';
import { measureForwarding } from './forwarding.ts';
import { measureLatency } from './latency.ts';
import { measureMemory } from './memory.ts';
import { pageOf } from './page.ts';
import { reportOf } from './report.ts';
import { checkTools, PARTS, type Part } from './tools.ts';

const EXIT_FAILED = 1;
const FOLDER = join(import.meta.dirname, '../../build/bench');

const HELP = `npm run bench [-- OPTIONS]

  --only PART    latency, forwarding or memory; may be given again (all three without it)
  --quick        fewer rounds: at most four minutes, where all of it takes about eight
  --json FILE    write the figures there (build/bench/bench.json)
  --html FILE    write a page with plots there (build/bench/bench.html)
  --help

What is measured, and how: docs/bench.md. Others' work on the machine disturbs it.
`;

interface Options {
  readonly parts: readonly Part[];
  readonly quick: boolean;
  readonly json: string;
  readonly html: string;
}

await runProgram('bench', async () => {
  const { values } = readFlags({
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: join(FOLDER, 'bench.json') },
      html: { type: 'string', default: join(FOLDER, 'bench.html') },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const { only = PARTS, quick, json, html } = values;
  mkdirSync(FOLDER, { recursive: true });
  checkWritable('json', json);
  checkWritable('html', html);
  return begin({ parts: only.map(partOf), quick, json, html });
});
// What an interrupted run still waits for is nobody's any more.
process.exit();

function partOf(word: string): Part {
  const part = PARTS.find((part) => part === word);
  if (part === undefined) throw new UsageError(`--only must be one of ${PARTS.join(', ')}; it is ${word || 'empty'}`);
  return part;
}

async function begin(options: Options): Promise<number> {
  try {
    checkTools(options.parts);
    const prefix = privilegedPrefix();
    if (prefix.length > 0) return await insideUserNamespace(prefix);
    const interrupted = interruption();
    await settleInside();
    return await run(options, interrupted);
  } catch (error) {
    process.stderr.write(`bench: ${sentenceOf(error)}\n`);
    return EXIT_FAILED;
  }
}

/** The same program again, as root of a user namespace of its own. */
const insideUserNamespace = (prefix: readonly string[]): Promise<number> =>
  runPrivileged(prefix, [process.execPath, ...process.execArgv, ...process.argv.slice(1)]);

async function run(options: Options, interrupted: Promise<Interruption>): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'uwbench'));
  const bench = new Bench({ quick: options.quick, scratch });
  try {
    const end = await Promise.race([measure(bench, options.parts), interrupted]);
    if ('signal' in end) return end.code;
    const figures = figuresOf(end, { quick: options.quick, seconds: bench.seconds });
    console.log(reportOf(figures));
    writeFigures(options.json, figures);
    writePage(options.html, pageOf(figures));
    console.log(`\nAll figures are in ${options.json}, the plots in ${options.html}.`);
    return 0;
  } finally {
    await bench.closeAll();
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function measure(bench: Bench, parts: readonly Part[]): Promise<Measured> {
  const wants = (part: Part) => parts.includes(part);
  return {
    ...(wants('latency') && { latency: await measureLatency(bench) }),
    ...(wants('forwarding') && { forwarding: await measureForwarding(bench) }),
    ...(wants('memory') && { memory: await measureMemory(bench) }),
  };
}

function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page);
  } catch (error) {
    throw new OutputError(`${file} cannot be written: ${sentenceOf(error)}`);
  }
}
