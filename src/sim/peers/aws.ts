/**
 * AWS's ipamd, from research/aws-vpc-cni.md section 3 (its pseudocode, validated there against 24 rows of upstream's
 * tables): one loop that sleeps, grows or shrinks by at most one EC2 action, and knows of no pod that waits. An ADD that
 * finds no address fails at once; a cooling address counts as available.
 */
import type { Host, NodePool, Policy, Sandbox } from '../bars/policy.ts';
import { Client, type Retry } from './client.ts';
import { type Block, Store, type StoredEni } from './store.ts';

/** Section 2, environment variables; 0 is unset, as there. */
export interface AwsSettings {
  readonly warmEni: number;
  readonly warmIp: number;
  readonly minimumIp: number;
  readonly warmPrefix: number;
  readonly prefixes: boolean;
  /** AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG: the primary ENI is not used for pods. */
  readonly customNetworking: boolean;
}

/** Section 2: WARM_ENI_TARGET 1; the chart's WARM_PREFIX_TARGET 1. */
export const AWS_DEFAULTS: AwsSettings = {
  warmEni: 1,
  warmIp: 0,
  minimumIp: 0,
  warmPrefix: 1,
  prefixes: false,
  customNetworking: false,
};

/** Section 3: `sleep 2.5s; updatePool(); sleep 2.5s; reconcile()`; reconcile reads the metadata only. */
const HALF_TICK_MS = 2_500;
const DECREASE_EVERY_MS = 30_000;
const INSUFFICIENT_MS = 120_000;
const MIN_ENI_LIFE_MS = 60_000;
const COOLDOWN_MS = 30_000;
/** Lines 130, 136, 137: tries, the first sleep, its cap; each sleep is twice the last, plus up to 15 %. */
const IMDS = { tries: 12, firstMs: 100, capMs: 60_000 };
const DETACH = { tries: 12, firstMs: 200, capMs: 60_000 };
const DELETE = { tries: 12, firstMs: 500, capMs: 60_000 };
const AFTER_DETACH_MS = 2_000;
const PREFIX_SIZE = 16;
/** What EKS allows a node at most, whatever its ENIs hold. */
const MAX_PODS = 250;
/** Section 2, AWS_EC2_ENDPOINT: the EC2 client has the SDK's default of 3 attempts; they back off by up to 2^n s / 10. */
const SDK_ATTEMPTS = 3;
const SDK_BASE_MS = 100;

export const aws =
  (settings: Partial<AwsSettings> = {}): Policy =>
  () =>
  (host) =>
    new AwsNode(host, { ...AWS_DEFAULTS, ...settings });

class AwsNode implements NodePool {
  private readonly host: Host;
  private readonly settings: AwsSettings;
  private readonly client: Client;
  private readonly store: Store;
  private readonly slots: number;
  private readonly perEni: number;
  private readonly retry: Retry;
  private open = false;
  private lastDecreaseMs = Number.NEGATIVE_INFINITY;
  private lastInsufficientMs = Number.NEGATIVE_INFINITY;

  constructor(host: Host, settings: AwsSettings) {
    this.host = host;
    this.settings = settings;
    this.client = new Client(host, host.instance);
    this.store = new Store(host.streams, host.name);
    this.slots = host.limits.slotsPerEni[4] - 1;
    this.perEni = settings.prefixes ? this.slots * PREFIX_SIZE : this.slots;
    this.retry = {
      attempts: SDK_ATTEMPTS,
      sleepMs: (failed) => host.streams.uniform(`${host.name}/sdk`) * SDK_BASE_MS * 2 ** failed,
    };
  }

  start(): void {
    void this.main();
  }

  /** Until init is over there is no socket to ask. */
  add(sandbox: Sandbox, answer: Parameters<NodePool['add']>[1]): void {
    const ip = this.open ? this.store.take(sandbox.containerId, this.nowMs) : undefined;
    this.host.clock.after(0, () => answer(ip === undefined ? { ok: false, why: 'no available IP' } : { ok: true, ip }));
  }

  del(sandbox: Sandbox, done: () => void): void {
    this.store.release(sandbox.containerId, this.nowMs, COOLDOWN_MS);
    this.host.clock.after(0, done);
  }

  private get nowMs(): number {
    return this.host.clock.nowMs();
  }

  /** Section 3, `init` (lines 142-144) and the main loop. */
  private async main(): Promise<void> {
    const { instance, cloud, subnet } = this.host;
    await this.client.call(
      'describe-enis',
      { where: ({ attachment }) => attachment?.instance === instance },
      this.retry,
    );
    for (const { id, primary } of cloud.truth.enisOf(instance)) {
      await this.client.call(
        'tag',
        { enis: [id], tags: { 'node.k8s.amazonaws.com/instance_id': instance } },
        this.retry,
      );
      await this.client.call('describe-subnets', { ids: [subnet] }, this.retry);
      this.store.addEni({ id, primary, sinceMs: this.nowMs });
    }
    await this.increase();
    this.open = true;
    for (;;) {
      await this.client.sleep(HALF_TICK_MS);
      await this.updatePool();
      await this.client.sleep(HALF_TICK_MS);
    }
  }

