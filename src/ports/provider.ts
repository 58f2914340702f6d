/**
 * What a cloud must be able to do. docs/providers/port.md maps each method onto EC2 and ECS calls.
 *
 * Rules for every adapter: one call of ours is at most one mutation of the cloud's, or a second where the first was
 * refused as a whole; never retry; never wait for a state; page until done; answer `ambiguous` for a time-out, a reset or a 5xx, since the work may be done.
 * Reads may be stale by up to `capabilities.listLagMs` and two reads may go backwards.
 */
import type { EniId, GroupId, OperationId, SubnetId } from '../core/brand.ts';
import type { Answer, BlockWish, Capabilities, EniFacts, NodeFacts, SubnetFacts, Tags } from '../core/cloud.ts';
import type { Cidr } from '../core/ip.ts';

export interface CallOptions {
  /** Aborted when the daemon stops waiting; the answer is then `ambiguous`. */
  readonly signal: AbortSignal;
  /** How long this call may take before it answers `ambiguous`. */
  readonly timeoutMs: number;
}

export interface Provider {
  readonly capabilities: Capabilities;

  /** This instance's identity, limits, VPC CIDRs and primary ENI. */
  describeNode(options: CallOptions): Promise<Answer<NodeFacts>>;
  /** By id or by tags; an unknown id is left out of the answer. */
  listSubnets(
    query: { readonly ids: readonly SubnetId[] } | { readonly tags: Tags },
    options: CallOptions,
  ): Promise<Answer<readonly SubnetFacts[]>>;
  /** Every IPv4 address and prefix of the subnet that somebody has, the cloud's own among them. Only where `capabilities.listUse`. */
  listUse(
    query: { readonly subnet: SubnetId; readonly cidr4: Cidr },
    options: CallOptions,
  ): Promise<Answer<readonly Cidr[]>>;
  /** Every ENI attached to this instance, and every ENI tagged with this instance wherever it is. */
  listEnis(options: CallOptions): Promise<Answer<readonly EniFacts[]>>;

  /**
   * The blocks of a family are of one length. The answer already holds them: nothing is described afterwards. Repeat with
   * one token makes one ENI where `token.create`.
   */
  createEni(
    wish: {
      readonly subnet: SubnetId;
      readonly groups: readonly GroupId[];
      readonly blocks: readonly BlockWish[];
      readonly tags: Tags;
      readonly token: OperationId;
    },
    options: CallOptions,
  ): Promise<Answer<EniFacts>>;
  /** Resolves when accepted: the link's arrival, or the list, says done. An ENI already attached here is success. */
  attachEni(eni: EniId, wish: { readonly deviceIndex?: number }, options: CallOptions): Promise<Answer<void>>;
  modifyEni(
    eni: EniId,
    change: {
      readonly deleteOnTermination?: boolean;
      readonly sourceDestCheck?: boolean;
      readonly groups?: readonly GroupId[];
    },
    options: CallOptions,
  ): Promise<Answer<void>>;
  /** An ENI that is not attached is success. */
  detachEni(eni: EniId, wish: { readonly force: boolean }, options: CallOptions): Promise<Answer<void>>;
  /** An ENI that does not exist is `notFound`: the core knows whether that is success. */
  deleteEni(eni: EniId, options: CallOptions): Promise<Answer<void>>;

  /** May answer fewer blocks than asked for; only what is new. `blocks` asks for these very ones. */
  assign(
    eni: EniId,
    wish: BlockWish & { readonly blocks?: readonly Cidr[]; readonly token: OperationId },
    options: CallOptions,
  ): Promise<Answer<readonly Cidr[]>>;
  /** Blocks that are not on the ENI are success. */
  unassign(eni: EniId, blocks: readonly Cidr[], options: CallOptions): Promise<Answer<void>>;
  tag(eni: EniId, tags: Tags, options: CallOptions): Promise<Answer<void>>;
}
