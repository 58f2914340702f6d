/**
 * The runtime's side: pods come, ask for an address, live and go, as kubelet and containerd do it: a refused ADD is
 * followed by DEL and a new sandbox; DEL comes twice, the second time without a namespace; a broken connection is
 * tried again with the same request.
 */
import type { Streams } from '../../providers/memory/random.ts';
import { type Attachment, attachmentKey, type LeaseId, type RequestId } from '../core/brand.ts';
import type { Event, Reply } from '../core/events.ts';
import type { Ip } from '../core/ip.ts';
import type { Bandwidth } from '../core/plan.ts';
import type { Reason } from '../core/reasons.ts';
import type { NetnsRef, PodRef } from '../core/rows.ts';
import type { VirtualClock } from './clock.ts';
import type { FakeKernel } from './kernel.ts';
import { DEL_AWAY_MS } from './spool.ts';

const RETRY_MS = 500;
const SHIM_DEADLINE_MS = 60_000;
const BACKOFF_MS = 2_000;

export interface Pod {
  readonly name: string;
  readonly attachment: Attachment;
  readonly netns: string;
  state: 'adding' | 'running' | 'deleting' | 'gone';
  addresses: readonly Ip[];
  /** When it first asked. */
  startedMs: number;
  /** How long it lives once it runs. */
  readonly lifeMs: number;
  /** Who its namespace is. */
  readonly netnsId: string;
  readonly bandwidth: Bandwidth | undefined;
  /** The first request that was sent after its DEL was answered; none before that may be answered with addresses. */
  deletedBefore: number | undefined;
  /** The sandbox vanished without a DEL (node agents do that); a DEL may follow much later. */
  vanished: boolean;
  /** No daemon took its DEL, which was kept: the runtime is done with it. */
  isSpooled: boolean;
  /** When the last of its ADDs that gave it its addresses was sent. */
  addedMs: number;
}

export interface PodsOptions {
  readonly clock: VirtualClock;
  readonly kernel: FakeKernel;
  readonly streams: Streams;
  readonly send: (event: Event) => void;
  readonly up: () => boolean;
  /** A new pod asks when it is told to; at once without it. */
  readonly bind?: (pod: Pod, ask: () => void) => void;
  readonly onRunning: (pod: Pod) => void;
  readonly onStopped: (pod: Pod) => void;
  /** What each pod asks to be limited to. */
  readonly bandwidth?: Bandwidth;
  /** Keeps a DEL for a daemon that is away; without it the runtime asks until there is one. */
  readonly spool?: (attachment: Attachment) => void;
  /** How long after its DEL a sandbox's namespace goes; at once without it. */
  readonly netnsLingersMs?: () => number;
  readonly onRefused?: (pod: Pod, verb: 'add' | 'del' | 'check', reason: Reason) => void;
  /** The daemon said what cannot be. */
  readonly onBreach?: (text: string) => void;
}

export const podRef = ({ name }: Pod): PodRef => ({ namespace: 'default', name, uid: name });

export class Pods {
  readonly all = new Map<string, Pod>();
  readonly waitsMs: number[] = [];
  readonly refusals = new Map<string, number>();
  private readonly options: PodsOptions;
  private readonly pending = new Map<
    RequestId,
    { readonly of: Pod | undefined; readonly again: () => void; readonly done: (reply: Reply) => void }
  >();
  private nextRequest = 1;
  private nextPod = 1;
  private staying = false;

  constructor(options: PodsOptions) {
    this.options = options;
  }

  get liveCount(): number {
    return this.all.size;
  }

  /** A pod that lives `lifeMs` after it runs; tries again with a new sandbox while refused and still wanted. */
  create(lifeMs: number): Pod {
    const n = this.nextPod++;
    const netns = `/run/netns/${n}`;
    const pod: Pod = {
      name: `pod-${n}`,
      attachment: { network: 'underway', containerId: `c${n}`, ifname: 'eth0' },
      netns,
      netnsId: this.options.kernel.addNamespace(netns),
      bandwidth: this.options.bandwidth,
      lifeMs,
      deletedBefore: undefined,
      state: 'adding',
      addresses: [],
      startedMs: this.options.clock.nowMs(),
      vanished: false,
      isSpooled: false,
      addedMs: Number.NEGATIVE_INFINITY,
    };
    this.all.set(attachmentKey(pod.attachment), pod);
    const { bind } = this.options;
    if (bind === undefined) this.add(pod);
    else bind(pod, () => this.asks(pod));
    return pod;
  }

  private asks(pod: Pod): void {
    if (pod.state !== 'adding') return;
    pod.startedMs = this.options.clock.nowMs();
    this.add(pod);
  }

