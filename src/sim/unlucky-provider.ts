/**
 * A provider whose cloud gives less than was asked, forgets what a token was for, refuses what the configuration names,
 * or whose metadata service does not answer: what the memory cloud itself does not do. Armed as the memory cloud's own
 * faults are.
 */
import type { FaultTerms } from '../../providers/memory/faults.ts';
import type { Streams } from '../../providers/memory/random.ts';
import type { EniId } from '../core/brand.ts';
import type { Answer, BlockWish } from '../core/cloud.ts';
import type { Provider } from '../ports/provider.ts';

export type ProviderFault = 'partial' | 'token-mismatch' | 'misconfigured' | 'metadata-down';

export class UnluckyProvider implements Provider {
  readonly capabilities: Provider['capabilities'];
  /** How often each has struck. */
  readonly fired = new Map<ProviderFault, number>();
  /** ENIs whose assigns asked for more than the cloud heard of. */
  readonly shortened = new Set<EniId>();
  private readonly provider: Provider;
  private readonly streams: Streams;
  private readonly armed = new Map<ProviderFault, { readonly rate: number; left: number }>();
  /** Creates that were sent, as they were sent: a repeat with the same token must ask for the same. */
  private readonly sent = new Map<string, readonly BlockWish[]>();

  constructor(provider: Provider, streams: Streams) {
    this.provider = provider;
    this.streams = streams;
    this.capabilities = provider.capabilities;
  }

  /** Strikes the calls it fits, so many of them or by chance; the returned function lifts it. */
  arm(fault: ProviderFault, { calls = Number.POSITIVE_INFINITY, rate = 1 }: FaultTerms): () => void {
    const armed = { rate, left: calls };
    this.armed.set(fault, armed);
    return () => {
      if (this.armed.get(fault) === armed) this.armed.delete(fault);
    };
  }

  clear(): void {
    this.armed.clear();
  }

  private strikes(fault: ProviderFault): boolean {
    const armed = this.armed.get(fault);
    if (armed === undefined || this.streams.uniform(`provider/${fault}`) >= armed.rate) return false;
    this.fired.set(fault, (this.fired.get(fault) ?? 0) + 1);
    if (--armed.left <= 0) this.armed.delete(fault);
    return true;
  }

  /** At least one of each is given: nothing at all would be a refusal. */
  private fewer<W extends BlockWish>(wishes: readonly W[]): readonly W[] {
    if (!wishes.some(({ count }) => count > 1) || !this.strikes('partial')) return wishes;
    return wishes.map((wish) => ({ ...wish, count: Math.ceil(wish.count / 2) }));
  }

  async describeNode(...[options]: Parameters<Provider['describeNode']>): ReturnType<Provider['describeNode']> {
    if (this.strikes('metadata-down'))
      return refused({ kind: 'transient', code: 'METADATA', message: 'no route to host', source: 'metadata' });
    return this.provider.describeNode(options);
  }

  listSubnets(...args: Parameters<Provider['listSubnets']>): ReturnType<Provider['listSubnets']> {
    return this.provider.listSubnets(...args);
  }

  listUse(...args: Parameters<Provider['listUse']>): ReturnType<Provider['listUse']> {
    return this.provider.listUse(...args);
  }

  listEnis(...args: Parameters<Provider['listEnis']>): ReturnType<Provider['listEnis']> {
    return this.provider.listEnis(...args);
  }

  async createEni(...[wish, options]: Parameters<Provider['createEni']>): ReturnType<Provider['createEni']> {
    const before = this.sent.get(wish.token);
    if (before !== undefined && this.strikes('token-mismatch'))
      return refused({ kind: 'parameterMismatch', code: 'IdempotentParameterMismatch', message: wish.token });
    if (this.strikes('misconfigured'))
      return refused({ kind: 'misconfigured', code: 'InvalidSecurityGroupID.NotFound', message: 'sg-gone' });
    const blocks = before ?? this.fewer(wish.blocks);
    this.sent.set(wish.token, blocks);
    return this.provider.createEni({ ...wish, blocks }, options);
  }

  attachEni(...args: Parameters<Provider['attachEni']>): ReturnType<Provider['attachEni']> {
    return this.provider.attachEni(...args);
  }

  modifyEni(...args: Parameters<Provider['modifyEni']>): ReturnType<Provider['modifyEni']> {
    return this.provider.modifyEni(...args);
  }

  detachEni(...args: Parameters<Provider['detachEni']>): ReturnType<Provider['detachEni']> {
    return this.provider.detachEni(...args);
  }

  deleteEni(...args: Parameters<Provider['deleteEni']>): ReturnType<Provider['deleteEni']> {
    return this.provider.deleteEni(...args);
  }

  assign(...[eni, wish, options]: Parameters<Provider['assign']>): ReturnType<Provider['assign']> {
    // A repeat with a token must ask for what it asked before; addresses by name come all or not at all.
    const whole = this.capabilities.token.assign || wish.blocks !== undefined;
    const [asked = wish] = whole ? [wish] : this.fewer([wish]);
    if (asked.count < wish.count) this.shortened.add(eni);
    return this.provider.assign(eni, asked, options);
  }

  unassign(...args: Parameters<Provider['unassign']>): ReturnType<Provider['unassign']> {
    return this.provider.unassign(...args);
  }

  tag(...args: Parameters<Provider['tag']>): ReturnType<Provider['tag']> {
    return this.provider.tag(...args);
  }
}

const refused = (failure: Extract<Answer<never>, { ok: false }>['failure']): Answer<never> => ({ ok: false, failure });
