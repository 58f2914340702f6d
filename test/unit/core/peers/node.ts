/**
 * A core under test with a small cloud behind it that answers truthfully: what is created, assigned and taken back is
 * there the next time it is listed. A test may hold calls back, refuse them, or change the cloud behind the core.
 */
import type { EniId, EniKey, PoolId, RequestId, SubnetId } from '../../../../src/core/brand.ts';
import { attachmentKey } from '../../../../src/core/brand.ts';
import type { CloudCall, CloudFailure, EniFacts, SubnetFacts } from '../../../../src/core/cloud.ts';
import type { Cidr, Family, Ip } from '../../../../src/core/ip.ts';
import { linkName } from '../../../../src/core/link-name.ts';
import type { PoolRow } from '../../../../src/core/rows.ts';
import { Core, eniFacts, INSTANCE, nic, pod, primaryFacts, type Setup, SUBNET } from '../harness.ts';

type Action = CloudCall['action'];

export class PeerNode extends Core {
  /** What the cloud has, by id; the primary among them. */
  readonly truth = new Map<EniId, EniFacts>([[primaryFacts.id, primaryFacts]]);
  /** Every call that was made, in order. */
  readonly made: CloudCall[] = [];
  /** Actions whose answers the test gives itself. */
  readonly withheld = new Set<Action>();
  /** Answers to come instead of the truthful ones. */
  readonly refusals: { readonly action: Action; readonly failure: CloudFailure }[] = [];
  /** What others have in the subnet. */
  used: readonly Cidr[] = [];
  subnets: readonly SubnetFacts[] = [subnetFacts(SUBNET, 200)];
  private nextEni = 1;
  private nextAddress = 1;
  private readonly given: Setup;

  constructor(setup: Setup = {}) {
    super({ targets: { floor: 0, headroom: 0, ceiling: 1_000 }, ...setup });
    this.given = setup;
  }

  /** Serves, with nothing in flight that is not withheld. */
  up(): this {
    this.start().settle();
    for (let n = 0; n < 8 && this.state.runtime.phase !== 'serving'; n++) this.pass(2_000);
    if (this.state.runtime.phase !== 'serving') throw new Error('does not serve');
    return this.settle();
  }

  /** The process after this one, on the same boot, with the same cloud, links and (unless it is lost) journal. */
  restarted({ lost = false } = {}): PeerNode {
    const links = [...this.state.all('lease')].map(({ id, attachment, addresses, linkIndex, key }) => ({
      name: linkName(key),
      index: linkIndex,
      fenced: false,
      lease: { id, attachment },
      addresses,
      mtu: 9_001,
    }));
    const next = new PeerNode({
      ...this.given,
      rows: lost ? [] : [...this.journal.values()],
      epoch: 'e2',
      nowMs: this.nowMs,
    });
    for (const [id, facts] of this.truth) next.truth.set(id, facts);
    [next.nextEni, next.nextAddress] = [this.nextEni, this.nextAddress];
    const pools = [...this.state.all('pool')];
    next.send({ kind: 'configured', pools, settings: this.state.runtime.settings });
    const eniLinks = [...this.state.all('link')];
    const fenced = [...this.state.all('block')].map(({ id }) => id);
    return next.send({ kind: 'started', links, aliveLeases: [], eniLinks, fenced }).settle();
  }

  /** Answers all that is in flight until nothing is left but what is withheld. */
  settle(): this {
    for (;;) {
      const next = this.calls.find(({ call }) => !this.withheld.has(call.action));
      if (next === undefined) return this;
      this.answerTruly(next.call);
    }
  }

  /** Time passes in steps of half a second, the cloud answering at once. */
  pass(ms: number): this {
    for (let left = ms; left > 0; left -= 500) this.advance(Math.min(left, 500)).settle();
    return this;
  }

  /** The oldest call of this kind is answered, also when it is withheld. */
  release(action: Action): this {
    const found = this.callOf(action);
    if (found === undefined) throw new Error(`no ${action} is in flight`);
    return this.answerTruly(found.call);
  }

  refuseNext(action: Action, failure: CloudFailure): this {
    this.refusals.push({ action, failure });
    return this;
  }

  adds(...names: readonly string[]): this {
    for (const name of names) this.add(name);
    return this;
  }

  /** The pod's sandbox is made anew: the same pod, another container. */
  addAgain(name: string, containerId: string): this {
    return this.send({
      kind: 'add',
      request: `add-${containerId}` as RequestId,
      attachment: pod(containerId),
      netns: { path: `/ns/${containerId}`, id: `4:${containerId}` },
      pod: { namespace: 'default', name, uid: name },
      deadlineMs: this.nowMs + 60_000,
    });
  }

  retarget(targets: PoolRow['targets'], change: Partial<PoolRow> = {}): this {
    const [row] = this.state.all('pool');
    if (row === undefined) throw new Error('no pool');
    const { surplusSinceMs: _, ...rest } = row;
    const pools = [{ ...rest, ...change, targets, id: 'default' as PoolId }];
    return this.send({ kind: 'configured', pools, settings: this.state.runtime.settings });
  }

  madeOf<A extends Action>(action: A): Extract<CloudCall, { readonly action: A }>[] {
    return this.made.filter((call): call is Extract<CloudCall, { readonly action: A }> => call.action === action);
  }

  /** Addresses of running pods, by pod. */
  get leased(): Readonly<Record<string, readonly Ip[]>> {
    return Object.fromEntries(
      [...this.state.all('lease')].map((lease) => [lease.attachment.containerId, lease.addresses]),
    );
  }

  served(...names: readonly string[]): boolean[] {
    return names.map((name) => this.replyOf(`add-${name}`) === 'added');
  }

