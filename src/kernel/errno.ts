/**
 * The kernel's error numbers by name, and the error that carries one.
 */
import { constants } from 'node:os';

/** Node's list lacks ENONET; ENOTSUP and EWOULDBLOCK are second names of EOPNOTSUPP and EAGAIN. */
export const ENONET = 64;
const NAMES = new Map<number, string>([
  [ENONET, 'ENONET'],
  ...Object.entries(constants.errno)
    .filter(([name]) => name !== 'ENOTSUP' && name !== 'EWOULDBLOCK')
    .map(([name, number]) => [number, name] as const),
]);

/** `EEXIST`, or `E<number>` for one that Node does not list. */
export const errnoName = (errno: number): string => NAMES.get(errno) ?? `E${errno}`;

/** A system call or a whole request that failed: `code` is the errno's name, as Node's own errors have it. */
export class SystemError extends Error {
  override readonly name = 'SystemError';
  readonly code: string;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.code = errnoName(errno);
  }
}
