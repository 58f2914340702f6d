/**
 * The few C functions that Node has none of, called through koffi. Every wrapper throws SystemError.
 * Only the worker loads this file: setns and unshare act on the thread that calls them.
 */
import koffi from 'koffi';
import { SystemError } from './errno.ts';

const library = koffi.load(null);
const cSocket = library.func('int socket(int domain, int type, int protocol)');
const cBind = library.func('int bind(int fd, const void *address, uint32_t length)');
const cListen = library.func('int listen(int fd, int backlog)');
const cSetsockopt = library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)');
const cSend = library.func('int64_t send(int fd, const void *buffer, size_t length, int flags)');
const cRecv = library.func('int64_t recv(int fd, void *buffer, size_t length, int flags)');
const cRecvmsg = library.func('int64_t recvmsg(int fd, void *header, int flags)');
const cPoll = library.func('int poll(void *fds, uint64_t count, int timeout)');
const cEventfd = library.func('int eventfd(unsigned int initial, int flags)');
const cSetns = library.func('int setns(int fd, int kind)');
const cUnshare = library.func('int unshare(int flags)');
const cMount = library.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
);
const cUmount2 = library.func('int umount2(const char *target, int flags)');
const cExit = library.func('void _exit(int status)');

export const AF = { INET: 2, INET6: 10, NETLINK: 16 } as const;
export const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, CLOEXEC: 0x80000 } as const;
export const SOL = { SOCKET: 1, NETLINK: 270, IPV6: 41 } as const;
export const MSG_DONTWAIT = 0x40;
const CLONE_NEWNET = 0x4000_0000;
const MS_BIND = 0x1000;
const MNT_DETACH = 2;
const EFD_CLOEXEC = 0x80000;
const EFD_NONBLOCK = 0x800;
const EINTR = 4;

function checked(call: string, result: number): number {
  if (result < 0) throw new SystemError(call, koffi.errno());
  return result;
}

/** Repeats a call that a signal cut short. */
function restarted(call: string, run: () => number | bigint): number {
  for (;;) {
    const result = Number(run());
    if (result >= 0) return result;
    if (koffi.errno() !== EINTR) throw new SystemError(call, koffi.errno());
  }
}

export const socket = (domain: number, type: number, protocol: number): number =>
  checked('socket', cSocket(domain, type | SOCK.CLOEXEC, protocol));

export const bind = (fd: number, address: Uint8Array): number => checked('bind', cBind(fd, address, address.length));

export const listen = (fd: number, backlog: number): number => checked('listen', cListen(fd, backlog));

export const setSocketOption = (
  fd: number,
  { level, name, value }: { level: number; name: number; value: Uint8Array },
) => checked('setsockopt', cSetsockopt(fd, level, name, value, value.length));

export const send = (fd: number, buffer: Uint8Array): number =>
  restarted('send', () => cSend(fd, buffer, buffer.length, 0));

export const receive = (fd: number, buffer: Uint8Array, flags = 0): number =>
  restarted('recv', () => cRecv(fd, buffer, buffer.length, flags));

/** `header` is a struct msghdr whose pointers the caller keeps alive. */
export const receiveMessage = (fd: number, header: Uint8Array, flags: number): number =>
  restarted('recvmsg', () => cRecvmsg(fd, header, flags));

/** Waits on a thread of libuv's pool; `fds` is an array of struct pollfd. Resolves also when a signal cut it short. */
export const poll = (fds: Uint8Array, timeoutMs: number): Promise<void> =>
  new Promise((resolve, reject) => {
    cPoll.async(fds, fds.length / 8, timeoutMs, (error: unknown) => (error ? reject(error) : resolve()));
  });

export const eventfd = (): number => checked('eventfd', cEventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));

/** Moves this thread into the network namespace behind `fd`. */
export const setNetworkNamespace = (fd: number): number => checked('setns', cSetns(fd, CLONE_NEWNET));

/** Moves this thread into a new network namespace. */
export const newNetworkNamespace = (): number => checked('unshare', cUnshare(CLONE_NEWNET));

export const bindMount = (source: string, target: string): number =>
  checked('mount', cMount(source, target, null, MS_BIND, null));

export const unmount = (target: string): number => checked('umount', cUmount2(target, MNT_DETACH));

/** The address of a buffer's first byte; the caller keeps the buffer alive while C may use it. */
export const addressOf = (buffer: Uint8Array): bigint => koffi.address(buffer);

/** Ends the whole process, from any thread, with no clean-up. */
export const exitProcess = (status: number): void => cExit(status);
