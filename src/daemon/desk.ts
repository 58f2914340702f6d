/**
 * Between the socket and the core: a request in CNI's words becomes an event, the core's reply an answer.
 *
 * Invariants: every request is answered once, or its caller is gone and the core knows; nothing is decided here that
 * the core could decide; while there is no core yet, requests wait and at their deadline hear why.
 */
import { statSync } from 'node:fs';
import { type Attachment, type AttachmentKey, attachmentKey, type RequestId } from '../core/brand.ts';
import type { Event, Reply } from '../core/events.ts';
import { podMac } from '../core/lease.ts';
import type { Reason } from '../core/reasons.ts';
import type { LeaseRow, NetnsRef } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { Clock } from '../ports/clock.ts';
import type { Kernel, NamespaceId } from '../ports/kernel.ts';
import { answerTo, errorAnswer, type HttpAnswer } from '../protocol/answer.ts';
import { type CniError, errorOf, type Verb } from '../protocol/error.ts';
import { type Asker, type CniRequest, parseRequest } from '../protocol/request.ts';
import { misbeliefs } from '../protocol/told.ts';
import { whoIs } from './refusals.ts';
import type { EarlyAdd } from './why.ts';

/** The core as the desk sees it, once there is one. */
export interface Core {
  readonly state: State;
  readonly enqueue: (...events: readonly Event[]) => void;
}

/** One request's end, for logs and metrics. */
export interface Handled {
  readonly verb: Verb | 'INVALID';
  /** CNI's error code; 0 for success. */
  readonly code: number;
  readonly ms: number;
  readonly request?: CniRequest;
  readonly reply?: Reply;
  /** Why it was no request, and who sent it. */
  readonly error?: CniError;
  readonly asked?: Asker;
  /** What the attachment held when it was asked for. */
  readonly lease?: LeaseRow;
}

export interface DeskOptions {
  readonly clock: Clock;
  readonly kernel: Pick<Kernel, 'identify'>;
  /** Path of the node's own namespace. */
  readonly hostNetns: string;
  readonly addDeadlineMs: () => number;
  /** A daemon of this boot could serve a moment ago. */
  readonly servedBefore: () => boolean;
  readonly handled: (seen: Handled) => void;
}

type Of<V extends CniRequest['verb']> = Extract<CniRequest, { verb: V }>;

interface Pending {
  readonly request: CniRequest;
  readonly sinceMs: number;
  /** When a spooled DEL was asked for. */
  readonly askedMs?: number;
  readonly settle: (reply: Reply) => void;
}

export class Desk {
  private readonly options: DeskOptions;
  private readonly pending = new Map<RequestId, Pending>();
  private readonly cancelDeadline = new Map<RequestId, () => void>();
  /** ADDs and CHECKs whose namespace is looked at: what is asked of the same attachment later may not overtake them. */
  private readonly identifying = new Map<AttachmentKey, Promise<void>>();
  /** Events for the core, in their order. */
  private readonly told: Event[] = [];
  private core: Core | undefined;
  private notYet: Reason = { code: 'DAEMON_STARTING', detail: 'it was started a moment ago' };
  private closed = false;
  private own: Promise<NamespaceId | undefined> | undefined;
  private count = 0;

  constructor(options: DeskOptions) {
    this.options = options;
  }

  /** Why there is no core yet: what requests hear that cannot wait any longer. */
  startingBecause(reason: Reason): void {
    this.notYet = reason;
  }

  /** From now on the core takes requests; those that waited are first, in their order, after the spooled DELs. */
  open(core: Core): void {
    this.core = core;
    for (const cancel of this.cancelDeadline.values()) cancel();
    this.cancelDeadline.clear();
    const waiting = [...this.pending];
    for (const [id, { askedMs }] of waiting) if (askedMs !== undefined) this.submit(id);
    for (const [id, { askedMs }] of waiting) if (askedMs === undefined) this.submit(id);
  }

  /** One request's text. The returned function says that its caller is gone; after the answer it does nothing. */
  ask(body: string, respond: (answer: HttpAnswer) => void): () => void {
    const beganMs = this.options.clock.nowMs();
    const parsed = parseRequest(body);
    if ('error' in parsed) {
      const { error, cniVersion, asked } = parsed;
      this.options.handled({ verb: 'INVALID', code: error.code, ms: 0, error, ...(asked && { asked }) });
      respond(errorAnswer(error, cniVersion));
      return () => undefined;
    }
    const { request } = parsed;
    const lease = this.leaseOf(request);
    const id = this.take(request, (reply) => {
      const ms = this.options.clock.nowMs() - beganMs;
      const checked = this.compared(request, reply);
      const code = checked.kind === 'refused' ? errorOf(checked.reason, request.verb).code : 0;
      // The answer first: the log's line and the metrics are nobody's to wait for.
      respond(mended(request, answerTo(request, checked)));
      this.options.handled({ verb: request.verb, code, ms, request, reply: checked, ...(lease && { lease }) });
    });
    return () => this.hangUp(id);
  }