  private async updatePool(): Promise<void> {
    const tooLow = this.tooLow();
    const tooHigh = this.tooHigh();
    const extra = this.extraEnis();
    if (tooLow) await this.increase();
    else if (tooHigh && this.nowMs - this.lastDecreaseMs > DECREASE_EVERY_MS) {
      await this.decrease();
      this.lastDecreaseMs = this.nowMs;
    }
    if (extra) await this.freeOneEni();
  }

  /** Section 3, `stats`: cooling addresses are among the available. */
  private get available(): number {
    return this.store.total - this.store.held;
  }

  private get isTargeted(): boolean {
    return this.settings.warmIp > 0 || this.settings.minimumIp > 0;
  }

  /** Section 3, `target`: in addresses, or in prefixes with prefix delegation. */
  private target(): { readonly short: number; readonly over: number } {
    const { warmIp, minimumIp, prefixes } = this.settings;
    const { total, held } = this.store;
    const short = Math.max(warmIp - this.available, 0, minimumIp - total);
    if (!prefixes)
      return { short, over: Math.max(Math.min(Math.max(this.available - warmIp, 0), total - minimumIp), 0) };
    const count = this.store.blocks.length;
    const wanted = count - Math.ceil((held + warmIp) / PREFIX_SIZE);
    const over = Math.min(this.freePrefixes.length, wanted, count - Math.ceil(minimumIp / PREFIX_SIZE));
    return { short: Math.ceil(short / PREFIX_SIZE), over: Math.max(over, 0) };
  }

  private get freePrefixes(): Block[] {
    return this.store.blocks.filter(({ held }) => held.size === 0);
  }

  /** Section 1: the pool is never low when it has as many addresses as the node may have pods. */
  private tooLow(): boolean {
    const podCountMax = Math.min(MAX_PODS, this.host.limits.eniCountMax * this.perEni + 2);
    if (this.store.total >= podCountMax) return false;
    if (this.isTargeted) return this.target().short > 0;
    const { prefixes, warmPrefix, warmEni } = this.settings;
    const [unit, wanted] = prefixes ? [PREFIX_SIZE, warmPrefix] : [this.perEni, warmEni];
    return this.available < unit * wanted || (wanted === 0 && this.available === 0);
  }

  private tooHigh(): boolean {
    if (this.isTargeted) return this.target().over > 0;
    return this.settings.prefixes && this.freePrefixes.length > this.settings.warmPrefix;
  }

  private needed(): number {
    const { prefixes, warmPrefix } = this.settings;
    const short = this.target().short;
    if (!prefixes) return this.isTargeted ? short : this.slots;
    return Math.max(1, this.isTargeted ? short : warmPrefix - this.freePrefixes.length);
  }

  private extraEnis(): boolean {
    const { prefixes, warmPrefix, warmEni } = this.settings;
    if (this.isTargeted) return true;
    if (this.available >= ((prefixes ? warmPrefix : warmEni) + 1) * this.perEni) return true;
    return prefixes && this.store.enis.some((eni) => !eni.primary && isUnused(eni));
  }

  /** Lines 113-132: fills one ENI, or makes one. */
  private async increase(): Promise<void> {
    if (this.nowMs - this.lastInsufficientMs <= INSUFFICIENT_MS) return;
    const isFull = !this.settings.prefixes && this.isTargeted && this.target().short === 0;
    const roomy = this.store.enis.filter((eni) => this.isUsable(eni) && eni.blocks.size < this.slots);
    const [eni] = isFull ? [] : this.store.shuffled(roomy);
    if (eni !== undefined) return this.fill(eni);
    if (this.store.enis.length < this.host.limits.eniCountMax) await this.addEni();
  }

  private isUsable(eni: StoredEni): boolean {
    return !(eni.primary && this.settings.customNetworking);
  }

  private async fill(eni: StoredEni): Promise<void> {
    const prefixLength = this.settings.prefixes ? 28 : 32;
    // On an error, once more with one (line 120).
    for (const count of [Math.min(this.slots - eni.blocks.size, this.needed()), 1]) {
      const wishes = [{ family: 4, prefixLength, count } as const];
      const given = await this.client.call('assign', { eni: eni.id, family: 4, wishes }, this.retry);
      if (given.ok) return this.store.addBlocks(eni, given.value, this.nowMs);
      if (given.why === 'address-limit') return;
      if (given.why === 'subnet-full' || given.why === 'no-prefix') this.lastInsufficientMs = this.nowMs;
    }
  }

