/**
 * Cilium's ENI IPAM, from research/cilium-and-other-clouds.md sections 1.1 to 1.4: agents hand out what their node's
 * CiliumNode lists and fail an ADD at once when that is nothing; they report their use at most every 15 s; one operator
 * makes every cloud call of the cluster behind one limiter, one node's maintenance at a time.
 */
import type { ApiAction, ApiRequest, ApiResult } from '../../../providers/memory/api.ts';
import type { EniId } from '../../core/brand.ts';
import type { Cidr } from '../../core/ip.ts';
import type { AddResult, Host, NodePool, Policy, Sandbox } from '../bars/policy.ts';
import { type CallResult, Client } from './client.ts';
import { Store, type StoredEni } from './store.ts';

/** Section 1.2. */
export interface CiliumSettings {
  readonly preAllocate: number;
  readonly minAllocate: number;
  readonly maxAboveWatermark: number;
  readonly prefixes: boolean;
  /** --aws-release-excess-ips */
  readonly release: boolean;
  /** spec.eni.first-interface-index: ENIs below it are not used. */
  readonly firstInterface: number;
}

export const CILIUM_DEFAULTS: CiliumSettings = {
  preAllocate: 8,
  minAllocate: 0,
  maxAboveWatermark: 0,
  prefixes: false,
  release: false,
  firstInterface: 0,
};

const REPORT_EVERY_MS = 15_000;
const RESYNC_MS = 60_000;
const RELEASE_DELAY_MS = 180_000;
/** --limit-ipam-api-qps 4, -burst 20: one bucket for every call of the operator. */
const LIMIT = { perSecond: 4, burst: 20 };
/** A full resync: DescribeVpcs, Subnets, SecurityGroups, RouteTables, and DescribeNetworkInterfaces (section 1.2). */
const RESYNC_READS = ['describe-vpcs', 'describe-subnets', 'describe-instances', 'describe-route-tables'] as const;
/** A failed maintenance: 1 s, doubled up to 5 min, times ln(1 + nodes). */
const BACKOFF = { firstMs: 1_000, capMs: 300_000 };
/** The agent's wait for the device: 15 tries from 100 ms, doubled up to 30 s, and a second for udev. */
const DEVICE = { tries: 15, firstMs: 100, capMs: 30_000, settleMs: 1_000 };
const PREFIX_SIZE = 16;

export const cilium =
  (settings: Partial<CiliumSettings> = {}): Policy =>
  (world) => {
    const operator = new Operator(world);
    return (host) => new CiliumNode(host, { ...CILIUM_DEFAULTS, ...settings }, operator);
  };

/** The only caller of the cloud. */
class Operator {
  readonly nodes: CiliumNode[] = [];
  private readonly client: Client;
  private readonly world: Pick<Host, 'clock' | 'cloud'>;
  private tokens = LIMIT.burst;
  private atMs: number;

  constructor(world: Pick<Host, 'clock' | 'cloud'>) {
    this.world = world;
    this.client = new Client(world, undefined);
    this.atMs = world.clock.nowMs();
  }

  join(node: CiliumNode): void {
    this.nodes.push(node);
    if (this.nodes.length === 1) void this.resync();
  }

  async call<A extends ApiAction>(action: A, request: ApiRequest<A>): Promise<CallResult<ApiResult<A>>> {
    await this.limit();
    return this.client.call(action, request);
  }

  /** rate.Limiter: takes its token now and sleeps until it is there. */
  private async limit(): Promise<void> {
    const nowMs = this.world.clock.nowMs();
    this.tokens = Math.min(LIMIT.burst, this.tokens + ((nowMs - this.atMs) / 1_000) * LIMIT.perSecond) - 1;
    this.atMs = nowMs;
    if (this.tokens < 0) await this.client.sleep((-this.tokens / LIMIT.perSecond) * 1_000);
  }

