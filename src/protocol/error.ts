/**
 * Errors as the CNI specification (1.1.0, section "Error") writes them. The runtime copies `msg` and `details` into the
 * pod's FailedCreatePodSandBox event, so they are for people; nobody retries on a code.
 */
import { type Reason, type ReasonCode, reasonText } from '../core/reasons.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

export interface CniError {
  readonly code: number;
  readonly msg: string;
  /** Absent where the protocol found it itself: then the code tells. */
  readonly reason?: ReasonCode;
  /** What was found there. */
  readonly details?: string;
}

export interface Refused {
  readonly error: CniError;
}

/** What came of looking at something that a caller wrote. */
export type Checked<T> = { readonly value: T } | Refused;

/** Codes of the specification. From 100 on they are the plugin's own; the shim has 120 and 121 (src/cni/failure.h). */
export const CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  badEnvironment: 4,
  undecodable: 6,
  invalidConfig: 7,
  tryAgain: 11,
  cannotAdd: 50,
  podsHurt: 51,
} as const;

/**
 * One code a reason, for good: scripts and alerts match them. 11 where the runtime's next try may well succeed by itself;
 * a code of our own where a person, or another pod's end, has to come first.
 */
export const REASON_CODE: Readonly<Record<ReasonCode, number>> = {
  THROTTLED: CODE.tryAgain,
  ATTACHING: CODE.tryAgain,
  ASSIGNING: CODE.tryAgain,
  ATTACH_STUCK: CODE.tryAgain,
  SETTLING: CODE.tryAgain,
  COOLING: CODE.tryAgain,
  CLOUD_UNREACHABLE: CODE.tryAgain,
  METADATA_UNREACHABLE: CODE.tryAgain,
  DAEMON_STARTING: CODE.tryAgain,
  JOURNAL_UNWRITABLE: CODE.tryAgain,
  QUEUE_FULL: CODE.tryAgain,
  DELETED_MEANWHILE: CODE.tryAgain,
  // Said of what only the daemon can look at: where CNI_NETNS leads. What cannot be read never becomes a reason.
  BAD_REQUEST: CODE.badEnvironment,
  CONFIG_INVALID: CODE.invalidConfig,
  NOT_AS_WIRED: 101,
  KERNEL: 102,
  // Not the specification's 3 ("unknown container"): that tells the runtime to skip the DEL, which frees the address.
  NETNS_GONE: 103,
  IFNAME_TAKEN: 104,
  ADDRESS_LOST: 105,
  SUBNET_EXHAUSTED: 110,
  NO_PREFIX: 111,
  ENI_LIMIT: 112,
  ADDRESS_LIMIT: 113,
  CEILING: 114,
  ACCOUNT_QUOTA: 115,
  DENIED: 116,
  CLOUD_MISCONFIGURED: 117,
  ENIS_IN_VAIN: 118,
  // Told in the log, and the answer to no verb.
  DATAPATH_REPAIRED: 199,
  INTERNAL: 199,
};

function codeOf(reason: Reason, verb: Verb): number {
  // The specification gives STATUS only these two: kubelet's readiness hangs on them.
  if (verb === 'STATUS') return reason.code === 'KERNEL' ? CODE.podsHurt : CODE.cannotAdd;
  return REASON_CODE[reason.code];
}

/** The reason of an error that the protocol found itself, before the core heard of the request. */
export const reasonBehind = ({ code }: CniError): 'CONFIG_INVALID' | 'BAD_REQUEST' =>
  code === CODE.invalidConfig || code === CODE.unsupportedField ? 'CONFIG_INVALID' : 'BAD_REQUEST';

export const errorOf = (reason: Reason, verb: Verb): CniError => ({
  code: codeOf(reason, verb),
  msg: reasonText(reason),
  reason: reason.code,
});

/** The error object as JSON text, in the version that was asked for; `details` begins with where people read on. */
export function errorJson(error: CniError, cniVersion: string): string {
  const { code, msg, reason = reasonBehind(error), details: found } = error;
  const page = `${reason}, see docs/errors.md#${reason.toLowerCase()}`;
  return JSON.stringify({ cniVersion, code, msg, details: found === undefined ? page : `${page}: ${found}` });
}
