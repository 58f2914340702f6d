/**
 * What can go wrong with a cloud, as a closed list, struck by count (the next n calls) or by chance (a rate).
 *
 * Invariant: whether one fault strikes is drawn from its own stream, so leaving it out changes no other's draws.
 */
import type { InstanceId, SubnetId } from '../../src/core/brand.ts';
import type { ApiAction } from './api.ts';
import type { Streams } from './random.ts';

export type CloudFault =
  /** The call takes `factor` times as long, and `plusMs` more: a cloud without latency can be slow too. */
  | { readonly kind: 'latency'; readonly factor: number; readonly plusMs: number }
  | { readonly kind: 'throttle' }
  | { readonly kind: 'deny' }
  /**
   * Creates and assigns find no free IPv4 address or prefix in the subnet (in any, when none is named). While it lasts
   * reads of the subnet count none.
   */
  | { readonly kind: 'subnet-full'; readonly subnet?: SubnetId }
  /** No whole IPv4 prefix is free; single addresses are. */
  | { readonly kind: 'no-prefix' }
  /** The account has all the ENIs it may have. */
  | { readonly kind: 'eni-limit' }
  /**
   * The work is done, its answer does not arrive: the connection breaks, or (`silent`) nothing ever comes. With `lateMs`
   * the work is done so much later, long after the client has heard of the broken connection.
   */
  | { readonly kind: 'lost-reply'; readonly silent: boolean; readonly lateMs?: number }
  /** As `lost-reply` to the client, but nothing was done. */
  | { readonly kind: 'lost-request'; readonly silent: boolean }
  /** No connection at all. */
  | { readonly kind: 'api-down' }
  /** Accepted, but the ENI never becomes attached and no link appears; detach by force ends it. */
  | { readonly kind: 'attach-stuck' }
  /** Accepted, and a while later the ENI is available again, never attached (seen on ECS). */
  | { readonly kind: 'attach-undone' }
  /** The ENI is attached; its link comes this much later. */
  | { readonly kind: 'link-late'; readonly byMs: number }
  | { readonly kind: 'link-never' }
  /** Somebody else takes a block off one of the caller's ENIs, while this call is made. */
  | { readonly kind: 'address-taken' }
  /** Somebody else detaches and deletes one of the caller's secondary ENIs, while this call is made. */
  | { readonly kind: 'eni-taken' }
  /** Replicas show what this call writes up to `lagMs` late: more than the capability promises, if so asked. */
  | { readonly kind: 'stale-reads'; readonly lagMs: number };

export type CloudFaultKind = CloudFault['kind'];

/** When a fault strikes. Without `calls` or `rate`: every call it fits, until it is lifted. */
export interface FaultTerms {
  readonly calls?: number;
  /** Chance for each call in [0, 1]. */
  readonly rate?: number;
  /** Calls it fits; all that the fault makes sense for when absent. */
  readonly actions?: readonly ApiAction[];
  /** Only calls made by this instance. */
  readonly caller?: InstanceId;
}

/** The faults of one call, by kind. */
export type Strikes = { readonly [K in CloudFaultKind]?: Extract<CloudFault, { kind: K }> };

const ASKING = ['create-eni', 'assign'] as const;
const WRITING = [
  ...ASKING,
  'delete-eni',
  'attach-eni',
  'detach-eni',
  'modify-eni',
  'unassign',
  'tag',
  'untag',
  'create-route',
  'replace-route',
  'delete-route',
] as const;
/** Calls a fault makes sense for; every call where absent. */
const FITS: { readonly [K in CloudFaultKind]?: readonly ApiAction[] } = {
  'subnet-full': ASKING,
  'no-prefix': ASKING,
  'eni-limit': ['create-eni'],
  'attach-stuck': ['attach-eni'],
  'attach-undone': ['attach-eni'],
  'link-late': ['attach-eni'],
  'link-never': ['attach-eni'],
  'stale-reads': WRITING,
};

/** What it makes sense for besides while it lasts: a subnet that is full says so, one that refused a call does not. */
const FITS_LASTING: { readonly [K in CloudFaultKind]?: readonly ApiAction[] } = { 'subnet-full': ['describe-subnets'] };

const isLasting = ({ calls, rate }: FaultTerms): boolean => calls === undefined && rate === undefined;

function fits({ fault, terms }: ArmedFault, action: ApiAction): boolean {
  if (terms.actions !== undefined) return terms.actions.includes(action);
  const asked = FITS[fault.kind];
  return (
    asked === undefined ||
    asked.includes(action) ||
    (isLasting(terms) && FITS_LASTING[fault.kind]?.includes(action) === true)
  );
}

interface ArmedFault {
  readonly fault: CloudFault;
  readonly terms: FaultTerms;
  left: number;
}

export class Faults {
  readonly #streams: Streams;
  readonly #armed = new Set<ArmedFault>();
  readonly #fired = new Map<CloudFaultKind, number>();

  constructor(streams: Streams) {
    this.#streams = streams;
  }

  /** From now on the fault strikes by these terms; the returned function lifts it. */
  arm(fault: CloudFault, terms: FaultTerms = {}): () => void {
    const armed = { fault, terms, left: terms.calls ?? Number.POSITIVE_INFINITY };
    this.#armed.add(armed);
    return () => this.#armed.delete(armed);
  }

  /** Heals the cloud: lifts everything. */
  clear(): void {
    this.#armed.clear();
  }

  /** How often each kind has struck. */
  get fired(): ReadonlyMap<CloudFaultKind, number> {
    return this.#fired;
  }

  /** Which faults strike this call; counts are used up. */
  strike(action: ApiAction, caller: InstanceId | undefined): Strikes {
    if (this.#armed.size === 0) return {};
    const strikes: { [kind: string]: CloudFault } = {};
    for (const armed of this.#armed) {
      const { fault, terms } = armed;
      if (!fits(armed, action)) continue;
      if (terms.caller !== undefined && terms.caller !== caller) continue;
      const chance = terms.rate ?? 1;
      if (chance < 1 && this.#streams.uniform(`fault/${fault.kind}/${caller ?? ''}`) >= chance) continue;
      strikes[fault.kind] = fault;
      this.#fired.set(fault.kind, (this.#fired.get(fault.kind) ?? 0) + 1);
      if (--armed.left <= 0) this.#armed.delete(armed);
    }
    return strikes as Strikes;
  }
}
