/**
 * The demo's pods: a namespace each, an address through the CNI binary, and an echo host that says whom it sees.
 */
import { join } from 'node:path';
import { NETWORK_NAME } from '../../install/conflist.ts';
import type { Networks } from '../../kernel/networks.ts';
import type { NamespaceServer } from '../namespace-server.ts';
import { netnsPath } from '../namespaces.ts';
import type { LabNode } from '../node/node.ts';
import { startEcho } from '../probe/echo.ts';
import { type CniAnswer, type CniError, type CniPlugin, type CniPod, runCni } from './cni.ts';

export interface PodHost {
  readonly name: string;
  readonly netns: string;
  readonly plugin: CniPlugin;
}

export const hostOf = ({ name, instance, folder }: LabNode): PodHost => ({
  name,
  netns: instance.netns,
  plugin: { binary: join(folder.cniBin, 'underway'), network: NETWORK_NAME },
});

export interface DemoPod extends CniPod {
  readonly host: PodHost;
  addresses: readonly string[];
  addMs: number;
  error: CniError | undefined;
  echo: NamespaceServer | undefined;
}

export class DemoPods {
  readonly all: DemoPod[] = [];
  private readonly networks: Networks;
  private readonly lab: string;
  private readonly abort = new AbortController();
  private nextId = 1;

  constructor(networks: Networks, lab: string) {
    this.networks = networks;
    this.lab = lab;
  }

  get running(): DemoPod[] {
    return this.all.filter((pod) => pod.addresses.length > 0);
  }

  /** Makes the namespaces first, so that the time of an ADD is the plugin's alone; then adds `parallel` at a time. */
  async add(host: PodHost, count: number, parallel: number): Promise<DemoPod[]> {
    const pods = await Promise.all(Array.from({ length: count }, () => this.sandbox(host)));
    this.all.push(...pods);
    await inParallel(pods, parallel, (pod) => this.addOne(pod));
    return pods;
  }

  private async sandbox(host: PodHost): Promise<DemoPod> {
    const n = this.nextId++;
    const netns = netnsPath(this.lab, `pod-${n}`);
    await this.networks.createNamespace(netns);
    await this.networks.apply([{ do: 'set-link', at: 'host', link: { name: 'lo', up: true } }], { netns });
    // A person's ping and the demo's work in a pod as they do on a node.
    await this.networks.put(netns, [{ kind: 'sysctl', path: 'net/ipv4/ping_group_range', value: '0\t0' }]);
    return {
      name: `pod-${n}`,
      containerId: `demo${n}`,
      netns,
      host,
      addresses: [],
      addMs: 0,
      error: undefined,
      echo: undefined,
    };
  }

  /** One ADD; a broken one is repeated by the shim itself. */
  async addOne(pod: DemoPod): Promise<CniAnswer> {
    const answer = await this.cni('ADD', pod);
    pod.addMs = answer.ms;
    pod.addresses = answer.addresses;
    pod.error = answer.error;
    return answer;
  }

  /** What is being added or deleted is killed: nobody will be there to answer it. */
  abandon(): void {
    this.abort.abort();
  }

  private cni(verb: 'ADD' | 'DEL', pod: DemoPod): Promise<CniAnswer> {
    return runCni(pod.host.plugin, verb, { ...pod, signal: this.abort.signal });
  }

  async listen(pod: DemoPod): Promise<void> {
    pod.echo ??= await startEcho(this.networks, { netns: pod.netns, name: pod.name });
  }

  /** DEL, and the namespace goes with everything in it. Answers what DEL complained of. */
  async remove(pods: readonly DemoPod[], parallel: number): Promise<CniError[]> {
    const errors: CniError[] = [];
    await inParallel(pods, parallel, async (pod) => {
      const answer = await this.cni('DEL', pod);
      if (answer.error !== undefined) errors.push(answer.error);
      await pod.echo?.close();
      await this.networks.deleteNamespace(pod.netns);
      pod.addresses = [];
    });
    for (const pod of pods) this.all.splice(this.all.indexOf(pod), 1);
    return errors;
  }
}

export async function inParallel<T>(
  items: readonly T[],
  width: number,
  deed: (item: T) => Promise<unknown>,
): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await deed(item);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
}
