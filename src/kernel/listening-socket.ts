/**
 * A bound TCP or UDP socket, made where the calling thread is; `server.listen({ fd })` serves it from any thread.
 */
import { closeSync } from 'node:fs';
import { familyOf, ipBytes } from '../core/ip.ts';
import type { ListeningSocket } from './deeds.ts';
import { AF, bind, listen, SOCK, SOL, setSocketOption, socket } from './libc.ts';

const SO_REUSEADDR = 2;
const IPV6_V6ONLY = 26;
/** What Node asks for by itself. */
const BACKLOG = 511;

export function openListeningSocket({ kind, address, port }: ListeningSocket): number {
  const family = familyOf(address) === 4 ? AF.INET : AF.INET6;
  const fd = socket(family, kind === 'tcp' ? SOCK.STREAM : SOCK.DGRAM, 0);
  const on = Buffer.from([1, 0, 0, 0]);
  try {
    setSocketOption(fd, { level: SOL.SOCKET, name: SO_REUSEADDR, value: on });
    if (family === AF.INET6) setSocketOption(fd, { level: SOL.IPV6, name: IPV6_V6ONLY, value: on });
    bind(fd, socketAddress({ family, address, port }));
    if (kind === 'tcp') listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress({ family, address, port }: { family: number } & Omit<ListeningSocket, 'kind'>): Buffer {
  const bytes = Buffer.alloc(family === AF.INET ? 16 : 28);
  bytes.writeUInt16LE(family, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipBytes(address), family === AF.INET ? 4 : 8);
  return bytes;
}
