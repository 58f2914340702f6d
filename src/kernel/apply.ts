/**
 * Runs ordered steps: what goes to one place travels in one datagram, in order, and each step gets its own answer.
 * Invariants: steps of a place are taken by the kernel in the order given; a place's nft steps are one transaction, sent
 * where the last of them stands, so that ways come before what steers to them and go after it.
 */
import { closeSync, writeFileSync } from 'node:fs';
import type { KernelObject, Place, Step } from '../datapath/kernel-state.ts';
import type { StepFailure } from '../ports/kernel.ts';
import type { Failpoint } from './failpoint.ts';
import { codeOf, NoNamespaceError, openNamespace } from './namespace.ts';
import { type Answer, answerText } from './netlink-socket.ts';
import { isNft, type NftStep, transact } from './nftables/transaction.ts';
import { putAddress, removeAddress } from './rtnetlink/address.ts';
import { createVeth, deleteGroup, deleteLink, getLink, renameLink, setLink } from './rtnetlink/link.ts';
import { putNeighbour, removeNeighbour } from './rtnetlink/neighbour.ts';
import { putQdisc, removeQdisc } from './rtnetlink/qdisc.ts';
import { putRoute, removeRoute } from './rtnetlink/route.ts';
import { putRule, removeRule } from './rtnetlink/rule.ts';
import { Session } from './session.ts';

/** Links are put here to be deleted together; nobody else's group (src/datapath/numbering.ts has all of ours). */
export const REAP_GROUP = 0x5557_0002;
/** The first free index of a new namespace, which has only lo. */
const FIRST_POD_INDEX = 2;

/** What says of a removal that there was nothing to remove. */
const ABSENT = ['ESRCH', 'ENOENT', 'ENODEV', 'EADDRNOTAVAIL'];
const NO_LINK = { errno: 'ENODEV', message: 'no such link' } as const;

type Of<K extends Step['do']> = Extract<Step, { do: K }>;
type ObjectStep = Of<'put' | 'remove'>;
type RouteObjectKind = Exclude<KernelObject, { kind: `nft-${string}` | 'policer' | 'sysctl' }>;

interface Queued {
  readonly step: Step;
  readonly message: Buffer;
  /** Errnos that mean the step was done already. */
  readonly forgiven: readonly string[];
}

/** Both places of one apply; `pod` is undefined when the batch names none or its namespace is gone. */
interface Places {
  readonly host: Session;
  readonly pod: Session | undefined;
}

/**
 * Failures in the order of the steps. The pod's side is open only meanwhile: an open socket would keep a dead pod's
 * namespace alive.
 */
export function apply(
  steps: readonly Step[],
  {
    host,
    podPath,
    failpoint,
  }: { readonly host: Session; readonly podPath: string | undefined; readonly failpoint?: Failpoint | undefined },
): StepFailure[] {
  const pod = podPath === undefined ? undefined : openPod(podPath);
  try {
    const failures = new Applier({ host, pod }, failpoint).run(steps);
    const order = new Map(steps.map((step, at) => [step, at]));
    return failures.sort((a, b) => (order.get(a.step) ?? 0) - (order.get(b.step) ?? 0));
  } finally {
    pod?.close();
  }
}

function openPod(path: string): Session | undefined {
  try {
    return new Session(path);
  } catch (error) {
    if (error instanceof NoNamespaceError) return undefined;
    throw error;
  }
}

class Applier {
  private readonly places: Places;
  private readonly failpoint: Failpoint | undefined;
  private readonly failures: StepFailure[] = [];
  private readonly indexes = {
    host: new Map<string, number | undefined>(),
    pod: new Map<string, number | undefined>(),
  };
  private readonly raised: Of<'set-link'>[] = [];
  private queue: Queued[] = [];
  private queueAt: Place = 'host';

  constructor(places: Places, failpoint: Failpoint | undefined) {
    this.places = places;
    this.failpoint = failpoint;
  }

