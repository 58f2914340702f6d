/**
 * `npm run sim -- --seed N` replays one seed with its trace; `--seeds M [--seed-from N] [--json FILE]` runs many;
 * `--scenario NAME` runs a bar.
 * Exit code 1 when any invariant broke or a world did not converge.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
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

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    scenario: { type: 'string' },
    seeds: { type: 'string' },
    'seed-from': { type: 'string', default: '1' },
    also: { type: 'string', default: '' },
    without: { type: 'string', default: '' },
    minutes: { type: 'string' },
    pods: { type: 'string' },
    last: { type: 'string' },
    around: { type: 'string' },
    json: { type: 'string' },
    'no-shrink': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) process.stdout.write(HELP);
else if (values.scenario !== undefined) process.exitCode = await scenario(values.scenario);
else process.exitCode = values.seed === undefined ? await many() : await one(Number(values.seed));

function overrides(): Overrides {
  const named = values.without.split(',').filter((name) => name !== '');
  const unknown = named.find((name) => !FAULT_CLASSES.includes(name as FaultClass));
  if (unknown !== undefined) throw new Error(`no fault class ${unknown}: --help lists them`);
  return {
    without: named as FaultClass[],
    ...(values.minutes !== undefined && { unwellMs: Number(values.minutes) * 60_000 }),
    ...(values.pods !== undefined && { podsAtOnceMax: Number(values.pods) }),
  };
}

function scenario(name: string): Promise<number> {
  const seeds = values.seeds === undefined ? undefined : Number(values.seeds);
  return runBar(name, { json: values.json, seeds, seedFrom: Number(values['seed-from']) });
}

async function one(seed: number): Promise<number> {
  const report = await runSeed(seed, { ...overrides(), keepTrace: true });
  const last = values.last === undefined ? undefined : Number(values.last);
  const aroundMs = values.around === undefined ? undefined : Number(values.around) * 1_000;
  const { isTTY } = process.stdout;
  for (const line of traceText(report.trace, { last, aroundMs, coloured: isTTY })) console.log(line);
  console.log(`seed ${seed}: ${report.events} events, ${report.pods} pods, trace ${report.traceHash}`);
  console.log(`faults: ${countsText(report.faultsFired)}`);
  console.log(`refused: ${countsText(report.refusals)}`);
  for (const breach of report.breaches) console.log(`BREACH ${breach}`);
  for (const what of report.unconverged) console.log(`NOT CONVERGED ${what}`);
  return hasFailed(report) ? 1 : 0;
}

async function many(): Promise<number> {
  const first = Number(values['seed-from']);
  const count = Number(values.seeds ?? SEEDS);
  const also = values.also.split(',').filter((text) => text !== '');
  const seeds = [...Array.from({ length: count }, (_, n) => first + n), ...also.map(Number)];
  const report = await swarm({
    seeds,
    overrides: overrides(),
    shrinkMax: values['no-shrink'] ? 0 : SHRINK_MAX,
    onDelivery: (delivery, so) => progress(delivery, so, seeds.length),
  });
  for (const line of report.lines()) console.log(line);
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report.figures(), null, 2)}\n`);
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
