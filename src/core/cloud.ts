/**
 * What a cloud gives and refuses, in our own nouns: facts read from it, calls made to it, failures it answers.
 * Nothing here names a cloud; what differs between clouds is data in `Capabilities`.
 */
import type { EniId, EniKey, GroupId, InstanceId, Mac, SubnetId } from './brand.ts';
import type { Cidr, Family, Ip } from './ip.ts';

export type Tags = Readonly<Record<string, string>>;

/** What one instance may hold (EC2 DescribeInstanceTypes NetworkInfo, ECS DescribeInstanceTypes). */
export interface InstanceLimits {
  readonly instanceType: string;
  /** ENIs the instance may have attached, the primary included. */
  readonly eniCountMax: number;
  /** Slots an ENI has per family, its primary address included; a prefix takes one slot. */
  readonly slotsPerEni: { readonly 4: number; readonly 6: number };
  readonly prefixes: boolean;
}

export interface NodeFacts {
  readonly instanceId: InstanceId;
  readonly limits: InstanceLimits;
  readonly vpcCidrs: readonly Cidr[];
  readonly primaryEni: EniId;
  readonly zone: string;
  /**
   * The primary ENI and its subnet, where the instance's own metadata tells them: with nothing else to find on a node,
   * its first start then lists nothing.
   */
  readonly primary?: { readonly eni: EniFacts; readonly subnet: SubnetFacts };
}

export interface SubnetFacts {
  readonly id: SubnetId;
  readonly cidr4?: Cidr;
  readonly cidr6?: Cidr;
  readonly gateway4?: Ip;
  /** Link-local on EC2, an address of the subnet on ECS. */
  readonly gateway6?: Ip;
  /** Absent where only the instance's metadata was asked, which does not count. */
  readonly freeCount4?: number;
  readonly zone: string;
}

export interface EniFacts {
  readonly id: EniId;
  readonly mac: Mac;
  readonly subnet: SubnetId;
  readonly groups: readonly GroupId[];
  /** The ENI's own addresses: never handed to a pod. */
  readonly primary4?: Ip;
  readonly primary6?: Ip;
  /** Secondary addresses (as blocks of one) and prefixes. */
  readonly blocks: readonly Cidr[];
  readonly attachment?: {
    readonly instance: InstanceId;
    /** Where the caller chooses it (`capabilities.deviceIndex`); ECS neither takes nor reliably reports one. */
    readonly deviceIndex?: number;
    readonly state: 'attaching' | 'attached' | 'detaching';
  };
  readonly tags: Tags;
  readonly primary: boolean;
}

/** A wish for blocks: `count` of `prefixLength`, or these addresses. */
export interface BlockWish {
  readonly family: Family;
  readonly prefixLength: number;
  readonly count: number;
}

/** Every call the core can ask for. Shapes hold what is stored with the intent, so a resume repeats it exactly. */
export type CloudCall =
  | {
      readonly action: 'create';
      readonly subnet: SubnetId;
      readonly groups: readonly GroupId[];
      readonly blocks: readonly BlockWish[];
      readonly tags: Tags;
    }
  | { readonly action: 'attach'; readonly eni: EniId; readonly deviceIndex?: number }
  | {
      readonly action: 'modify';
      readonly eni: EniId;
      readonly deleteOnTermination?: boolean;
      readonly sourceDestCheck?: boolean;
    }
  | { readonly action: 'detach'; readonly eni: EniId; readonly force: boolean }
  | { readonly action: 'delete'; readonly eni: EniId }
  | {
      readonly action: 'assign';
      readonly eni: EniId;
      readonly wish: BlockWish;
      /** These very blocks. */
      readonly blocks?: readonly Cidr[];
      /** They were the node's before, and are for the pods that lost them. */
      readonly again?: true;
    }
  | { readonly action: 'unassign'; readonly eni: EniId; readonly blocks: readonly Cidr[] }
  | { readonly action: 'tag'; readonly eni: EniId; readonly tags: Tags }
  | { readonly action: 'listEnis' }
  | { readonly action: 'listSubnets'; readonly ids: readonly SubnetId[] }
  | { readonly action: 'listUse'; readonly subnet: SubnetId; readonly cidr4: Cidr }
  | { readonly action: 'describeNode' };

