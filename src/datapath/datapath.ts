/**
 * What a datapath mode must say: the kernel state that a plan wants, and the ordered steps from any state to it.
 * A mode is pure; the driver reads the kernel, asks, and lets the kernel port run the steps.
 *
 * Every list of steps may be run again after it failed half way: a step that is already done succeeds.
 */
import type { FoundLink } from '../core/events.ts';
import type { Cidr } from '../core/ip.ts';
import type { NodePlan, PodPlan } from '../core/plan.ts';
import type { KernelObject, KernelState, Place, Step } from './kernel-state.ts';

/** What one lease wants besides its link: the objects of the host's namespace and those of the pod's. */
export interface WantedPod {
  readonly host: readonly KernelObject[];
  readonly pod: readonly KernelObject[];
}

/** What was read around one lease. */
export interface ActualPod {
  readonly host: KernelState;
  readonly pod: KernelState;
}

/** A pod that is to be cut off: its link and its lease's addresses, never a bare address. */
export type FencedPod = Pick<PodPlan, 'link' | 'addresses' | 'bandwidth'>;

export interface Datapath {
  /** As the configuration names it, such as `veth`. */
  readonly name: string;

  /** All that ADD and DEL never touch, in the order in which it is put. */
  wantedNode(plan: NodePlan): readonly KernelObject[];
  /** From what the host's namespace holds to what the plan wants; nothing of a pod's is touched. Empty when equal. */
  diffNode(plan: NodePlan, actual: KernelState): readonly Step[];

  wantedPod(plan: PodPlan): WantedPod;
  /** Wires a pod of which nothing is there. */
  wirePod(plan: PodPlan): readonly Step[];
  /** Turns IPv6 on for the pod's link at this end: its namespace was made with it off. */
  allowIpv6(plan: PodPlan, at: Place): Step;
  /** Brings back what is missing or wrong of a pod that was wired, whole or in part. Empty when nothing is. */
  repairPod(plan: PodPlan, actual: ActualPod): readonly Step[];
  /** The same for the host's half alone, of a pod that runs. Empty where its link is gone: the pod ended. */
  mendHost(plan: PodPlan, host: KernelState): readonly Step[];
  /** Brings back what is missing inside a pod that runs. What another stands for stays: it may be the pod's will. */
  mendPod(plan: PodPlan, pod: KernelState): readonly Step[];
  /**
   * Cuts a pod off. A step that fails with ENODEV says that the link is gone, which is success. The link is left: it
   * goes with the pod's namespace.
   */
  fencePod(pod: FencedPod): readonly Step[];
  /** What differs from a wired pod, a sentence each; empty when it is wired as planned. */
  checkPod(plan: PodPlan, actual: ActualPod): readonly string[];
  /** Gives pods' links back the names that others took from them; nothing else finds a link without its name. */
  nameBack(host: KernelState): readonly Extract<Step, { do: 'rename-link' }>[];
  /** The pods' links that the host's namespace holds, wired, half wired or fenced, by name. */
  adopt(host: KernelState): readonly FoundLink[];
  /** The number by which the host's namespace knows each secondary ENI, by its link's name. */
  eniNumbers(host: KernelState): ReadonlyMap<string, number>;
  /** The blocks that the node held when it last told this kernel, by their fences. */
  fenced(host: KernelState): readonly Cidr[];
}
