/**
 * The thread that speaks netlink. It does one deed after the other, each to its end, so a namespace is entered and left
 * within one, and a slow RTNL never stalls the event loop of the process.
 */
import { stat } from 'node:fs/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { apply } from './apply.ts';
import { flushConntrack } from './conntrack.ts';
import type { Deeds, Netns, Reply, Request } from './deeds.ts';
import { failpointIn } from './failpoint.ts';
import { askGateways } from './gateway.ts';
import { openListeningSocket } from './listening-socket.ts';
import { codeOf, createNamespace, deleteNamespace, fileIdentity, inNamespace, NoNamespaceError } from './namespace.ts';
import { readCounters } from './nftables/read.ts';
import { readState } from './read.ts';
import { Session } from './session.ts';
import { Listener, Subscription } from './subscription.ts';

/** Sessions of hosts' namespaces, with the identity that their path had. */
const kept = new Map<Netns, { readonly id: string | undefined; readonly session: Session }>();
const listener = new Listener();
const failpoint = failpointIn(process.env.UNDERWAY_FAILPOINT);

function host(netns: Netns): Session {
  const id = netns === undefined ? undefined : fileIdentity(netns);
  const known = kept.get(netns);
  if (known !== undefined && known.id === id) return known.session;
  release(netns);
  const session = new Session(netns);
  kept.set(netns, { id, session });
  return session;
}

function release(netns: Netns): void {
  kept.get(netns)?.session.close();
  kept.delete(netns);
}

/** An open socket would keep a dead pod's namespace alive, so a pod's session ends with the deed. */
function withSession<T>(netns: Netns, keep: boolean, deed: (session: Session) => T): T {
  if (keep) return deed(host(netns));
  const session = new Session(netns);
  try {
    return deed(session);
  } finally {
    session.close();
  }
}

const deedsOf = (port: MessagePort): Deeds => ({
  apply: ({ host: netns, pod, steps }) => apply(steps, { host: host(netns), podPath: pod, failpoint }),
  askGateways: ({ host: netns, gateways }) => askGateways(host(netns), gateways),
  read({ netns, scope, keep }) {
    try {
      return withSession(netns, keep, (session) => readState(session, scope));
    } catch (error) {
      if (error instanceof NoNamespaceError) return undefined;
      throw error;
    }
  },
  counters: ({ netns, family, table, reset }) => readCounters(host(netns), { family, table }, { reset }),
  flushConntrack: ({ netns, what }) => flushConntrack(host(netns).netfilter, what),
  createNamespace: ({ path }) => createNamespace(path),
  deleteNamespace({ path }) {
    release(path);
    deleteNamespace(path);
  },
  release: ({ netns }) => release(netns),
  openSocket: ({ netns, kind, address, port: number }) =>
    inNamespace(netns, () => openListeningSocket({ kind, address, port: number })),
  listen({ netns, subscription, protocol, nftTables }) {
    const tell = (events: Extract<Reply, { events: unknown }>['events']) => port.postMessage({ subscription, events });
    listener.add(subscription, new Subscription(host(netns), { protocol, nftTables }, tell));
  },
  unlisten: ({ subscription }) => listener.remove(subscription),
  close() {
    listener.close();
    for (const netns of [...kept.keys()]) release(netns);
    // After the reply is out.
    setImmediate(() => port.close());
  },
});

function answer(deeds: Deeds, { id, deed, request }: Request): Reply {
  try {
    // The client's types pair each deed with its request.
    return { id, value: (deeds[deed] as (request: unknown) => unknown)(request) };
  } catch (error) {
    return { id, error: { message: Error.isError(error) ? error.message : String(error), code: codeOf(error) } };
  }
}

if (parentPort !== null) {
  const port = parentPort;
  // Starts libuv's pool now: a thread that is born while this one is inside a pod's namespace stays there for ever.
  await stat('/proc/self');
  const deeds = deedsOf(port);
  port.on('message', (request: Request) => port.postMessage(answer(deeds, request)));
}
