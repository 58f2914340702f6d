/**
 * `npm run sim -- --seed N` replays one seed with its trace; `--seeds M [--seed-from N] [--json FILE]` runs many;
 * `--scenario NAME` runs a bar.
 * Exit code 1 when any invariant broke or a world did not converge, 64 for wrong use (sysexits.h).
 */
import { checkWritable, writeFigures } from '../program/figures.ts';
import { decimalNumber, readFlags, runProgram, UsageError, wholeNumber } from '../program/flags.ts';
import { BAR_NAMES, runBar } from './bars/command.ts';
import { traceText } from './replay.ts';
import { countsText, hasFailed, type Report } from './report.ts';
import { runSeed } from './run.ts';
import { FAULT_CLASSES, type FaultClass, type Overrides } from './scenario.ts';
import { swarm } from './swarm.ts';
import type { Delivery } from './worker.ts';

const HELP = `The fault simulator: a real core and driver on virtual time, over a cloud, a kernel and a journal in memory.

  npm run sim -- --seed N                 replay one seed and print its trace
    --last N                              only the last N lines of it
    --around SECONDS                      only the ten seconds around this time
  npm run sim -- --seeds M                run M seeds (default 200), one a core at a time
    --seed-from N                         the first of them (default 1)
    --also N[,N]                          and these
    --json FILE                           write the figures there
    --no-shrink                           a failing seed is told as it is, not made smaller first
  both take
    --without FAULT[,FAULT]               leave fault classes out:
${wrapped(FAULT_CLASSES)}
    --minutes N                           virtual minutes of misfortune (default: an hour, 3,000 events and 10 faults)
    --pods N                              pods at once, at most (default: drawn by the seed)
  npm run sim -- --scenario NAME          Underway beside its peers, and the bound; also takes --seeds, --seed-from, --json
    ${BAR_NAMES.join(' ')}

Beside it, from the checkout:
  node src/sim/stories/main.ts            canonical stories, ended at every failpoint
  node src/sim/small-world/main.ts        every order of events on the smallest node
  node src/sim/mutations/main.ts          deliberate bugs, which all of the above have to find
`;

const SEEDS = 200;
const SHRINK_MAX = 3;

/** A seed is 32 bits. */
const SEED = { min: 0, max: 2 ** 32 - 1 } as const;

const MISFORTUNE = ['without', 'minutes', 'pods'] as const;
/** What each way to run it takes, by the flag that chooses it. */
const WAYS = {
  scenario: ['scenario', 'seeds', 'seed-from', 'json'],
  seed: ['seed', 'last', 'around', ...MISFORTUNE],
  seeds: ['seeds', 'seed-from', 'also', 'json', 'no-shrink', ...MISFORTUNE],
} as const satisfies Readonly<Record<string, readonly (keyof Flags)[]>>;

type Flags = ReturnType<typeof flags>;

