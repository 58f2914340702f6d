/**
 * A server inside a namespace: its socket is opened there, its work is done here.
 * Invariant: `close` leaves no socket open, and with it nothing that keeps the namespace alive.
 */
import { createServer, type Socket } from 'node:net';
import type { Ip } from '../core/ip.ts';
import type { Networks } from '../kernel/networks.ts';

export interface NamespaceServer {
  close(): Promise<void>;
}

/** Hands each connection to `take`. Rejects when the address is not there or the port is taken. */
export async function serveIn(
  networks: Networks,
  at: { readonly netns: string; readonly address: Ip; readonly port: number },
  take: (socket: Socket) => void,
): Promise<NamespaceServer> {
  const { netns, address, port } = at;
  const fd = await networks.openSocketIn(netns, { kind: 'tcp', address, port });
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // A connection that breaks is the client's matter.
    socket.on('error', () => {});
    take(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, resolve);
  });
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
