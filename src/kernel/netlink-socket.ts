/**
 * One netlink socket in one namespace, used request by request from one thread.
 * Invariants: no answer of one request is left for the next; a request's messages are taken by the kernel in order.
 * The kernel works within `send`, so the answers are there when it returns and nothing here waits for long.
 */
import { closeSync } from 'node:fs';
import { errnoName, SystemError } from './errno.ts';
import { AF, addressOf, bind, MSG_DONTWAIT, receive, SOCK, SOL, send, setSocketOption, socket } from './libc.ts';
import { codeOf } from './namespace.ts';
import { type ErrorAnswer, type Message, NLM, NLMSG, parseError, parseMessages } from './netlink.ts';
import { nextPort, PORT_COUNT } from './own-port.ts';

export const NETLINK = { ROUTE: 0, NETFILTER: 12 } as const;

/** Names of setsockopt(2) on netlink sockets (linux/netlink.h). */
const OPTION = { ADD_MEMBERSHIP: 1, LISTEN_ALL_NSID: 8, CAP_ACK: 10, EXT_ACK: 11, GET_STRICT_CHK: 12 } as const;
const SO = { SNDBUF: 7, RCVBUF: 8, RCVTIMEO: 20, ATTACH_FILTER: 26, SNDBUFFORCE: 32, RCVBUFFORCE: 33 } as const;

/** Room for a node's whole ruleset in one datagram, for its answers and for dumps. The kernel doubles it. */
const SOCKET_BUFFER_BYTES = 1 << 20;
/** Its answer is there when send returns; a kernel that needs this long is broken. */
const RECEIVE_TIMEOUT_SECONDS = 10;
/** An error takes about 1 kB of the receive buffer, so a whole chunk of failures fits a buffer of 208 kB. */
const CHUNK_MESSAGES = 64;
const DUMP_ATTEMPTS = 10;
/** What the kernel answers for a family or a subsystem that it was built or booted without. */
const UNSUPPORTED = ['EAFNOSUPPORT', 'EOPNOTSUPP', 'EPROTONOSUPPORT', 'EINVAL'];

/** One datagram at a time is read and taken apart before the next; the kernel's are at most 32 kB. */
const datagram = Buffer.alloc(1 << 18);

/** Of one message of a request; undefined is success. */
export type Answer = ErrorAnswer | undefined;

export class NetlinkSocket {
  readonly fd: number;
  /** By which the kernel knows it, such as the owner of a table. */
  readonly port: number;
  private sequence = 0;

  /** Opens it in the namespace that this thread is in. */
  constructor(protocol: number) {
    this.fd = socket(AF.NETLINK, SOCK.RAW, protocol);
    try {
      this.port = bindFreePort(this.fd);
      this.enlargeBuffers(SOCKET_BUFFER_BYTES);
      this.set(SOL.SOCKET, SO.RCVTIMEO, timeValue(RECEIVE_TIMEOUT_SECONDS));
      this.set(SOL.NETLINK, OPTION.EXT_ACK, int(1));
      this.set(SOL.NETLINK, OPTION.CAP_ACK, int(1));
      this.set(SOL.NETLINK, OPTION.GET_STRICT_CHK, int(1));
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }

  join(group: number): void {
    this.set(SOL.NETLINK, OPTION.ADD_MEMBERSHIP, int(group));
  }

  /** Also hears every namespace that ours has a number for: a veth's peer gives it one. */
  hearAllNamespaces(): void {
    this.set(SOL.NETLINK, OPTION.LISTEN_ALL_NSID, int(1));
  }

  /** Queues nothing that the program drops: an array of struct sock_filter. */
  filter(program: Buffer): void {
    // struct sock_fprog: how many there are, and where.
    const filter = Buffer.alloc(16);
    filter.writeUInt16LE(program.length / 8, 0);
    filter.writeBigUInt64LE(addressOf(program), 8);
    this.set(SOL.SOCKET, SO.ATTACH_FILTER, filter);
  }

  enlargeBuffers(bytes: number): void {
    try {
      this.set(SOL.SOCKET, SO.RCVBUFFORCE, int(bytes));
      this.set(SOL.SOCKET, SO.SNDBUFFORCE, int(bytes));
    } catch {
      // Denied in a user namespace; these are capped at rmem_max and wmem_max.
      this.set(SOL.SOCKET, SO.RCVBUF, int(bytes));
      this.set(SOL.SOCKET, SO.SNDBUF, int(bytes));
    }
  }

  /**
   * Sends the messages, in as few datagrams as fit, and gives each one's answer. One that fails stops none of the
   * others. Only the last of a datagram asks for an acknowledgement: failures are always answered, in order.
   */
  request(messages: readonly Buffer[]): Answer[] {
    const answers: Answer[] = [];
    for (let at = 0; at < messages.length; at += CHUNK_MESSAGES) {
      answers.push(...this.requestChunk(messages.slice(at, at + CHUNK_MESSAGES)));
    }
    return answers;
  }

  /**
   * An nf_tables transaction. An error of `begin` (EPERM, a failed commit) is every message's answer.
   * Each message's own answer tells why nothing was done.
   */
  transaction(begin: Buffer, messages: readonly Buffer[], end: Buffer): Answer[] {
    const opening = this.stamp(begin, 0);
    for (const [at, message] of messages.entries()) this.stamp(message, at === messages.length - 1 ? NLM.ACK : 0);
    this.stamp(end, 0);
    const answers = new Array<Answer>(messages.length).fill(undefined);
    send(this.fd, concat([begin, ...messages, end]));
    for (;;) {
      for (const message of this.read()) {
        const at = message.sequence - opening - 1;
        if (message.type !== NLMSG.ERROR || at < -1 || at >= messages.length) continue;
        const answer = parseError(message);
        if (at === -1) return answers.fill(answer);
        if (answer.errno !== 0) answers[at] = answer;
        if (at === messages.length - 1) return answers;
      }
    }
  }

  /** One message that is answered by one object, such as RTM_GETLINK by name; or by an error. */
  query(message: Buffer): Message | ErrorAnswer {
    const sequence = this.stamp(message, 0);
    send(this.fd, message);
    for (;;) {
      for (const answer of this.read()) {
        if (answer.sequence !== sequence) continue;
        return answer.type === NLMSG.ERROR ? parseError(answer) : answer;
      }
    }
  }

  /**
   * All objects of a dump, decoded one by one (a message is gone when the next datagram comes). A dump that a change
   * interrupted (NLM_F_DUMP_INTR) may lack or repeat objects and is taken again. Throws SystemError: EINTR when it was
   * interrupted time and again, else what the kernel says, such as EOPNOTSUPP for a subsystem it lacks.
   */
  dump<T>(request: Buffer, decode: (message: Message) => T): T[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const found = this.dumpOnce(request, decode);
      if (found !== undefined) return found;
    }
    throw new SystemError('dump, interrupted by changes each time', 4);
  }

