/**
 * Metrics in Prometheus' words. What is a level is counted from the rows at each scrape, what is an event when it
 * happens. Labels are closed sets: never a pod, an address or an ENI.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LeaseId, OperationId } from '../core/brand.ts';
import type { Effect, Event, Repair } from '../core/events.ts';
import { AT_ONCE_COUNT_MAX } from '../core/look.ts';
import { holding } from '../core/pool.ts';
import { REASON_CODES } from '../core/reasons.ts';
import type { State } from '../core/state.ts';
import { fragmentation } from '../core/subnet-use.ts';
import type { Observation } from '../driver/driver.ts';
import { reasonBehind } from '../protocol/error.ts';
import type { Handled } from './desk.ts';
import type { Check } from './readiness.ts';

const REQUEST_SECONDS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60];
const CLOUD_SECONDS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];
const COMMIT_SECONDS = [0.00002, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1];
const KERNEL_SECONDS = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1];
const LAG_RESOLUTION_MS = 20;

export class Metrics {
  readonly registry = new Registry();
  private readonly requests = this.histogram('cni_request_duration_seconds', {
    help: 'From the request to its answer, by CNI verb and error code (0: success)',
    labels: ['command', 'code'],
    buckets: REQUEST_SECONDS,
  });
  private readonly cloudCalls = this.histogram('cloud_call_duration_seconds', {
    help: 'One call of the cloud API, answered in whatever way',
    labels: ['action'],
    buckets: CLOUD_SECONDS,
  });
  private readonly commits = this.histogram('journal_commit_duration_seconds', {
    help: 'One commit of the journal',
    labels: [],
    buckets: COMMIT_SECONDS,
  });
  private readonly steps = this.histogram('core_step_duration_seconds', {
    help: 'What the core takes to decide on the events that it heard at once',
    labels: [],
    buckets: COMMIT_SECONDS,
  });
  private readonly kernel = this.histogram('kernel_duration_seconds', {
    help: "A pod's link: wire, unwire or verify, from the order to the kernel's answer",
    labels: ['effect'],
    buckets: KERNEL_SECONDS,
  });
  private readonly failures = this.counter('cloud_call_failures_total', 'Cloud calls that were not done', [
    'action',
    'kind',
  ]);
  private readonly unknownCodes = this.counter(
    'cloud_unknown_codes_total',
    'Error codes the provider has no row for',
    [],
  );
  private readonly refused = this.counter('cni_refusals_total', 'Requests that were refused, by reason', [
    'command',
    'reason',
  ]);
  private readonly repairs = this.counter('datapath_repairs_total', 'Kernel state changed by others and put back', []);
  private readonly restored = this.counter(
    'datapath_restored_objects_total',
    'What was put back by these repairs, by kind',
    ['kind'],
  );
  private readonly breaches = this.counter('invariant_breaches_total', 'Invariants found broken', []);
  private readonly addresses = this.gauge('addresses', 'Addresses of the pool', ['state', 'family']);
  private readonly enis = this.gauge('enis', 'ENIs that the node has or makes', ['kind', 'state']);
  private readonly leases = this.gauge('leases', 'Attachments with addresses', ['state']);
  private readonly subnetFree = this.gauge(
    'subnet_free_addresses',
    'Free IPv4 addresses of the subnet, as last heard',
    ['subnet'],
  );
  private readonly subnetBroken = this.gauge(
    'subnet_fragmentation_ratio',
    'Share of the free IPv4 addresses of the subnet that no prefix can be made of',
    ['subnet'],
  );
  private readonly restless = this.gauge(
    'pods_undoing_repairs',
    'Pods whose own network is undone again and again, and is put back ever more seldom',
    [],
  );
  private readonly waiters = this.gauge('waiters', 'ADDs that wait for an address', []);
  private readonly podWatchUp = this.gauge('pod_watch_up', '1 while the pods bound to this node are heard of', []);
  private readonly podsBound = this.gauge('pods_bound', 'Pods bound to this node that need an address, as heard', []);
  private readonly ready = this.gauge('ready', '1 where the readiness check passes', ['check']);
  private readonly lag = this.gauge('event_loop_lag_seconds', 'Delay of the event loop since the last scrape', [
    'quantile',
  ]);
  private readonly memory = this.gauge('process_resident_memory_bytes', 'Resident memory of the process', []);
  private readonly delay = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
  private readonly calls = new Map<OperationId, { readonly action: string; readonly beganMs: number }>();
  /** The kernel is at one of a lease at a time. */
  private readonly deeds = new Map<LeaseId, { readonly effect: string; readonly beganMs: number }>();

  constructor(version: string) {
    this.gauge('build_info', 'Always 1', ['version', 'node']).set({ version, node: process.version }, 1);
    // A series that is there from the start: a first increase is seen as one.
    this.repairs.inc(0);
    this.breaches.inc(0);
    this.unknownCodes.inc(0);
    for (const reason of REASON_CODES) this.refused.inc({ command: 'ADD', reason }, 0);
    this.delay.enable();
  }

  close(): void {
    this.delay.disable();
  }

  handled({ verb, code, ms, reply, error }: Handled): void {
    this.requests.observe({ command: verb, code: String(code) }, ms / 1_000);
    if (reply?.kind === 'refused') this.refused.inc({ command: verb, reason: reply.reason.code });
    else if (error !== undefined) this.refused.inc({ command: verb, reason: reasonBehind(error) });
  }

  repaired = ({ kinds }: Repair): void => {
    this.repairs.inc();
    for (const [kind, count] of Object.entries(kinds)) this.restored.inc({ kind }, count);
  };
  broke = (): void => this.breaches.inc();
  podWatch = (up: boolean): void => this.podWatchUp.set(up ? 1 : 0);
  podBound = (): void => this.podsBound.inc();
  podGone = (): void => this.podsBound.dec();
  unknownCode = (): void => this.unknownCodes.inc();

  observe(seen: Observation): void {
    if (seen.kind === 'commit') this.commits.observe(seen.ms / 1_000);
    else if (seen.kind === 'step') this.steps.observe(seen.ms / 1_000);
    else if (seen.kind === 'effect') this.begin(seen.effect, seen.nowMs);
    else if (seen.kind === 'event') this.end(seen.event, seen.nowMs);
  }

  private begin(effect: Effect, beganMs: number): void {
    if (effect.kind === 'cloud') this.calls.set(effect.operation, { action: effect.call.action, beganMs });
    else if (effect.kind === 'wire' || effect.kind === 'verify')
      this.deeds.set(effect.plan.lease, { effect: effect.kind, beganMs });
    else if (effect.kind === 'unwire') this.deeds.set(effect.lease, { effect: effect.kind, beganMs });
  }

  private end(event: Event, nowMs: number): void {
    if (event.kind === 'wired' || event.kind === 'unwired' || event.kind === 'verified') {
      const deed = this.deeds.get(event.lease);
      this.deeds.delete(event.lease);
      if (deed !== undefined) this.kernel.observe({ effect: deed.effect }, (nowMs - deed.beganMs) / 1_000);
    } else if (event.kind === 'cloud-answered') {
      const { operation, answer } = event;
      const call = this.calls.get(operation);
      this.calls.delete(operation);
      if (call === undefined) return;
      this.cloudCalls.observe({ action: call.action }, (nowMs - call.beganMs) / 1_000);
      if (!answer.ok) this.failures.inc({ action: call.action, kind: answer.failure.kind });
    }
  }

  /** The text for Prometheus. `state` is undefined while there is no core yet. */
  async text(state: State | undefined, checks: readonly Check[]): Promise<string> {
    for (const gauge of [this.addresses, this.enis, this.leases, this.subnetFree, this.subnetBroken]) gauge.reset();
    for (const { name, ok } of checks) this.ready.set({ check: name }, ok ? 1 : 0);
    if (state !== undefined) this.count(state);
    for (const quantile of [50, 99]) {
      const seconds = this.delay.percentile(quantile) / 1e9 - LAG_RESOLUTION_MS / 1e3;
      this.lag.set({ quantile: String(quantile / 100) }, Math.max(0, seconds) || 0);
    }
    this.delay.reset();
    this.memory.set(process.memoryUsage.rss());
    return this.registry.metrics();
  }

  private count(state: State): void {
    for (const pool of state.all('pool')) {
      for (const family of pool.families) {
        const { free, leased, cooling, quarantined, coming } = holding(state, pool, family);
        const held = { free, leased, cooling, quarantined, coming };
        for (const [name, count] of Object.entries(held))
          this.addresses.inc({ state: name, family: String(family) }, count);
      }
    }
    for (const eni of state.all('eni')) this.enis.inc({ kind: eni.kind, state: eni.state });
    for (const lease of state.all('lease')) this.leases.inc({ state: lease.state });
    this.restless.set([...state.all('look')].filter(({ count }) => count >= AT_ONCE_COUNT_MAX).length);
    this.waiters.set(state.count('waiter'));
    for (const { id, freeCount4 } of state.all('subnet'))
      if (freeCount4 !== undefined) this.subnetFree.set({ subnet: id }, freeCount4);
    for (const use of state.all('use')) this.subnetBroken.set({ subnet: use.subnet }, fragmentation(use));
  }

  private histogram<L extends string>(
    name: string,
    { help, labels, buckets }: { readonly help: string; readonly labels: readonly L[]; readonly buckets: number[] },
  ) {
    return new Histogram<L>({
      name: `underway_${name}`,
      help,
      labelNames: labels,
      buckets,
      registers: [this.registry],
    });
  }

  private counter<L extends string>(name: string, help: string, labelNames: readonly L[]) {
    return new Counter<L>({ name: `underway_${name}`, help, labelNames, registers: [this.registry] });
  }

  private gauge<L extends string>(name: string, help: string, labelNames: readonly L[]) {
    return new Gauge<L>({ name: `underway_${name}`, help, labelNames, registers: [this.registry] });
  }
}