  private async resync(): Promise<void> {
    for (;;) {
      for (const action of RESYNC_READS) {
        await this.call(action, {});
      }
      await this.call('describe-enis', {});
      // Sorted by need (section 1.3, resync).
      for (const node of this.nodes.toSorted((a, b) => b.needed - a.needed)) void node.maintain();
      await this.client.sleep(RESYNC_MS);
    }
  }
}

/** One node: its agent, and what the operator does for it. */
class CiliumNode implements NodePool {
  private readonly host: Host;
  private readonly settings: CiliumSettings;
  private readonly operator: Operator;
  private readonly client: Client;
  /** What the agent can hand out. */
  private readonly store: Store;
  private readonly perEni: number;
  /** Addresses that the operator gave and the agent does not have yet: its ENI's link is on its way. */
  private comingCount = 0;
  /** As the agent last reported it. */
  private usedSeen = 0;
  private reportDue = false;
  private reportedMs = Number.NEGATIVE_INFINITY;
  private maintaining = false;
  private failedCount = 0;

  constructor(host: Host, settings: CiliumSettings, operator: Operator) {
    this.host = host;
    this.settings = settings;
    this.operator = operator;
    this.client = new Client(host, host.instance);
    this.store = new Store(host.streams, host.name);
    this.perEni = host.limits.slotsPerEni[4] - 1;
  }

  start(): void {
    const { cloud, instance, clock } = this.host;
    for (const { id, primary, attachment } of cloud.truth.enisOf(instance))
      if ((attachment?.deviceIndex ?? 0) >= this.settings.firstInterface)
        this.store.addEni({ id, primary, sinceMs: clock.nowMs() });
    this.operator.join(this);
    void this.maintain();
  }

  add(sandbox: Sandbox, answer: (result: AddResult) => void): void {
    const ip = this.store.take(sandbox.containerId, this.host.clock.nowMs());
    this.report();
    this.host.clock.after(0, () => answer(ip === undefined ? { ok: false, why: 'no more IPs' } : { ok: true, ip }));
  }

  /** An address is reusable at once. */
  del(sandbox: Sandbox, done: () => void): void {
    this.store.release(sandbox.containerId, this.host.clock.nowMs(), 0);
    this.report();
    this.host.clock.after(0, done);
  }

  /** Section 1.3, `needed`, by what the operator sees. */
  get needed(): number {
    const { preAllocate, minAllocate } = this.settings;
    return Math.max(preAllocate - (this.available - this.usedSeen), minAllocate - this.available, 0);
  }

  private get available(): number {
    return this.store.total + this.comingCount;
  }

  /** The first report of a quiet node goes at once, the next one 15 s later. */
  private report(): void {
    if (this.reportDue) return;
    this.reportDue = true;
    const { clock } = this.host;
    clock.timer(Math.max(clock.nowMs(), this.reportedMs + REPORT_EVERY_MS), () => {
      this.reportDue = false;
      this.reportedMs = clock.nowMs();
      // Section 1.1: 1.20's agent counts the ADDs that failed in the last five minutes, which here all try again.
      this.usedSeen = this.store.held + this.host.pendingCount();
      void this.maintain();
    });
  }

  /** Section 1.3, `maintain`, until nothing is needed: every mutation is followed by a read of the instance's ENIs. */
  async maintain(): Promise<void> {
    if (this.maintaining) return;
    this.maintaining = true;
    while (this.needed > 0) {
      const done = await this.grow();
      if (done === 'full') break;
      if (done === 'failed') {
        await this.client.sleep(this.backoffMs(this.failedCount++));
        continue;
      }
      this.failedCount = 0;
      await this.operator.call('describe-enis', {
        where: ({ attachment }) => attachment?.instance === this.host.instance,
      });
      done.usable();
    }
    if (this.settings.release) await this.giveBack();
    this.maintaining = false;
  }

  private backoffMs(failed: number): number {
    const { firstMs, capMs } = BACKOFF;
    return Math.min(capMs, firstMs * 2 ** failed) * Math.log(1 + this.operator.nodes.length);
  }

