/**
 * One policy through one trace: a fleet of nodes over one cloud in memory on virtual time, pods that come and go by
 * the trace, and what it came to. Every policy is measured from outside, in the same way: waits by kubelet, calls and
 * addresses by the cloud.
 *
 * Invariant: no two running pods have one address, whatever the policy (it throws).
 */
import { AWS_2026, type Figures } from '../../../providers/memory/figures.ts';
import { Streams } from '../../../providers/memory/random.ts';
import { type Cidr, cidrLength, hostCidr, type Ip } from '../../core/ip.ts';
import { VirtualClock } from '../clock.ts';
import type { PolicyFigures } from './bar.ts';
import { Kubelet, type PodSpec, type Wait } from './kubelet.ts';
import type { Policy } from './policy.ts';
import { isRead, type RecordedCall, RecordedCloud } from './recorded-cloud.ts';

/** Sigma of the latencies where a scenario does not hold them constant. */
export const SPREAD = 0.4;
const HOUR_MS = 3_600_000;

export interface NodeSpec {
  readonly name: string;
  /** A type of the cloud's figures. */
  readonly instanceType: string;
  /** In any order. */
  readonly pods: readonly PodSpec[];
}

export interface MeasureLimits {
  /** A pod that waited as long as this is late; no more than so many may be. */
  readonly lateFromMs: number;
  readonly lateCountMax: number;
  readonly idleIpHoursMax: number;
}

export interface MeasureOptions {
  readonly seed: number;
  readonly policy: Policy;
  readonly nodes: readonly NodeSpec[];
  /** How long the trace is; what has not happened by then is not waited for. */
  readonly lengthMs: number;
  /** Sigma of the log-normal latencies; 0 makes them constant. */
  readonly spread: number;
  /** How long before the trace's beginning the nodes start, to have what they want warm. */
  readonly settleMs: number;
  /** What makes the rest of the trace not worth measuring. */
  readonly limits?: MeasureLimits;
  /** The cloud's figures, aws-2026.json by default; their spread is the one above. */
  readonly figures?: Figures;
}

export interface Measured {
  /** A limit was passed, and what follows counts until then only. */
  readonly gaveUp: 'late' | 'idle' | undefined;
  /** Pods that waited longer than the limit. */
  readonly lateCount: number;
  /** One for each pod bound from the trace's beginning on, those never served among them. */
  readonly waits: readonly Wait[];
  /** ADDs answered with an error, by what they said. */
  readonly failures: ReadonlyMap<string, number>;
  readonly failed: number;
  /** From the trace's beginning on; `atMs` counts from there. */
  readonly calls: readonly RecordedCall[];
  /** Writes that were sent before the last pod was served. */
  readonly writesBeforeLast: number;
  readonly idleIpHours: number;
  /** Secondary addresses the nodes had, at most and at the end; and blocks (single addresses or prefixes) at the end. */
  readonly addressCountMax: number;
  readonly addressCountEnd: number;
  readonly blockCountEnd: number;
  /** The shortest time from the end of an address's pod to the run of its next one; Infinity when none came back. */
  readonly reuseMinMs: number;
}

export async function measure(options: MeasureOptions): Promise<Measured> {
  const world = new Fleet(options);
  return world.run();
}

class Fleet {
  private readonly options: MeasureOptions;
  private readonly clock = new VirtualClock();
  private readonly cloud: RecordedCloud;
  private readonly zeroMs: number;
  private readonly kubelets: Kubelet[] = [];
  private readonly blocks = new Set<Cidr>();
  private addressCount = 0;
  private addressCountMax = 0;
  private readonly running = new Set<Ip>();
  private readonly stoppedMs = new Map<Ip, number>();
  private reuseMinMs = Number.POSITIVE_INFINITY;
  private idleMs = 0;
  private lateCount = 0;
  private idleSinceMs: number;
  private lastServedMs: number;
  private readonly failures = new Map<string, number>();

  constructor(options: MeasureOptions) {
    this.options = options;
    const { seed, spread, settleMs, figures = AWS_2026 } = options;
    this.zeroMs = this.clock.nowMs() + settleMs;
    this.idleSinceMs = this.zeroMs;
    this.lastServedMs = this.zeroMs;
    this.cloud = new RecordedCloud({ clock: this.clock, seed, figures: { ...figures, spread } });
    this.cloud.listen((fact) => {
      if (fact.kind === 'address-added') this.gained(fact.eni, fact.cidr);
      else if (fact.kind === 'address-removed') this.lost(fact.cidr);
    });
  }

  async run(): Promise<Measured> {
    const { clock, options } = this;
    this.build();
    await clock.run(this.zeroMs + options.lengthMs, () => this.gaveUp() !== undefined);
    this.accrue();
    for (const kubelet of this.kubelets) kubelet.close();
    const calls = this.cloud.calls
      .filter(({ atMs }) => atMs >= this.zeroMs)
      .map((call) => ({ ...call, atMs: call.atMs - this.zeroMs }));
    const lastServedMs = this.lastServedMs - this.zeroMs;
    return {
      gaveUp: this.gaveUp(),
      lateCount: this.lateCount,
      waits: this.kubelets.flatMap(({ waits }) => waits),
      failures: this.failures,
      failed: [...this.failures.values()].reduce((sum, count) => sum + count, 0),
      calls,
      writesBeforeLast: calls.filter(({ action, atMs }) => !isRead(action) && atMs < lastServedMs).length,
      idleIpHours: this.idleMs / HOUR_MS,
      addressCountMax: this.addressCountMax,
      addressCountEnd: this.addressCount,
      blockCountEnd: this.blocks.size,
      reuseMinMs: this.reuseMinMs,
    };
  }

