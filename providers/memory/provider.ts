/**
 * The Provider port over the cloud in memory, for one instance. What differs between clouds is in the capabilities
 * it is given; capabilities.ts has EC2's and ECS's.
 */
import type { EniId, InstanceId } from '../../src/core/brand.ts';
import { type Answer, type BlockWish, type Capabilities, type NodeFacts, OWNER_TAGS } from '../../src/core/cloud.ts';
import { type Cidr, familyOf, hostCidr } from '../../src/core/ip.ts';
import type { Clock } from '../../src/ports/clock.ts';
import type { CallOptions, Provider } from '../../src/ports/provider.ts';
import { reservedIn } from './address-space.ts';
import type { ApiAction, ApiRequest, ApiResult } from './api.ts';
import type { MemoryCloud } from './cloud.ts';
import { eniFacts, nodeFacts, subnetFacts } from './facts.ts';
import { ambiguous, bug, failed, failureOf } from './failure.ts';
import type { CloudRefusal, Outcome } from './refusal.ts';

export interface MemoryProviderOptions {
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly capabilities: Capabilities;
  readonly clock: Pick<Clock, 'nowMs' | 'timer'>;
}

/** A call's answer before it is put into the core's words: done, refused by the cloud, or never heard of again. */
type Reply<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'refused'; readonly refusal: CloudRefusal }
  | { readonly kind: 'failed'; readonly answer: Answer<never> };

const SUCCESS: Answer<void> = { ok: true, value: undefined };

export class MemoryProvider implements Provider {
  readonly capabilities: Capabilities;
  readonly #cloud: MemoryCloud;
  readonly #instance: InstanceId;
  readonly #clock: MemoryProviderOptions['clock'];

  constructor({ cloud, instance, capabilities, clock }: MemoryProviderOptions) {
    this.capabilities = capabilities;
    this.#cloud = cloud;
    this.#instance = instance;
    this.#clock = clock;
  }

  async describeNode(options: CallOptions): ReturnType<Provider['describeNode']> {
    const reply = await this.#call('describe-instances', { ids: [this.#instance] }, options);
    if (reply.kind !== 'done') return this.#failure(reply);
    const [node] = reply.value;
    const vpc = node && this.#cloud.truth.vpcs.get(node.vpc);
    if (node?.state !== 'running' || vpc === undefined)
      return failed({ kind: 'nodeGone', code: 'instance-state', message: `${this.#instance} is terminated` });
    return { ok: true, value: { ...nodeFacts(node, vpc), ...this.#metadata(node) } };
  }

  /** What the instance's metadata service says of its primary ENI, on EC2 and on ECS. */
  #metadata({ primaryEni }: { readonly primaryEni: EniId }): Pick<NodeFacts, 'primary'> {
    const { eni, subnets } = this.#cloud.truth;
    const record = eni(primaryEni);
    const subnet = record && subnets.get(record.subnet);
    if (record === undefined || subnet === undefined) return {};
    return { primary: { eni: { ...eniFacts(record), tags: {} }, subnet: subnetFacts(subnet) } };
  }

  async listSubnets(
    query: Parameters<Provider['listSubnets']>[0],
    options: CallOptions,
  ): ReturnType<Provider['listSubnets']> {
    const reply = await this.#call('describe-subnets', {}, options);
    if (reply.kind !== 'done') return this.#failure(reply);
    const chosen = reply.value.filter(({ id, tags }) =>
      'ids' in query ? query.ids.includes(id) : Object.entries(query.tags).every(([key, value]) => tags[key] === value),
    );
    return { ok: true, value: chosen.map((view) => ({ ...subnetFacts(view), freeCount4: view.freeCount4 })) };
  }

  async listUse(
    { subnet, cidr4 }: Parameters<Provider['listUse']>[0],
    options: CallOptions,
  ): ReturnType<Provider['listUse']> {
    const reply = await this.#call('describe-enis', { where: (eni) => eni.subnet === subnet }, options);
    if (reply.kind !== 'done') return this.#failure(reply);
    const taken = reply.value
      .map(eniFacts)
      .flatMap(({ primary4, blocks }) => [
        ...(primary4 === undefined ? [] : [hostCidr(primary4)]),
        ...blocks.filter((block) => familyOf(block) === 4),
      ]);
    return { ok: true, value: [...reservedIn(cidr4), ...taken] };
  }

  async listEnis(options: CallOptions): ReturnType<Provider['listEnis']> {
    const self = this.#instance;
    const reply = await this.#call(
      'describe-enis',
      { where: ({ attachment, tags }) => attachment?.instance === self || tags[OWNER_TAGS.instance] === self },
      options,
    );
    return reply.kind === 'done' ? { ok: true, value: reply.value.map(eniFacts) } : this.#failure(reply);
  }

