/**
 * kubelet and the runtime of one node: a pod that is bound asks at once; a failed ADD is followed by DEL and, after
 * kubelet's back-off, by a new sandbox; a pod ends with DEL.
 */
import type { Streams } from '../../../providers/memory/random.ts';
import type { Ip } from '../../core/ip.ts';
import type { VirtualClock } from '../clock.ts';
import type { NodePool, Sandbox } from './policy.ts';

/** kubelet, pkg/kubelet/pod_workers.go: backOffPeriod and workerBackOffPeriodJitterFactor. */
export const BACKOFF_MS = 10_000;
const BACKOFF_JITTER = 0.5;

/** A pod of a trace, in ms from its beginning; before it, a pod is part of the scenery and is not measured. */
export interface PodSpec {
  readonly atMs: number;
  /** How long it lives after it runs. */
  readonly lifeMs: number;
  /** It is deleted then at the latest, also when it never ran. */
  readonly endsAtMs?: number;
}

export interface Wait {
  /** When the pod was bound, from the trace's beginning. */
  readonly atMs: number;
  readonly waitMs: number;
  readonly served: boolean;
}

export interface KubeletOptions {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly streams: Streams;
  readonly pool: NodePool;
  /** Virtual time of the trace's beginning. */
  readonly zeroMs: number;
  /** A pod of the trace was served, or never will be. */
  readonly onWaited?: (waitMs: number) => void;
  readonly onRunning: (ip: Ip) => void;
  readonly onStopped: (ip: Ip) => void;
  readonly onFailed: (why: string) => void;
}

interface Pod {
  readonly name: string;
  readonly spec: PodSpec;
  readonly boundMs: number;
  running: { readonly sandbox: Sandbox; readonly ip: Ip } | undefined;
  asking: boolean;
  over: boolean;
  waited: boolean;
}

export class Kubelet {
  readonly waits: Wait[] = [];
  private readonly options: KubeletOptions;
  private readonly pending = new Set<Pod>();
  private podCount = 0;
  private sandboxCount = 0;

  constructor(options: KubeletOptions) {
    this.options = options;
  }

  get pendingCount(): number {
    return this.pending.size;
  }

  bind(spec: PodSpec): void {
    const { clock, name, zeroMs } = this.options;
    const pod: Pod = {
      name: `${name}-pod-${++this.podCount}`,
      spec,
      boundMs: clock.nowMs(),
      running: undefined,
      asking: false,
      over: false,
      waited: false,
    };
    this.pending.add(pod);
    if (spec.endsAtMs !== undefined) clock.timer(zeroMs + spec.endsAtMs, () => this.end(pod));
    this.ask(pod);
  }

  /** The scenario is over: pods that still wait have waited until now. */
  close(): void {
    for (const pod of this.pending) this.noteWait(pod, false);
  }

  private ask(pod: Pod): void {
    if (pod.over) return;
    const { clock, pool, streams } = this.options;
    const sandbox: Sandbox = { containerId: `${this.options.name}-c${++this.sandboxCount}`, pod: pod.name };
    pod.asking = true;
    pool.add(sandbox, (result) => {
      pod.asking = false;
      if (result.ok) return this.runs(pod, sandbox, result.ip);
      if (pod.boundMs >= this.options.zeroMs) this.options.onFailed(result.why);
      const backoffMs = BACKOFF_MS * (1 + BACKOFF_JITTER * streams.uniform(`kubelet/${this.options.name}`));
      pool.del(sandbox, () => undefined);
      clock.after(backoffMs, () => this.ask(pod));
    });
  }

  private runs(pod: Pod, sandbox: Sandbox, ip: Ip): void {
    const { clock } = this.options;
    pod.running = { sandbox, ip };
    this.pending.delete(pod);
    this.noteWait(pod, true);
    this.options.onRunning(ip);
    if (pod.over) this.stop(pod);
    else if (Number.isFinite(pod.spec.lifeMs)) clock.after(pod.spec.lifeMs, () => this.end(pod));
  }

  private end(pod: Pod): void {
    if (pod.over) return;
    pod.over = true;
    if (pod.running !== undefined) return this.stop(pod);
    // An ADD in flight is waited for, and undone by DEL.
    if (pod.asking) return;
    this.pending.delete(pod);
    this.noteWait(pod, false);
  }

  private stop(pod: Pod): void {
    if (pod.running === undefined) return;
    const { sandbox, ip } = pod.running;
    pod.running = undefined;
    this.options.onStopped(ip);
    this.options.pool.del(sandbox, () => undefined);
  }

  private noteWait(pod: Pod, served: boolean): void {
    const { clock, zeroMs } = this.options;
    if (pod.waited || pod.boundMs < zeroMs) return;
    pod.waited = true;
    const waitMs = clock.nowMs() - pod.boundMs;
    this.waits.push({ atMs: pod.boundMs - zeroMs, waitMs, served });
    this.options.onWaited?.(waitMs);
  }
}
