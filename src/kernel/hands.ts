/**
 * What one thread needs to do deeds: its sockets in the hosts' namespaces, kept open from one deed to the next.
 * Each method runs to its end on this thread; a namespace is entered and left within it.
 */
import type { KernelState } from '../datapath/kernel-state.ts';
import type { StepFailure } from '../ports/kernel.ts';
import { apply } from './apply.ts';
import type { Deeds, Netns } from './deeds.ts';
import type { Failpoint } from './failpoint.ts';
import { fileIdentity, NoNamespaceError } from './namespace.ts';
import { readPod, readState } from './read.ts';
import { Session } from './session.ts';

export class Hands {
  private readonly failpoint: Failpoint | undefined;
  /** Sessions of hosts' namespaces, with the identity that their path had. */
  private readonly kept = new Map<Netns, { readonly id: string | undefined; readonly session: Session }>();

  constructor(failpoint: Failpoint | undefined) {
    this.failpoint = failpoint;
  }

  /** In a host's namespace. Throws NoNamespaceError. */
  host(netns: Netns): Session {
    const id = netns === undefined ? undefined : fileIdentity(netns);
    const known = this.kept.get(netns);
    if (known !== undefined && known.id === id) return known.session;
    this.release(netns);
    const session = new Session(netns);
    this.kept.set(netns, { id, session });
    return session;
  }

  apply({ host, pod, steps }: Parameters<Deeds['apply']>[0]): readonly StepFailure[] {
    return apply(steps, { host: this.host(host), podPath: pod, failpoint: this.failpoint });
  }

  /** Undefined when there is no namespace at the path. */
  read({ netns, scope, keep }: Parameters<Deeds['read']>[0]): KernelState | undefined {
    if (keep) return absentAsUndefined(() => readState(this.host(netns), scope));
    return absentAsUndefined(() => briefly(netns, (session) => readState(session, scope)));
  }

  /** Undefined when there is no namespace at the pod's path. */
  readPod({ host, pod, ...scope }: Parameters<Deeds['readPod']>[0]): ReturnType<Deeds['readPod']> {
    return absentAsUndefined(() =>
      briefly(pod, (session) => readPod({ host: this.host(host), pod: session, ...scope })),
    );
  }

  /** Closes the sockets kept for a namespace, so that it can go. */
  release(netns: Netns): void {
    this.kept.get(netns)?.session.close();
    this.kept.delete(netns);
  }

  close(): void {
    for (const netns of [...this.kept.keys()]) this.release(netns);
  }
}

/** An open socket would keep a dead pod's namespace alive, so a pod's session ends with the deed. */
function briefly<T>(netns: Netns, deed: (session: Session) => T): T {
  const session = new Session(netns);
  try {
    return deed(session);
  } finally {
    session.close();
  }
}

function absentAsUndefined<T>(deed: () => T): T | undefined {
  try {
    return deed();
  } catch (error) {
    if (error instanceof NoNamespaceError) return undefined;
    throw error;
  }
}
