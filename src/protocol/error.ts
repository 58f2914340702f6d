/**
 * Errors as the CNI specification (1.1.0, section "Error") writes them. The runtime copies `msg` and `details` into the
 * pod's FailedCreatePodSandBox event, so they are for people; nobody retries on a code.
 */
import { type Reason, type ReasonCode, reasonText } from '../core/reasons.ts';

export type Verb = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

export interface CniError {
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** Codes of the specification. From 100 on they are the plugin's own; the shim has 120 and 121 (src/cni/failure.h). */
export const CODE = {
  incompatibleVersion: 1,
  badEnvironment: 4,
  undecodable: 6,
  invalidConfig: 7,
  tryAgain: 11,
  cannotAdd: 50,
  podsHurt: 51,
} as const;

/** What waiting does not cure; every other reason is code 11, "try again later". */
const OWN_CODES: Partial<Record<ReasonCode, number>> = {
  // Said of what only the daemon can look at: where CNI_NETNS leads. What cannot be read never becomes a reason.
  BAD_REQUEST: CODE.badEnvironment,
  CONFIG_INVALID: CODE.invalidConfig,
  NOT_AS_WIRED: 101,
  KERNEL: 102,
  // Not the specification's 3 ("unknown container"): that tells the runtime to skip the DEL, which frees the address.
  NETNS_GONE: 103,
  IFNAME_TAKEN: 104,
  INTERNAL: 199,
};

function codeOf(reason: Reason, verb: Verb): number {
  // The specification gives STATUS only these two: kubelet's readiness hangs on them.
  if (verb === 'STATUS') return reason.code === 'KERNEL' ? CODE.podsHurt : CODE.cannotAdd;
  return OWN_CODES[reason.code] ?? CODE.tryAgain;
}

/** The reason of an error that the protocol found itself, before the core heard of the request. */
export const reasonBehind = ({ code }: CniError): ReasonCode =>
  code === CODE.invalidConfig ? 'CONFIG_INVALID' : 'BAD_REQUEST';

/** The reason's sentence, and where the pages for people explain it. */
export function errorOf(reason: Reason, verb: Verb): CniError {
  return {
    code: codeOf(reason, verb),
    msg: reasonText(reason),
    details: `${reason.code}, see docs/errors.md#${reason.code.toLowerCase()}`,
  };
}

/** The error object as JSON text, in the version that was asked for. */
export function errorJson(error: CniError, cniVersion: string): string {
  const { code, msg, details } = error;
  return JSON.stringify({ cniVersion, code, msg, ...(details !== undefined && { details }) });
}
