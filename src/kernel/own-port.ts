/**
 * The ports of our netlink sockets: a tag of 24 bits, drawn once for a worker and the thread that started it, and a number
 * of 8 bits. A notification carries the port that asked for the change, so our own changes are known by the tag, also when
 * their socket is closed by then, and also to a filter in the kernel.
 *
 * Nobody else's has it: a first socket's port is its process id, further ones' begin with 0xfff or 0xff, and two of us
 * draw the same tag with a chance of 1 in 2^23.
 */
import { workerData } from 'node:worker_threads';

export const TAG_MASK = 0xffff_ff00;
/** Above every process id. */
export const OWN_TAG: number = workerData?.portTag ?? drawnTag();
/** That many of our sockets can be open in one namespace. */
export const PORT_COUNT = 0x100;
let taken = 0;

/** Each in turn. */
export const nextPort = (): number => OWN_TAG + (taken++ % PORT_COUNT);

/** Whether a notification with this port tells of our own change. */
export const isOwnPort = (port: number): boolean => (port & TAG_MASK) >>> 0 === OWN_TAG;

function drawnTag(): number {
  return ((0x8000_0000 | (crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)) & TAG_MASK) >>> 0;
}