  eniOf(name: string): EniKey | undefined {
    const ip = this.state.leaseOf(attachmentKey(pod(name)))?.addresses[0];
    const block = ip && this.state.get('block', this.state.get('address', ip)?.block ?? '');
    return block?.eni;
  }

  /** Blocks that the cloud has on ENIs of ours. */
  get blocks(): Cidr[] {
    return [...this.truth.values()].flatMap((eni) => eni.blocks);
  }

  /** Somebody takes a block off its ENI behind our back. */
  steal(block: Cidr): this {
    for (const eni of this.truth.values())
      this.truth.set(eni.id, { ...eni, blocks: eni.blocks.filter((other) => other !== block) });
    return this;
  }

  private answerTruly(call: CloudCall): this {
    this.made.push(call);
    const at = this.refusals.findIndex(({ action }) => action === call.action);
    const [refusal] = this.refusals.splice(at, at < 0 ? 0 : 1);
    if (refusal !== undefined) return this.fail(call.action, refusal.failure);
    switch (call.action) {
      case 'describeNode':
        return this.answerDescribe();
      case 'listSubnets':
        return this.answer('listSubnets', { action: 'listSubnets', subnets: this.subnets });
      case 'listUse':
        return this.answer('listUse', { action: 'listUse', used: this.used });
      case 'listEnis':
        return this.answer('listEnis', { action: 'listEnis', enis: [...this.truth.values()] });
      case 'create':
        return this.create(call);
      case 'attach':
        return this.attach(call);
      case 'assign':
        return this.assign(call);
      case 'unassign':
        for (const block of call.blocks) this.steal(block);
        return this.answer('unassign', { action: 'unassign' });
      case 'detach':
        return this.detach(call.eni);
      case 'delete':
        this.truth.delete(call.eni);
        return this.answer('delete', { action: 'delete' });
      default:
        return this.answer(call.action, { action: call.action });
    }
  }

  private create(call: Extract<CloudCall, { readonly action: 'create' }>): this {
    const n = this.nextEni++;
    const blocks = call.blocks.flatMap((wish) => this.fresh(wish));
    const facts = { ...eniFacts(n, blocks, call.tags), subnet: call.subnet, primary4: `10.9.0.${n}` as Ip };
    this.truth.set(facts.id, facts);
    return this.answer('create', { action: 'create', eni: facts });
  }

  private attach(call: Extract<CloudCall, { readonly action: 'attach' }>): this {
    const eni = this.fact(call.eni);
    const deviceIndex = call.deviceIndex ?? 1;
    this.truth.set(eni.id, { ...eni, attachment: { instance: INSTANCE, deviceIndex, state: 'attached' } });
    this.answer('attach', { action: 'attach' });
    return this.send({ kind: 'link-seen', ...nic(eni.mac, Number(eni.id.slice(4))) });
  }

  private assign(call: Extract<CloudCall, { readonly action: 'assign' }>): this {
    const blocks = call.blocks ?? this.fresh(call.wish);
    const eni = this.fact(call.eni);
    this.truth.set(eni.id, { ...eni, blocks: [...eni.blocks, ...blocks] });
    return this.answer('assign', { action: 'assign', blocks });
  }

  private detach(id: EniId): this {
    const { attachment: _, ...eni } = this.fact(id);
    this.truth.set(id, eni);
    this.answer('detach', { action: 'detach' });
    return this.send({ kind: 'link-gone', ...nic(eni.mac, Number(id.slice(4))) });
  }

  private fact(id: EniId): EniFacts {
    const eni = this.truth.get(id);
    if (eni === undefined) throw new Error(`the cloud has no ${id}`);
    return eni;
  }

  /** Blocks that nobody ever had. */
  fresh({ family, prefixLength, count }: { family: Family; prefixLength: number; count: number }): Cidr[] {
    return Array.from({ length: count }, () => {
      const n = this.nextAddress++;
      if (family === 6)
        return (prefixLength === 128 ? `fd00::1:${n.toString(16)}/128` : `fd00::${n.toString(16)}:0:0:0/80`) as Cidr;
      const base = prefixLength === 28 ? n * 16 : n;
      return `10.${prefixLength === 28 ? 1 : 0}.${base >> 8}.${base & 0xff}/${prefixLength}` as Cidr;
    });
  }
}

export const subnetFacts = (id: SubnetId, freeCount4: number): SubnetFacts => ({
  id,
  cidr4: '10.0.0.0/24' as Cidr,
  cidr6: 'fd00::/64' as Cidr,
  gateway4: '10.0.0.1' as Ip,
  freeCount4,
  zone: 'a',
});

export const names = (count: number, from = 0): string[] => Array.from({ length: count }, (_, n) => `p${from + n}`);

export const THROTTLED: CloudFailure = {
  kind: 'throttled',
  code: 'RequestLimitExceeded',
  message: '',
  retryAfterMs: 5_000,
};
export const FULL: CloudFailure = {
  kind: 'exhausted',
  scope: 'subnet',
  code: 'InsufficientFreeAddressesInSubnet',
  message: '',
};
export const FRAGMENTED: CloudFailure = {
  kind: 'exhausted',
  scope: 'prefix',
  code: 'InsufficientCidrBlocks',
  message: '',
};
export const LOST: CloudFailure = { kind: 'ambiguous', code: 'ECONNRESET', message: 'read ECONNRESET' };
export const DENIED: CloudFailure = { kind: 'denied', code: 'UnauthorizedOperation', message: '' };
export const REFUSED: CloudFailure = { kind: 'transient', code: 'InternalError', message: '' };
