/**
 * Terway's daemon with its own IPAM, from research/terway.md section 3.2 and 3.3: an ADD that finds nothing idle is put
 * on an ENI's queue, each ENI's worker batches what its queue holds after 300 ms, and a timer of two to four minutes
 * keeps the number of idle addresses between min and max. Its limiter of calls to the API server (section 2.2,
 * kube_client_qps: about 1.25 ADDs a second) is left out: it is not the pool's.
 */
import type { EniId } from '../../core/brand.ts';
import type { Ip } from '../../core/ip.ts';
import type { AddResult, Host, NodePool, Policy, Sandbox } from '../bars/policy.ts';
import { Client, type Retry } from './client.ts';
import { Store, type StoredEni } from './store.ts';

/** Section 2.2: idle addresses at least and at most. */
export interface TerwaySettings {
  readonly minPool: number;
  readonly maxPool: number;
}

/** Section 2.2: min_pool_size 0, max_pool_size 5 (the chart's). */
export const TERWAY_DEFAULTS: TerwaySettings = { minPool: 0, maxPool: 5 };

/** Section 3.2. */
const BATCH_WINDOW_MS = 300;
const BATCH_MAX = 10;
const LIMITER = { everyMs: 6_000, burst: 2 };
const SYNC_MS = 120_000;
const INHIBIT_FULL_MS = 600_000;
const INHIBIT_LIMIT_MS = 60_000;
const DETACH_SLEEP_MS = 5_000;
/** Section 3.1 step 5: the server's deadline of an ADD; section 3.2: of the timer's own requests. */
const ADD_DEADLINE_MS = 118_000;
const TOP_UP_DEADLINE_MS = 120_000;
/** Section 3.3: the metadata is polled every second, first after one; an ENI is not ready before 2 s after its attach. */
const METADATA_POLL_MS = 1_000;
const METADATA_TRIES = 10;
const ATTACH_MIN_MS = 2_000;
/** Section 3.5: eni_create 10 s x 2 steps, eni_ops 5 s x 2 and 6 steps, eni_ip_ops 5 s and 6 steps. */
const CREATE_RETRY: Retry = { attempts: 2, sleepMs: () => 10_000 };
const ENI_OPS = { firstMs: 5_000, factor: 2, steps: 6 };
const ASSIGN_RETRY: Retry = { attempts: 6, sleepMs: () => 5_000 };

export const terway =
  (settings: Partial<TerwaySettings> = {}): Policy =>
  () =>
  (host) =>
    new TerwayNode(host, { ...TERWAY_DEFAULTS, ...settings });

interface Request {
  readonly sandbox: string;
  readonly answer: (result: AddResult) => void;
  over: boolean;
}

/** One of the instance's ENIs, there or not; the primary is the node's own (section 2.2, max_eni). */
class Slot {
  status: 'init' | 'creating' | 'in-use' | 'deleting' = 'init';
  eni: StoredEni | undefined;
  inhibitedUntilMs = Number.NEGATIVE_INFINITY;
  working = false;
  readonly queue: Request[] = [];
  private readonly limiters = new Map<string, { tokens: number; atMs: number }>();

  get count(): number {
    return this.eni?.blocks.size ?? 0;
  }

  get idleCount(): number {
    return this.eni === undefined ? 0 : [...this.eni.blocks.values()].filter(({ held }) => held.size === 0).length;
  }

  /** Section 3.2: InUse 50, Creating 10, Init 0, Deleting -100, plus the addresses: the fullest goes first. */
  get priority(): number {
    return { 'in-use': 50, creating: 10, init: 0, deleting: -100 }[this.status] + this.count;
  }

  /** Takes a token, and answers how long to sleep before it may be used. */
  delayMs(kind: string, nowMs: number): number {
    const { everyMs, burst } = LIMITER;
    const last = this.limiters.get(kind) ?? { tokens: burst, atMs: nowMs };
    const tokens = Math.min(burst, last.tokens + (nowMs - last.atMs) / everyMs) - 1;
    this.limiters.set(kind, { tokens, atMs: nowMs });
    return tokens >= 0 ? 0 : -tokens * everyMs;
  }
}

class TerwayNode implements NodePool {
  private readonly host: Host;
  private readonly settings: TerwaySettings;
  private readonly client: Client;
  private readonly store: Store;
  private readonly slots: readonly Slot[];
  private readonly perEni: number;

