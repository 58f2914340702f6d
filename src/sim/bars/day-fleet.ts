/**
 * One setting for all nodes of one day's fleet, on the real core or a peer's formula. Nodes do not know of each other, so
 * they are measured one by one, in worker threads.
 */
import { Worker } from 'node:worker_threads';
import type { Targets } from '../../core/rows.ts';
import type { AwsSettings } from '../peers/aws.ts';
import type { CiliumSettings } from '../peers/cilium.ts';
import type { TerwaySettings } from '../peers/terway.ts';
import { DAY_FLEET } from '../trace.ts';
import type { PolicyFigures } from './bar.ts';
import { quantile } from './measure.ts';

/** Plain data, so that it can be sent to a worker. */
export type DaySetting =
  | { readonly policy: 'underway'; readonly targets: Targets }
  | { readonly policy: 'aws'; readonly settings: Partial<AwsSettings> }
  | { readonly policy: 'cilium'; readonly settings: Partial<CiliumSettings> }
  | { readonly policy: 'terway'; readonly settings: Partial<TerwaySettings> };

/** Some nodes of one seed's fleet, by their place in it. */
export interface DayTask {
  readonly seed: number;
  readonly setting: DaySetting;
  readonly from: number;
  readonly to: number;
}

export interface DayPart {
  readonly waitsMs: readonly number[];
  readonly failed: number;
  readonly cloudCalls: number;
  readonly idleIpHours: number;
}

const WORKERS = 2;

/** The light nodes together, the heavy ones alone. */
function partsOf(): { from: number; to: number }[] {
  const { quiet, web, ci } = DAY_FLEET;
  const heavy = Array.from({ length: ci }, (_, n) => ({ from: quiet + web + n, to: quiet + web + n + 1 }));
  return [...heavy, { from: 0, to: quiet }, { from: quiet, to: quiet + web }];
}

/** Worker threads that measure tasks side by side; `close` ends them. */
export class DayWorkers {
  private readonly free: Worker[] = [];
  private readonly waiting: ((worker: Worker) => void)[] = [];

  constructor(count = WORKERS) {
    for (let n = 0; n < count; n++) this.free.push(new Worker(new URL('./day-worker.ts', import.meta.url)));
  }

  async fleet(seed: number, setting: DaySetting): Promise<PolicyFigures> {
    const parts = await Promise.all(partsOf().map((part) => this.run({ seed, setting, ...part })));
    const waits = parts.flatMap(({ waitsMs }) => waitsMs);
    const sum = (value: (part: DayPart) => number): number => parts.reduce((total, part) => total + value(part), 0);
    return {
      p50Ms: Math.round(quantile(waits, 0.5)),
      p99Ms: Math.round(quantile(waits, 0.99)),
      maxMs: Math.round(quantile(waits, 1)),
      failed: sum(({ failed }) => failed),
      cloudCalls: sum(({ cloudCalls }) => cloudCalls),
      idleIpHours: Math.round(sum(({ idleIpHours }) => idleIpHours)),
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.free.map((worker) => worker.terminate()));
  }

  private async run(task: DayTask): Promise<DayPart> {
    const worker = this.free.pop() ?? (await new Promise<Worker>((resolve) => this.waiting.push(resolve)));
    try {
      return await answerOf(worker, task);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.free.push(worker);
      else next(worker);
    }
  }
}

const answerOf = (worker: Worker, task: DayTask): Promise<DayPart> =>
  new Promise((resolve, reject) => {
    const done = (part: DayPart): void => {
      worker.off('error', reject);
      resolve(part);
    };
    worker.once('message', done);
    worker.once('error', reject);
    worker.postMessage(task);
  });