  /** A DEL that the shim wrote down at `askedMs`, while no daemon listened. */
  replay(request: CniRequest, askedMs: number): Promise<Reply> {
    return new Promise((resolve) => this.take(request, resolve, askedMs));
  }

  /** The core's answer. Who asked may be gone. */
  reply(id: RequestId, reply: Reply): void {
    const pending = this.pending.get(id);
    this.forget(id);
    pending?.settle(reply);
  }

  /** Nothing more is taken. What waits for an address is answered now; what the kernel is at is answered when done. */
  close(): void {
    this.closed = true;
    this.notYet = { code: 'DAEMON_STARTING', detail: 'it is being restarted' };
    for (const [id, { request }] of [...this.pending]) {
      if (this.core !== undefined && !this.waitsForAddress(request)) continue;
      this.tell({ kind: 'hang-up', request: id });
      this.refuse(id, this.notYet);
    }
  }

  /** ADDs that are not answered yet; the core knows more of those it has heard of. */
  get adds(): readonly EarlyAdd[] {
    return [...this.pending.values()].flatMap(({ request, sinceMs }) => {
      if (request.verb !== 'ADD') return [];
      const { containerId, ifname } = request.attachment;
      return [{ who: whoIs(request), containerId, ifname, sinceMs, deadlineMs: this.deadlineMs(request, sinceMs) }];
    });
  }

  get isIdle(): boolean {
    return this.pending.size === 0;
  }

  private take(request: CniRequest, settle: (reply: Reply) => void, askedMs?: number): RequestId {
    const id = `r${++this.count}` as RequestId;
    const sinceMs = this.options.clock.nowMs();
    this.pending.set(id, { request, sinceMs, ...(askedMs !== undefined && { askedMs }), settle });
    // STATUS goes on to be answered: a restart is no reason for the node to be NotReady.
    const isTaken = !this.closed || request.verb === 'STATUS';
    if (request.verb === 'STATUS' && this.isStarting && this.options.servedBefore()) this.reply(id, { kind: 'done' });
    else if (this.core !== undefined && isTaken) this.submit(id);
    else if (this.closed || request.verb === 'STATUS') this.refuse(id, this.notYet);
    else this.awaitCore(id, this.deadlineMs(request, sinceMs));
    return id;
  }

  private get isStarting(): boolean {
    return !this.closed && this.core?.state.runtime.phase !== 'serving';
  }

  private awaitCore(id: RequestId, atMs: number): void {
    const cancel = this.options.clock.timer(atMs, () => this.refuse(id, this.notYet));
    this.cancelDeadline.set(id, cancel);
  }

  private submit(id: RequestId): void {
    const pending = this.pending.get(id);
    if (pending === undefined) return;
    const { request, sinceMs, askedMs } = pending;
    if (request.verb === 'GC' && request.valid === undefined) return this.reply(id, { kind: 'done' });
    if (request.verb === 'ADD' || request.verb === 'CHECK')
      return this.identifyFirst(id, request, this.deadlineMs(request, sinceMs));
    const event = eventOf(id, request, askedMs);
    const before = 'attachment' in request && this.identifying.get(attachmentKey(request.attachment));
    if (before) before.then(() => this.tell(event));
    else this.tell(event);
  }

  private identifyFirst(id: RequestId, request: Of<'ADD' | 'CHECK'>, deadlineMs: number): void {
    const key = attachmentKey(request.attachment);
    const identified = this.identify(id, request, deadlineMs).then(() => {
      if (this.identifying.get(key) === identified) this.identifying.delete(key);
    });
    this.identifying.set(key, identified);
  }

  /** Who the pod's namespace is, before the core hears of it: a path may be another pod's tomorrow. */
  private identify(id: RequestId, request: Of<'ADD' | 'CHECK'>, deadlineMs: number): Promise<void> {
    const { kernel, hostNetns } = this.options;
    const { attachment, netns: path } = request;
    this.own ??= kernel.identify(hostNetns);
    const before = this.identifying.get(attachmentKey(attachment));
    return Promise.all([kernel.identify(path), this.own, before]).then(
      ([namespace, own]) => {
        // Its caller may have gone meanwhile.
        if (!this.pending.has(id)) return;
        if (namespace === undefined) return this.refuse(id, noNamespace(path));
        const netns: NetnsRef = { path, id: namespace };
        if (request.verb === 'CHECK') return this.tell({ kind: 'check', request: id, attachment, netns });
        // Wiring it would take the node off its network (the CNI reference's skel refuses it too).
        if (namespace === own) return this.refuse(id, ownNamespace(path));
        const { pod, bandwidth } = request;
        const wishes = { ...(pod && { pod }), ...(bandwidth && { bandwidth }) };
        this.tell({ kind: 'add', request: id, attachment, netns, ...wishes, deadlineMs });
      },
      (cause) => this.refuse(id, { code: 'KERNEL', step: `look at ${path}`, errno: cause?.code ?? String(cause) }),
    );
  }

