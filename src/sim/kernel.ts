/**
 * A kernel in memory behind the Kernel port. It holds links, addresses, routes, rules and nft objects by namespace and
 * refuses what a real one refuses, so a wrong order of steps is an error here too.
 */
import type { Mac } from '../core/brand.ts';
import { familyOf, type Ip } from '../core/ip.ts';
import type { ActualPod } from '../datapath/datapath.ts';
import {
  type KernelObject,
  type KernelState,
  type LinkState,
  objectIdentity,
  type Step,
} from '../datapath/kernel-state.ts';
import { LINK_GROUP } from '../datapath/numbering.ts';
import type { Clock } from '../ports/clock.ts';
import type { Kernel, KernelEvent, StepFailure } from '../ports/kernel.ts';
import { Namespace, put, remove } from './namespace.ts';

/** As EC2's. */
export const NIC_MTU = 9_001;
const DIED = Symbol('the process died in the middle of a batch');

export interface FakeKernelOptions {
  readonly clock: Clock;
  /** How long one batch of steps takes, in ms. */
  readonly batchMs?: number;
  /** How long after its steps were done a batch that puts something on the host is answered, in ms; at once without it. */
  readonly answerMs?: () => number;
  /** False on a kernel that cannot filter conntrack deletes. */
  readonly flushes?: boolean;
}

export class FakeKernel implements Kernel {
  readonly host = new Namespace('4:1');
  /** When the connections of each address were last flushed. */
  readonly flushedMs = new Map<Ip, number>();
  private readonly namespaces = new Map<string, Namespace>();
  private readonly listeners = new Set<(event: KernelEvent) => void>();
  private readonly options: FakeKernelOptions;
  private readonly failure = Promise.withResolvers<Error>();
  private isDeaf = false;
  /** What the operating system gives a NIC whenever it is there. */
  private readonly configured = new Map<Mac, readonly Ip[]>();
  /** NICs that came while nobody heard of it. */
  private readonly untold = new Set<Mac>();
  private nextId = 2;
  private nextIndex = 2;
  private process = 0;
  /** Set by the node: asked before each step of a batch; true when the process ended there, and nothing goes on. */
  beforeStep: (() => boolean) | undefined;
  /** Asked before each step too: an errno where the kernel refuses it, for reasons of its own. */
  refuse: ((step: Step) => string | undefined) | undefined;
  /** Answers that nobody reads yet, because their process stands still. */
  private held: (() => void)[] | undefined;

  constructor(options: FakeKernelOptions) {
    this.options = options;
  }

  addNamespace(path: string): string {
    const namespace = new Namespace(`4:${this.nextId++}`);
    this.namespaces.set(path, namespace);
    return namespace.id;
  }

  /** The namespace and every link in it go, and with a veth its other end. */
  deleteNamespace(path: string): void {
    const namespace = this.namespaces.get(path);
    if (namespace === undefined) return;
    this.namespaces.delete(path);
    for (const link of [...namespace.links.values()]) this.dropLink(namespace, link.name);
  }

  /** The CNI binary cuts a pod off by itself. */
  fence(name: string): void {
    const link = this.host.links.get(name);
    if (link !== undefined) this.host.links.set(name, { ...link, group: LINK_GROUP.dead });
  }

  /** A new boot: no namespace, link, route or rule of the last one is left. */
  reboot(): void {
    this.abandon();
    this.namespaces.clear();
    for (const name of [...this.host.links.keys()]) if (name !== 'lo') this.host.removeLink(name);
    for (const identity of [...this.host.objects.keys()]) this.host.remove(identity);
  }

  namespaceAt(path: string): Namespace | undefined {
    return this.namespaces.get(path);
  }

  /** A NIC of the instance appears, or a link of another type. */
  plug(name: string, mac: Mac, type = ''): void {
    const index = this.nextIndex++;
    this.host.links.set(name, { name, index, mac, mtu: NIC_MTU, up: false, group: 0, alias: '', type });
    for (const ip of this.configured.get(mac) ?? []) put(this.host, ownAddress(name, ip));
    if (this.isDeaf) this.untold.add(mac);
    this.tell({ kind: 'link-seen', name, index, mac, mtu: NIC_MTU, type });
  }

  /** The operating system configures the NIC, now and whenever it comes. */
  configure({ mac, primary4, primary6 }: { readonly mac: Mac; readonly primary4?: Ip; readonly primary6?: Ip }): void {
    const addresses = [primary4, primary6].filter((ip) => ip !== undefined);
    this.configured.set(mac, addresses);
    for (const nic of this.nics())
      if (nic.mac === mac) for (const ip of addresses) put(this.host, ownAddress(nic.name, ip));
  }

