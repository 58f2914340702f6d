/**
 * A fleet started at one moment under one account's buckets: every node a real core and driver, all of them over one
 * cloud. Run without a coordinator, with the broker, and with a broker that dies half way.
 *
 * The bound is the bucket's: the last node's assign has its token when the burst and the refill since have served the
 * others (docs/design/004-budgets.md).
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { Streams } from '../../../providers/memory/random.ts';
import { decorate } from '../../cloud/decorate.ts';
import type { InstanceId, SubnetId } from '../../core/brand.ts';
import { bucketOf } from '../../core/budget.ts';
import type { Cidr } from '../../core/ip.ts';
import { holding } from '../../core/pool.ts';
import type { PoolRow } from '../../core/rows.ts';
import type { Provider } from '../../ports/provider.ts';
import { SimBroker } from '../broker.ts';
import { VirtualClock } from '../clock.ts';
import { MemoryJournal } from '../journal.ts';
import { FakeKernel } from '../kernel.ts';
import { SimNode } from '../node.ts';
import { Pods } from '../pods.ts';

export type Coordination = 'none' | 'broker' | 'broker-dies';

export interface FleetOptions {
  readonly coordination: Coordination;
  readonly nodeCount: number;
  readonly seed: number;
}

export interface FleetFigures {
  /** Nodes that hold their floor at the end. */
  readonly atFloor: number;
  /** From the start of the fleet until a node holds its floor. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly pods: number;
  readonly failed: number;
  readonly cloudCalls: number;
  /** Of the unluckiest node. */
  readonly throttlesMax: number;
  readonly describesMax: number;
  /** Nodes by how many of their calls were throttled. */
  readonly nodesByThrottles: Readonly<Record<string, number>>;
  readonly brokerMessages: number;
  readonly events: number;
}

const FLOOR = 10;
const PODS_AT_FLOOR = 5;
/** One node in so many has a pod bound to it the moment it serves, floor or not. */
const EARLY_POD_EVERY = 100;
/** The broker runs before the nodes come, as in a cluster that grows. */
const BROKER_LEAD_MS = 60_000;
const BROKER_DELAY_MS = 25;
/** Longer than any bar: who is not at its floor by then is reported so. */
const HORIZON_BOUNDS = 3;

const RATES = ec2Capabilities(AWS_2026).rates;

/** When the account's bucket has had a token for each node's one assign, in ms from a full bucket. */
export function boundMs(nodeCount: number): number {
  const { burst, perSecond } = bucketOf(RATES.assign);
  return Math.max(0, ((nodeCount - burst) / perSecond) * 1000);
}

export async function runFleet(options: FleetOptions): Promise<FleetFigures> {
  return new Fleet(options).run();
}

interface Member {
  readonly node: SimNode;
  readonly pods: Pods;
  throttles: number;
  describes: number;
  calls: number;
  servedMs: number | undefined;
  floorMs: number | undefined;
}

class Fleet {
  private readonly options: FleetOptions;
  private readonly clock = new VirtualClock();
  private readonly streams: Streams;
  private readonly cloud: MemoryCloud;
  private readonly subnet: SubnetId;
  private readonly broker: SimBroker | undefined;
  private readonly members: Member[] = [];
  private readonly errors: unknown[] = [];
  private startMs = 0;
  private events = 0;

