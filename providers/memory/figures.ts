/**
 * A cloud's figures: how long its calls take, how often they may be made, what an instance holds.
 * Data only; aws-2026.json is AWS as measured by others, and names the figures that are assumed.
 */
import type { InstanceLimits, Rate } from '../../src/core/cloud.ts';
import aws from './aws-2026.json' with { type: 'json' };

/** Calls that cost the same: every read of the cloud is a `describe`, every route change a `route`. */
export type CallClass =
  | 'create'
  | 'attach'
  | 'detach'
  | 'delete'
  | 'modify'
  | 'assign'
  | 'unassign'
  | 'tag'
  | 'describe'
  | 'route';

export interface Figures {
  /** Mean time from request to answer. */
  readonly latencyMs: Readonly<Record<CallClass, number>>;
  /** Sigma of the log-normal spread around each mean; 0 makes every call take exactly its mean. */
  readonly spread: number;
  /** From the answer of attach until the instance sees the link. */
  readonly linkSeenMs: number;
  /** From the answer of attach until reads say `attached`. */
  readonly attachedMs: number;
  /** From the answer of detach until the ENI is available and the link gone. */
  readonly detachedMs: number;
  /** From the answer of create until reads say `available` instead of `pending`. */
  readonly availableMs: number;
  /** The worst replica's lag behind a write. */
  readonly listLagMs: number;
  /** Share of new ENIs that calls naming them do not find for up to `listLagMs`. */
  readonly freshNotFoundRate: number;
  /** ENIs an account may have in a region. */
  readonly eniCountMax: number;
  /** Per account; each API action has a bucket of its own. */
  readonly buckets: Readonly<Record<CallClass, Rate>>;
  readonly instanceTypes: ReadonlyMap<string, InstanceLimits>;
}

/** `[ENIs, addresses an ENI]`; these shapes take as many IPv6 addresses as IPv4 ones (DescribeInstanceTypes). */
function limitsOf(instanceType: string, shape: readonly number[]): InstanceLimits {
  const [eniCountMax, slots] = shape;
  if (eniCountMax === undefined || slots === undefined) throw new TypeError(`${instanceType}: two numbers wanted`);
  return { instanceType, eniCountMax, slotsPerEni: { 4: slots, 6: slots }, prefixes: true };
}

export const AWS_2026: Figures = {
  ...aws,
  instanceTypes: new Map(
    Object.entries(aws.instanceTypes).map(([type, shape]) => [type, limitsOf(type, shape)] as const),
  ),
};

/** The same cloud answering at once and never late: for a lab in a hurry and for adapters on real time. */
export const withoutLatency = (figures: Figures): Figures => ({
  ...figures,
  latencyMs: {
    create: 0,
    attach: 0,
    detach: 0,
    delete: 0,
    modify: 0,
    assign: 0,
    unassign: 0,
    tag: 0,
    describe: 0,
    route: 0,
  },
  spread: 0,
  linkSeenMs: 0,
  attachedMs: 0,
  detachedMs: 0,
  availableMs: 0,
  listLagMs: 0,
  freshNotFoundRate: 0,
});
