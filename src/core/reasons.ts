/**
 * Why something could not be done: one closed union of codes with typed payload, and the one error class that
 * carries it. docs/errors.md has a section for each code (a test compares the two). The text is for people; programs
 * read the code.
 */
import type { SubnetId } from './brand.ts';
import type { CloudAction } from './cloud.ts';
import type { Family, Ip } from './ip.ts';
import { ASSIGN_MS, CREATE_MS, LINK_MS } from './usual-durations.ts';

/**
 * What a payload's numbers say of time: `retryMs` until the call is sent again by itself, `etaMs` until what is under
 * way should serve, `restMs` how long the address of a pod that ends rests before the next one gets it. `leased` are
 * pods that have an address. `missing` is said in a pool of both families that has free addresses of the other one.
 */
export type Reason = Cause & { readonly missing?: Family };

type Cause =
  /** No free address in any subnet of the pool; `idleElsewhere` are those that this node itself is giving back. */
  | {
      readonly code: 'SUBNET_EXHAUSTED';
      readonly subnets: readonly SubnetId[];
      readonly waiting: number;
      readonly idleElsewhere: number;
      readonly retryMs: number;
    }
  /** The subnet has addresses, but no whole aligned prefix: prefixes are tried again in `retryMs`. */
  | { readonly code: 'NO_PREFIX'; readonly subnet: SubnetId; readonly prefixLength: number; readonly retryMs: number }
  /** The instance has all the ENIs its type may have, and every slot on them is taken. */
  | {
      readonly code: 'ENI_LIMIT';
      readonly instanceType: string;
      readonly attached: number;
      readonly limit: number;
      readonly foreign: number;
      readonly leased: number;
      readonly restMs: number;
    }
  /** Every slot on every attached ENI is taken. */
  | {
      readonly code: 'ADDRESS_LIMIT';
      readonly addresses: number;
      readonly limit: number;
      readonly leased: number;
      readonly restMs: number;
    }
  /** The pool's own ceiling (config). */
  | { readonly code: 'CEILING'; readonly ceiling: number; readonly leased: number; readonly restMs: number }
  /** The account has no ENIs left. */
  | { readonly code: 'ACCOUNT_QUOTA'; readonly cloudCode: string; readonly retryMs: number }
  | { readonly code: 'THROTTLED'; readonly action: CloudAction; readonly retryAfterMs: number }
  | { readonly code: 'DENIED'; readonly action: CloudAction; readonly cloudCode: string; readonly retryMs: number }
  /** A new ENI is on its way for `forMs`; it usually serves within `etaMs`, 0 where it should by now. */
  | { readonly code: 'ATTACHING'; readonly forMs: number; readonly etaMs: number }
  /** Addresses were asked for `forMs` ago; that call usually serves within `etaMs` from now. */
  | { readonly code: 'ASSIGNING'; readonly forMs: number; readonly etaMs: number }
  /** An ENI's link did not appear, or its attach never finished: it is given up in `leftMs`, or was. */
  | {
      readonly code: 'ATTACH_STUCK';
      readonly eni: string;
      readonly waitedMs: number;
      readonly leftMs?: number;
      readonly etaMs: number;
    }
  /** New ENIs were created one after the other and none of them ever served: the next waits. */
  | { readonly code: 'ENIS_IN_VAIN'; readonly made: number; readonly retryMs: number }
  /** A call that may have been done (a lost answer, a crash) is being checked before anything else is asked for. */
  | { readonly code: 'SETTLING'; readonly action: CloudAction; readonly untilMs: number }
  /** Free addresses are only cooling ones. */
  | { readonly code: 'COOLING'; readonly cooling: number; readonly nextMs: number }
  /** The cloud does not know a subnet or security group that the configuration names. */
  | {
      readonly code: 'CLOUD_MISCONFIGURED';
      readonly action: CloudAction;
      readonly cloudCode: string;
      readonly detail: string;
      readonly retryMs: number;
    }
  | {
      readonly code: 'CLOUD_UNREACHABLE';
      readonly action: CloudAction;
      readonly detail: string;
      readonly retryMs: number;
    }
  | { readonly code: 'METADATA_UNREACHABLE'; readonly detail: string; readonly retryMs: number }
  | { readonly code: 'DAEMON_STARTING'; readonly detail: string }
  | { readonly code: 'JOURNAL_UNWRITABLE'; readonly detail: string }
  /** Too many ADDs wait already. */
  | { readonly code: 'QUEUE_FULL'; readonly waiting: number; readonly limit: number }
  /** A DEL of the same attachment came while its ADD waited or was being wired. */
  | { readonly code: 'DELETED_MEANWHILE' }
  /** The kernel refused a step. */
  | { readonly code: 'KERNEL'; readonly step: string; readonly errno: string }
  | { readonly code: 'NETNS_GONE'; readonly netns: string }
  /** The pod's namespace has a link of the asked name that is not of this attachment. */
  | { readonly code: 'IFNAME_TAKEN'; readonly ifname: string; readonly netns: string }
  /** The cloud took this running pod's address away: it is asked for again, or its ENI is not the node's any more. */
  | { readonly code: 'ADDRESS_LOST'; readonly address: Ip; readonly eni?: string; readonly again: boolean }
  /** A rule, route, address or nft element of ours was changed by somebody else and put back. */
  | { readonly code: 'DATAPATH_REPAIRED'; readonly steps: number; readonly restored: readonly string[] }
  /** CHECK found the pod's interface not as ADD left it. */
  | { readonly code: 'NOT_AS_WIRED'; readonly problems: readonly string[] }
  | { readonly code: 'CONFIG_INVALID'; readonly detail: string }
  | { readonly code: 'BAD_REQUEST'; readonly detail: string }
  | { readonly code: 'INTERNAL'; readonly detail: string };

