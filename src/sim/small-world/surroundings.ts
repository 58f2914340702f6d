/**
 * All that is around the core in a small world, as one value: the cloud, what is on its way to it, the kernel's links,
 * the pods and the runtime's memory of them. The core's rows and this together are one state of the world.
 */
import type { LeaseId, OperationId, RequestId } from '../../core/brand.ts';
import type { CloudCall } from '../../core/cloud.ts';
import type { Effect } from '../../core/events.ts';
import type { Ip } from '../../core/ip.ts';
import { FRESH_CLOUD, type TinyCloud } from './cloud.ts';

/** A call that its process waits for; `before` is what a lagging replica still shows. */
export interface Call {
  readonly operation: OperationId;
  readonly call: CloudCall;
  readonly startedMs: number;
  readonly before: TinyCloud;
}

/** What the kernel was asked and has not answered. */
export type Work = Extract<Effect, { kind: 'wire' | 'unwire' | 'verify' | 'reap' | 'flush' | 'sync' | 'look' }>;

export interface Pod {
  readonly n: number;
  /** `refused` waits for its DEL, as a sandbox that got no network does. */
  readonly state: 'unborn' | 'adding' | 'running' | 'refused' | 'deleting' | 'gone';
  /** The runtime's request on its way; undefined when the connection broke. */
  readonly request?: RequestId;
  readonly addresses: readonly Ip[];
}

/** A pod's link on the host, as the kernel has it. */
export interface PodLink {
  readonly pod: number;
  readonly name: string;
  readonly lease: LeaseId;
  readonly index: number;
  readonly addresses: readonly Ip[];
  readonly fenced: boolean;
}

export interface Surroundings {
  readonly nowMs: number;
  readonly wakeAtMs: number | undefined;
  readonly cloud: TinyCloud;
  readonly calls: readonly Call[];
  /** Calls of a dead process that may still land, until their deadline. */
  readonly orphans: readonly Call[];
  readonly work: readonly Work[];
  readonly podLinks: readonly PodLink[];
  /** ENIs whose link the instance sees. */
  readonly plugged: readonly number[];
  readonly pods: readonly Pod[];
  /** Requests whose caller has hung up: nobody is there to be answered. */
  readonly hungUp: readonly RequestId[];
  readonly requests: number;
  readonly epoch: number;
  /** How many more misfortunes there may be. */
  readonly crashesLeft: number;
  readonly failuresLeft: number;
  readonly hangUpsLeft: number;
}

export interface Bounds {
  readonly pods: number;
  readonly crashes: number;
  readonly failures: number;
  readonly hangUps: number;
}

export const freshSurroundings = ({ pods, crashes, failures, hangUps }: Bounds): Surroundings => ({
  nowMs: 1_000_000,
  wakeAtMs: undefined,
  cloud: FRESH_CLOUD,
  calls: [],
  orphans: [],
  work: [],
  podLinks: [],
  plugged: [0],
  pods: Array.from({ length: pods }, (_, n) => ({ n, state: 'unborn', addresses: [] })),
  hungUp: [],
  requests: 0,
  epoch: 1,
  crashesLeft: crashes,
  failuresLeft: failures,
  hangUpsLeft: hangUps,
});