  run(steps: readonly Step[]): StepFailure[] {
    const transactions = { host: steps.filter(isNftAt('host')), pod: steps.filter(isNftAt('pod')) };
    for (const step of steps) {
      if (isNftStep(step)) {
        const transaction = transactions[step.at];
        if (step !== transaction.at(-1)) continue;
        this.transact(step.at, transaction);
      } else this.take(step);
      if (this.failpoint !== undefined) this.passed(this.failpoint);
      if (step.do === 'create-veth' && this.failures.some((failure) => failure.step === step)) break;
    }
    this.awaitCarriers();
    this.flush();
    return this.failures;
  }

  /** Where the process may be told to end, each step is a datagram of its own. */
  private passed(failpoint: Failpoint): void {
    this.flush();
    failpoint('step');
  }

  /**
   * A veth end that came up before its peer sends nothing (noop_qdisc) until the kernel's link watch has run, which waits
   * for RTNL: with others at work on links 5 of 80 pods lost their first packet. Asking for the link makes it run at once
   * (rtnl_getlink, linkwatch_sync_dev; Linux 6.8). The last one to come up found its peer up: it sends at once.
   */
  private awaitCarriers(): void {
    for (const step of this.raised.slice(0, -1)) {
      if (this.places[step.at] === undefined) continue;
      this.enqueue(step.at, { step, message: getLink(step.link.name), forgiven: ABSENT });
    }
  }

  private take(step: Step): void {
    switch (step.do) {
      case 'create-veth':
        return this.createVeth(step);
      case 'set-link':
        if (step.link.up === true && step.link.name !== 'lo') this.raised.push(step);
        return this.enqueue(step.at, { step, message: setLink(step.link), forgiven: [] });
      case 'rename-link':
        return this.renameLink(step);
      case 'delete-link':
        this.enqueue(step.at, { step, message: deleteLink(step.name), forgiven: ABSENT });
        this.flush();
        this.indexes[step.at].delete(step.name);
        return;
      case 'delete-links':
        return this.deleteLinks(step);
      case 'put':
      case 'remove':
        return this.object(step);
    }
  }

  /** The name is looked up first: a create that fails for a taken name holds RTNL for 20 to 39 ms. */
  private createVeth(step: Of<'create-veth'>): void {
    this.flush();
    const { host, pod } = this.places;
    if (pod?.path === undefined) return this.fail(step, NO_NAMESPACE);
    if (host.linkIndex(step.host.name) !== undefined) {
      return this.fail(step, { errno: 'EEXIST', message: `the link ${step.host.name} is there already` });
    }
    const { index, ...hostEnd } = step.host;
    const end = index === 0 ? hostEnd : step.host;
    // In the group too, which tells a listener of all namespaces that it is a pod's.
    const podEnd = { ...step.pod, group: step.host.group };
    const fd = openNamespace(pod.path);
    try {
      const create = (peer: Parameters<typeof createVeth>[1]): Answer =>
        host.route.request([createVeth(end, peer, fd)])[0];
      let answer = create({ ...podEnd, index: FIRST_POD_INDEX });
      if (answer === undefined) this.indexes.pod.set(step.pod.name, FIRST_POD_INDEX);
      else if (answerText(answer).errno === 'EBUSY') answer = create(podEnd);
      if (answer !== undefined) return this.fail(step, answerText(answer));
      if (index !== 0) this.indexes.host.set(step.host.name, index);
    } finally {
      closeSync(fd);
    }
  }

  private renameLink(step: Of<'rename-link'>): void {
    const index = this.linkIndex(step.at, step.name);
    if (index === undefined) return this.fail(step, NO_LINK);
    this.enqueue(step.at, { step, message: renameLink(index, step.to), forgiven: [] });
    this.flush();
    this.indexes[step.at].clear();
  }

  private deleteLinks(step: Of<'delete-links'>): void {
    for (const name of step.names) {
      this.enqueue('host', { step, message: setLink({ name, group: REAP_GROUP }), forgiven: ABSENT });
    }
    this.enqueue('host', { step, message: deleteGroup(REAP_GROUP), forgiven: ABSENT });
    this.flush();
    for (const name of step.names) this.indexes.host.delete(name);
  }

