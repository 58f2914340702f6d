/**
 * What the worker can be asked to do, and how the two threads talk about it. Everything here can be cloned.
 */
import type { Ip } from '../core/ip.ts';
import type { KernelState, Place, Step } from '../datapath/kernel-state.ts';
import type { KernelEvent, StepFailure } from '../ports/kernel.ts';
import type { FlushTarget } from './conntrack.ts';
import type { Gateway } from './gateway.ts';
import type { Counter, TableName } from './nftables/table.ts';
import type { Hanging, ReadScope } from './read.ts';

/** A namespace by path; undefined is the one that the process started in. */
export type Netns = string | undefined;

export interface ListeningSocket {
  readonly kind: 'tcp' | 'udp';
  readonly address: Ip;
  readonly port: number;
}

/** Each method runs to its end in the worker before the next. Those that name a namespace reject with ENONET. */
export interface Deeds {
  apply(request: { host: Netns; pod: Netns; steps: readonly Step[] }): readonly StepFailure[];
  /** Those that do not answer yet. */
  askGateways(request: { host: Netns; gateways: readonly Gateway[] }): readonly Gateway[];
  /** `keep` keeps the sockets open for the next time: of a host's namespace, not of a pod's. */
  read(request: { netns: Netns; scope: ReadScope; keep: boolean }): KernelState | undefined;
  /** Of a wired pod, what both ends of its link make; undefined when there is no namespace at `pod`. */
  readPod(request: {
    host: Netns;
    pod: string;
    link: string;
    ifname: string;
    wanted: Record<Place, readonly Hanging[]>;
  }): { readonly host: KernelState; readonly pod: KernelState } | undefined;
  counters(request: TableName & { netns: Netns; reset: boolean }): readonly Counter[];
  flushConntrack(request: { netns: Netns; what: FlushTarget }): boolean;
  createNamespace(request: { path: string }): void;
  deleteNamespace(request: { path: string }): void;
  /** Closes the sockets kept for a namespace, so that it can go. */
  release(request: { netns: Netns }): void;
  /** A descriptor of the whole process, bound (and listening, if TCP) inside the namespace; the caller owns it. */
  openSocket(request: ListeningSocket & { netns: Netns }): number;
  listen(request: {
    netns: Netns;
    subscription: number;
    protocol: number;
    nftTables: readonly string[];
    quietEveryMs: number;
  }): void;
  unlisten(request: { subscription: number }): void;
  /** Ends the worker when nothing is left that waits. */
  close(request: Record<never, never>): void;
}

export type DeedName = keyof Deeds;

export interface Request {
  readonly id: number;
  readonly deed: DeedName;
  readonly request: unknown;
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly code: string } }
  | { readonly subscription: number; readonly events: readonly KernelEvent[] };
