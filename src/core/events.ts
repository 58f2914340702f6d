/**
 * What comes into the core and what goes out. An effect is a deed the driver runs after the batch is committed;
 * its result comes back as an event. Both are plain data, so a run is a list that can be replayed.
 */
import type { Attachment, LeaseId, Mac, OperationId, RequestId } from './brand.ts';
import type { BudgetAsk, BudgetLease } from './budget-lease.ts';
import type { Answer, CloudCall, CloudResult } from './cloud.ts';
import type { Cidr, Ip } from './ip.ts';
import type { Bandwidth, NodePlan, PodPlan } from './plan.ts';
import type { Reason } from './reasons.ts';
import type { NetnsRef, PodRef, PoolRow, Settings } from './rows.ts';

/** A pod's link found in the kernel at start, read from its alias and routes. */
export interface FoundLink {
  readonly name: string;
  readonly index: number;
  /** In the dead group: fenced, its DEL was under way. */
  readonly fenced: boolean;
  /** From the alias; absent when an ADD died before it was set. */
  readonly lease?: { readonly id: LeaseId; readonly attachment: Attachment };
  readonly addresses: readonly Ip[];
  readonly mtu: number;
  /** What the host's side tells of it: what the pod may receive. What it may send is kept inside. */
  readonly bandwidth?: Bandwidth;
  readonly netns?: NetnsRef;
}

/** A NIC of the host. */
export interface NicLink {
  readonly mac: Mac;
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
  /** At the start: the number that the kernel's state of an earlier process gives its ENI. */
  readonly number?: number;
}

/** Why the kernel did not do it. */
export interface KernelFailure {
  readonly step: string;
  readonly errno: string;
}

/** Why a pod was not wired. `taken`: its namespace has a link of that name. */
export interface WireFailure extends KernelFailure {
  readonly taken?: boolean;
}

/** What was not as planned and is put back: how much of each kind of object, and the first of it in a few words. */
export interface Repair {
  readonly count: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly names: readonly string[];
}

export const NO_REPAIR: Repair = { count: 0, kinds: {}, names: [] };

export interface PodRepair extends Repair {
  readonly lease: LeaseId;
}

/** What was missing in a pod's own namespace; with `failure` some of it still is. */
export interface PodLook extends PodRepair {
  readonly failure?: KernelFailure;
}

