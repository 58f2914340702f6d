/**
 * A core under test: events in, effects out, with all invariants checked after every step.
 * Kernel effects answer themselves at once unless a test holds them back; cloud calls wait for the test's answer.
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { DEFAULT_SETTINGS, openState } from '../../../src/core/boot.ts';
import type {
  Attachment,
  EniId,
  GroupId,
  InstanceId,
  Mac,
  OperationId,
  PoolId,
  RequestId,
  SubnetId,
} from '../../../src/core/brand.ts';
import { attachmentKey } from '../../../src/core/brand.ts';
import type {
  Answer,
  Capabilities,
  CloudCall,
  CloudFailure,
  CloudResult,
  EniFacts,
  SubnetFacts,
} from '../../../src/core/cloud.ts';
import {
  type Effect,
  type Event,
  type FoundLink,
  type NicLink,
  NO_REPAIR,
  type Reply,
} from '../../../src/core/events.ts';
import { breaches, touchedBreaches } from '../../../src/core/invariants.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { NetnsRef, PoolRow, Settings } from '../../../src/core/rows.ts';
import { type JournalRow, type State, Tx } from '../../../src/core/state.ts';
import { step } from '../../../src/core/step.ts';

export const INSTANCE = 'i-1' as InstanceId;
export const SUBNET = 'subnet-a' as SubnetId;
export const OWN = { cluster: 'test', nodeName: 'n1', instanceId: INSTANCE, bootId: 'boot-1' } as const;

export const CAPABILITIES: Capabilities = { ...ec2Capabilities(AWS_2026), maxBlocksPerCall: 50 };

export const pod = (name: string): Attachment => ({ network: 'underway', containerId: name, ifname: 'eth0' });
const netnsOf = (name: string): NetnsRef => ({ path: `/ns/${name}`, id: `4:${name}` });

const PRIMARY: EniFacts = {
  id: 'eni-primary' as EniId,
  mac: '02:00:00:00:00:10' as Mac,
  subnet: SUBNET,
  groups: ['sg-1' as GroupId],
  primary4: '10.0.1.10' as Ip,
  blocks: [],
  attachment: { instance: INSTANCE, deviceIndex: 0, state: 'attached' },
  tags: {},
  primary: true,
};

const SUBNET_FACTS: SubnetFacts = {
  id: SUBNET,
  cidr4: '10.0.1.0/24' as Cidr,
  gateway4: '10.0.1.1' as Ip,
  cidr6: '2001:db8::/64' as Cidr,
  gateway6: 'fe80::ec2' as Ip,
  freeCount4: 200,
  zone: 'a',
};

/** One pool, which leaves the primary alone. */
export const configured = ({ targets, pool, settings }: Pick<Setup, 'targets' | 'pool' | 'settings'>): Event => ({
  kind: 'configured',
  pools: [
    {
      id: 'default' as PoolId,
      subnets: [],
      groups: [],
      families: [4],
      prefixes: 'never',
      primaryEni: 'skip',
      targets: targets ?? { floor: 0, headroom: 4, ceiling: 1_000 },
      ...pool,
    },
  ],
  settings: { ...DEFAULT_SETTINGS, ...settings },
});

export interface Setup {
  readonly targets?: PoolRow['targets'];
  readonly pool?: Partial<PoolRow>;
  readonly settings?: Partial<Settings>;
  readonly capabilities?: Partial<Capabilities>;
  readonly slots?: number;
  /** What the cloud says of the subnet, over the usual. */
  readonly subnet?: Partial<SubnetFacts>;
  readonly enis?: number;
  readonly rows?: readonly JournalRow[];
  readonly bootId?: string;
  readonly links?: readonly FoundLink[];
  /** NICs that are there at the start, beside the primary's. */
  readonly eniLinks?: readonly NicLink[];
  /** Blocks whose fences the kernel has at the start. */
  readonly fenced?: readonly Cidr[];
  readonly epoch?: string;
  readonly nowMs?: number;
}

export class Core {
  nowMs: number;
  state: State;
  readonly replies = new Map<string, Reply>();
  readonly calls: { readonly id: OperationId; readonly call: CloudCall }[] = [];
  readonly effects: Effect[] = [];
  readonly journal = new Map<string, JournalRow>();
  /** Kinds of kernel effects that the test answers itself. */
  readonly held = new Set<Effect['kind']>();
  wakeAtMs: number | undefined;
  private readonly setup: Setup;