function flags() {
  const { values } = readFlags({
    options: {
      seed: { type: 'string' },
      scenario: { type: 'string' },
      seeds: { type: 'string' },
      'seed-from': { type: 'string' },
      also: { type: 'string' },
      without: { type: 'string' },
      minutes: { type: 'string' },
      pods: { type: 'string' },
      last: { type: 'string' },
      around: { type: 'string' },
      json: { type: 'string' },
      'no-shrink': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  return values;
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}

function overrides({ without, minutes, pods }: Flags): Overrides {
  const named = listed(without);
  const unknown = named.find((name) => !FAULT_CLASSES.includes(name as FaultClass));
  if (unknown !== undefined) throw new UsageError(`no fault class is named ${unknown}`);
  return {
    without: named as FaultClass[],
    ...(minutes !== undefined && { unwellMs: decimalNumber('minutes', minutes, { min: 0 }) * 60_000 }),
    ...(pods !== undefined && { podsAtOnceMax: wholeNumber('pods', pods, { min: 1 }) }),
  };
}

const listed = (text = ''): string[] => text.split(',').filter((part) => part !== '');

const seedCount = ({ seeds }: Flags): number | undefined =>
  seeds === undefined ? undefined : wholeNumber('seeds', seeds, { min: 1, max: 1_000_000 });

const firstSeed = (values: Flags): number => wholeNumber('seed-from', values['seed-from'] ?? '1', SEED);

const scenario = (name: string, values: Flags): Promise<number> =>
  runBar(name, { json: values.json, seeds: seedCount(values), seedFrom: firstSeed(values) });

async function one(seed: number, values: Flags): Promise<number> {
  const last = values.last === undefined ? undefined : wholeNumber('last', values.last, { min: 1 });
  const around = values.around === undefined ? undefined : decimalNumber('around', values.around, { min: 0 });
  const aroundMs = around === undefined ? undefined : around * 1_000;
  const report = await runSeed(seed, { ...overrides(values), keepTrace: true });
  const { isTTY } = process.stdout;
  for (const line of traceText(report.trace, { last, aroundMs, coloured: isTTY })) console.log(line);
  console.log(`seed ${seed}: ${report.events} events, ${report.pods} pods, trace ${report.traceHash}`);
  console.log(`faults: ${countsText(report.faultsFired)}`);
  console.log(`refused requests: ${countsText(report.refusals)}`);
  for (const breach of report.breaches) console.log(`BREACH ${breach}`);
  for (const what of report.unconverged) console.log(`NOT CONVERGED ${what}`);
  return hasFailed(report) ? 1 : 0;
}

async function many(values: Flags): Promise<number> {
  const first = firstSeed(values);
  const also = listed(values.also).map((text) => wholeNumber('also', text, SEED));
  const seeds = [...Array.from({ length: seedCount(values) ?? SEEDS }, (_, n) => first + n), ...also];
  const chosen = overrides(values);
  if (values.json !== undefined) checkWritable('json', values.json);
  const report = await swarm({
    seeds,
    overrides: chosen,
    shrinkMax: values['no-shrink'] ? 0 : SHRINK_MAX,
    onDelivery: (delivery, so) => progress(delivery, so, seeds.length),
  });
  for (const line of report.lines()) console.log(line);
  if (values.json !== undefined) writeFigures(values.json, report.figures());
  return report.failed.length === 0 ? 0 : 1;
}

function progress({ figures, command, runs }: Delivery, so: Report, count: number): void {
  const [what] = [...figures.breaches, ...figures.unconverged];
  const { isTTY } = process.stdout;
  if (isTTY) process.stdout.write('\r\x1b[K');
  if (what !== undefined) {
    const after = runs === undefined ? '' : `  (as small as ${runs} runs made it)`;
    console.log(`seed ${figures.seed}: ${what}\n  ${command}${after}`);
  }
  if (isTTY && so.count < count) process.stdout.write(`${so.count} of ${count} seeds, ${so.failed.length} failed`);
}

/** Fault classes in lines of a terminal's width. */
function wrapped(names: readonly string[]): string {
  const lines: string[] = [];
  for (const name of names) {
    const line = lines.at(-1);
    if (line === undefined || line.length + name.length > 100) lines.push(`      ${name}`);
    else lines[lines.length - 1] = `${line} ${name}`;
  }
  return lines.join('\n');
}

await runProgram('sim', async () => {
  const values = flags();
  if (values.help) return say(HELP);
  const way = values.scenario !== undefined ? 'scenario' : values.seed !== undefined ? 'seed' : 'seeds';
  const takes: readonly string[] = WAYS[way];
  const alien = Object.keys(values).find((flag) => !takes.includes(flag));
  if (alien !== undefined) throw new UsageError(`--${alien} does not go with --${way}`);
  if (values.scenario !== undefined) return scenario(values.scenario, values);
  return values.seed !== undefined ? one(wholeNumber('seed', values.seed, SEED), values) : many(values);
});