export type CloudAction = CloudCall['action'];

/** Reads change nothing. */
export const isRead = (action: CloudAction): boolean =>
  action === 'listEnis' || action === 'listSubnets' || action === 'listUse' || action === 'describeNode';

/** What a call answers when it was done. */
export type CloudResult =
  | { readonly action: 'create'; readonly eni: EniFacts }
  | { readonly action: 'assign'; readonly blocks: readonly Cidr[] }
  | { readonly action: 'attach' | 'modify' | 'detach' | 'delete' | 'unassign' | 'tag' }
  | { readonly action: 'listEnis'; readonly enis: readonly EniFacts[] }
  | { readonly action: 'listSubnets'; readonly subnets: readonly SubnetFacts[] }
  | { readonly action: 'listUse'; readonly used: readonly Cidr[] }
  | { readonly action: 'describeNode'; readonly node: NodeFacts };

export type ExhaustedScope = 'subnet' | 'prefix' | 'eni' | 'instance' | 'account';

/**
 * Why a call was not done. `ambiguous` may have done all of it; every other kind surely did nothing. `notFound` is
 * about the ENI of the call; a subnet or group of ours that is not there is `misconfigured`.
 * `code` and `message` are the cloud's own, for people only: the core reads `kind`, `scope` and `source`.
 */
export type CloudFailure = {
  readonly code: string;
  readonly message: string;
  /** Where it was not the cloud's API that failed but the instance metadata service, which some facts come from. */
  readonly source?: 'metadata';
} & (
  | { readonly kind: 'throttled'; readonly retryAfterMs?: number }
  | { readonly kind: 'exhausted'; readonly scope: ExhaustedScope }
  | {
      readonly kind:
        | 'notFound'
        | 'conflict'
        | 'parameterMismatch'
        | 'misconfigured'
        | 'denied'
        | 'nodeGone'
        | 'transient'
        | 'ambiguous'
        | 'bug';
    }
);

export type CloudFailureKind = CloudFailure['kind'];

/** An answer is data, also when it is a refusal: an adapter that rejects its promise has a bug. */
export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: CloudFailure };

/** A token bucket: `burst` calls at once, and `perSecond` more as time goes (EC2). */
export type Rate = { readonly burst: number; readonly perSecond: number };

/** At most `max` calls in any `windowMs`, wherever it starts (ECS: a minute). */
export type WindowRate = { readonly windowMs: number; readonly max: number };

/** What differs between clouds, as data. Rates are per account and region unless the cloud says otherwise. */
export interface Capabilities {
  readonly maxBlocksPerCall: number;
  /** Lengths the cloud assigns, longest (single addresses) first. */
  readonly prefixLengths: { readonly 4: readonly number[]; readonly 6: readonly number[] };
  readonly ipv6: boolean;
  readonly token: { readonly create: boolean; readonly assign: boolean };
  readonly deviceIndex: 'caller' | 'cloud';
  readonly deleteOnTerminationAtCreate: boolean;
  /** The cloud tells which addresses of a subnet are taken, and gives single addresses that are asked for by name. */
  readonly listUse: boolean;
  /** After this long a read shows every write (worst replica). */
  readonly listLagMs: number;
  readonly callDeadlineMs: number;
  readonly rates: Readonly<Record<CloudAction, Rate | WindowRate>>;
}

/** Tags every ENI of ours carries from the call that creates it. */
export const OWNER_TAGS = {
  cluster: 'underway.dev/cluster',
  node: 'underway.dev/node',
  instance: 'underway.dev/instance',
  intent: 'underway.dev/intent',
  createdAt: 'underway.dev/created-at',
} as const;

/** The ENI of ours that a set of tags names, by the intent that created it; undefined when it is not ours. */
export function intentOf(tags: Tags, owner: { cluster: string; instanceId: InstanceId }): EniKey | undefined {
  if (tags[OWNER_TAGS.cluster] !== owner.cluster || tags[OWNER_TAGS.instance] !== owner.instanceId) return undefined;
  return tags[OWNER_TAGS.intent] as EniKey | undefined;
}
