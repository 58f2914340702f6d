/**
 * What the kernel must be able to do: take ordered steps, be read back, be listened to.
 * The real one is src/kernel (netlink in one worker thread); src/sim has one in memory that rejects impossible steps.
 */
import type { Mac } from '../core/brand.ts';
import type { Ip } from '../core/ip.ts';
import type { PodPlan } from '../core/plan.ts';
import type { ActualPod, WantedPod } from '../datapath/datapath.ts';
import type { KernelState, Step } from '../datapath/kernel-state.ts';

/** A step that failed, with the kernel's errno name (`EEXIST`) and its extended ACK text where it gave one. */
export interface StepFailure {
  readonly step: Step;
  readonly errno: string;
  readonly message: string;
}

/** A network namespace by identity: `dev:inode` of its file, which a path may outlive. */
export type NamespaceId = string;

export interface Kernel {
  /**
   * Runs the steps in order, the pod's in `netns` (a path). Stops at the first failure of a step whose failure the
   * later ones depend on (create-veth); otherwise goes on and reports every failure. A route by a gateway that was put
   * is usable when this resolves, unless the gateway is silent for two seconds.
   */
  apply(steps: readonly Step[], pod?: { readonly netns: string }): Promise<readonly StepFailure[]>;
  /** The host's namespace, or the pod's at this path; undefined when the path is no network namespace any more. */
  read(netns?: string): Promise<KernelState | undefined>;
  /**
   * Of one pod what `read` gives of both places: both ends of its link, and of what hangs on them all that is of a kind
   * and family with what is wanted. Undefined when the path is no network namespace any more.
   */
  readPod(pod: Pick<PodPlan, 'link' | 'netns' | 'attachment'>, wanted: WantedPod): Promise<ActualPod | undefined>;
  /** Who the namespace at this path is; undefined when there is none. */
  identify(netns: string): Promise<NamespaceId | undefined>;
  /**
   * Deletes conntrack entries whose original source or reply source is one of the addresses, or whose mark is the
   * ENI's. False when this kernel cannot (the cooldown is then the long one).
   */
  flushConntrack(
    what: { readonly addresses: readonly Ip[] } | { readonly mark: number; readonly mask: number },
  ): Promise<boolean>;
  /**
   * Hears of links, and of our objects changed by others, until the returned function is called. Of a pod's link only
   * its end counts: the rest is our own doing, and need not be told.
   */
  listen(listener: (event: KernelEvent) => void): () => void;
  /** Resolves with the reason when the kernel can be spoken to no more, and nothing is heard of it; not by `close`. */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
}

export type KernelEvent =
  | {
      readonly kind: 'link-seen';
      readonly name: string;
      readonly index: number;
      readonly mac: Mac;
      readonly mtu: number;
      /** As in LinkState. */
      readonly type: string;
    }
  | { readonly kind: 'link-gone'; readonly name: string; readonly index: number; readonly mac: Mac }
  /**
   * On the host somebody set a link down, changed routes, rules, addresses, neighbours or nft of ours, or a sysctl is not
   * as it was; `lost`: what was changed there or in a pod was not heard (ENOBUFS). Read again.
   */
  | {
      readonly kind: 'changed';
      readonly what: 'link' | 'route' | 'rule' | 'address' | 'neighbour' | 'qdisc' | 'nft' | 'sysctl' | 'lost';
    }
  /** Somebody did so in the namespace of a pod; `index` is that of its link on the host. */
  | { readonly kind: 'pod-changed'; readonly index: number };
