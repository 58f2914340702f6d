/**
 * The cloud in memory: one deterministic model of a VPC that the contract suite, the simulator and the lab stand on.
 * Every call goes one way: faults, token bucket, latency; its effect at a drawn moment within the call; its answer.
 *
 * Invariants: time and chance are arguments, so one seed and one list of calls give one run; a call that was accepted
 * takes effect whether or not its client still waits; what a read answers is at most `listLagMs` old.
 */
import type { EniId, InstanceId, SubnetId } from '../../src/core/brand.ts';
import type { Cidr, Ip } from '../../src/core/ip.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { assign, dropBlocks, unassign } from './address-calls.ts';
import { type ApiAction, type ApiRequest, type ApiResult, CALL_CLASS } from './api.ts';
import { attachEni, detachEni } from './attach-calls.ts';
import { CallMoment, type Calls } from './call.ts';
import { createEni, deleteEni, modifyEni, tag, untag } from './eni-calls.ts';
import { Faults, type Strikes } from './faults.ts';
import { AWS_2026, type Figures } from './figures.ts';
import { invariants } from './invariants.ts';
import { Streams } from './random.ts';
import {
  describeEnis,
  describeInstances,
  describeInstanceTypes,
  describeRouteTables,
  describeSubnets,
  describeVpcs,
} from './read-calls.ts';
import type { CloudFact, EniRecord, InstanceRecord, RouteTableRecord, SubnetRecord, VpcRecord } from './records.ts';
import { type Done, type Outcome, type Refused, refuse } from './refusal.ts';
import { createRoute, deleteRoute, replaceRoute } from './route-calls.ts';
import {
  addRouteTable,
  addSubnet,
  addVpc,
  launch,
  type NewInstance,
  type NewRouteTable,
  type NewSubnet,
  type NewVpc,
  terminate,
} from './setup.ts';
import { snapshot } from './snapshot.ts';
import { TokenBucket } from './token-bucket.ts';
import { World } from './world.ts';

const CALLS: Calls = {
  'create-eni': createEni,
  'delete-eni': deleteEni,
  'attach-eni': attachEni,
  'detach-eni': detachEni,
  'modify-eni': modifyEni,
  assign,
  unassign,
  tag,
  untag,
  'describe-enis': describeEnis,
  'describe-subnets': describeSubnets,
  'describe-instances': describeInstances,
  'describe-vpcs': describeVpcs,
  'describe-instance-types': describeInstanceTypes,
  'describe-route-tables': describeRouteTables,
  'create-route': createRoute,
  'replace-route': replaceRoute,
  'delete-route': deleteRoute,
};

export interface CloudOptions {
  readonly clock: Pick<Clock, 'nowMs' | 'timer'>;
  readonly seed: number;
  readonly figures?: Figures;
  /** Where the cloud puts an address it chooses; see world.ts. `lowest` by default. */
  readonly placement?: 'lowest' | 'scattered';
}

/** The truth, at once and never stale: for the fabric, the metadata service and tests, not for clients. */
export interface Truth {
  readonly vpcs: ReadonlyMap<string, VpcRecord>;
  readonly subnets: ReadonlyMap<SubnetId, SubnetRecord>;
  readonly instances: ReadonlyMap<InstanceId, InstanceRecord>;
  eni(id: EniId): EniRecord | undefined;
  enis(): readonly EniRecord[];
  /** Attached, attaching or detaching here, by device index. */
  enisOf(instance: InstanceId): readonly EniRecord[];
  /** The instance sees the ENI's link. */
  linked(eni: EniId): boolean;
  routeTables(): readonly RouteTableRecord[];
  /** The table that the subnet's packets are routed by. */
  routeTableOf(subnet: SubnetId): RouteTableRecord | undefined;
  freeCount(subnet: SubnetId): number;
}

export class MemoryCloud {
  readonly figures: Figures;
  readonly faults: Faults;
  readonly truth: Truth;
  readonly #world: World;
  readonly #streams: Streams;
  readonly #clock: CloudOptions['clock'];
  /** By action, and by family where a real cloud has an action for each. */
  readonly #buckets = new Map<string, TokenBucket>();
  readonly #counts = new Map<ApiAction, number>();

