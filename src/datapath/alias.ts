/**
 * A pod link's alias: the lease and the attachment it serves, so that the kernel alone tells whose link it is when
 * the journal is lost. `<leaseId> <network> <containerID> <ifname>`; none of the four holds a space.
 */
import type { Attachment, LeaseId } from '../core/brand.ts';

/** IFALIASZ (linux/if.h) is 256 with the final zero. */
export const ALIAS_BYTES_MAX = 255;

export interface LinkOwner {
  readonly id: LeaseId;
  readonly attachment: Attachment;
}

/** Throws RangeError when it does not fit: src/protocol refuses names of such length before they get here. */
export function formatAlias({ id, attachment }: LinkOwner): string {
  const alias = [id, attachment.network, attachment.containerId, attachment.ifname].join(' ');
  const length = new TextEncoder().encode(alias).length;
  if (length > ALIAS_BYTES_MAX) {
    throw new RangeError(`the link's alias has ${length} bytes, ${ALIAS_BYTES_MAX} is the kernel's most: ${alias}`);
  }
  return alias;
}

/** Undefined when the text is no alias of ours, such as none at all: an ADD that died before it was set. */
export function parseAlias(alias: string): LinkOwner | undefined {
  const [id, network, containerId, ifname, ...more] = alias.split(' ');
  if (!id || !network || !containerId || !ifname || more.length > 0) return undefined;
  return { id: id as LeaseId, attachment: { network, containerId, ifname } };
}