  /** The same ADD once more while the first is in flight, or when it was answered: nothing may change by it. */
  addAgain(pod: Pod, bandwidth = pod.bandwidth): void {
    this.add(pod, bandwidth);
  }

  /**
   * An ADD and a CHECK of what runs that name another namespace: what runs stays as it is, and the runtime is told. Nobody
   * asks again when the daemon ends.
   */
  askElsewhere(pod: Pod, lease: LeaseId): void {
    const path = `${pod.netns}-other`;
    const netns = { path, id: this.options.kernel.addNamespace(path) };
    const over = (): void => this.options.kernel.deleteNamespace(path);
    const ask = (event: (request: RequestId) => Event, done: (reply: Reply) => void): void => {
      const request = this.newRequest();
      this.pending.set(request, { of: pod, again: over, done });
      this.options.send(event(request));
    };
    const { attachment } = pod;
    ask(
      (request) => ({ kind: 'check', request, attachment, netns }),
      (reply) => {
        if (reply.kind === 'refused') this.refused(pod, 'check', reply.reason);
        else this.options.onBreach?.(`${pod.name} runs in ${pod.netns}, and CHECK found it in ${path}`);
      },
    );
    ask(this.addEvent(pod, netns), (reply) => {
      over();
      if (reply.kind === 'refused') this.refused(pod, 'add', reply.reason);
      else if (reply.kind === 'added' && reply.plan.lease === lease)
        this.options.onBreach?.(`${pod.name} runs in ${pod.netns} and was added in ${path}`);
    });
  }

  /** A request of nobody's that waits: who asks again if the daemon ends is the caller's affair. */
  askFor(done: (reply: Reply) => void): RequestId {
    const request = this.newRequest();
    this.pending.set(request, { of: undefined, again: () => undefined, done });
    return request;
  }

  private newRequest(): RequestId {
    return `r${this.nextRequest++}` as RequestId;
  }

  /** As from now: a shim that asks again keeps the deadline that it had. */
  private addEvent(pod: Pod, netns: NetnsRef, bandwidth = pod.bandwidth): (request: RequestId) => Event {
    const { attachment } = pod;
    const deadlineMs = this.options.clock.nowMs() + SHIM_DEADLINE_MS;
    const wishes = { pod: podRef(pod), ...(bandwidth && { bandwidth }) };
    return (request) => ({ kind: 'add', request, attachment, netns, ...wishes, deadlineMs });
  }

  private add(pod: Pod, bandwidth = pod.bandwidth): void {
    const event = this.addEvent(pod, { path: pod.netns, id: pod.netnsId }, bandwidth);
    let sent = 0;
    let sentMs = 0;
    const send = (request: RequestId): Event => {
      sent = this.nextRequest;
      sentMs = this.options.clock.nowMs();
      return event(request);
    };
    this.ask(pod, send, (reply) => {
      if (reply.kind === 'added') {
        pod.addedMs = sentMs;
        this.added(pod, reply, sent);
      } else if (reply.kind === 'refused') this.addRefused(pod, reply.reason);
    });
  }

  private added(pod: Pod, reply: Extract<Reply, { kind: 'added' }>, sent: number): void {
    const { addresses } = reply.plan;
    if (pod.deletedBefore !== undefined && sent <= pod.deletedBefore)
      this.options.onBreach?.(`${pod.name} got ${addresses} after its DEL was answered`);
    if (pod.state === 'running' && addresses.join() !== pod.addresses.join())
      this.options.onBreach?.(`${pod.name} runs with ${pod.addresses} and its repeated ADD says ${addresses}`);
    if (pod.state !== 'adding') return;
    pod.state = 'running';
    pod.addresses = addresses;
    this.waitsMs.push(this.options.clock.nowMs() - pod.startedMs);
    this.options.onRunning(pod);
    if (Number.isFinite(pod.lifeMs)) this.options.clock.after(pod.lifeMs, () => this.ended(pod));
  }

  private ended(pod: Pod): void {
    if (!this.staying) this.remove(pod);
  }

  /** From now on nobody goes who runs. */
  stay(): void {
    this.staying = true;
  }

  private addRefused(pod: Pod, reason: Reason): void {
    this.refused(pod, 'add', reason);
    // What serves goes on serving when only its repeated ADD failed.
    if (pod.state === 'adding') this.remove(pod);
  }

  private refused(pod: Pod, verb: 'add' | 'del' | 'check', reason: Reason): void {
    this.refusals.set(reason.code, (this.refusals.get(reason.code) ?? 0) + 1);
    this.options.onRefused?.(pod, verb, reason);
  }

