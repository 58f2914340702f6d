/** Our own policy: the real core, driver and datapath behind the runtime's verbs, as a node's daemon runs them. */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { MemoryProvider } from '../../../providers/memory/provider.ts';
import { limited } from '../../cloud/limited.ts';
import type { Attachment, RequestId } from '../../core/brand.ts';
import type { Event, Reply } from '../../core/events.ts';
import type { PoolRow, Settings } from '../../core/rows.ts';
import type { BudgetBroker } from '../../ports/budget-broker.ts';
import { MemoryJournal } from '../journal.ts';
import { FakeKernel } from '../kernel.ts';
import { SimNode } from '../node.ts';
import type { AddResult, Host, NodePool, Policy, Sandbox } from './policy.ts';

/** The shim gives an ADD up after a minute (research/cni-runtimes-performance.md section 5, deadlines). */
const SHIM_DEADLINE_MS = 60_000;

export interface UnderwayOptions {
  readonly targets: PoolRow['targets'];
  readonly prefixes?: PoolRow['prefixes'];
  readonly primaryEni?: PoolRow['primaryEni'];
  readonly settings?: Partial<Settings>;
  readonly broker?: BudgetBroker;
  /** Called with each node as it starts, for scenarios that look inside. */
  readonly onNode?: (node: SimNode) => void;
}

/** One daemon a node; with a broker, its calls are leased from it. */
export const underway =
  (options: UnderwayOptions): Policy =>
  () =>
  (host) =>
    new UnderwayPool(host, options);

class UnderwayPool implements NodePool {
  private readonly host: Host;
  private readonly kernel: FakeKernel;
  private readonly node: SimNode;
  private readonly waiting = new Map<RequestId, (reply: Reply) => void>();
  private requestCount = 0;
  private linkCount = 0;

  constructor(host: Host, options: UnderwayOptions) {
    this.host = host;
    const { clock, cloud, instance, name } = host;
    // The kernel takes no time: what is measured is what the cloud costs.
    this.kernel = new FakeKernel({ clock, batchMs: 0 });
    cloud.listen((fact) => {
      if (fact.kind !== 'link-seen' && fact.kind !== 'link-gone') return;
      if (fact.instance !== instance) return;
      if (fact.kind === 'link-gone') this.kernel.unplug(fact.eni.mac);
      else this.kernel.plug(`eth${this.linkCount++}`, fact.eni.mac);
    });
    for (const eni of cloud.truth.enisOf(instance)) this.kernel.plug(`eth${this.linkCount++}`, eni.mac);
    const capabilities = ec2Capabilities(cloud.figures);
    const { targets, prefixes = 'never', primaryEni = 'use', settings, broker } = options;
    this.node = new SimNode({
      clock,
      cloud,
      provider: limited(new MemoryProvider({ cloud, instance, capabilities, clock })),
      instance,
      kernel: this.kernel,
      journal: new MemoryJournal(),
      pool: { subnets: [], groups: [], families: [4], prefixes, primaryEni, targets },
      name: `${name}-`,
      ...(settings && { settings }),
      ...(broker && { broker }),
      crashHere: () => false,
      onReply: (request, reply) => this.answered(request, reply),
      onCrash: () => undefined,
      onError: (error) => {
        throw error;
      },
      onEvent: () => undefined,
    });
    options.onNode?.(this.node);
  }

  start(): void {
    void this.node.start();
  }

  add(sandbox: Sandbox, answer: (result: AddResult) => void): void {
    const path = netnsOf(sandbox);
    const id = this.kernel.addNamespace(path);
    const pod = { namespace: 'default', name: sandbox.pod, uid: sandbox.pod };
    const deadlineMs = this.host.clock.nowMs() + SHIM_DEADLINE_MS;
    this.ask(
      (request) => ({ kind: 'add', request, attachment: attachmentOf(sandbox), netns: { path, id }, pod, deadlineMs }),
      (reply) => {
        const ip = reply.kind === 'added' ? reply.plan.addresses[0] : undefined;
        if (ip !== undefined) return answer({ ok: true, ip });
        answer({ ok: false, why: reply.kind === 'refused' ? reply.reason.code : reply.kind });
      },
    );
  }

  /** StopPodSandbox: DEL, the namespace goes, and DEL once more. */
  del(sandbox: Sandbox, done: () => void): void {
    const del = (request: RequestId): Event => ({ kind: 'del', request, attachment: attachmentOf(sandbox) });
    this.ask(del, () => {
      this.kernel.deleteNamespace(netnsOf(sandbox));
      this.ask(del, done);
    });
  }

  private ask(event: (request: RequestId) => Event, answered: (reply: Reply) => void): void {
    const request = `r${++this.requestCount}` as RequestId;
    this.waiting.set(request, answered);
    // As from a socket: in a turn of its own.
    this.host.clock.after(0, () => this.node.send(event(request)));
  }

  private answered(request: RequestId, reply: Reply): void {
    const then = this.waiting.get(request);
    this.waiting.delete(request);
    then?.(reply);
  }
}

const netnsOf = ({ containerId }: Sandbox): string => `/run/netns/${containerId}`;
const attachmentOf = ({ containerId }: Sandbox): Attachment => ({ network: 'underway', containerId, ifname: 'eth0' });