  constructor(setup: Setup = {}) {
    this.setup = setup;
    this.nowMs = setup.nowMs ?? 1_000_000;
    const identity = { ...OWN, bootId: setup.bootId ?? OWN.bootId, epoch: setup.epoch ?? 'e1' };
    const { state, first } = openState({ rows: setup.rows ?? [], identity, nowMs: this.nowMs });
    this.state = state;
    for (const row of setup.rows ?? []) this.journal.set(`${row.table} ${row.key}`, row);
    this.write(first);
  }

  /** Configured and started, the cloud not yet heard of. */
  start(aliveLeases: readonly string[] = []): this {
    this.send(configured(this.setup));
    return this.send({
      kind: 'started',
      links: this.setup.links ?? [],
      aliveLeases: aliveLeases as never,
      eniLinks: [nic(PRIMARY.mac, 0), ...(this.setup.eniLinks ?? [])],
      fenced: this.setup.fenced ?? [],
    });
  }

  /** A node that has learnt its facts and serves: floor and headroom are still to come. */
  serving(): this {
    this.start();
    this.answerDescribe();
    this.answer('listEnis', { action: 'listEnis', enis: [PRIMARY] });
    this.answerSubnets();
    this.advance(3_000);
    if (this.callOf('listEnis') !== undefined) this.answer('listEnis', { action: 'listEnis', enis: [PRIMARY] });
    this.advance(1_000);
    if (this.callOf('listEnis') !== undefined) this.answer('listEnis', { action: 'listEnis', enis: [PRIMARY] });
    if (this.state.runtime.phase !== 'serving') throw new Error('does not serve');
    return this;
  }

  answerDescribe(): this {
    const limits = {
      instanceType: 'test.large',
      eniCountMax: this.setup.enis ?? 3,
      prefixes: true,
      slotsPerEni: { 4: this.setup.slots ?? 10, 6: this.setup.slots ?? 10 },
    };
    return this.answer('describeNode', {
      action: 'describeNode',
      node: { instanceId: INSTANCE, limits, vpcCidrs: ['10.0.0.0/16' as Cidr], primaryEni: PRIMARY.id, zone: 'a' },
    });
  }

  answerSubnets(): this {
    return this.answer('listSubnets', {
      action: 'listSubnets',
      subnets: [{ ...SUBNET_FACTS, ...this.setup.subnet }],
    });
  }

  send(event: Event): this {
    const tx = new Tx(this.state);
    const result = step(tx, event, {
      nowMs: this.nowMs,
      wallMs: 0,
      capabilities: { ...CAPABILITIES, ...this.setup.capabilities },
    });
    const [first] = [...touchedBreaches(this.state, tx.touched(), this.nowMs), ...breaches(this.state, this.nowMs)];
    if (first !== undefined) throw new Error(`invariant broken: ${first.invariant}: ${first.detail}`);
    this.write(tx.journalRows());
    this.wakeAtMs = result.wakeAtMs;
    for (const effect of result.effects) this.take(effect);
    return this;
  }

  private write(rows: readonly JournalRow[]): void {
    for (const row of rows) {
      if (row.row === null) this.journal.delete(`${row.table} ${row.key}`);
      else this.journal.set(`${row.table} ${row.key}`, structuredClone(row));
    }
  }

  private take(effect: Effect): void {
    this.effects.push(effect);
    if (effect.kind === 'reply') this.replies.set(effect.request, effect.reply);
    else if (effect.kind === 'cloud') this.calls.push({ id: effect.operation, call: effect.call });
    else if (!this.held.has(effect.kind)) this.finish(effect);
  }

