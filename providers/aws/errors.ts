/**
 * EC2's refusals as the core's kinds of failure. docs/providers/port.md has the same table beside ECS's.
 *
 * Invariants: `transient` only for what was surely not sent; what may have been done is `ambiguous`; the message is
 * read only for codes that EC2 overloads, each row taken from a recorded reply (test/unit/aws/errors.test.ts has it).
 */
import type { CloudFailure, ExhaustedScope } from '../../src/core/cloud.ts';

type PlainKind = Exclude<CloudFailure['kind'], 'exhausted'>;
type Verdict = PlainKind | { readonly exhausted: ExhaustedScope };

/** Source: EC2 API reference, "Error codes for the Amazon EC2 API". */
const CODES: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ['RequestLimitExceeded', 'throttled'],
  ['Throttling', 'throttled'],
  ['ThrottlingException', 'throttled'],
  ['ThrottledException', 'throttled'],
  ['RequestThrottled', 'throttled'],
  ['RequestThrottledException', 'throttled'],
  ['EC2ThrottledException', 'throttled'],
  ['TooManyRequestsException', 'throttled'],

  ['InsufficientFreeAddressesInSubnet', { exhausted: 'subnet' }],
  ['InsufficientCidrBlocks', { exhausted: 'prefix' }],
  ['PrivateIpAddressLimitExceeded', { exhausted: 'eni' }],
  ['AttachmentLimitExceeded', { exhausted: 'instance' }],
  ['NetworkInterfaceLimitExceeded', { exhausted: 'account' }],
  ['ResourceLimitExceeded', { exhausted: 'account' }],

  ['InvalidNetworkInterfaceID.NotFound', 'notFound'],
  ['InvalidAttachmentID.NotFound', 'notFound'],

  ['InvalidNetworkInterface.InUse', 'conflict'],
  ['InvalidIPAddress.InUse', 'conflict'],
  ['IncorrectState', 'conflict'],

  ['IdempotentParameterMismatch', 'parameterMismatch'],

  ['InvalidInstanceID.NotFound', 'nodeGone'],
  ['IncorrectInstanceState', 'nodeGone'],

  ['UnauthorizedOperation', 'denied'],
  ['OperationNotPermitted', 'denied'],
  ['AuthFailure', 'denied'],
  ['AccessDenied', 'denied'],
  ['InvalidClientTokenId', 'denied'],
  ['IncompleteSignature', 'denied'],
  ['SignatureDoesNotMatch', 'denied'],
  ['MissingAuthenticationToken', 'denied'],
  ['RequestExpired', 'denied'],
  ['ExpiredToken', 'denied'],
  ['OptInRequired', 'denied'],
  ['PendingVerification', 'denied'],
  ['Blocked', 'denied'],

  ['InternalError', 'ambiguous'],
  ['InternalFailure', 'ambiguous'],
  ['ServiceUnavailable', 'ambiguous'],
  ['Unavailable', 'ambiguous'],

  // The configuration names a subnet or group that is not there. Nothing was done.
  ['InvalidSubnetID.NotFound', 'misconfigured'],
  ['InvalidSubnet', 'misconfigured'],
  ['InvalidGroup.NotFound', 'misconfigured'],
  ['InvalidSecurityGroupID.NotFound', 'misconfigured'],
  ['SecurityGroupsPerInterfaceLimitExceeded', 'misconfigured'],

  // A defect here: what we asked for cannot be. Nothing was done.
  ['InvalidParameterValue', 'bug'],
  ['InvalidParameterCombination', 'bug'],
  ['InvalidParameter', 'bug'],
  ['MissingParameter', 'bug'],
  ['InvalidNetworkInterfaceID.Malformed', 'bug'],
  ['InvalidInstanceType', 'bug'],
  ['TagLimitExceeded', 'bug'],
]);

interface TextRow {
  readonly code: string;
  readonly text: RegExp;
  /** What it means when addresses were asked for, or nothing was. */
  readonly verdict: Verdict;
  /** What it means when prefixes were asked for, where that differs. */
  readonly prefixVerdict?: Verdict;
}

