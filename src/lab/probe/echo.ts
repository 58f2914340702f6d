/**
 * A host that says whom it sees: over TCP it writes `<name> saw <source>` to whoever connects and hangs up, over UDP it
 * answers each datagram with the same, and the datagram behind it. Both families.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import type { Ip } from '../../core/ip.ts';
import type { Networks } from '../../kernel/networks.ts';
import { type NamespaceServer, serveIn } from '../namespace-server.ts';

export const ECHO_PORT = 8080;
const ANY = ['0.0.0.0' as Ip, '::' as Ip];

export async function startEcho(
  networks: Networks,
  { netns, name, port = ECHO_PORT }: { readonly netns: string; readonly name: string; readonly port?: number },
): Promise<NamespaceServer> {
  const saw = (source: string | undefined) => `${name} saw ${source}\n`;
  const parts: NamespaceServer[] = [];
  for (const address of ANY) {
    parts.push(await serveIn(networks, { netns, address, port }, (socket) => socket.end(saw(socket.remoteAddress))));
    parts.push(await answerDatagrams(networks, { netns, address, port }, saw));
  }
  return { close: async () => void (await Promise.all(parts.map((part) => part.close()))) };
}

async function answerDatagrams(
  networks: Networks,
  { netns, address, port }: { readonly netns: string; readonly address: Ip; readonly port: number },
  saw: (source: string) => string,
): Promise<NamespaceServer> {
  const fd = await networks.openSocketIn(netns, { kind: 'udp', address, port });
  const socket: DatagramSocket = createSocket(address === '::' ? 'udp6' : 'udp4');
  socket.on('message', (message, from) => {
    socket.send(Buffer.concat([Buffer.from(saw(from.address)), message]), from.port, from.address, () => {});
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ fd }, resolve);
  });
  return { close: () => new Promise((resolve) => socket.close(() => resolve())) };
}
