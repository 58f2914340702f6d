/**
 * Whether what pods were told can be true: each reason needs a fault, or a limit, that this world has; and a healed
 * world refuses nobody for want of anything but room.
 */
import type { SubnetId } from '../core/brand.ts';
import type { Reason, ReasonCode } from '../core/reasons.ts';
import type { Pod } from './pods.ts';
import type { FaultClass, Scenario } from './scenario.ts';

/** Anything that ends a process: its successor knows of no answer that came meanwhile. */
const ENDS: readonly FaultClass[] = [
  'crash',
  'crash-start',
  'two-daemons',
  'reboot',
  'power-loss',
  'torn-journal',
  'journal-lost',
];

/** Faults that each reason may come of; a code that is not here needs none. An empty list: it never may be said. */
const CAUSES: Partial<Record<ReasonCode, readonly FaultClass[]>> = {
  // What is said of a pod whose address is quarantined.
  INTERNAL: ['crash-start'],
  CONFIG_INVALID: [],
  BAD_REQUEST: ['add-elsewhere'],
  ACCOUNT_QUOTA: ['eni-limit'],
  DENIED: ['deny'],
  CLOUD_MISCONFIGURED: ['misconfigured'],
  CLOUD_UNREACHABLE: ['api-down', 'lost-reply', 'lost-request', 'latency', 'disk-full', 'suspend', 'two-daemons'],
  METADATA_UNREACHABLE: ['metadata-down'],
  JOURNAL_UNWRITABLE: ['disk-full'],
  // The link of an ENI that somebody took is gone, and the daemon was not told.
  KERNEL: ['kernel-refuses', 'unheard', ...ENDS],
  IFNAME_TAKEN: [],
  NETNS_GONE: ['netns-gone', 'hang-up', 'crossing', 'repeat-add', ...ENDS],
  DELETED_MEANWHILE: ['hang-up', 'crossing', 'repeat-add', 'netns-gone', ...ENDS],
  ADDRESS_LOST: ['address-taken', 'eni-taken', ...ENDS],
  ATTACH_STUCK: ['attach-stuck', 'attach-undone', 'link-never', 'link-late', 'eni-taken', ...ENDS],
  ENIS_IN_VAIN: [
    'attach-stuck',
    'attach-undone',
    'link-never',
    'link-late',
    'eni-taken',
    'deny',
    'foreign-eni',
    ...ENDS,
  ],
};

/** What a healed world may still say: it has no more room. */
const FULL: readonly ReasonCode[] = ['CEILING', 'ADDRESS_LIMIT', 'ENI_LIMIT', 'COOLING', 'DELETED_MEANWHILE'];

/** What it says besides where ADDs are answered before a new ENI can be there. */
const IMPATIENT: readonly ReasonCode[] = ['ATTACHING', 'ASSIGNING'];
const PATIENCE_MIN_MS = 30_000;

/** What was armed or under way when the world healed has had its time. */
const AFTERMATH_MS = 240_000;

export interface RefusalsOptions {
  readonly scenario: Scenario;
  /** Addresses that the cloud has left in a subnet, in truth. */
  readonly freeCount: (subnet: SubnetId) => number;
  /** What makes a reason untrue that names a limit of the pool or of the instance. */
  readonly belies: (code: ReasonCode) => string | undefined;
  readonly nowMs: () => number;
  readonly breach: (text: string) => void;
}

export class Refusals {
  private readonly options: RefusalsOptions;
  private healedMs: (() => number) | undefined;

  constructor(options: RefusalsOptions) {
    this.options = options;
  }

  /** From now on nothing goes wrong any more; `sinceMs` tells how long ago that was. */
  healed(sinceMs: () => number): void {
    this.healedMs = sinceMs;
  }

  heard(pod: Pod, verb: 'add' | 'del' | 'check', reason: Reason): void {
    const { code } = reason;
    const { scenario, belies, breach } = this.options;
    const { faults, settings } = scenario;
    const said = `${pod.name}'s ${verb} was refused: ${JSON.stringify(reason)}`;
    if (CAUSES[code]?.some((fault) => faults.has(fault)) === false) breach(`${said}, and nothing was wrong`);
    if (verb === 'add' && this.isInTime(pod)) {
      const but = belies(code);
      if (but !== undefined) breach(`${said}, and ${but}`);
    }
    if (
      reason.code === 'QUEUE_FULL' &&
      (settings.waiterCountMax === undefined || reason.waiting < settings.waiterCountMax)
    )
      breach(`${said}, and the queue was not full`);
    const isQuiet = this.healedMs !== undefined && this.healedMs() > AFTERMATH_MS;
    const isImpatient = (settings.addDeadlineMs ?? PATIENCE_MIN_MS) < PATIENCE_MIN_MS && IMPATIENT.includes(code);
    if (isQuiet && verb === 'add' && !this.isFull(reason) && !isImpatient) breach(`${said}, in a healed world`);
  }

  /** Not one that lay about until its deadline, as with a process that stood still: it is refused as it comes. */
  private isInTime({ startedMs }: Pod): boolean {
    const { nowMs, scenario } = this.options;
    return nowMs() - startedMs < (scenario.settings.addDeadlineMs ?? PATIENCE_MIN_MS) / 2;
  }

  /** A subnet may be full of what a lost journal no longer knows to be the node's own. */
  private isFull(reason: Reason): boolean {
    if (reason.code !== 'SUBNET_EXHAUSTED') return FULL.includes(reason.code);
    return reason.subnets.every((subnet) => this.options.freeCount(subnet) === 0);
  }
}
