/**
 * What rtnetlink's nouns share: families and scopes as the kernel numbers them (linux/socket.h, linux/rtnetlink.h).
 */
import type { Family } from '../../core/ip.ts';

export const addressFamily = (family: Family): number => (family === 4 ? 2 : 10);

/** Undefined for any family but the two. */
export const familyFrom = (addressFamily: number): Family | undefined =>
  addressFamily === 2 ? 4 : addressFamily === 10 ? 6 : undefined;

export const SCOPE = { global: 0, link: 253, host: 254, nowhere: 255 } as const;

/** Name of the link with this index in the namespace that is read; undefined when there is none any more. */
export type LinkName = (index: number) => string | undefined;