  constructor({ clock, seed, figures = AWS_2026, placement = 'lowest' }: CloudOptions) {
    this.figures = figures;
    this.#clock = clock;
    this.#streams = new Streams(seed);
    this.faults = new Faults(this.#streams);
    this.#world = new World({ figures, streams: this.#streams, clock, placement });
    this.truth = truthOf(this.#world);
  }

  /**
   * One request of the cloud's API. `respond` is called once, never within this call, when the client has its answer or
   * its connection breaks; a `lost` outcome that is `silent` means that the client sees nothing at all. `caller` is the instance whose daemon calls, if one does: it keys the
   * random streams and lets a fault strike one node only.
   */
  call<A extends ApiAction>(
    action: A,
    request: ApiRequest<A>,
    options: {
      readonly caller?: InstanceId | undefined;
      readonly respond: (outcome: Outcome<ApiResult<A>>) => void;
    },
  ): void {
    const { caller, respond } = options;
    this.#counts.set(action, (this.#counts.get(action) ?? 0) + 1);
    const nowMs = this.#clock.nowMs();
    const strikes = this.faults.strike(action, caller);
    const { latencyMs, effectMs } = this.#durations(action, caller, strikes);
    const answerAt = (outcome: Outcome<ApiResult<A>>) => {
      this.#clock.timer(nowMs + latencyMs, () => respond(outcome));
    };
    if (strikes['api-down'] !== undefined) {
      this.#clock.timer(nowMs, () => respond({ kind: 'unreachable' }));
      return;
    }
    const meter = 'family' in request ? `${action}/${request.family}` : action;
    const refused = this.#turnedAway(action, { meter, nowMs, strikes });
    if (refused !== undefined) return answerAt(refused);
    const lostRequest = strikes['lost-request'];
    if (lostRequest !== undefined) return answerAt({ kind: 'lost', silent: lostRequest.silent });
    const lostReply = strikes['lost-reply'];
    const lateMs = lostReply?.lateMs ?? 0;
    const answerLost = (silent: boolean) => answerAt({ kind: 'lost', silent });
    if (lostReply !== undefined && lateMs > 0) answerLost(lostReply.silent);
    this.#clock.timer(nowMs + effectMs + lateMs, () => {
      this.#misfortune(caller, strikes);
      const moment = new CallMoment(this.#world, {
        nowMs: this.#clock.nowMs(),
        answerMs: nowMs + latencyMs + lateMs,
        strikes,
        caller,
      });
      const handle: (world: World, request: ApiRequest<A>, moment: CallMoment) => Done<ApiResult<A>> | Refused =
        CALLS[action];
      const outcome = handle(this.#world, request, moment);
      if (lostReply === undefined) answerAt(outcome);
      else if (lateMs === 0) answerLost(lostReply.silent);
    });
  }

  /** Hears every fact the moment it becomes true, until the returned function is called. */
  listen(listener: (fact: CloudFact) => void): () => void {
    return this.#world.listen(listener);
  }

