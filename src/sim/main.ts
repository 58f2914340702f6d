/**
 * `npm run sim -- --seed N` replays one seed with its trace; `--seeds M [--seed-from N] [--json FILE]` runs many;
 * `--scenario NAME` runs a bar.
 * Exit code 1 when any invariant broke or a world did not converge.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { BAR_NAMES, runBar } from './bars/command.ts';
import { runSeed, type SeedReport } from './run.ts';
import { FAULT_CLASSES, type FaultClass } from './scenario.ts';

const HELP = `The fault simulator: a real core and driver on virtual time, over a cloud, a kernel and a journal in memory.

  npm run sim -- --seed N                 replay one seed and print its trace
  npm run sim -- --seeds M                run M seeds (default 200)
    --seed-from N                         the first of them (default 1)
    --without FAULT[,FAULT]               leave fault classes out: ${FAULT_CLASSES.join(' ')}
    --minutes N                           virtual minutes of misfortune (default: drawn by the seed)
    --pods N                              pods at once, at most (default: drawn by the seed)
    --json FILE                           write the figures there
  npm run sim -- --scenario NAME          Underway beside its peers, and the bound; also takes --seeds, --seed-from, --json
    ${BAR_NAMES.join(' ')}
`;

const SEEDS = 200;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    scenario: { type: 'string' },
    seeds: { type: 'string' },
    'seed-from': { type: 'string', default: '1' },
    without: { type: 'string', default: '' },
    minutes: { type: 'string' },
    pods: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}

const overrides = {
  without: values.without
    .split(',')
    .filter((fault): fault is FaultClass => FAULT_CLASSES.includes(fault as FaultClass)),
  ...(values.minutes !== undefined && { unwellMs: Number(values.minutes) * 60_000 }),
  ...(values.pods !== undefined && { podsAtOnceMax: Number(values.pods) }),
};

if (values.scenario !== undefined) process.exitCode = await scenario(values.scenario);
else process.exitCode = values.seed === undefined ? await many() : await one(Number(values.seed));

function scenario(name: string): Promise<number> {
  const seeds = values.seeds === undefined ? undefined : Number(values.seeds);
  return runBar(name, { json: values.json, seeds, seedFrom: Number(values['seed-from']) });
}

async function one(seed: number): Promise<number> {
  const report = await runSeed(seed, { ...overrides, keepTrace: true });
  for (const line of report.trace) console.log(`${line.atMs} ${line.kind} ${line.text}`);
  console.log(`seed ${seed}: ${report.events} events, ${report.pods} pods, trace ${report.traceHash}`);
  console.log(`faults ${text(report.faultsFired)}; refused ${text(report.refusals)}`);
  for (const breach of [...report.breaches, ...report.unconverged]) console.log(`BREACH ${breach}`);
  return report.breaches.length === 0 ? 0 : 1;
}

async function many(): Promise<number> {
  const first = Number(values['seed-from']);
  const count = Number(values.seeds ?? SEEDS);
  const beganMs = performance.now();
  const reports: SeedReport[] = [];
  for (let seed = first; seed < first + count; seed++) {
    const report = await runSeed(seed, overrides);
    reports.push({ ...report, trace: [] });
    if (report.breaches.length + report.unconverged.length > 0)
      console.log(`seed ${seed}: ${[...report.breaches, ...report.unconverged][0]}\n  npm run sim -- --seed ${seed}`);
  }
  const seconds = (performance.now() - beganMs) / 1000;
  const events = reports.reduce((sum, report) => sum + report.events, 0);
  const faults = new Map<string, number>();
  for (const report of reports)
    for (const [kind, fired] of report.faultsFired) faults.set(kind, (faults.get(kind) ?? 0) + fired);
  const broken = reports.filter((report) => report.breaches.length + report.unconverged.length > 0).length;
  const pods = reports.reduce((sum, report) => sum + report.pods, 0);
  console.log(
    `${count} seeds, ${broken} broken, ${events} events (${Math.round(events / seconds)} a second), ${pods} pods, ${seconds.toFixed(1)} s`,
  );
  console.log(`faults ${text(faults)}`);
  if (values.json !== undefined) {
    const perSeed = reports.map((report) => report.events).sort((a, b) => a - b);
    const figures = {
      seeds: count,
      breaches: broken,
      events,
      eventsPerSecond: Math.round(events / seconds),
      eventsPerSeed: { p10: perSeed[Math.floor(count * 0.1)], p50: perSeed[Math.floor(count * 0.5)] },
      faultsFired: Object.fromEntries(faults),
    };
    writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  return broken === 0 ? 0 : 1;
}

function text(counts: ReadonlyMap<string, number>): string {
  return [...counts].map(([name, count]) => `${name} ${count}`).join(', ') || 'none';
}
