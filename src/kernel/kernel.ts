/**
 * The Kernel port on Linux, over netlink in a worker thread; a pod's short deed that is alone is done on this one.
 *
 * `listen` does not report what our own sockets changed: links apart, which are told whoever changed them, every
 * notification carries the port of the socket that asked for the change (notification.ts says what that covers).
 */
import { statfsSync, statSync } from 'node:fs';
import { systemClock } from '../ports/clock.ts';
import type { Kernel, KernelEvent, NamespaceId } from '../ports/kernel.ts';
import type { Deeds, Netns } from './deeds.ts';
import type { Failpoint } from './failpoint.ts';
import { type Gateway, gatewaysOf } from './gateway.ts';
import { isShort, LoneDeeds, type ShortDeed } from './lone-deed.ts';
import { kindsOf, PROTOCOL } from './read.ts';
import { WorkerClient } from './worker-client.ts';

/** NSFS_MAGIC (linux/magic.h): the file system that namespace files are of. */
const NSFS_MAGIC = 0x6e73_6673;
const REOPEN_MS = 1_000;
const QUIET_EVERY_MS = 30_000;
/**
 * Between two questions to a gateway: twice as long each time, but no longer than `between`; after `all` it is the
 * network's matter. With many at work on links the kernel's own part (DAD's work, also for `nodad`) took over a second.
 */
const GATEWAY_MS = { first: 2, between: 64, all: 2_000 } as const;
/** src/datapath/numbering.ts has the same name. */
export const NFT_TABLE = 'underway';

export interface KernelOptions {
  /** Path of the host's network namespace; the process's own without it. */
  readonly netns?: string;
  /** nf_tables tables that are ours; `underway` without it. */
  readonly nftTables?: readonly string[];
  /** How often that is read of which the kernel tells nobody, such as `accept_ra`; 30 s without it. */
  readonly quietEveryMs?: number;
}

/** Starts the worker; `close` ends it. What is short and alone is done on the calling thread (lone-deed.ts). */
export function createKernel(options: KernelOptions & { readonly failpoint?: Failpoint } = {}): Kernel {
  const client = new WorkerClient();
  const lone = new LoneDeeds(client, options.failpoint);
  return kernelOver(client, {
    ...options,
    lone,
    close: () => {
      lone.close();
      return client.close();
    },
  });
}

interface Way {
  /** Without it the worker does all. */
  readonly lone?: LoneDeeds;
  readonly close: () => Promise<void>;
}

/** For many namespaces on one worker, which `close` may then leave alone. */
export function kernelOver(client: WorkerClient, options: KernelOptions & Way): Kernel {
  const { netns: host, nftTables = [NFT_TABLE], quietEveryMs = QUIET_EVERY_MS, lone, close } = options;
  const short = <D extends ShortDeed>(deed: D, request: Parameters<Deeds[D]>[0]) =>
    lone === undefined ? client.call(deed, request) : lone.call(deed, request);
  return {
    async apply(steps, pod) {
      const request = { host, pod: pod?.netns, steps };
      const failures = await (isShort(steps) ? short('apply', request) : client.call('apply', request));
      const gateways = gatewaysOf(steps);
      if (gateways.length > 0) await untilAnswered(client, host, gateways);
      return failures;
    },
    readPod: ({ netns: pod, link, attachment: { ifname } }, wanted) =>
      short('readPod', { host, pod, link, ifname, wanted: { host: kindsOf(wanted.host), pod: kindsOf(wanted.pod) } }),
    read: (netns) =>
      netns === undefined
        ? client.call('read', { netns: host, scope: { protocol: PROTOCOL, nftTables }, keep: true })
        : client.call('read', { netns, scope: { nftTables: [] }, keep: false }),
    identify: namespaceIdentity,
    flushConntrack: (what) => client.call('flushConntrack', { netns: host, what }),
    listen: (listener) => listenFrom(client, { netns: host, protocol: PROTOCOL, nftTables, quietEveryMs }, listener),
    failed: client.failed,
    close,
  };
}

/** Here and not in the worker, so that others' steps go on meanwhile. */
async function untilAnswered(client: WorkerClient, host: Netns, gateways: readonly Gateway[]): Promise<void> {
  const endMs = systemClock.nowMs() + GATEWAY_MS.all;
  let silent = gateways;
  for (let waitMs: number = GATEWAY_MS.first; silent.length > 0; waitMs = Math.min(2 * waitMs, GATEWAY_MS.between)) {
    silent = await client.call('askGateways', { host, gateways: silent });
    if (silent.length === 0 || systemClock.nowMs() + waitMs > endMs) return;
    await sleep(waitMs);
  }
}

const sleep = (ms: number): Promise<void> =>
  new Promise((resolve) => void systemClock.timer(systemClock.nowMs() + ms, resolve));

/**
 * Opens the subscription, again until that succeeds: descriptors may have run out, or the namespace may be yet to come.
 * Until then, and once it does, every event is lost.
 */
function listenFrom(
  client: WorkerClient,
  request: Parameters<WorkerClient['listen']>[0],
  listener: (event: KernelEvent) => void,
): () => void {
  let close = () => {};
  let isStopped = false;
  const open = (isFirst: boolean): void => {
    const { ready, stop } = client.listen(request, listener);
    close = stop;
    const again = () => {
      close = systemClock.timer(systemClock.nowMs() + REOPEN_MS, () => open(false));
    };
    const lost = () => listener({ kind: 'changed', what: 'lost' });
    ready.then(
      () => {
        if (!isFirst && !isStopped) lost();
      },
      () => {
        stop();
        if (isStopped || client.hasEnded) return;
        again();
        lost();
      },
    );
  };
  open(true);
  return () => {
    isStopped = true;
    close();
  };
}

/**
 * `dev:inode`; undefined when the path is no namespace, such as the file that a deleted one leaves behind. Asked on this
 * thread: the kernel has both answers in memory (some microseconds), where two rounds through libuv's pool cost an ADD
 * about 0.2 ms.
 */
export async function namespaceIdentity(path: string): Promise<NamespaceId | undefined> {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return statfsSync(path).type === NSFS_MAGIC ? `${dev}:${ino}` : undefined;
  } catch {
    return undefined;
  }
}