  /** The NIC's coming could be heard, if it has come. */
  hasTold(mac: Mac): boolean {
    return !this.untold.has(mac);
  }

  unplug(mac: Mac): void {
    for (const link of this.nics()) if (link.mac === mac) this.dropLink(this.host, link.name);
  }

  /** Links of the instance's NICs. */
  nics(): LinkState[] {
    return [...this.host.links.values()].filter(({ type, name }) => type === '' && name !== 'lo');
  }

  /** Somebody else removes an object of ours. */
  sabotage(choose: (objects: readonly KernelObject[]) => KernelObject | undefined): void {
    const object = choose([...this.host.objects.values()]);
    if (object === undefined) return;
    this.host.remove(objectIdentity(object));
    this.tell({ kind: 'changed', what: 'route' });
  }

  /** Somebody puts an object on the host. */
  restore(object: KernelObject): void {
    put(this.host, object);
    this.tell({ kind: 'changed', what: 'address' });
  }

  /** Somebody removes an object in a pod, or sets its links down where none is chosen. */
  sabotagePod(path: string, choose: (objects: readonly KernelObject[]) => KernelObject | undefined): void {
    const pod = this.namespaces.get(path);
    if (pod === undefined) return;
    const object = choose([...pod.objects.values()]);
    if (object !== undefined) pod.remove(objectIdentity(object));
    else for (const link of [...pod.links.values()]) pod.links.set(link.name, { ...link, up: false });
    for (const { namespace, name } of pod.peers.values()) {
      const index = namespace.links.get(name)?.index;
      if (index !== undefined) this.tell({ kind: 'pod-changed', index });
    }
  }

  /** The process is dead: what it had not yet sent is never done, and nobody hears the answers. */
  abandon(): void {
    this.process++;
    this.beforeStep = undefined;
    this.held = undefined;
  }

  /** The process stands still: what it has sent is done, what comes of it waits. */
  hold(): void {
    this.held ??= [];
  }

  letGo(): void {
    const { held = [] } = this;
    this.held = undefined;
    for (const answer of held) answer();
  }

  apply(steps: readonly Step[], pod?: { readonly netns: string }): Promise<readonly StepFailure[]> {
    // Of the host's, whose ways have gateways that are waited for: meanwhile others have their turn.
    const isSync = pod === undefined && steps.some((step) => step.do === 'put');
    return this.later(() => this.applyNow(steps, pod), isSync ? this.options.answerMs?.() : undefined);
  }

  private applyNow(
    steps: readonly Step[],
    pod: { readonly netns: string } | undefined,
  ): readonly StepFailure[] | typeof DIED {
    const failures: StepFailure[] = [];
    for (const step of steps) {
      if (this.beforeStep?.() === true) return DIED;
      const errno =
        this.refuse?.(step) ?? this.take(step, pod === undefined ? undefined : this.namespaces.get(pod.netns));
      if (errno === undefined) continue;
      failures.push({ step, errno, message: '' });
      if (step.do === 'create-veth') break;
    }
    return failures;
  }

  private take(step: Step, pod: Namespace | undefined): string | undefined {
    switch (step.do) {
      case 'create-veth':
        return this.createVeth(step, pod);
      case 'delete-links':
        for (const name of step.names) this.dropLink(this.host, name);
        return undefined;
      case 'rename-link':
        // As before Linux 6.2, of a link that is up.
        return this.host.links.has(step.name) ? 'EBUSY' : 'ENODEV';
      case 'delete-link': {
        const namespace = step.at === 'pod' ? pod : this.host;
        if (namespace === undefined) return 'ENONET';
        this.dropLink(namespace, step.name);
        return undefined;
      }
      case 'set-link': {
        const namespace = step.at === 'pod' ? pod : this.host;
        if (namespace === undefined) return 'ENONET';
        const link = namespace.links.get(step.link.name);
        if (link === undefined) return 'ENODEV';
        const { name: _, rpFilter: _rp, noAddrGen: _gen, ...change } = step.link;
        namespace.links.set(link.name, { ...link, ...change });
        return undefined;
      }
      case 'put':
      case 'remove': {
        const namespace = step.at === 'pod' ? pod : this.host;
        if (namespace === undefined) return 'ENONET';
        return step.do === 'put' ? put(namespace, step.object) : remove(namespace, step.object);
      }
    }
  }

