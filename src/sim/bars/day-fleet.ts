/**
 * One setting for all nodes of one day's fleet, on the real core or a peer's formula. Nodes do not know of each other, so
 * they are measured one by one, in worker threads.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { Targets } from '../../core/rows.ts';
import type { AwsSettings } from '../peers/aws.ts';
import type { CiliumSettings } from '../peers/cilium.ts';
import type { TerwaySettings } from '../peers/terway.ts';
import { DAY_FLEET, dayTrace } from '../trace.ts';
import type { PolicyFigures } from './bar.ts';
import { type Measured, type MeasureLimits, quantile } from './measure.ts';

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
  readonly limits?: MeasureLimits;
}

export interface DayPart {
  readonly gaveUp: Measured['gaveUp'];
  readonly lateCount: number;
  readonly waitsMs: readonly number[];
  readonly failed: number;
  readonly cloudCalls: number;
  readonly idleIpHours: number;
}

/** What a setting has to do better than, in figures of the whole fleet. */
export interface DayLimits {
  readonly p99Ms: number;
  readonly idleIpHours: number;
}

/** `slow`: its p99 is above the limit; `dear`: more is idle. Both are known before the day is over. */
export type DayOutcome =
  | { readonly kind: 'measured'; readonly figures: PolicyFigures }
  | { readonly kind: 'slow' | 'dear' };

/** The heavy nodes each alone, the light ones in halves: by their place in the fleet. */
const { quiet, web, ci } = DAY_FLEET;
const HEAVY = Array.from({ length: ci }, (_, n) => ({ from: quiet + web + n, to: quiet + web + n + 1 }));
const LIGHT = [
  { from: quiet, to: quiet + web / 2 },
  { from: quiet + web / 2, to: quiet + web },
  { from: 0, to: quiet },
];

/** Worker threads that measure tasks side by side; `close` ends them. */
export class DayWorkers {
  private readonly free: Worker[] = [];
  private readonly waiting: ((worker: Worker) => void)[] = [];

  constructor(count = availableParallelism()) {
    for (let n = 0; n < count; n++) this.free.push(new Worker(new URL('./day-worker.ts', import.meta.url)));
  }

  async fleet(seed: number, setting: DaySetting): Promise<PolicyFigures> {
    const parts = await Promise.all([...HEAVY, ...LIGHT].map((part) => this.run({ seed, setting, ...part })));
    return figuresOf(parts);
  }

  /** Measured only as long as it can still be as good as the limits. */
  async within(seed: number, setting: DaySetting, { p99Ms, idleIpHours }: DayLimits): Promise<DayOutcome> {
    const podCount = dayTrace(seed).reduce((sum, { pods }) => sum + pods.length, 0);
    // The nearest-rank p99, rounded to whole milliseconds, is above the limit when more pods than these are.
    const lateCountMax = podCount - Math.ceil(0.99 * podCount);
    const limits = { lateFromMs: p99Ms + 0.5, lateCountMax, idleIpHoursMax: idleIpHours };
    const parts: DayPart[] = [];
    // The heavy nodes have three quarters of the pods: mostly they tell enough.
    for (const some of [HEAVY, LIGHT]) {
      parts.push(...(await Promise.all(some.map((part) => this.run({ seed, setting, limits, ...part })))));
      if (parts.reduce((sum, { lateCount }) => sum + lateCount, 0) > lateCountMax) return { kind: 'slow' };
      const isDear = parts.some(({ gaveUp }) => gaveUp === 'idle') || figuresOf(parts).idleIpHours > idleIpHours;
      if (isDear) return { kind: 'dear' };
    }
    return { kind: 'measured', figures: figuresOf(parts) };
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

function figuresOf(parts: readonly DayPart[]): PolicyFigures {
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