  /** Empty where the kernel lacks the family or subsystem; what decodes as undefined is left out. */
  dumpSupported<T>(request: Buffer, decode: (message: Message) => T | undefined): T[] {
    try {
      return this.dump(request, decode).filter((found) => found !== undefined);
    } catch (error) {
      if (UNSUPPORTED.includes(codeOf(error))) return [];
      throw error;
    }
  }

  /** Throws away what was received. */
  drain(): void {
    for (;;) {
      try {
        receive(this.fd, datagram, MSG_DONTWAIT);
      } catch (error) {
        if (codeOf(error) === 'ENOBUFS') continue;
        return;
      }
    }
  }

  private requestChunk(messages: readonly Buffer[]): Answer[] {
    const first = this.sequence + 1;
    for (const [at, message] of messages.entries()) this.stamp(message, at === messages.length - 1 ? NLM.ACK : 0);
    const answers = new Array<Answer>(messages.length).fill(undefined);
    send(this.fd, concat(messages));
    for (let done = false; !done; ) {
      for (const message of this.read()) {
        const at = message.sequence - first;
        if (message.type !== NLMSG.ERROR || at < 0) continue;
        const answer = parseError(message);
        if (answer.errno !== 0) answers[at] = answer;
        done = at === messages.length - 1;
      }
    }
    return answers;
  }

  private dumpOnce<T>(request: Buffer, decode: (message: Message) => T): T[] | undefined {
    const sequence = this.stamp(request, 0);
    send(this.fd, request);
    const found: T[] = [];
    let interrupted = false;
    for (;;) {
      for (const message of this.read()) {
        if (message.sequence !== sequence) continue;
        interrupted ||= (message.flags & NLM.DUMP_INTR) !== 0;
        if (message.type === NLMSG.ERROR) throw new SystemError('dump', parseError(message).errno);
        if (message.type !== NLMSG.DONE) {
          found.push(decode(message));
          continue;
        }
        const errno = message.payload.length >= 4 ? -message.payload.readInt32LE(0) : 0;
        if (errno > 0) throw new SystemError('dump', errno);
        return interrupted ? undefined : found;
      }
    }
  }

  /** ENOBUFS (answers were lost) throws; what is still queued must not be taken for another request's answer. */
  private read(): Message[] {
    try {
      return parseMessages(datagram.subarray(0, receive(this.fd, datagram)));
    } catch (error) {
      this.drain();
      throw error;
    }
  }

  /** Numbers the message and gives its number. */
  private stamp(message: Buffer, flags: number): number {
    this.sequence += 1;
    message.writeUInt16LE(message.readUInt16LE(6) | flags, 6);
    message.writeUInt32LE(this.sequence, 8);
    return this.sequence;
  }

  private set(level: number, name: number, value: Uint8Array): void {
    setSocketOption(this.fd, { level, name, value });
  }
}

/** Each message starts on 4 bytes. */
function concat(messages: readonly Buffer[]): Buffer {
  return Buffer.concat(messages.map((message) => (message.length % 4 === 0 ? message : padded(message))));
}

const padded = (message: Buffer): Buffer => Buffer.concat([message, Buffer.alloc(4 - (message.length % 4))]);

/** struct sockaddr_nl. */
function bindFreePort(fd: number): number {
  const address = Buffer.alloc(12);
  address.writeUInt16LE(AF.NETLINK, 0);
  for (let attempt = 1; ; attempt++) {
    const port = nextPort();
    address.writeUInt32LE(port, 4);
    try {
      bind(fd, address);
      return port;
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE' || attempt === PORT_COUNT) throw error;
    }
  }
}

const int = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};

/** struct timeval of a 64-bit machine. */
const timeValue = (seconds: number): Buffer => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(seconds));
  return bytes;
};

/** An answer as a step's failure tells it. */
export const answerText = ({ errno, text }: ErrorAnswer): { errno: string; message: string } => ({
  errno: errnoName(errno),
  message: text,
});