  private object(step: ObjectStep): void {
    const { object, at } = step;
    switch (object.kind) {
      case 'sysctl':
        return this.sysctl(step, object);
      case 'address':
      case 'neighbour':
      case 'qdisc':
      case 'route':
      case 'rule': {
        const link = 'link' in object ? object.link : undefined;
        const index = link === undefined ? undefined : this.linkIndex(at, link);
        if (link !== undefined && index === undefined) {
          if (this.session(step, at) !== undefined && step.do === 'put') this.fail(step, NO_LINK);
          return;
        }
        const forgiven = step.do === 'remove' ? ABSENT : object.kind === 'rule' ? ['EEXIST'] : [];
        return this.enqueue(at, { step, message: encode(step.do, object, index), forgiven });
      }
    }
  }

  private sysctl(step: ObjectStep, { path, value }: Extract<KernelObject, { kind: 'sysctl' }>): void {
    this.flush();
    // It is the kernel's, with or without us.
    if (step.do === 'remove') return;
    try {
      this.session(step, step.at)?.inside(() => writeFileSync(`/proc/sys/${path}`, value));
    } catch (error) {
      this.fail(step, { errno: codeOf(error), message: `cannot write ${path}` });
    }
  }

  private transact(at: Place, steps: readonly NftStep[]): void {
    this.flush();
    const [first] = steps;
    const session = first && this.session(first, at);
    if (session === undefined) {
      for (const step of steps.slice(1)) this.fail(step, NO_NAMESPACE);
      return;
    }
    for (const { step, ...failure } of transact(session, steps)) this.fail(step, failure);
  }

  private linkIndex(at: Place, name: string): number | undefined {
    const known = this.indexes[at];
    if (!known.has(name)) known.set(name, this.places[at]?.linkIndex(name));
    return known.get(name);
  }

  private enqueue(at: Place, queued: Queued): void {
    if (this.session(queued.step, at) === undefined) return;
    if (at !== this.queueAt) this.flush();
    this.queueAt = at;
    this.queue.push(queued);
  }

  private flush(): void {
    const queue = this.queue;
    const session = this.places[this.queueAt];
    this.queue = [];
    if (queue.length === 0 || session === undefined) return;
    const answers = session.route.request(queue.map(({ message }) => message));
    for (const [at, { step, forgiven }] of queue.entries()) {
      const answer = answers[at];
      if (answer === undefined) continue;
      const failure = answerText(answer);
      if (!forgiven.includes(failure.errno)) this.fail(step, failure);
    }
  }

  /** Undefined, with the failure told, where the pod's namespace is gone. */
  private session(step: Step, at: Place): Session | undefined {
    const session = this.places[at];
    if (session === undefined) this.fail(step, NO_NAMESPACE);
    return session;
  }

  private fail(step: Step, failure: Omit<StepFailure, 'step'>): void {
    this.failures.push({ step, ...failure });
  }
}

const NO_NAMESPACE = { errno: 'ENONET', message: 'the pod has no network namespace' } as const;

const isNftStep = (step: Step): step is NftStep => (step.do === 'put' || step.do === 'remove') && isNft(step.object);
const isNftAt =
  (at: Place) =>
  (step: Step): step is NftStep =>
    isNftStep(step) && step.at === at;

function encode(deed: 'put' | 'remove', object: RouteObjectKind, index: number | undefined): Buffer {
  const put = deed === 'put';
  switch (object.kind) {
    case 'address':
      return (put ? putAddress : removeAddress)(object, index ?? 0);
    case 'neighbour':
      return (put ? putNeighbour : removeNeighbour)(object, index ?? 0);
    case 'qdisc':
      return put ? putQdisc(object, index ?? 0) : removeQdisc(index ?? 0);
    case 'route':
      return (put ? putRoute : removeRoute)(object, index);
    case 'rule':
      return (put ? putRule : removeRule)(object);
  }
}