  /** The kernel did what a held effect asked. */
  finish(effect: Effect): this {
    switch (effect.kind) {
      case 'wire':
        return this.send({ kind: 'wired', lease: effect.plan.lease, linkIndex: effect.plan.linkIndex });
      case 'unwire':
        return this.send({ kind: 'unwired', lease: effect.lease });
      case 'verify':
        return this.send({ kind: 'verified', lease: effect.plan.lease, problems: [] });
      case 'reap':
        return this.send({ kind: 'reaped', links: effect.links });
      case 'flush':
        return this.send({ kind: 'flushed', addresses: effect.addresses, marks: effect.marks, done: true });
      case 'sync':
        return this.send({ kind: 'synced', sync: effect.sync, changed: NO_REPAIR, damaged: [] });
      case 'look':
        return this.send({ kind: 'looked', pods: effect.pods.map(({ lease }) => ({ lease, ...NO_REPAIR })) });
      default:
        return this;
    }
  }

  /** An ADD, and the millisecond in which the rest of its burst might have come. */
  add(name: string, waitMs = 60_000): this {
    this.send({
      kind: 'add',
      request: `add-${name}` as RequestId,
      attachment: pod(name),
      netns: netnsOf(name),
      pod: { namespace: 'default', name, uid: name },
      deadlineMs: this.nowMs + waitMs,
    });
    return this.state.get('waiter', attachmentKey(pod(name))) === undefined ? this : this.advance(1);
  }

  check(name: string, request = `check-${name}`): this {
    return this.send({ kind: 'check', request: request as RequestId, attachment: pod(name), netns: netnsOf(name) });
  }

  del(name: string): this {
    return this.send({ kind: 'del', request: `del-${name}` as RequestId, attachment: pod(name) });
  }

  /** Time passes; the core is woken each time it asked to be. */
  advance(ms: number): this {
    const until = this.nowMs + ms;
    while (this.wakeAtMs !== undefined && this.wakeAtMs <= until) {
      this.nowMs = Math.max(this.nowMs, this.wakeAtMs);
      this.send({ kind: 'wake' });
    }
    this.nowMs = until;
    return this.send({ kind: 'wake' });
  }

  callOf(action: CloudCall['action']): { readonly id: OperationId; readonly call: CloudCall } | undefined {
    return this.calls.find((one) => one.call.action === action);
  }

  answer(action: CloudCall['action'], result: CloudResult): this {
    return this.finishCall(action, { ok: true, value: result });
  }

  fail(action: CloudCall['action'], failure: CloudFailure): this {
    return this.finishCall(action, { ok: false, failure });
  }

  private finishCall(action: CloudCall['action'], answer: Answer<CloudResult>): this {
    const at = this.calls.findIndex((one) => one.call.action === action);
    const [call] = this.calls.splice(at, at < 0 ? 0 : 1);
    if (call === undefined)
      throw new Error(`no ${action} is in flight, only ${this.calls.map((one) => one.call.action).join(', ')}`);
    return this.send({ kind: 'cloud-answered', operation: call.id, answer });
  }

  /** Create, attach and link of one new ENI with the addresses the core asked for. */
  bringUpEni(n: number): EniFacts {
    const create = this.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create is in flight');
    const count = create.blocks.reduce((sum, wish) => sum + wish.count, 0);
    const facts = eniFacts(
      n,
      Array.from({ length: count }, (_, at) => `10.0.1.${n * 20 + 1 + at}/32` as Cidr),
      create.tags,
    );
    this.answer('create', { action: 'create', eni: facts });
    this.answer('attach', { action: 'attach' });
    this.send({ kind: 'link-seen', ...nic(facts.mac, n) });
    return facts;
  }

  addressOf(name: string): Ip | undefined {
    return this.state.leaseOf(attachmentKey(pod(name)))?.addresses[0];
  }

  replyOf(request: string): string {
    const reply = this.replies.get(request);
    if (reply === undefined) return 'waits';
    return reply.kind === 'refused' ? reply.reason.code : reply.kind;
  }
}

export function eniFacts(n: number, blocks: readonly Cidr[], tags: EniFacts['tags']): EniFacts {
  return {
    id: `eni-${n}` as EniId,
    mac: `02:00:00:00:00:${(0x20 + n).toString(16)}` as Mac,
    subnet: SUBNET,
    groups: [],
    primary4: `10.0.1.${n * 20}` as Ip,
    blocks,
    tags,
    primary: false,
  };
}

export const nic = (mac: Mac, n: number): NicLink => ({ mac, name: `eth${n}`, index: n + 2, mtu: 9_001 });

export const primaryFacts = PRIMARY;