  constructor(options: FleetOptions) {
    this.options = options;
    const { clock } = this;
    this.streams = new Streams(options.seed);
    this.cloud = new MemoryCloud({ clock, seed: options.seed });
    const vpc = this.cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: [] });
    this.subnet = this.cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/17' as Cidr }).id;
    if (options.coordination !== 'none') this.broker = new SimBroker({ clock, rates: RATES, delayMs: BROKER_DELAY_MS });
  }

  async run(): Promise<FleetFigures> {
    const { clock, options } = this;
    await clock.run(clock.nowMs() + BROKER_LEAD_MS);
    this.startMs = clock.nowMs();
    for (let at = 0; at < options.nodeCount; at++) this.launch(at);
    const bound = boundMs(options.nodeCount);
    if (options.coordination === 'broker-dies') clock.after(bound / 2, () => this.broker?.die());
    for (const { node } of this.members) node.start().catch((error) => this.errors.push(error));
    // Pods that came with the last floor have their ADD answered within its deadline.
    await clock.run(this.startMs + HORIZON_BOUNDS * bound + 60_000);
    if (this.errors.length > 0) throw this.errors[0];
    return this.figures();
  }

  private launch(at: number): void {
    const { clock, cloud, streams, options } = this;
    const { id, primaryEni } = cloud.launch({ instanceType: 'm5.xlarge', subnet: this.subnet });
    const kernel = new FakeKernel({ clock });
    const mac = cloud.truth.eni(primaryEni)?.mac;
    if (mac !== undefined) kernel.plug('eth0', mac);
    const broker = this.broker?.port(id);
    const node = new SimNode({
      clock,
      cloud,
      provider: this.counted(at, id),
      instance: id,
      kernel,
      journal: new MemoryJournal(),
      pool: POOL,
      name: `s${options.seed}n${at}`,
      ...(broker && { broker }),
      crashHere: () => false,
      onReply: (request, reply) => this.members[at]?.pods.answer(request, reply),
      onCrash: () => {},
      onError: (error) => this.errors.push(error),
      onEvent: () => this.look(at),
    });
    const pods = new Pods({
      clock,
      kernel,
      streams,
      send: (event) => node.send(event),
      up: () => node.driver !== undefined,
      onRunning: () => {},
      onStopped: () => {},
    });
    this.members.push({ node, pods, throttles: 0, describes: 0, calls: 0, servedMs: undefined, floorMs: undefined });
  }

  /** The node's provider, with its calls and throttled answers counted. */
  private counted(at: number, instance: InstanceId): Provider {
    const { cloud, clock } = this;
    const capabilities = ec2Capabilities(AWS_2026);
    return decorate(new MemoryProvider({ cloud, instance, capabilities, clock }), async (action, call) => {
      const member = this.members[at];
      const answer = await call();
      if (member === undefined) return answer;
      member.calls++;
      if (action === 'describeNode' || action === 'listEnis' || action === 'listSubnets') member.describes++;
      if (!answer.ok && answer.failure.kind === 'throttled') member.throttles++;
      return answer;
    });
  }

  /** After each event of a node: what has it reached? */
  private look(at: number): void {
    this.events++;
    const member = this.members[at];
    const state = member?.node.driver?.state;
    if (member === undefined || state === undefined) return;
    if (member.servedMs === undefined && state.runtime.phase === 'serving') {
      member.servedMs = this.clock.nowMs();
      if (at % EARLY_POD_EVERY === 0) this.later(() => member.pods.create(Number.POSITIVE_INFINITY));
    }
    if (member.floorMs !== undefined) return;
    for (const pool of state.all('pool')) {
      if (holding(state, pool, 4).total < FLOOR) continue;
      member.floorMs = this.clock.nowMs() - this.startMs;
      for (let n = 0; n < PODS_AT_FLOOR; n++) this.later(() => member.pods.create(Number.POSITIVE_INFINITY));
    }
  }

  private later(deed: () => void): void {
    this.clock.after(1, deed);
  }

  private figures(): FleetFigures {
    const times = this.members.flatMap(({ floorMs }) => floorMs ?? []).sort((a, b) => a - b);
    const atRank = (share: number): number => times[Math.ceil(share * times.length) - 1] ?? Number.POSITIVE_INFINITY;
    const byThrottles = new Map<number, number>();
    for (const { throttles } of this.members) byThrottles.set(throttles, (byThrottles.get(throttles) ?? 0) + 1);
    const sum = (of: (member: Member) => number): number => this.members.reduce((total, one) => total + of(one), 0);
    const isWaiting = (pods: Pods): number => [...pods.all.values()].filter((pod) => pod.state !== 'running').length;
    return {
      atFloor: times.length,
      p50Ms: atRank(0.5),
      p99Ms: atRank(0.99),
      maxMs: atRank(1),
      pods: sum(({ pods }) => pods.waitsMs.length),
      failed: sum(({ pods }) => [...pods.refusals.values()].reduce((total, count) => total + count, isWaiting(pods))),
      cloudCalls: sum(({ calls }) => calls),
      throttlesMax: Math.max(...this.members.map(({ throttles }) => throttles)),
      describesMax: Math.max(...this.members.map(({ describes }) => describes)),
      nodesByThrottles: Object.fromEntries([...byThrottles].sort(([a], [b]) => a - b)),
      brokerMessages: (this.broker?.counts.asks ?? 0) + (this.broker?.counts.leases ?? 0),
      events: this.events,
    };
  }
}

const POOL: Omit<PoolRow, 'id'> = {
  subnets: [],
  groups: [],
  families: [4],
  prefixes: 'never',
  primaryEni: 'use',
  targets: { floor: FLOOR, headroom: 0, ceiling: 40 },
};