export type ReasonCode = Reason['code'];

/** Every code once; the type below makes a missing or extra one a compile error. */
export const REASON_CODES = [
  'SUBNET_EXHAUSTED',
  'NO_PREFIX',
  'ENI_LIMIT',
  'ADDRESS_LIMIT',
  'CEILING',
  'ACCOUNT_QUOTA',
  'THROTTLED',
  'DENIED',
  'ATTACHING',
  'ASSIGNING',
  'ATTACH_STUCK',
  'ENIS_IN_VAIN',
  'SETTLING',
  'COOLING',
  'CLOUD_MISCONFIGURED',
  'CLOUD_UNREACHABLE',
  'METADATA_UNREACHABLE',
  'DAEMON_STARTING',
  'JOURNAL_UNWRITABLE',
  'QUEUE_FULL',
  'DELETED_MEANWHILE',
  'KERNEL',
  'NETNS_GONE',
  'IFNAME_TAKEN',
  'ADDRESS_LOST',
  'DATAPATH_REPAIRED',
  'NOT_AS_WIRED',
  'CONFIG_INVALID',
  'BAD_REQUEST',
  'INTERNAL',
] as const satisfies readonly ReasonCode[];

type Missing = Exclude<ReasonCode, (typeof REASON_CODES)[number]>;
export const everyCodeListed: Missing extends never ? true : Missing = true;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;

const again = (retryMs: number): string =>
  retryMs <= 0 ? 'it is tried again now' : `it is tried again in ${seconds(retryMs)}`;

const waiting = (pods: number): string => `${pods} ${pods === 1 ? 'pod waits' : 'pods wait'}`;

const whenOneEnds = ({ leased, restMs }: { readonly leased: number; readonly restMs: number }): string =>
  `the next pod is served ${seconds(restMs)} after one of the ${leased} that have an address ends`;

/** A ceiling that was lowered may be under what pods have already. */
const whenBelow = (reason: Extract<Reason, { code: 'CEILING' }>): string => {
  const { ceiling, leased, restMs } = reason;
  return leased <= ceiling
    ? whenOneEnds(reason)
    : `${leased} pods have one, and the next is served ${seconds(restMs)} after ${leased - ceiling + 1} of them have ended`;
};

/** What should be there by now may be there at any moment, or never: how long it took says more than a forecast. */
const usable = ({ forMs, etaMs }: { readonly forMs: number; readonly etaMs: number }, usualMs: number): string =>
  etaMs > 0
    ? `usable in about ${seconds(etaMs)}`
    : `which has taken ${seconds(forMs)} and usually takes ${seconds(usualMs)}`;

function attachStuckText({ eni, waitedMs, leftMs, etaMs }: Extract<Reason, { code: 'ATTACH_STUCK' }>): string {
  const waited = seconds(waitedMs);
  return leftMs === undefined
    ? `ENI ${eni} did not come up within ${waited} of its attach: it is detached by force and another one is tried, usable ${etaMs > 0 ? `in about ${seconds(etaMs)}` : 'at any moment'}`
    : `ENI ${eni} was attached ${waited} ago and its link has not appeared, which usually takes ${seconds(LINK_MS)}: in ${seconds(leftMs)} it is detached by force and another one is tried`;
}

function addressLostText({ address, eni, again }: Extract<Reason, { code: 'ADDRESS_LOST' }>): string {
  const lost = `the cloud no longer lists ${address} on ${again && eni !== undefined ? eni : 'this node'} although a pod uses it`;
  return again
    ? `${lost}: it is asked for again`
    : `${lost}: its ENI${eni === undefined ? '' : ` ${eni}`} was detached by somebody: delete the pod, its replacement gets another address`;
}

/** One sentence with numbers and, where a pod waits, when it can be served; then what happens next or what to do. */
export const reasonText = (reason: Reason): string =>
  reason.missing === undefined
    ? causeText(reason)
    : `${causeText(reason)} (only the IPv${reason.missing} address is missing)`;

