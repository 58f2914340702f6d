/**
 * Many network namespaces on one worker: what builds a network out of namespaces, such as the lab's.
 * A namespace is named by the path of its file everywhere.
 */
import type { Mac } from '../core/brand.ts';
import type { KernelObject, KernelState, Step } from '../datapath/kernel-state.ts';
import type { NftFamily } from '../datapath/nft.ts';
import type { Kernel, NamespaceId, StepFailure } from '../ports/kernel.ts';
import type { ListeningSocket, Netns } from './deeds.ts';
import { type KernelOptions, kernelOver, namespaceIdentity } from './kernel.ts';
import type { Counter } from './nftables/table.ts';
import { WorkerClient } from './worker-client.ts';

export interface VethEndIn {
  readonly netns: string;
  readonly name: string;
  readonly mac: Mac;
  readonly mtu: number;
}

export interface Networks {
  /** Makes a namespace that lives while its file, which must not be there yet (EEXIST), is mounted. Nothing in it is up. */
  createNamespace(path: string): Promise<NamespaceId>;
  /** Unmounts and removes the file; absent is success. */
  deleteNamespace(path: string): Promise<void>;
  /** A pair with one end in each namespace, both down. Rejects with the errno's name in the message. */
  createVeth(a: VethEndIn, b: VethEndIn): Promise<void>;
  /** Steps at `host` run in the namespace, those at `pod` in the other, where one is given. */
  apply(
    steps: readonly Step[],
    where: { readonly netns: string; readonly pod?: string },
  ): Promise<readonly StepFailure[]>;
  /** Rejects when any failed, naming each. */
  put(netns: string, objects: readonly KernelObject[]): Promise<void>;
  remove(netns: string, objects: readonly KernelObject[]): Promise<void>;
  /** Everything in it, with the nf_tables tables named; undefined when it is no namespace. */
  read(netns: string, options?: { readonly nftTables?: readonly string[] }): Promise<KernelState | undefined>;
  /** The named counters of a table; `reset` sets each to zero as it is read. */
  counters(table: {
    readonly netns: string;
    readonly family: NftFamily;
    readonly table: string;
    readonly reset?: boolean;
  }): Promise<readonly Counter[]>;
  /** A descriptor for `server.listen({ fd })` or `socket.bind({ fd })`, bound inside the namespace. */
  openSocketIn(netns: string, socket: ListeningSocket): Promise<number>;
  /** The Kernel port of one namespace, on this worker. */
  kernel(options: KernelOptions): Kernel;
  /** Ends the worker; namespaces stay. */
  close(): Promise<void>;
}

export function openNetworks(): Networks {
  const client = new WorkerClient();
  const run = (steps: readonly Step[], host: Netns, pod?: string) => client.call('apply', { host, pod, steps });
  const change = async (deed: 'put' | 'remove', netns: string, objects: readonly KernelObject[]) =>
    refuse(
      await run(
        objects.map((object) => ({ do: deed, at: 'host', object })),
        netns,
      ),
    );
  return {
    async createNamespace(path) {
      await client.call('createNamespace', { path });
      const id = await namespaceIdentity(path);
      if (id === undefined) throw new Error(`${path} went while it was made`);
      return id;
    },
    deleteNamespace: (path) => client.call('deleteNamespace', { path }),
    async createVeth({ netns, ...host }, { netns: other, ...pod }) {
      refuse(await run([{ do: 'create-veth', host: { ...host, index: 0, group: 0 }, pod }], netns, other));
    },
    apply: (steps, { netns, pod }) => run(steps, netns, pod),
    put: (netns, objects) => change('put', netns, objects),
    remove: (netns, objects) => change('remove', netns, objects),
    read: (netns, { nftTables = [] } = {}) => client.call('read', { netns, scope: { nftTables }, keep: true }),
    counters: ({ reset = false, ...table }) => client.call('counters', { ...table, reset }),
    openSocketIn: (netns, socket) => client.call('openSocket', { netns, ...socket }),
    kernel: (options) => kernelOver(client, { ...options, close: async () => {} }),
    close: () => client.close(),
  };
}

function refuse(failures: readonly StepFailure[]): void {
  if (failures.length === 0) return;
  const said = failures.map(
    ({ step, errno, message }) => `${describe(step)}: ${[errno, message].filter(Boolean).join(' ')}`,
  );
  throw new Error(said.join('; '));
}

const describe = (step: Step): string =>
  step.do === 'put' || step.do === 'remove' ? `${step.do} ${step.object.kind}` : step.do;
