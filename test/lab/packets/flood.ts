/**
 * A pod that works against its limit: frames by a packet socket that go past the queue of its link (packet(7),
 * PACKET_QDISC_BYPASS), for which it needs no more than CAP_NET_RAW.
 */
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ip, ipBytes } from '../../../src/core/ip.ts';
import { HOST_MAC } from '../../../src/core/plan.ts';
import { bind, SOCK, send, setSocketOption, socket } from '../../../src/kernel/libc.ts';
import { inNamespace } from '../../../src/kernel/namespace.ts';

const AF_PACKET = 17;
const SOL_PACKET = 263;
const PACKET_QDISC_BYPASS = 20;
const ETH_P_IPV6 = 0x86dd;
const NO_NEXT_HEADER = 59;
const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;
export const FRAME_BYTES = 1_400;

/** This many, every so often: 112 Mbit/s or more where the machine is idle. */
const AT_ONCE = 100;
const EVERY_MS = 10;

interface Way {
  readonly netns: string;
  /** The pod's index 2: the link that every pod has. */
  readonly index?: number;
  readonly from: Ip;
  readonly to: Ip;
}

/** Sends until the returned function is called, which tells how many frames the kernel took. */
export function flood({ netns, index = 2, from, to }: Way): () => Promise<number> {
  const fd = inNamespace(netns, () => socket(AF_PACKET, SOCK.RAW, 0));
  const address = Buffer.alloc(20);
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeInt32LE(index, 4);
  bind(fd, address);
  setSocketOption(fd, { level: SOL_PACKET, name: PACKET_QDISC_BYPASS, value: Uint8Array.of(1, 0, 0, 0) });
  const frame = frameOf(from, to);
  let taken = 0;
  let isStopped = false;
  const done = (async () => {
    while (!isStopped) {
      for (let n = 0; n < AT_ONCE; n++) taken += sent(fd, frame) ? 1 : 0;
      await sleep(EVERY_MS);
    }
    closeSync(fd);
    return taken;
  })();
  return () => {
    isStopped = true;
    return done;
  };
}

/** False where the other end's backlog is full. */
function sent(fd: number, frame: Buffer): boolean {
  try {
    send(fd, frame);
    return true;
  } catch {
    return false;
  }
}

/** Nothing in it that anybody answers. */
function frameOf(from: Ip, to: Ip): Buffer {
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.set(Buffer.from(HOST_MAC.replaceAll(':', ''), 'hex'));
  frame.set([2, 0, 0, 0, 0, 1], 6);
  frame.writeUInt16BE(ETH_P_IPV6, 12);
  frame.writeUInt8(0x60, ETHERNET_BYTES);
  frame.writeUInt16BE(FRAME_BYTES - ETHERNET_BYTES - IPV6_BYTES, ETHERNET_BYTES + 4);
  frame.set([NO_NEXT_HEADER, 64], ETHERNET_BYTES + 6);
  frame.set(ipBytes(from), ETHERNET_BYTES + 8);
  frame.set(ipBytes(to), ETHERNET_BYTES + 24);
  return frame;
}