function causeText(reason: Cause): string {
  switch (reason.code) {
    case 'SUBNET_EXHAUSTED':
      return `no free address in ${reason.subnets.join(', ')} (${waiting(reason.waiting)}, ${reason.idleElsewhere} idle addresses on this node), ${again(reason.retryMs)}: add a subnet to the pool or free addresses in it`;
    case 'NO_PREFIX':
      return `no whole /${reason.prefixLength} is left in ${reason.subnet}: single addresses are used, prefixes tried again in ${seconds(reason.retryMs)}; reserve a range for prefixes in the subnet`;
    case 'ENI_LIMIT':
      return `${reason.instanceType} may have ${reason.limit} ENIs and has ${reason.attached} (${reason.foreign} not ours), all full; ${whenOneEnds(reason)}: use a larger instance type or prefixes, or lower the node's max pods`;
    case 'ADDRESS_LIMIT':
      return `all ${reason.limit} address slots of this node are taken (${reason.addresses} addresses); ${whenOneEnds(reason)}: use a larger instance type or prefixes, or lower the node's max pods`;
    case 'CEILING':
      return `the pool's ceiling of ${reason.ceiling} addresses is reached; ${whenBelow(reason)}: raise targets.ceiling`;
    case 'ACCOUNT_QUOTA':
      return `the account's ENI quota is used up (${reason.cloudCode}), ${again(reason.retryMs)}: ask the cloud for a higher one`;
    case 'THROTTLED':
      return `the cloud throttles ${reason.action}; the next try is in ${seconds(reason.retryAfterMs)}`;
    case 'DENIED':
      return `the cloud denies ${reason.action} to this node's role (${reason.cloudCode}): grant it; ${again(reason.retryMs)}`;
    case 'ATTACHING':
      return `a new ENI is on its way, ${usable(reason, CREATE_MS)}: the runtime's next try will find it`;
    case 'ASSIGNING':
      return `addresses were asked for${reason.etaMs > 0 ? ` ${seconds(reason.forMs)} ago` : ''}, ${usable(reason, ASSIGN_MS)}: the runtime's next try will find them`;
    case 'ATTACH_STUCK':
      return attachStuckText(reason);
    case 'ENIS_IN_VAIN':
      return `${reason.made} new ENIs in a row never served, ${again(reason.retryMs)}: look at the log for what became of each, then drain and replace the node`;
    case 'SETTLING':
      return `an earlier ${reason.action} may have been done although its answer was lost; the cloud is read until that is clear, in about ${seconds(reason.untilMs)}: the runtime's next try will find it`;
    case 'COOLING':
      return `the node's only free addresses cool down (${reason.cooling}), the next is usable in ${seconds(reason.nextMs)}: raise targets.headroom if pods churn this fast`;
    case 'CLOUD_MISCONFIGURED':
      return `the cloud refuses ${reason.action} because of what the configuration names (${reason.cloudCode}: ${reason.detail}), ${again(reason.retryMs)}: correct pool.subnets or pool.groups`;
    case 'CLOUD_UNREACHABLE':
      return `the cloud's API does not answer ${reason.action} (${reason.detail}), ${again(reason.retryMs)}: pods are served from the pool meanwhile`;
    case 'METADATA_UNREACHABLE':
      return `the instance metadata service does not answer (${reason.detail}), ${again(reason.retryMs)}: the daemon cannot learn which instance it is on`;
    case 'DAEMON_STARTING':
      return `the daemon is starting (${reason.detail}), which takes milliseconds with its journal and about 5 s without: the runtime's next try will find it ready`;
    case 'JOURNAL_UNWRITABLE':
      return `the journal cannot be written (${reason.detail}), ${again(1_000)}: free space in its folder; pods are deleted but not added meanwhile`;
    case 'QUEUE_FULL':
      return `${waiting(reason.waiting)} for an address already (limit ${reason.limit}): the runtime tries again`;
    case 'DELETED_MEANWHILE':
      return 'the attachment was deleted while its ADD was under way';
    case 'KERNEL':
      return `the kernel refused ${reason.step} (${reason.errno})`;
    case 'NETNS_GONE':
      return `there is no network namespace at ${reason.netns} any more: the runtime makes a new sandbox`;
    case 'IFNAME_TAKEN':
      return `${reason.ifname} already exists in ${reason.netns}: have this network's interface named otherwise, or delete the pod`;
    case 'ADDRESS_LOST':
      return addressLostText(reason);
    case 'DATAPATH_REPAIRED':
      return `somebody changed our kernel state, and it was put back (${repaired(reason)}): find the program that manages routes or nft on this node`;
    case 'NOT_AS_WIRED':
      return `the pod's network is not as it was wired: ${reason.problems.join('; ')}`;
    case 'CONFIG_INVALID':
    case 'BAD_REQUEST':
      return reason.detail;
    case 'INTERNAL':
      return `${reason.detail}: this is a bug in Underway, please report it with the daemon's log`;
  }
}

/** More than a few is a flush. */
function repaired({ steps, restored }: Extract<Reason, { code: 'DATAPATH_REPAIRED' }>): string {
  const said = restored.slice(0, 3);
  return [...said, ...(steps > said.length ? [`${steps - said.length} more`] : [])].join('; ');
}

/** The one error class: a reason, and what caused it. */
export class UnderwayError extends Error {
  readonly reason: Reason;

  constructor(reason: Reason, options?: { readonly cause?: unknown }) {
    super(reasonText(reason), options);
    this.name = 'UnderwayError';
    this.reason = reason;
  }
}