  constructor(host: Host, settings: TerwaySettings) {
    this.host = host;
    this.client = new Client(host, host.instance);
    this.store = new Store(host.streams, host.name);
    this.slots = Array.from({ length: host.limits.eniCountMax - 1 }, () => new Slot());
    this.perEni = host.limits.slotsPerEni[4] - 1;
    const maxPool = Math.min(settings.maxPool, this.slots.length * this.perEni);
    this.settings = { maxPool, minPool: Math.min(settings.minPool, maxPool) };
  }

  start(): void {
    void this.main();
  }

  add(sandbox: Sandbox, answer: (result: AddResult) => void): void {
    this.host.clock.after(0, () => this.allocate(sandbox.containerId, ADD_DEADLINE_MS, answer));
  }

  /** A released address is reusable at once (section 3.2). */
  del(sandbox: Sandbox, done: () => void): void {
    this.store.release(sandbox.containerId, this.nowMs, 0);
    this.host.clock.after(0, done);
  }

  private get nowMs(): number {
    return this.host.clock.nowMs();
  }

  private async main(): Promise<void> {
    const { instance } = this.host;
    await this.client.call('describe-enis', { where: ({ attachment }) => attachment?.instance === instance });
    for (;;) {
      await this.syncPool();
      // wait.JitterUntil(period, 1.0): once to twice the period.
      await this.client.sleep(SYNC_MS * (1 + this.host.streams.uniform(`${this.host.name}/sync`)));
    }
  }

  /** Offers the request to each slot, the fullest first; refused when none has room. */
  private allocate(sandbox: string, deadlineMs: number, answer: (result: AddResult) => void): void {
    const slots = this.slots.toSorted((a, b) => b.priority - a.priority);
    for (const slot of slots) {
      if (slot.status === 'deleting' || slot.inhibitedUntilMs > this.nowMs) continue;
      const ip = this.takeFrom(slot, sandbox);
      if (ip !== undefined) return answer({ ok: true, ip });
      if (slot.count + slot.queue.length >= this.perEni) continue;
      const request: Request = { sandbox, answer, over: false };
      slot.queue.push(request);
      this.host.clock.after(deadlineMs, () => this.expire(slot, request));
      void this.work(slot);
      return;
    }
    answer({ ok: false, why: 'no eni can handle the allocation' });
  }

  private takeFrom(slot: Slot, sandbox: string): Ip | undefined {
    if (slot.status !== 'in-use' || slot.eni === undefined) return undefined;
    return this.store.take(sandbox, this.nowMs, [...slot.eni.blocks.values()]);
  }

  private expire(slot: Slot, request: Request): void {
    if (request.over) return;
    request.over = true;
    slot.queue.splice(slot.queue.indexOf(request), 1);
    request.answer({ ok: false, why: 'context deadline exceeded' });
  }

  /** Section 3.2, factoryAllocWorker: one per ENI, one call at a time. */
  private async work(slot: Slot): Promise<void> {
    if (slot.working) return;
    slot.working = true;
    while (slot.queue.length > 0) {
      await this.client.sleep(BATCH_WINDOW_MS);
      const count = Math.min(BATCH_MAX, slot.queue.length);
      if (count === 0) break;
      const failure =
        slot.eni === undefined ? await this.create(slot, count) : await this.assign(slot, slot.eni, count);
      if (failure !== undefined) this.failed(slot, failure);
      this.serve(slot);
    }
    slot.working = false;
  }

  /** Whoever wakes first: a condition variable has no order. */
  private serve(slot: Slot): void {
    for (const request of this.store.shuffled(slot.queue)) {
      const ip = this.takeFrom(slot, request.sandbox);
      if (ip === undefined) return;
      request.over = true;
      slot.queue.splice(slot.queue.indexOf(request), 1);
      request.answer({ ok: true, ip });
    }
  }

  private failed(slot: Slot, why: string): void {
    if (why === 'attachment-limit' || why === 'eni-limit') slot.inhibitedUntilMs = this.nowMs + INHIBIT_LIMIT_MS;
    else if (why === 'subnet-full') slot.inhibitedUntilMs = this.nowMs + INHIBIT_FULL_MS;
    else return;
    for (const request of [...slot.queue]) this.expire(slot, request);
  }

