/**
 * Many seeds in worker threads, one a core. Which worker runs a seed changes nothing in it.
 */
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { Report } from './report.ts';
import type { Overrides } from './scenario.ts';
import type { Delivery, Order } from './worker.ts';

export interface SwarmOptions {
  readonly seeds: readonly number[];
  readonly overrides: Overrides;
  /** Failing seeds that are made smaller, at most: each takes dozens of runs. */
  readonly shrinkMax: number;
  readonly onDelivery: (delivery: Delivery, report: Report) => void;
}

/** In MB. What a seed makes dies young: with this much room hardly any of it is still alive when it is collected. */
const YOUNG_SPACE_MB = 32;

export async function swarm(options: SwarmOptions): Promise<Report> {
  // Before the workers start: each has a heap of its own.
  setFlagsFromString(`--min-semi-space-size=${YOUNG_SPACE_MB}`);
  setFlagsFromString(`--max-semi-space-size=${YOUNG_SPACE_MB}`);
  const queue = [...options.seeds];
  const report = new Report();
  const count = Math.min(availableParallelism(), queue.length);
  await Promise.all(Array.from({ length: count }, () => work(queue, report, options)));
  return report;
}

/** One worker, until no seed is left. */
function work(queue: number[], report: Report, { overrides, shrinkMax, onDelivery }: SwarmOptions): Promise<void> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url));
  return new Promise((resolve, reject) => {
    const next = (): void => {
      const seed = queue.shift();
      if (seed === undefined) {
        worker.terminate().then(() => resolve(), reject);
        return;
      }
      const order: Order = { seed, overrides, shrinks: report.failed.length < shrinkMax };
      worker.postMessage(order);
    };
    worker.on('error', reject);
    worker.on('message', (delivery: Delivery) => {
      report.add(delivery.figures);
      onDelivery(delivery, report);
      next();
    });
    next();
  });
}