  /** Lines 125-132: six calls, then polls the metadata for the link. */
  private async addEni(): Promise<void> {
    const { cloud, instance, subnet } = this.host;
    const { prefixes } = this.settings;
    const short = this.target().short;
    const count = Math.min(this.slots, prefixes ? this.needed() : this.isTargeted ? short : this.slots);
    if (count <= 0) return;
    await this.client.call('describe-subnets', {}, this.retry);
    const wishes = [{ family: 4, prefixLength: prefixes ? 28 : 32, count } as const];
    const created = await this.client.call('create-eni', { subnet, groups: [], tags: {}, wishes }, this.retry);
    if (!created.ok) {
      if (created.why === 'subnet-full' || created.why === 'no-prefix') this.lastInsufficientMs = this.nowMs;
      return;
    }
    const { id, blocks } = created.value;
    await this.client.call('describe-instances', { ids: [instance] }, this.retry);
    const attached = await this.client.call('attach-eni', { eni: id, instance }, this.retry);
    if (!attached.ok) return this.deleteEni(id);
    await this.client.call('modify-eni', { eni: id, deleteOnTermination: true }, this.retry);
    for (let failed = 0; !cloud.truth.linked(id) && failed < IMDS.tries; failed++) await this.sleepAfter(IMDS, failed);
    await this.client.call('describe-subnets', { ids: [subnet] }, this.retry);
    const eni = this.store.addEni({ id, primary: false, sinceMs: this.nowMs });
    this.store.addBlocks(eni, blocks, this.nowMs);
  }

  /** Lines 133-134: cooling addresses are given back as idle ones are. */
  private async decrease(): Promise<void> {
    let { over } = this.target();
    if (!this.isTargeted) over = this.freePrefixes.length - this.settings.warmPrefix;
    for (const eni of this.store.shuffled(this.store.enis)) {
      const idle = this.store.shuffled([...eni.blocks.values()].filter(({ held }) => held.size === 0)).slice(0, over);
      if (idle.length === 0) continue;
      over -= idle.length;
      for (const { cidr } of idle) eni.blocks.delete(cidr);
      const blocks = idle.map(({ cidr }) => cidr);
      await this.client.call('unassign', { eni: eni.id, family: 4, blocks }, this.retry);
    }
  }

  /** Lines 135-137, in the same goroutine as all else. */
  private async freeOneEni(): Promise<void> {
    const { instance } = this.host;
    const eni = this.store.shuffled(this.store.enis).find((candidate) => this.isRemovable(candidate));
    if (eni === undefined) return;
    this.store.removeEni(eni);
    await this.client.call(
      'describe-enis',
      { where: ({ attachment }) => attachment?.instance === instance },
      this.retry,
    );
    for (let failed = 0; failed < DETACH.tries; failed++) {
      const detached = await this.client.call('detach-eni', { eni: eni.id, force: false }, this.retry);
      if (detached.ok) break;
      await this.sleepAfter(DETACH, failed);
    }
    await this.client.sleep(AFTER_DETACH_MS);
    await this.deleteEni(eni.id);
  }

  private isRemovable(eni: StoredEni): boolean {
    const { warmIp, minimumIp, warmPrefix, prefixes } = this.settings;
    if (eni.primary || this.nowMs - eni.sinceMs < MIN_ENI_LIFE_MS || !isUnused(eni)) return false;
    const blocks = [...eni.blocks.values()];
    if (blocks.some(({ coolingUntilMs }) => [...coolingUntilMs.values()].some((untilMs) => untilMs > this.nowMs)))
      return false;
    const others = this.store.blocks.filter((block) => !blocks.includes(block));
    const total = others.reduce((sum, { size }) => sum + size, 0);
    if (warmIp > 0 && total - this.store.held < warmIp) return false;
    if (minimumIp > 0 && total < minimumIp) return false;
    return !prefixes || this.isTargeted || others.filter(({ held }) => held.size === 0).length >= warmPrefix;
  }

  private async deleteEni(eni: StoredEni['id']): Promise<void> {
    for (let failed = 0; failed < DELETE.tries; failed++) {
      const deleted = await this.client.call('delete-eni', { eni }, this.retry);
      if (deleted.ok) return;
      await this.sleepAfter(DELETE, failed);
    }
  }

  private sleepAfter({ firstMs, capMs }: typeof IMDS, failed: number): Promise<void> {
    const jitter = 1 + 0.15 * this.host.streams.uniform(`${this.host.name}/backoff`);
    return this.client.sleep(Math.min(capMs, firstMs * 2 ** failed) * jitter);
  }
}

const isUnused = (eni: StoredEni): boolean => [...eni.blocks.values()].every(({ held }) => held.size === 0);
