/**
 * The thread that speaks netlink, but for a pod's deed that is alone (lone-deed.ts). It does one deed after the other, each
 * to its end, so a namespace is entered and left within one, and what takes long never stalls the event loop of the process.
 */
import { stat } from 'node:fs/promises';
import { type MessagePort, parentPort } from 'node:worker_threads';
import { flushConntrack } from './conntrack.ts';
import type { Deeds, Reply, Request } from './deeds.ts';
import { failpointIn } from './failpoint.ts';
import { askGateways } from './gateway.ts';
import { Hands } from './hands.ts';
import { openListeningSocket } from './listening-socket.ts';
import { codeOf, createNamespace, deleteNamespace, inNamespace } from './namespace.ts';
import { readCounters } from './nftables/read.ts';
import { Listener, Subscription } from './subscription.ts';

const listener = new Listener();
const hands = new Hands(failpointIn(process.env.UNDERWAY_FAILPOINT));

const deedsOf = (port: MessagePort): Deeds => ({
  apply: (request) => hands.apply(request),
  askGateways: ({ host: netns, gateways }) => askGateways(hands.host(netns), gateways),
  read: (request) => hands.read(request),
  readPod: (request) => hands.readPod(request),
  counters: ({ netns, family, table, reset }) => readCounters(hands.host(netns), { family, table }, { reset }),
  flushConntrack: ({ netns, what }) => flushConntrack(hands.host(netns).netfilter, what),
  createNamespace: ({ path }) => createNamespace(path),
  deleteNamespace({ path }) {
    hands.release(path);
    deleteNamespace(path);
  },
  release: ({ netns }) => hands.release(netns),
  openSocket: ({ netns, kind, address, port: number }) =>
    inNamespace(netns, () => openListeningSocket({ kind, address, port: number })),
  listen({ netns, subscription, ...interest }) {
    const tell = (events: Extract<Reply, { events: unknown }>['events']) => port.postMessage({ subscription, events });
    listener.add(subscription, new Subscription(netns, interest, tell));
  },
  unlisten: ({ subscription }) => listener.remove(subscription),
  close() {
    listener.close();
    hands.close();
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
