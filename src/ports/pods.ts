/**
 * Which pods are bound to this node, as the cluster's control plane tells. It only ever helps: what is told may come
 * late or never, and whoever listens has to be right without it.
 */
import type { PodRef } from '../core/rows.ts';

export interface BoundPodsListener {
  /** A pod that will ask for an address: not on the host's network, not finished, not being deleted. */
  bound(pod: PodRef): void;
  gone(pod: PodRef): void;
  /** `why` it does not hear what happens, in a sentence; undefined once it does. */
  heard(why: string | undefined): void;
}

export interface BoundPods {
  /**
   * Tells each pod, by its uid, once as bound and once as gone, across lost connections, until the returned function is
   * called. Does not throw: what fails is said through `heard` and tried again.
   */
  watch(listener: BoundPodsListener): () => void;
}