export type Event =
  /** The first event of a process: what the kernel holds, and which leases' namespaces still are who they were. */
  | {
      readonly kind: 'started';
      readonly links: readonly FoundLink[];
      readonly aliveLeases: readonly LeaseId[];
      readonly eniLinks: readonly NicLink[];
      /** Blocks that this node held when it last told the kernel. */
      readonly fenced: readonly Cidr[];
    }
  | {
      readonly kind: 'configured';
      readonly pools: readonly Omit<PoolRow, 'surplusSinceMs'>[];
      readonly settings: Settings;
    }
  | {
      readonly kind: 'add';
      readonly request: RequestId;
      readonly attachment: Attachment;
      readonly netns: NetnsRef;
      readonly pod?: PodRef;
      readonly bandwidth?: Bandwidth;
      readonly deadlineMs: number;
    }
  /** `askedMs` is when it was asked for, where that was not now: what its attachment has got since is not its. */
  | {
      readonly kind: 'del';
      readonly request: RequestId;
      readonly attachment: Attachment;
      readonly askedMs?: number;
    }
  | {
      readonly kind: 'check';
      readonly request: RequestId;
      readonly attachment: Attachment;
      readonly netns: NetnsRef;
    }
  /** `valid` are the attachments the runtime still has on this network. */
  | {
      readonly kind: 'gc';
      readonly request: RequestId;
      readonly network: string;
      readonly valid: readonly Attachment[];
    }
  | { readonly kind: 'status'; readonly request: RequestId }
  | { readonly kind: 'hang-up'; readonly request: RequestId }
  /** The scheduler bound a pod to this node; it needs it no more (deleted, finished). */
  | { readonly kind: 'pod-bound' | 'pod-gone'; readonly pod: PodRef }
  | ({ readonly kind: 'link-seen' } & NicLink)
  /** A NIC, or a pod's link. */
  | { readonly kind: 'link-gone'; readonly mac: Mac; readonly name: string; readonly index: number }
  /** Before `started`: addresses that broken invariants named, for the third time. */
  | { readonly kind: 'doubted'; readonly addresses: readonly Ip[] }
  /** Somebody else changed kernel state of ours on the host; `lost`: or anything anywhere, nobody heard what. */
  | { readonly kind: 'kernel-changed'; readonly lost?: boolean }
  /** Somebody else changed something in the namespace of the pod whose link on the host has this index. */
  | { readonly kind: 'pod-changed'; readonly index: number }
  | { readonly kind: 'cloud-answered'; readonly operation: OperationId; readonly answer: Answer<CloudResult> }
  /**
   * `linkIndex` is the host side's, which a mended pod may have anew; left out where that failed. `unmade`: the very
   * link of a fresh pod was refused, so nothing of it was made, and no packet can have left with its addresses.
   */
  | {
      readonly kind: 'wired';
      readonly lease: LeaseId;
      readonly linkIndex?: number;
      readonly failure?: WireFailure;
      readonly unmade?: boolean;
    }
  | { readonly kind: 'unwired'; readonly lease: LeaseId; readonly failure?: KernelFailure }
  | { readonly kind: 'verified'; readonly lease: LeaseId; readonly problems: readonly string[] }
  | { readonly kind: 'reaped'; readonly links: readonly string[]; readonly failure?: KernelFailure }
  | {
      readonly kind: 'flushed';
      readonly addresses: readonly Ip[];
      readonly marks: readonly number[];
      readonly done: boolean;
    }
  /**
   * `changed` is what it took: of a sync that nothing but others' changes caused, what was put back.
   * `damaged` are pods whose host side was not as it was wired; what the kernel refused of putting that back,
   * `podFailure`, is no trouble of the node's. `absent` are the node's own addresses that the host does not have; left out
   * where it could not be read.
   */
  | {
      readonly kind: 'synced';
      readonly sync: number;
      readonly changed: Repair;
      readonly damaged: readonly PodRepair[];
      readonly failure?: KernelFailure;
      readonly podFailure?: KernelFailure;
      readonly absent?: readonly Ip[];
    }
  | { readonly kind: 'looked'; readonly pods: readonly PodLook[] }
  /** The budget broker grants calls, or says when it will. */
  | { readonly kind: 'budget-leased'; readonly lease: BudgetLease }
  | { readonly kind: 'journal'; readonly up: boolean; readonly detail: string }
  | { readonly kind: 'wake' };

/** What a request is answered with; src/protocol turns it into CNI JSON. */
export type Reply =
  /** `enis` are those of the plan's addresses, in their order. */
  | { readonly kind: 'added'; readonly plan: PodPlan; readonly pool: string; readonly enis: readonly string[] }
  | { readonly kind: 'done' }
  | { readonly kind: 'refused'; readonly reason: Reason };

export type Effect =
  | { readonly kind: 'reply'; readonly request: RequestId; readonly reply: Reply }
  /** Wire the pod; `fresh` when nothing of this lease can be there. Dead links of the same namespace go first. */
  | { readonly kind: 'wire'; readonly plan: PodPlan; readonly fresh: boolean; readonly deadLinks: readonly string[] }
  /** Fence, then unwire; link and lease are named, never the bare address. */
  | {
      readonly kind: 'unwire';
      readonly lease: LeaseId;
      readonly link: string;
      readonly addresses: readonly Ip[];
      readonly bandwidth?: Bandwidth;
    }
  | { readonly kind: 'verify'; readonly plan: PodPlan }
  | { readonly kind: 'reap'; readonly links: readonly string[] }
  | {
      readonly kind: 'flush';
      readonly addresses: readonly Ip[];
      readonly marks: readonly number[];
      readonly markMask: number;
    }
  /** `pods` are the wired ones, where others may have changed their host side: it is put back too. */
  | { readonly kind: 'sync'; readonly sync: number; readonly plan: NodePlan; readonly pods: readonly PodPlan[] }
  /** What is missing in the pods' own namespaces is put back there. */
  | { readonly kind: 'look'; readonly pods: readonly PodPlan[] }
  | { readonly kind: 'cloud'; readonly operation: OperationId; readonly call: CloudCall }
  /** Only with `settings.brokered`; answered by `budget-leased`, or never. */
  | { readonly kind: 'ask-budget'; readonly asks: readonly BudgetAsk[] };

/** What one step decided. `wakeAtMs` is when the core wants a `wake`, in `nowMs`; undefined when never. */
export interface Step {
  readonly effects: readonly Effect[];
  readonly wakeAtMs: number | undefined;
}
