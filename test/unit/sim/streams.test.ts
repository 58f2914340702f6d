/** Leaving one fault class out leaves the others as they were: what shrinking stands on. */
import { runSeed, type SeedReport } from '../../../src/sim/run.ts';
import { drawScenario, type FaultClass } from '../../../src/sim/scenario.ts';

const SEED = 6;
const UNWELL_MS = 15 * 60_000;

const strikes = ({ trace }: SeedReport, without: FaultClass): string[] =>
  trace.flatMap(({ atMs, kind, text }) => (kind === 'misfortune' && text !== without ? [`${atMs} ${text}`] : []));

const run = (without: readonly FaultClass[]): Promise<SeedReport> =>
  runSeed(SEED, { without, unwellMs: UNWELL_MS, keepTrace: true });

test('a class that is left out changes neither when the others strike nor what the seed is', async () => {
  const whole = await run([]);
  const [first, ...others] = new Set(
    whole.trace.flatMap(({ kind, text }) => (kind === 'misfortune' ? [text as FaultClass] : [])),
  );
  if (first === undefined) throw new Error('nothing strikes in this seed: choose another');
  expect(others.length).toBeGreaterThan(3);
  const part = await run([first]);
  expect(strikes(part, first)).toEqual(strikes(whole, first));
  const { faults: _, ...rest } = drawScenario(SEED, { without: [first] });
  const { faults: all, ...same } = drawScenario(SEED);
  expect(rest).toEqual(same);
  expect(all.has(first)).toBe(true);
});

test('two runs of one seed are the same, line by line', async () => {
  const [first, second] = [await run([]), await run([])];
  expect(second.traceHash).toBe(first.traceHash);
  expect(second.trace).toEqual(first.trace);
  expect(first.events).toBeGreaterThan(100);
});