  private createVeth(step: Extract<Step, { do: 'create-veth' }>, pod: Namespace | undefined): string | undefined {
    if (pod === undefined) return 'ENONET';
    if (this.host.links.has(step.host.name) || pod.links.has(step.pod.name)) return 'EEXIST';
    for (const link of this.host.links.values()) if (link.index === step.host.index) return 'EEXIST';
    const common = { up: false, alias: '', type: 'veth' } as const;
    this.host.links.set(step.host.name, { ...step.host, ...common });
    this.host.peers.set(step.host.name, { namespace: pod, name: step.pod.name });
    pod.links.set(step.pod.name, { ...step.pod, index: 2, group: 0, peer: step.host.index, ...common });
    pod.peers.set(step.pod.name, { namespace: this.host, name: step.host.name });
    const { name, index, mac, mtu } = step.host;
    this.tell({ kind: 'link-seen', name, index, mac, mtu, type: 'veth' });
    return undefined;
  }

  private dropLink(namespace: Namespace, name: string): void {
    const link = namespace.links.get(name);
    if (link === undefined) return;
    const peer = namespace.peers.get(name);
    namespace.removeLink(name);
    if (namespace === this.host) this.tell({ kind: 'link-gone', name, index: link.index, mac: link.mac });
    if (peer !== undefined) this.dropLink(peer.namespace, peer.name);
  }

  read(netns?: string): Promise<KernelState | undefined> {
    return this.later(() => {
      const namespace = netns === undefined ? this.host : this.namespaces.get(netns);
      if (namespace === undefined) return undefined;
      return { links: [...namespace.links.values()], objects: [...namespace.objects.values()] };
    });
  }

  async readPod({ netns }: { readonly netns: string }): Promise<ActualPod | undefined> {
    const [host, pod] = await Promise.all([this.read(), this.read(netns)]);
    return host && pod && { host, pod };
  }

  identify(netns: string): Promise<string | undefined> {
    return Promise.resolve(this.namespaces.get(netns)?.id);
  }

  flushConntrack(
    what: { readonly addresses: readonly Ip[] } | { readonly mark: number; readonly mask: number },
  ): Promise<boolean> {
    return this.later(() => {
      const { flushes = true, clock } = this.options;
      if (flushes && 'addresses' in what) for (const ip of what.addresses) this.flushedMs.set(ip, clock.nowMs());
      return flushes;
    });
  }

  listen(listener: (event: KernelEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  get failed(): Promise<Error> {
    return this.failure.promise;
  }

  /** From now on nobody can speak to it or hears of it. */
  fail(reason: Error): void {
    this.failure.resolve(reason);
  }

  close(): Promise<void> {
    this.listeners.clear();
    return Promise.resolve();
  }

  private later<T>(deed: () => T | typeof DIED, answerMs = 0): Promise<T> {
    const { process } = this;
    const { clock, batchMs = 1 } = this.options;
    return new Promise((resolve) => {
      const answer = (result: T): void => {
        if (process !== this.process) return;
        if (this.held === undefined) resolve(result);
        else this.held.push(() => resolve(result));
      };
      clock.timer(clock.nowMs() + batchMs, () => {
        const result = process === this.process ? deed() : DIED;
        if (result === DIED) return;
        if (answerMs === 0) answer(result);
        else clock.timer(clock.nowMs() + answerMs, () => answer(result));
      });
    });
  }

  /** From now on nothing is heard: the queue of notifications is full, or there is none. */
  deafen(): void {
    this.isDeaf = true;
  }

  /** Notifications are heard again, and that some were lost. */
  undeafen(): void {
    if (!this.isDeaf) return;
    this.isDeaf = false;
    this.untold.clear();
    this.tell({ kind: 'changed', what: 'lost' });
  }

  private tell(event: KernelEvent): void {
    if (this.isDeaf) return;
    // Heard later, as from a socket: never in the middle of the batch that caused it.
    this.options.clock.timer(this.options.clock.nowMs(), () => {
      for (const listener of this.listeners) listener(event);
    });
  }
}

const ownAddress = (link: string, ip: Ip): KernelObject => ({
  kind: 'address',
  link,
  address: `${ip}/${familyOf(ip) === 4 ? 32 : 128}`,
  scope: 'global',
  noPrefixRoute: false,
  noDad: false,
  deprecated: false,
});
