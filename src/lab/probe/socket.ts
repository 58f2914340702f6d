/**
 * Client sockets inside a namespace. They are made and told to connect there, without waiting, and used from here:
 * a socket stays in the namespace it was made in. (src/kernel opens those that listen.)
 */
import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { familyOf, type Ip, ipBytes } from '../../core/ip.ts';
import { inNamespace } from '../../kernel/namespace.ts';

const library = koffi.load(null);
const cSocket = library.func('int socket(int domain, int type, int protocol)');
const cConnect = library.func('int connect(int fd, const void *address, uint32_t length)');

const DOMAIN = { 4: 2, 6: 10 } as const;
const STREAM = 1;
const DATAGRAM = 2;
const CLOEXEC_NONBLOCK = 0x80800;
const ICMP = { 4: 1, 6: 58 } as const;
const EINPROGRESS = 115;

/** A TCP connection that has begun. Throws when the kernel refuses at once, such as ENETUNREACH. */
export function beginConnect(netns: string, to: { readonly address: Ip; readonly port: number }): number {
  return inNamespace(netns, () => {
    const fd = open(DOMAIN[familyOf(to.address)], STREAM, 0);
    const address = socketAddress(to);
    if (cConnect(fd, address, address.length) === 0 || koffi.errno() === EINPROGRESS) return fd;
    throw failed('connect', fd);
  });
}

/** A datagram socket that speaks UDP, or the ICMP echo of its family (icmp(7): the kernel fills in the identifier). */
export function openDatagram(netns: string, { family, icmp }: { readonly family: 4 | 6; readonly icmp: boolean }) {
  return inNamespace(netns, () => open(DOMAIN[family], DATAGRAM, icmp ? ICMP[family] : 0));
}

function open(domain: number, type: number, protocol: number): number {
  const fd = cSocket(domain, type | CLOEXEC_NONBLOCK, protocol);
  if (fd >= 0) return fd;
  throw failed('socket', undefined);
}

function failed(call: string, fd: number | undefined): Error {
  const errno = koffi.errno();
  if (fd !== undefined) closeSync(fd);
  const name = Object.entries(koffi.os.errno).find(([, number]) => number === errno)?.[0] ?? `E${errno}`;
  return Object.assign(new Error(`${call} ${name}`), { code: name });
}

/** struct sockaddr_in or sockaddr_in6. */
function socketAddress({ address, port }: { readonly address: Ip; readonly port: number }): Buffer {
  const family = familyOf(address);
  const bytes = Buffer.alloc(family === 4 ? 16 : 28);
  bytes.writeUInt16LE(DOMAIN[family], 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(ipBytes(address), family === 4 ? 4 : 8);
  return bytes;
}
