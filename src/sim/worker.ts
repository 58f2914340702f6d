/**
 * One worker thread: runs the seeds it is given, one after the other. A seed that failed is made smaller here, too.
 */
import { parentPort } from 'node:worker_threads';
import { hasFailed, type SeedFigures } from './report.ts';
import { runSeed } from './run.ts';
import type { Overrides } from './scenario.ts';
import { commandOf, shrink } from './shrink.ts';

export interface Order {
  readonly seed: number;
  readonly overrides: Overrides;
  readonly shrinks: boolean;
}

export interface Delivery {
  readonly figures: SeedFigures;
  /** How to see a failure again, and how many runs it took to make it so small. */
  readonly command?: string;
  readonly runs?: number;
}

const { port } = { port: parentPort };
if (port === null) throw new Error('this is a worker: swarm.ts starts it');

port.on('message', async ({ seed, overrides, shrinks }: Order) => {
  const before = process.threadCpuUsage();
  const report = await runSeed(seed, overrides);
  const { user, system } = process.threadCpuUsage(before);
  const { trace: _, ...rest } = report;
  const delivery: Delivery = { figures: { ...rest, cpuMs: (user + system) / 1000 } };
  if (!hasFailed(report)) return port.postMessage(delivery);
  if (!shrinks) return port.postMessage({ ...delivery, command: commandOf(seed, overrides) });
  const small = await shrink(seed, report, overrides);
  port.postMessage({ ...delivery, command: commandOf(seed, small.overrides), runs: small.runs });
});