  private gaveUp(): Measured['gaveUp'] {
    const { limits } = this.options;
    if (limits === undefined) return undefined;
    if (this.lateCount > limits.lateCountMax) return 'late';
    return this.idleMs > limits.idleIpHoursMax * HOUR_MS ? 'idle' : undefined;
  }

  private build(): void {
    const { clock, cloud, options } = this;
    const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: [] });
    const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/16' as Cidr });
    const streams = new Streams(options.seed);
    const onNode = options.policy({ clock, cloud });
    for (const { name, instanceType, pods } of options.nodes) {
      const { id: instance, limits } = cloud.launch({ instanceType, subnet: subnet.id });
      const pendingCount = (): number => kubelet.pendingCount;
      const pool = onNode({ name, clock, cloud, instance, limits, subnet: subnet.id, streams, pendingCount });
      const kubelet = new Kubelet({
        name,
        clock,
        streams,
        pool,
        zeroMs: this.zeroMs,
        onWaited: (waitMs) => {
          if (waitMs >= (options.limits?.lateFromMs ?? Number.POSITIVE_INFINITY)) this.lateCount++;
        },
        onRunning: (ip) => this.runs(ip),
        onStopped: (ip) => this.stopped(ip),
        onFailed: (why) => this.failures.set(why, (this.failures.get(why) ?? 0) + 1),
      });
      this.kubelets.push(kubelet);
      pool.start();
      for (const pod of pods) clock.timer(this.zeroMs + pod.atMs, () => kubelet.bind(pod));
    }
  }

  /** An ENI's own address is no pod's. */
  private gained(eni: Parameters<RecordedCloud['truth']['eni']>[0], cidr: Cidr): void {
    const own = this.cloud.truth.eni(eni)?.primary4;
    if (own !== undefined && hostCidr(own) === cidr) return;
    this.accrue();
    this.blocks.add(cidr);
    this.addressCount += sizeOf(cidr);
    this.addressCountMax = Math.max(this.addressCountMax, this.addressCount);
  }

  private lost(cidr: Cidr): void {
    if (!this.blocks.has(cidr)) return;
    this.accrue();
    this.blocks.delete(cidr);
    this.addressCount -= sizeOf(cidr);
  }

  private runs(ip: Ip): void {
    if (this.running.has(ip)) throw new Error(`two pods have ${ip}`);
    this.accrue();
    this.running.add(ip);
    this.lastServedMs = this.clock.nowMs();
    const stoppedMs = this.stoppedMs.get(ip);
    if (stoppedMs !== undefined) this.reuseMinMs = Math.min(this.reuseMinMs, this.clock.nowMs() - stoppedMs);
  }

  private stopped(ip: Ip): void {
    this.accrue();
    this.running.delete(ip);
    this.stoppedMs.set(ip, this.clock.nowMs());
  }

  private accrue(): void {
    const nowMs = this.clock.nowMs();
    if (nowMs <= this.idleSinceMs) return;
    this.idleMs += (this.addressCount - this.running.size) * (nowMs - this.idleSinceMs);
    this.idleSinceMs = nowMs;
  }
}

const sizeOf = (cidr: Cidr): number => 2 ** (32 - cidrLength(cidr));

/** The nearest-rank quantile of values in any order; 0 of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

/** What several runs of one policy come to: waits of all of them together, the rest on average. */
export function figuresOf(runs: readonly Measured[]): PolicyFigures {
  const waits = runs.flatMap((run) => run.waits.map(({ waitMs }) => waitMs));
  const mean = (value: (run: Measured) => number): number =>
    runs.reduce((sum, run) => sum + value(run), 0) / Math.max(1, runs.length);
  return {
    p50Ms: round(quantile(waits, 0.5)),
    p99Ms: round(quantile(waits, 0.99)),
    maxMs: round(quantile(waits, 1)),
    failed: round(mean(({ failed }) => failed)),
    cloudCalls: round(mean(({ calls }) => calls.length)),
    idleIpHours: round(mean(({ idleIpHours }) => idleIpHours)),
  };
}

const round = (value: number): number => Math.round(value * 100) / 100;

/** The calls until then for people: equal ones of one moment on one line. */
export function timeline(calls: readonly RecordedCall[], untilMs: number): string[] {
  const lines = new Map<string, number>();
  for (const { atMs, action, count, tookMs, outcome } of calls) {
    if (atMs > untilMs) continue;
    const asked = count === 0 ? '' : ` of ${count}`;
    const line = `${atMs.toFixed(0)} ms ${action}${asked}, ${outcome} after ${tookMs?.toFixed(0) ?? '?'} ms`;
    lines.set(line, (lines.get(line) ?? 0) + 1);
  }
  return [...lines].map(([line, times]) => (times === 1 ? line : `${line}, ${times} times`));
}