/** The codes that EC2 gives to several failures. */
const TEXTS: readonly TextRow[] = [
  // Delete of an ENI that is attached or still detaching (aws/amazon-vpc-cni-k8s issue 1399).
  { code: 'InvalidParameterValue', text: /is currently in use/, verdict: 'conflict' },
  // Attach at a taken index; also what repeating our own lost attach gets (Cilium matches this text).
  { code: 'InvalidParameterValue', text: /interface attached at device/, verdict: 'conflict' },
  // Unassign, when one address of the call is not there: none of the call's was unassigned.
  { code: 'InvalidParameterValue', text: /are not assigned to interface/, verdict: 'notFound' },
  // Assign of an address that another ENI has (documented by ansible's ec2_eni module).
  { code: 'InvalidParameterValue', text: /assigned, but move is not allowed/, verdict: 'conflict' },
  // Create and Assign, beside the two codes that exist for it (Cilium's SubnetFullErrMsgStr).
  {
    code: 'InvalidParameterValue',
    text: /aren't sufficient free Ipv4 addresses/i,
    verdict: { exhausted: 'subnet' },
    prefixVerdict: { exhausted: 'prefix' },
  },
  // Attach to an instance that is shutting down (Cilium's errorInstanceNotRunning).
  { code: 'IncorrectState', text: /is not 'running'/, verdict: 'nodeGone' },
];

/** The parts of an error from the SDK or from Node that tell what happened. */
interface SeenError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly syscall?: string;
  readonly errors?: readonly unknown[];
  /** Set by the SDK on whatever the service itself answered. */
  readonly $fault?: 'client' | 'server';
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

export interface Classified {
  readonly failure: CloudFailure;
  /** The service's code has no row here; to be counted, and given one. */
  readonly unknown: boolean;
}

/** What an error thrown by the SDK means. `prefixes`: the call asked for prefixes, not for single addresses. */
export function classify(thrown: unknown, asked: { readonly prefixes: boolean }): Classified {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : { message: String(thrown) }) as SeenError;
  const message = error.message ?? '';
  if (error.$fault === undefined) {
    const code = error.code ?? error.name ?? 'Error';
    const kind = neverSent(error) ? 'transient' : 'ambiguous';
    return { failure: { kind, code, message }, unknown: false };
  }
  const code = error.name ?? 'Unknown';
  const row = TEXTS.find((candidate) => candidate.code === code && candidate.text.test(message));
  const known = (asked.prefixes ? row?.prefixVerdict : undefined) ?? row?.verdict ?? CODES.get(code);
  const verdict = known ?? ((error.$metadata?.httpStatusCode ?? 500) >= 500 ? 'ambiguous' : 'bug');
  return { failure: failureOf(verdict, { code, message }, error), unknown: known === undefined };
}

function failureOf(verdict: Verdict, text: { code: string; message: string }, error: SeenError): CloudFailure {
  if (typeof verdict !== 'string') return { ...text, kind: 'exhausted', scope: verdict.exhausted };
  if (verdict !== 'throttled') return { ...text, kind: verdict };
  const seconds = Number(error.$response?.headers?.['retry-after']);
  return seconds > 0 ? { ...text, kind: 'throttled', retryAfterMs: seconds * 1000 } : { ...text, kind: 'throttled' };
}

/**
 * No request left this machine: the name did not resolve, no connection or no TLS session came to be, or there was
 * nothing to sign with. A reset, a time-out or a cut answer on an open connection is not of this kind.
 */
function neverSent(error: SeenError): boolean {
  // Node tries every address of a name and wraps the failures into one AggregateError.
  if (error.errors !== undefined)
    return error.errors.length > 0 && error.errors.every((each) => neverSent(each as SeenError));
  if (error.name === 'CredentialsProviderError') return true;
  if (error.syscall === 'connect' || error.syscall === 'getaddrinfo') return true;
  return TLS_REFUSALS.has(error.code ?? '');
}

/** Node documentation, "X509 certificate error codes", and the host name check of tls.connect. */
const TLS_REFUSALS: ReadonlySet<string> = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_UNTRUSTED',
  'CERT_REVOKED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]);