  addVpc(vpc: NewVpc): VpcRecord {
    return addVpc(this.#world, vpc);
  }

  addSubnet(subnet: NewSubnet): SubnetRecord {
    return addSubnet(this.#world, subnet);
  }

  addRouteTable(table: NewRouteTable): RouteTableRecord {
    return addRouteTable(this.#world, table);
  }

  /** Throws RangeError where the subnet is full or the type is not in the figures. */
  launch(instance: NewInstance): InstanceRecord {
    return launch(this.#world, instance);
  }

  terminate(instance: InstanceId): void {
    terminate(this.#world, instance);
  }

  /** The internet sees the ENI's own address as `ip` from now on; undefined takes it away. */
  setPublicIp(id: EniId, ip: Ip | undefined): void {
    const eni = this.#world.enis.get(id);
    if (eni === undefined) return;
    const { publicIp: _, ...rest } = eni;
    this.#world.putEni(ip === undefined ? rest : { ...rest, publicIp: ip });
    this.#world.tell({ kind: 'public-address', eni: id, ip });
  }

  /** Somebody with a console takes the block off the ENI. False when it is not there. */
  takeBlock(id: EniId, block: Cidr): boolean {
    const eni = this.#world.enis.get(id);
    if (eni === undefined || !eni.blocks.includes(block)) return false;
    dropBlocks(this.#world, eni, [block]);
    return true;
  }

  /** Somebody with a console detaches and deletes the ENI. False when it is not there or an instance's primary. */
  takeEni(id: EniId): boolean {
    const eni = this.#world.enis.get(id);
    if (eni === undefined || eni.primary) return false;
    this.#world.removeEni(eni);
    return true;
  }

  /** How many calls of each action were made, answered or not. */
  get callCounts(): ReadonlyMap<ApiAction, number> {
    return this.#counts;
  }

  /** The truth as sorted lines. */
  snapshot(): string {
    return snapshot(this.#world);
  }

  /** What is broken in the model itself; empty unless it has a bug. */
  invariants(): readonly string[] {
    return invariants(this.#world);
  }

  #durations(action: ApiAction, caller: InstanceId | undefined, strikes: Strikes) {
    const key = `${action}/${caller ?? ''}`;
    const mean = this.figures.latencyMs[CALL_CLASS[action]];
    const { factor, plusMs } = strikes.latency ?? { factor: 1, plusMs: 0 };
    const latencyMs = this.#streams.around(`latency/${key}`, mean, this.figures.spread) * factor + plusMs;
    return { latencyMs, effectMs: latencyMs * (0.1 + 0.8 * this.#streams.uniform(`effect/${key}`)) };
  }

  /** Refused at the door, before anything is looked at. */
  #turnedAway(
    action: ApiAction,
    { meter, nowMs, strikes }: { readonly meter: string; readonly nowMs: number; readonly strikes: Strikes },
  ): Refused | undefined {
    const rate = this.figures.buckets[CALL_CLASS[action]];
    if (strikes.throttle !== undefined)
      return refuse({ kind: 'throttled', action, retryAfterMs: 1000 / rate.perSecond });
    let bucket = this.#buckets.get(meter);
    if (bucket === undefined) {
      bucket = new TokenBucket(rate, nowMs);
      this.#buckets.set(meter, bucket);
    }
    const retryAfterMs = bucket.take(nowMs);
    if (retryAfterMs > 0) return refuse({ kind: 'throttled', action, retryAfterMs });
    return strikes.deny === undefined ? undefined : refuse({ kind: 'denied', action });
  }

  /** What others do to the caller's ENIs while its call is under way. */
  #misfortune(caller: InstanceId | undefined, strikes: Strikes): void {
    if (caller === undefined) return;
    if (strikes['address-taken'] !== undefined) {
      const all = this.#world.enisOf(caller).flatMap(({ id, blocks }) => blocks.map((block) => ({ id, block })));
      const unlucky = all[this.#streams.pick(`address-taken/${caller}`, all.length)];
      if (unlucky !== undefined) this.takeBlock(unlucky.id, unlucky.block);
    }
    if (strikes['eni-taken'] !== undefined) {
      const all = this.#world.enisOf(caller).filter((eni) => !eni.primary);
      const unlucky = all[this.#streams.pick(`eni-taken/${caller}`, all.length)];
      if (unlucky !== undefined) this.takeEni(unlucky.id);
    }
  }
}

function truthOf(world: World): Truth {
  return {
    vpcs: world.vpcs,
    subnets: world.subnets,
    instances: world.instances,
    eni: (id) => world.enis.get(id),
    enis: () => [...world.enis.values()],
    enisOf: (instance) => world.enisOf(instance),
    linked: (eni) => world.links.has(eni),
    routeTables: () => [...world.routeTables.values()],
    routeTableOf: (subnet) => {
      const tables = [...world.routeTables.values()];
      const vpc = world.subnets.get(subnet)?.vpc;
      return (
        tables.find((table) => table.subnets.includes(subnet)) ??
        tables.find((table) => table.main && table.vpc === vpc)
      );
    },
    freeCount: (subnet) => world.space(subnet, 4)?.freeCount ?? 0,
  };
}
