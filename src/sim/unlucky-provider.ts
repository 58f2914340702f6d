/**
 * A provider whose cloud gives less than was asked, forgets what a token was for, refuses what the configuration names,
 * or whose metadata service does not answer: what the memory cloud itself does not do. Each is on or off by `rate`.
 */
import type { Streams } from '../../providers/memory/random.ts';
import type { Answer, BlockWish } from '../core/cloud.ts';
import type { Provider } from '../ports/provider.ts';

export type ProviderFault = 'partial' | 'token-mismatch' | 'misconfigured' | 'metadata-down';

export class UnluckyProvider implements Provider {
  readonly capabilities: Provider['capabilities'];
  /** How often each has struck. */
  readonly fired = new Map<ProviderFault, number>();
  private readonly provider: Provider;
  private readonly streams: Streams;
  private readonly rates = new Map<ProviderFault, number>();
  /** Creates that were sent, as they were sent: a repeat with the same token must ask for the same. */
  private readonly sent = new Map<string, readonly BlockWish[]>();

  constructor(provider: Provider, streams: Streams) {
    this.provider = provider;
    this.streams = streams;
    this.capabilities = provider.capabilities;
  }

  /** From now on it strikes at this rate; the returned function lifts it. */
  arm(fault: ProviderFault, rate: number): () => void {
    this.rates.set(fault, rate);
    return () => this.rates.delete(fault);
  }

  clear(): void {
    this.rates.clear();
  }

  private strikes(fault: ProviderFault): boolean {
    const rate = this.rates.get(fault);
    if (rate === undefined || this.streams.uniform(`provider/${fault}`) >= rate) return false;
    this.fired.set(fault, (this.fired.get(fault) ?? 0) + 1);
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
