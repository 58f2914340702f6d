/**
 * What a pool policy looks like to the runtime: ADD is answered with an address or an error, DEL gives it back. Ours and
 * every peer's stand behind this one interface, over the same cloud and the same virtual time.
 */
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { Streams } from '../../../providers/memory/random.ts';
import type { InstanceId, SubnetId } from '../../core/brand.ts';
import type { InstanceLimits } from '../../core/cloud.ts';
import type { Ip } from '../../core/ip.ts';
import type { VirtualClock } from '../clock.ts';

/** One try at running a pod: the runtime makes a new one, with a new container id, after every failure. */
export interface Sandbox {
  readonly containerId: string;
  readonly pod: string;
}

export type AddResult = { readonly ok: true; readonly ip: Ip } | { readonly ok: false; readonly why: string };

/** The node's plugin, as kubelet meets it. */
export interface NodePool {
  start(): void;
  /** `answer` is called once; never within this call. */
  add(sandbox: Sandbox, answer: (result: AddResult) => void): void;
  /** Also of a sandbox whose ADD failed. `done` is called once the runtime may forget it. */
  del(sandbox: Sandbox, done: () => void): void;
}

/** One instance, and what stands around it. */
export interface Host {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly limits: InstanceLimits;
  readonly subnet: SubnetId;
  /** The policy's own dice. */
  readonly streams: Streams;
  /** Pods bound to this node that do not run: what a controller sees in the API server. */
  readonly pendingCount: () => number;
}

/** Called once a world, and the result once a node, so that policies with a central part can share it. */
export type Policy = (world: { readonly clock: VirtualClock; readonly cloud: MemoryCloud }) => (host: Host) => NodePool;