  /** Any failure to assign falls through to a new ENI (section 1.6, 4). */
  private async grow(): Promise<'full' | 'failed' | { readonly usable: () => void }> {
    const { prefixes, maxAboveWatermark } = this.settings;
    const { clock, limits, pendingCount } = this.host;
    const addresses = this.needed + maxAboveWatermark + Math.max(0, pendingCount() - this.needed);
    const wanted = prefixes ? Math.ceil(addresses / PREFIX_SIZE) : addresses;
    const prefixLength = prefixes ? 28 : 32;
    const [eni] = this.store.shuffled(this.store.enis.filter(({ blocks }) => blocks.size < this.perEni));
    if (eni !== undefined) {
      const count = Math.min(this.perEni - eni.blocks.size, wanted);
      const wishes = [{ family: 4, prefixLength, count } as const];
      const given = await this.operator.call('assign', { eni: eni.id, family: 4, wishes });
      if (given.ok) return { usable: () => this.store.addBlocks(eni, given.value, clock.nowMs()) };
    }
    if (this.host.cloud.truth.enisOf(this.host.instance).length >= limits.eniCountMax) return 'full';
    return this.newEni([{ family: 4, prefixLength, count: Math.min(this.perEni, wanted) }]);
  }

  private async newEni(
    wishes: ApiRequest<'create-eni'>['wishes'],
  ): Promise<'failed' | { readonly usable: () => void }> {
    const { instance, subnet } = this.host;
    const created = await this.operator.call('create-eni', { subnet, groups: [], tags: {}, wishes });
    if (!created.ok) return 'failed';
    const { id, blocks } = created.value;
    const attached = await this.operator.call('attach-eni', { eni: id, instance });
    if (!attached.ok) {
      await this.operator.call('delete-eni', { eni: id });
      return 'failed';
    }
    await this.operator.call('modify-eni', { eni: id, deleteOnTermination: true });
    const count = blocks.length * (this.settings.prefixes ? PREFIX_SIZE : 1);
    this.comingCount += count;
    return { usable: () => void this.arrive(id, blocks, count) };
  }

  /** The agent sees the ENI in its CiliumNode and waits for the device. */
  private async arrive(id: EniId, blocks: readonly Cidr[], count: number): Promise<void> {
    const { cloud, clock } = this.host;
    for (let failed = 0; !cloud.truth.linked(id) && failed < DEVICE.tries; failed++)
      await this.client.sleep(Math.min(DEVICE.capMs, DEVICE.firstMs * 2 ** failed));
    await this.client.sleep(DEVICE.settleMs);
    this.comingCount -= count;
    const eni: StoredEni = this.store.addEni({ id, primary: false, sinceMs: clock.nowMs() });
    this.store.addBlocks(eni, blocks, clock.nowMs());
  }

  /** Section 1.4 as of 1.20: the agent drops whole idle blocks, the operator releases them after 180 s. */
  private async giveBack(): Promise<void> {
    const { preAllocate, minAllocate, maxAboveWatermark } = this.settings;
    const nowMs = this.host.clock.nowMs();
    let excess = Math.min(
      this.available - this.store.held - preAllocate - maxAboveWatermark,
      this.available - minAllocate - maxAboveWatermark,
    );
    for (const eni of this.store.shuffled(this.store.enis)) {
      const going: Cidr[] = [];
      for (const { cidr, size, held, idleSinceMs } of this.store.shuffled([...eni.blocks.values()])) {
        if (held.size > 0 || size > excess || nowMs - idleSinceMs < RELEASE_DELAY_MS) continue;
        going.push(cidr);
        excess -= size;
      }
      if (going.length === 0) continue;
      for (const cidr of going) eni.blocks.delete(cidr);
      await this.operator.call('unassign', { eni: eni.id, family: 4, blocks: going });
    }
  }
}