  async createEni(
    { subnet, groups, blocks, tags, token }: Parameters<Provider['createEni']>[0],
    options: CallOptions,
  ): ReturnType<Provider['createEni']> {
    const { deleteOnTerminationAtCreate, token: takes } = this.capabilities;
    if (isMixed(blocks)) return bug('a create takes addresses or prefixes of a family, not both');
    const reply = await this.#call(
      'create-eni',
      {
        subnet,
        groups,
        tags,
        wishes: blocks,
        primary6: blocks.some((wish) => wish.family === 6),
        deleteWithInstance: deleteOnTerminationAtCreate,
        ...(takes.create ? { token } : {}),
      },
      options,
    );
    return reply.kind === 'done' ? { ok: true, value: eniFacts(reply.value) } : this.#failure(reply);
  }

  async attachEni(eni: EniId, wish: { readonly deviceIndex?: number }, options: CallOptions): Promise<Answer<void>> {
    const { deviceIndex } = wish;
    if ((this.capabilities.deviceIndex === 'caller') !== (deviceIndex !== undefined))
      return bug(`the device index is the ${this.capabilities.deviceIndex}'s to choose`);
    const index = deviceIndex === undefined ? {} : { deviceIndex };
    const reply = await this.#call('attach-eni', { eni, instance: this.#instance, ...index }, options);
    if (reply.kind === 'done') return SUCCESS;
    const here =
      reply.kind === 'refused' &&
      reply.refusal.kind === 'eni-in-use' &&
      reply.refusal.instance === this.#instance &&
      reply.refusal.state !== 'detaching';
    return here ? SUCCESS : this.#failure(reply);
  }

  async modifyEni(
    eni: EniId,
    change: Parameters<Provider['modifyEni']>[1],
    options: CallOptions,
  ): Promise<Answer<void>> {
    const reply = await this.#call('modify-eni', { eni, ...change }, options);
    return reply.kind === 'done' ? SUCCESS : this.#failure(reply);
  }

  async detachEni(eni: EniId, { force }: { readonly force: boolean }, options: CallOptions): Promise<Answer<void>> {
    const reply = await this.#call('detach-eni', { eni, force }, options);
    if (reply.kind === 'done') return SUCCESS;
    const gone =
      reply.kind === 'refused' &&
      (reply.refusal.kind === 'not-attached' ||
        (reply.refusal.kind === 'attachment-state' && reply.refusal.state === 'detaching'));
    return gone ? SUCCESS : this.#failure(reply);
  }

  async deleteEni(eni: EniId, options: CallOptions): Promise<Answer<void>> {
    const reply = await this.#call('delete-eni', { eni }, options);
    return reply.kind === 'done' ? SUCCESS : this.#failure(reply);
  }

  async assign(
    eni: EniId,
    wish: Parameters<Provider['assign']>[1],
    options: CallOptions,
  ): ReturnType<Provider['assign']> {
    const { family, prefixLength, blocks } = wish;
    const count = blocks?.length ?? wish.count;
    if (count > this.capabilities.maxBlocksPerCall) return bug(`${count} blocks in one call`);
    const asked = blocks === undefined ? { wishes: [{ family, prefixLength, count }] } : { wishes: [], blocks };
    const token = this.capabilities.token.assign ? { token: wish.token } : {};
    const reply = await this.#call('assign', { eni, family, ...asked, ...token }, options);
    return reply.kind === 'done' ? { ok: true, value: reply.value } : this.#failure(reply);
  }

  /** A refusal for blocks that are not there changed nothing, so the others are asked for again: still one mutation. */
  async unassign(eni: EniId, blocks: readonly Cidr[], options: CallOptions): Promise<Answer<void>> {
    const mixed = new Set(blocks.map(familyOf)).size > 1;
    if (mixed) return bug('this cloud unassigns one family a call');
    let left = blocks;
    while (left.length > 0) {
      const [family = 4] = left.map(familyOf);
      const reply = await this.#call('unassign', { eni, family, blocks: left }, options);
      if (reply.kind === 'done') return SUCCESS;
      if (reply.kind !== 'refused' || reply.refusal.kind !== 'address-not-on-eni') return this.#failure(reply);
      const { missing } = reply.refusal;
      left = left.filter((cidr) => !missing.includes(cidr));
    }
    return SUCCESS;
  }

  async tag(eni: EniId, tags: Parameters<Provider['tag']>[1], options: CallOptions): Promise<Answer<void>> {
    const reply = await this.#call('tag', { enis: [eni], tags }, options);
    return reply.kind === 'done' ? SUCCESS : this.#failure(reply);
  }

  #failure(reply: Exclude<Reply<unknown>, { kind: 'done' }>): Answer<never> {
    return reply.kind === 'failed' ? reply.answer : failed(failureOf(reply.refusal, this.#instance));
  }

  /** Resolves with the cloud's answer, or when time or the caller's patience ends; the call goes on without us. */
  #call<A extends ApiAction>(
    action: A,
    request: ApiRequest<A>,
    { signal, timeoutMs }: CallOptions,
  ): Promise<Reply<ApiResult<A>>> {
    if (signal.aborted) return Promise.resolve({ kind: 'failed', answer: ambiguous('aborted') });
    return new Promise((resolve) => {
      const settle = (reply: Reply<ApiResult<A>>) => {
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
        resolve(reply);
      };
      const onAbort = () => settle({ kind: 'failed', answer: ambiguous('aborted') });
      const cancelTimer = this.#clock.timer(this.#clock.nowMs() + timeoutMs, () =>
        settle({ kind: 'failed', answer: ambiguous('timeout') }),
      );
      signal.addEventListener('abort', onAbort, { once: true });
      this.#cloud.call(action, request, {
        caller: this.#instance,
        respond: (outcome) => {
          const reply = replyOf(outcome);
          if (reply !== undefined) settle(reply);
        },
      });
    });
  }
}

/** Undefined when the client sees nothing at all. */
function replyOf<T>(outcome: Outcome<T>): Reply<T> | undefined {
  if (outcome.kind === 'done' || outcome.kind === 'refused') return outcome;
  if (outcome.kind === 'lost') return outcome.silent ? undefined : { kind: 'failed', answer: ambiguous('reset') };
  const failure = { kind: 'transient', code: 'unreachable', message: 'no connection to the cloud' } as const;
  return { kind: 'failed', answer: failed(failure) };
}

/** Single addresses and prefixes of one family in one wish. */
const isMixed = (wishes: readonly BlockWish[]): boolean =>
  wishes.some((wish) =>
    wishes.some((other) => other.family === wish.family && other.prefixLength !== wish.prefixLength),
  );
