/**
 * What `GET /v1/why` answers: why a pod has no address, or what the pool is at. Times are milliseconds ago or ahead,
 * so that they mean the same on both sides of the socket; `lines` are the whole answer in plain sentences.
 */
import type { CloudAction } from '../core/cloud.ts';
import type { HeadroomExplained } from '../core/forecast.ts';
import type { Family } from '../core/ip.ts';
import type { Holding } from '../core/pool.ts';
import type { ReasonCode } from '../core/reasons.ts';

/** When the next address is expected, and what brings it. */
export interface Expected {
  readonly inMs: number;
  readonly by: CloudAction | 'link' | 'kernel' | 'cooldown';
  /** Where `inMs` is 0: how long ago it should have come. */
  readonly lateMs?: number;
}

export interface ToldReason {
  readonly code: ReasonCode;
  /** One sentence with numbers. */
  readonly text: string;
}

export interface Refused extends ToldReason {
  /** The pod as `namespace/name`, or its container's id where the runtime named none. */
  readonly who: string;
  readonly ifname: string;
  /** CHECK: what runs was found otherwise than it was wired. Removal: somebody removed its link. */
  readonly by: 'ADD' | 'CHECK' | 'removal';
  readonly agoMs: number;
  readonly count: number;
}

export interface PoolSummary {
  readonly id: string;
  readonly addresses: readonly (Holding & { readonly family: Family })[];
  /** ENIs that they are on. */
  readonly eniCount: number;
  /** Pods that the cloud took an address from, and why the first of them. */
  readonly lost?: { readonly pods: readonly string[]; readonly reason: ToldReason };
  readonly waiting: number;
  /** Why the first of those that wait has no address. */
  readonly reason?: ToldReason;
  readonly expected?: Expected;
  /** Where the headroom is `auto`: what it is now, and what of. */
  readonly headroom?: HeadroomExplained;
  /** What the targets come to; absent while the instance's limits are not known. */
  readonly targets?: { readonly accepted: boolean; readonly sentence: string; readonly warnings: readonly string[] };
}

/** A subnet as it was last heard of, and counted since by the node's own calls. */
export interface SubnetSummary {
  readonly id: string;
  /** Absent while it was not counted. */
  readonly free?: number;
  readonly size?: number;
  readonly pressure: 'normal' | 'tight' | 'exhausted';
  /** The cloud left it out when it was last asked for it. */
  readonly unlisted?: true;
  /** Share of the free addresses that no prefix can be made of; read where a pool prefers prefixes. */
  readonly fragmentation?: number;
}

export type WhyAnswer = {
  readonly lines: readonly string[];
  /** Of a pod with several interfaces, those that are better off; `lines` has theirs too. */
  readonly others?: readonly WhyAnswer[];
} & (
  | {
      readonly status: 'has-address';
      readonly who: string;
      readonly ifname: string;
      readonly addresses: readonly string[];
      /** Of each address, in their order. */
      readonly enis: readonly string[];
      readonly agoMs: number;
      /** When the cloud last listed the node's ENIs: what was taken from the pod since is not known yet. */
      readonly readAgoMs?: number;
      /** A later ADD of it that was refused: what runs is as it was, unless this says otherwise. Or its last CHECK. */
      readonly refused?: Refused;
    }
  /** It has an address that the cloud no longer lists. */
  | {
      readonly status: 'lost';
      readonly who: string;
      readonly ifname: string;
      readonly addresses: readonly string[];
      /** Of these, what the cloud took. */
      readonly lost: readonly string[];
      readonly reason: ToldReason;
    }
  | {
      readonly status: 'waits';
      readonly who: string;
      readonly ifname: string;
      /** From 1, of `waiting`; absent while the daemon is starting. */
      readonly position?: number;
      readonly waiting?: number;
      readonly forMs: number;
      readonly deadlineInMs: number;
      readonly reason: ToldReason;
      readonly expected?: Expected;
    }
  | { readonly status: 'refused'; readonly refused: Refused }
  /** `nameless` pods have an address and are known by their container's id only: it may be one of them. */
  | { readonly status: 'unknown'; readonly who: string; readonly nameless: number }
  /** Several pods go by what was asked for: each as `namespace/name`. */
  | { readonly status: 'ambiguous'; readonly named: string; readonly pods: readonly string[] }
  | {
      readonly status: 'pool';
      readonly serving: boolean;
      /** Why it does not serve. */
      readonly reason?: ToldReason;
      readonly pools: readonly PoolSummary[];
      readonly subnets: readonly SubnetSummary[];
      readonly underWay: readonly string[];
      /** Newest first. */
      readonly refused: readonly Refused[];
    }
);