  /** Section 3.3: create, attach, the metadata, two seconds, and describe until it is in use. */
  private async create(slot: Slot, count: number): Promise<string | undefined> {
    const { cloud, instance, subnet } = this.host;
    slot.status = 'creating';
    await this.client.sleep(slot.delayMs('create', this.nowMs));
    const wishes = [{ family: 4, prefixLength: 32, count } as const];
    const created = await this.client.call('create-eni', { subnet, groups: [], tags: {}, wishes }, CREATE_RETRY);
    if (!created.ok) {
      slot.status = 'init';
      return created.why;
    }
    const { id, blocks } = created.value;
    const attached = await this.client.call('attach-eni', { eni: id, instance });
    if (!attached.ok) {
      await this.client.call('delete-eni', { eni: id });
      slot.status = 'init';
      return attached.why;
    }
    const attachedMs = this.nowMs;
    for (let tries = 0; tries < METADATA_TRIES; tries++) {
      await this.client.sleep(METADATA_POLL_MS);
      if (cloud.truth.linked(id)) break;
    }
    await this.client.sleep(Math.max(0, attachedMs + ATTACH_MIN_MS - this.nowMs));
    await this.untilInUse(id);
    slot.eni = this.store.addEni({ id, primary: false, sinceMs: this.nowMs });
    this.store.addBlocks(slot.eni, blocks, this.nowMs);
    slot.status = 'in-use';
    return undefined;
  }

  private async untilInUse(id: EniId): Promise<void> {
    for (let step = 0; step < ENI_OPS.steps; step++) {
      const seen = await this.client.call('describe-enis', { ids: [id] });
      if (seen.ok && seen.value[0]?.attachment?.state === 'attached') return;
      await this.client.sleep(ENI_OPS.firstMs * ENI_OPS.factor ** step);
    }
  }

  private async assign(slot: Slot, eni: StoredEni, count: number): Promise<string | undefined> {
    await this.client.sleep(slot.delayMs('assign', this.nowMs));
    const wishes = [{ family: 4, prefixLength: 32, count } as const];
    const given = await this.client.call('assign', { eni: eni.id, family: 4, wishes }, ASSIGN_RETRY);
    if (!given.ok) return given.why;
    await this.client.sleep(METADATA_POLL_MS);
    this.store.addBlocks(eni, given.value, this.nowMs);
    return undefined;
  }

  /** Section 3.2, syncPool: gives back what is idle above max, from the emptiest; then asks for what min lacks. */
  private async syncPool(): Promise<void> {
    let over = this.idleCount - this.settings.maxPool;
    for (const slot of this.slots.toSorted((a, b) => a.priority - b.priority)) {
      if (over <= 0) break;
      if (slot.status === 'in-use') over -= await this.dispose(slot, over);
    }
    const short = this.settings.minPool - this.idleCount;
    for (let n = 0; n < short; n++) {
      const sandbox = `top-up-${this.nowMs}-${n}`;
      const answer = (): void => this.store.release(sandbox, this.nowMs, 0);
      this.allocate(sandbox, TOP_UP_DEADLINE_MS, answer);
    }
  }

  private get idleCount(): number {
    return this.slots.reduce((sum, { idleCount }) => sum + idleCount, 0);
  }

  /** The whole ENI when all of it is idle; else at most ten a call. Answers how many addresses went. */
  private async dispose(slot: Slot, over: number): Promise<number> {
    const { eni } = slot;
    if (eni === undefined || slot.queue.length > 0) return 0;
    const idle = [...eni.blocks.values()].filter(({ held }) => held.size === 0);
    if (idle.length === eni.blocks.size && idle.length <= over) {
      slot.status = 'deleting';
      this.store.removeEni(eni);
      await this.client.call('detach-eni', { eni: eni.id, force: false });
      await this.client.sleep(DETACH_SLEEP_MS);
      await this.client.call('delete-eni', { eni: eni.id });
      slot.eni = undefined;
      slot.status = 'init';
      return idle.length;
    }
    const going = this.store.shuffled(idle).slice(0, over);
    for (const { cidr } of going) eni.blocks.delete(cidr);
    for (let at = 0; at < going.length; at += BATCH_MAX) {
      const blocks = going.slice(at, at + BATCH_MAX).map(({ cidr }) => cidr);
      await this.client.call('unassign', { eni: eni.id, family: 4, blocks });
    }
    return going.length;
  }
}