  check(pod: Pod): void {
    const { attachment } = pod;
    const netns: NetnsRef = { path: pod.netns, id: pod.netnsId };
    const event = (request: RequestId): Event => ({ kind: 'check', request, attachment, netns });
    this.ask(pod, event, (reply) => {
      if (reply.kind === 'refused') this.refused(pod, 'check', reply.reason);
    });
  }

  /** The runtime names what it still has of the network, for all it knows. */
  gc({ network, unnamed }: { readonly network: string; readonly unnamed: (pod: Pod) => boolean }): void {
    const valid = [...this.all.values()].filter((pod) => !unnamed(pod)).map((pod) => pod.attachment);
    this.options.send({ kind: 'gc', request: this.newRequest(), network, valid });
  }

  status(): void {
    this.options.send({ kind: 'status', request: this.newRequest() });
  }

  /** StopPodSandbox: DEL, the namespace goes, and DEL once more. */
  remove(pod: Pod): void {
    if (pod.state === 'deleting' || pod.state === 'gone') return;
    pod.state = 'deleting';
    this.options.onStopped(pod);
    const stop = (): void =>
      this.askToEnd(pod, (reply) => {
        if (reply.kind === 'refused') {
          this.refused(pod, 'del', reply.reason);
          this.options.clock.after(BACKOFF_MS, stop);
          return;
        }
        pod.deletedBefore ??= this.nextRequest;
        const lingersMs = this.options.netnsLingersMs?.() ?? 0;
        if (lingersMs === 0) this.bury(pod);
        else this.options.clock.after(lingersMs, () => this.bury(pod));
      });
    stop();
  }

  private bury(pod: Pod): void {
    this.options.kernel.deleteNamespace(pod.netns);
    this.askToEnd(pod, () => {
      pod.state = 'gone';
      this.all.delete(attachmentKey(pod.attachment));
    });
  }

  /** The machine booted anew: the sandbox is dead, and the runtime deletes what it remembers of it. */
  rebooted(pod: Pod): void {
    if (pod.state !== 'running' && pod.state !== 'adding') return;
    pod.vanished = true;
    this.remove(pod);
  }

  /** The namespace goes without DEL; the runtime's own clean-up comes late. */
  vanish(pod: Pod): void {
    if (pod.state !== 'running') return;
    pod.vanished = true;
    this.options.onStopped(pod);
    this.options.kernel.deleteNamespace(pod.netns);
    this.options.clock.after(30_000, () => this.remove(pod));
  }

  /** kubelet's deadline: it kills the shim in mid-ADD, then deletes, which may take it a while. */
  hangUp(pod: Pod, delMs = 0): void {
    if (pod.state !== 'adding') return;
    for (const [request, { of }] of this.pending) {
      if (of !== pod) continue;
      // Nobody waits for this answer any more.
      this.pending.delete(request);
      this.options.send({ kind: 'hang-up', request });
    }
    if (delMs === 0) this.remove(pod);
    else this.options.clock.after(delMs, () => this.remove(pod));
  }

  answer(request: RequestId, reply: Reply): void {
    const pending = this.pending.get(request);
    if (pending === undefined) return;
    this.pending.delete(request);
    pending.done(reply);
  }

  /** The daemon died: every connection is broken and the shims try again. */
  broken(): void {
    const lost = [...this.pending.values()];
    this.pending.clear();
    for (const { again } of lost) this.options.clock.after(RETRY_MS, again);
  }

  private ask(of: Pod, event: (request: RequestId) => Event, done: (reply: Reply) => void): void {
    const { up, clock, send } = this.options;
    const again = (): void => {
      // Its DEL was kept: the runtime has ended whatever else it asked.
      if (of.isSpooled) return;
      if (!up()) {
        clock.after(RETRY_MS, again);
        return;
      }
      const request = this.newRequest();
      this.pending.set(request, { of, again, done });
      send(event(request));
    };
    again();
  }

  /** A DEL, which a runtime never gives up: a daemon that is away for too long finds it kept. */
  private askToEnd(of: Pod, done: (reply: Reply) => void): void {
    const { up, clock, send, spool } = this.options;
    let awaySinceMs: number | undefined;
    const again = (): void => {
      if (up()) {
        const request = this.newRequest();
        awaySinceMs = undefined;
        this.pending.set(request, { of, again, done });
        return send({ kind: 'del', request, attachment: of.attachment });
      }
      awaySinceMs ??= clock.nowMs();
      if (spool === undefined || clock.nowMs() < awaySinceMs + DEL_AWAY_MS) {
        clock.after(RETRY_MS, again);
        return;
      }
      of.isSpooled = true;
      spool(of.attachment);
      done({ kind: 'done' });
    };
    again();
  }
}