  private refuse(id: RequestId, reason: Reason): void {
    this.reply(id, { kind: 'refused', reason });
  }

  private hangUp(id: RequestId): void {
    if (!this.pending.has(id)) return;
    this.forget(id);
    this.tell({ kind: 'hang-up', request: id });
  }

  /** What comes in one turn of the loop is one batch of the core's, with one commit. */
  private tell(event: Event): void {
    const { core, told } = this;
    if (core === undefined) return;
    if (told.length === 0) setImmediate(() => core.enqueue(...told.splice(0)));
    told.push(event);
  }

  private forget(id: RequestId): void {
    this.pending.delete(id);
    this.cancelDeadline.get(id)?.();
    this.cancelDeadline.delete(id);
  }

  /** Counted from when it was asked, as its caller counts: what waited for the core has no more time than others. */
  private deadlineMs({ budgetMs }: CniRequest, sinceMs: number): number {
    return sinceMs + Math.min(budgetMs, this.options.addDeadlineMs());
  }

  private waitsForAddress(request: CniRequest): boolean {
    return request.verb === 'ADD' && this.core?.state.get('waiter', attachmentKey(request.attachment)) !== undefined;
  }

  private leaseOf(request: CniRequest): LeaseRow | undefined {
    return 'attachment' in request ? this.core?.state.leaseOf(attachmentKey(request.attachment)) : undefined;
  }

  /** CHECK also fails where the runtime believes something else of the pod's interface than is leased. */
  private compared(request: CniRequest, reply: Reply): Reply {
    const lease = this.leaseOf(request);
    if (request.verb !== 'CHECK' || reply.kind !== 'done' || lease === undefined) return reply;
    const { addresses, mtu } = lease;
    const problems = misbeliefs(request.told, { addresses, mac: podMac(addresses), mtu });
    return problems.length === 0 ? reply : { kind: 'refused', reason: { code: 'NOT_AS_WIRED', problems } };
  }
}

function eventOf(id: RequestId, request: Of<'DEL' | 'GC' | 'STATUS'>, askedMs: number | undefined): Event {
  switch (request.verb) {
    case 'DEL':
      return { kind: 'del', request: id, attachment: request.attachment, ...(askedMs !== undefined && { askedMs }) };
    case 'GC': {
      const valid: readonly Attachment[] = request.valid ?? [];
      return { kind: 'gc', request: id, network: request.network, valid };
    }
    case 'STATUS':
      return { kind: 'status', request: id };
  }
}

/**
 * containerd's go-cni takes a DEL error with these words for success and forgets the pod, which would leak its
 * address; a cloud's or the kernel's own text may hold them. The other words are as long, so the length stays.
 */
function mended(request: CniRequest, answer: HttpAnswer): HttpAnswer {
  if (request.verb !== 'DEL' || answer.status === 200) return answer;
  const body = answer.body
    .replace(/not found/gi, 'not there')
    .replace(/no such file or directory/gi, 'a file or path is missing');
  return { ...answer, body };
}

const ownNamespace = (path: string): Reason => ({
  code: 'BAD_REQUEST',
  detail: `CNI_NETNS ${path} is the node's own network namespace: a pod needs one of its own`,
});

/** Nothing at the path is the common race with a sandbox's end; something else there is a wrong path, or a lost mount. */
function noNamespace(path: string): Reason {
  const wrong = whatIsWrong(path);
  return wrong === undefined
    ? { code: 'NETNS_GONE', netns: path }
    : { code: 'BAD_REQUEST', detail: `CNI_NETNS ${path} ${wrong}` };
}

/** Undefined where nothing is, or could be: a name too long, a zero byte in it. */
function whatIsWrong(path: string): string | undefined {
  try {
    const stat = statSync(path);
    if (stat.isFile())
      return 'is a regular file, no network namespace: its namespace was unmounted, or the daemon does not see the mounts of the runtime';
    const what = stat.isDirectory() ? 'a folder' : 'a device, socket or pipe';
    return `is ${what}, no network namespace: the runtime has to name one`;
  } catch (error) {
    const errno = Error.isError(error) && 'code' in error ? error.code : undefined;
    return errno === 'EACCES' || errno === 'EPERM'
      ? `cannot be read (${errno}): for one under /proc the daemon needs the capability SYS_PTRACE and, in a pod, hostPID`
      : undefined;
  }
}
