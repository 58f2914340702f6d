/**
 * The tables' rows: plain, immutable data. A change is a new row put through the transaction.
 * The comment above each lifecycle is the glossary's; the functions that move a row from state to state are in
 * eni.ts, address.ts, lease.ts and operation.ts.
 */
import type { BoundRow } from './bound.ts';
import type {
  Attachment,
  AttachmentKey,
  EniId,
  EniKey,
  GroupId,
  InstanceId,
  LeaseId,
  Mac,
  OperationId,
  PoolId,
  RequestId,
  SubnetId,
} from './brand.ts';
import type { Priority } from './budget.ts';
import type { CloudAction, CloudCall, CloudFailure, CloudFailureKind, InstanceLimits, SubnetFacts } from './cloud.ts';
import type { ForecastRow } from './forecast.ts';
import type { Cidr, Family, Ip } from './ip.ts';
import type { LookRow } from './look.ts';
import type { Bandwidth } from './plan.ts';
import type { SyncState } from './sync.ts';

export const SCHEMA = 1;

/** Row 0 of the journal: whose journal this is. */
export interface NodeRow {
  readonly key: 'node';
  readonly schema: number;
  readonly cluster: string;
  readonly nodeName: string;
  readonly instanceId: InstanceId;
  readonly bootId: string;
  /** 64 random bits drawn at each start; ids are `<epoch>-<n>`. */
  readonly epoch: string;
  /** Kept in the journal, so a restart costs no cloud call. */
  readonly limits?: InstanceLimits;
  readonly vpcCidrs: readonly Cidr[];
  readonly zone: string;
  /** False while the journal is being rebuilt: an address the cloud lists may be in use by a pod we do not know yet. */
  readonly trusted: boolean;
}

/** What lives only as long as the process. */
export interface RuntimeRow {
  readonly key: 'runtime';
  readonly nextId: number;
  readonly nextLinkIndex: number;
  readonly nextWaiter: number;
  /** `opening` until the kernel was read; `starting` until journal and (if it was lost) cloud have been compared. */
  readonly phase: 'opening' | 'starting' | 'serving';
  readonly journal: 'up' | 'down';
  readonly journalDetail: string;
  readonly startedMs: number;
  readonly sync: SyncState;
  readonly listing: { readonly wantedFromMs?: number; readonly lastMs?: number };
  readonly settings: Settings;
  readonly flush: { readonly inFlight: boolean };
  readonly reap: { readonly inFlight: boolean };
  readonly look: { readonly inFlight: boolean };
  /** Pods that were refused of late, where headroom is learnt: when they ask again they are no new arrival. */
  readonly refused: readonly { readonly pod: string; readonly atMs: number }[];
  /** What this node held before its journal was lost, as the kernel still tells. */
  readonly fenced: readonly Cidr[];
  /** Which numbers earlier processes gave their ENIs, as the kernel told at the start: marks of connections, route tables. */
  readonly numbers: readonly { readonly mac: Mac; readonly number: number }[];
}

/** Settings the core reads; src/daemon/config.ts documents each for people. */
export interface Settings {
  readonly addDeadlineMs: number;
  readonly waiterCountMax: number;
  readonly cooldownMs: number;
  /** Where the kernel could not flush the address's connections. */
  readonly cooldownUnflushedMs: number;
  readonly cooldownUnderPressureMs: number;
  /** So long more is free than is kept, and then it is given back. */
  readonly surplusMs: number;
  /** Of a pod at most: the link of its ENI may carry less. */
  readonly mtu: number;
  readonly masquerade: boolean;
  readonly markMask: number;
  /** The account's budget is leased by a broker: a call waits for its grant, or until the broker is found silent. */
  readonly brokered?: boolean;
}

export interface Targets {
  /** Addresses the node holds at least, in use or not. */
  readonly floor: number;
  /** Free addresses kept ready beyond demand; `auto` learns the figure from the node's arrivals (forecast.ts). */
  readonly headroom: number | 'auto';
  /** Addresses the node holds at most. */
  readonly ceiling: number;
}

export interface PoolRow {
  readonly id: PoolId;
  /** Empty: the primary ENI's subnet. */
  readonly subnets: readonly SubnetId[];
  /** Empty: the primary ENI's groups. */
  readonly groups: readonly GroupId[];
  readonly families: readonly Family[];
  readonly prefixes: 'never' | 'prefer';
  readonly primaryEni: 'use' | 'skip';
  readonly targets: Targets;
  /** Since when there is more free than the shrink threshold. */
  readonly surplusSinceMs?: number;
}

export interface SubnetRow extends SubnetFacts {
  /** Until when an assign or create there is not tried, after it had no address or no prefix of the family. */
  readonly exhaustedUntilMs: Readonly<Record<Family, number>>;
  readonly noPrefixUntilMs: Readonly<Record<Family, number>>;
  /** Few addresses are left, by a threshold that differs up and down. */
  readonly tight: boolean;
  /** When the read of `freeCount4` began, and when the next is due. */
  readonly heardMs: number;
  readonly readAtMs: number;
  /** As many addresses as the last call asked for that found the subnet without; gone with the next that is served. */
  readonly refused?: number;
}

/** A subnet that was asked for and that the cloud did not list. */
export interface UnlistedRow {
  readonly id: SubnetId;
  readonly atMs: number;
}

/** Which addresses of a subnet are taken, by the /28: read where prefixes are wanted and the cloud tells. */
export interface UseRow {
  readonly subnet: SubnetId;
  readonly heardMs: number;
  /** Addresses that nobody has, and prefixes of which nobody has any. */
  readonly free: number;
  readonly wholePrefixes: number;
  /** Prefixes of which some are taken and some are not, in order; bit n of `taken` is the address `base` + n. */
  readonly broken: readonly { readonly base: Ip; readonly taken: number }[];
  /** An address that was chosen by this was somebody's: until then the cloud chooses. */
  readonly wrongUntilMs?: number;
}

/**
 * creating -> available -> attaching -> linking -> ready -> draining -> detaching -> deleting -> gone, and then no row:
 * `gone` lasts while lost pods still name its addresses, or its mark's connections are not flushed.
 * draining -> ready when demand returns; attaching and linking -> detaching (by force) when their deadline passes.
 * The primary is born ready; a foreign ENI is a row that only counts against limits; a leaked one begins as deleting.
 */
export type EniRow = EniCreating | EniPresent;
export type EniState = EniRow['state'];

interface EniCommon {
  /** When the planner decided to make it; absent for one that was found. */
  readonly decidedMs?: number;
  readonly key: EniKey;
  readonly pool: PoolId;
  readonly kind: 'primary' | 'secondary' | 'foreign';
  readonly subnet: SubnetId;
  readonly sinceMs: number;
  /** When we last changed it in the cloud; nothing is concluded from a read before `listLagMs` after that. */
  readonly writtenMs: number;
}

export interface EniCreating extends EniCommon {
  readonly state: 'creating';
}

export interface EniPresent extends EniCommon {
  readonly state: 'available' | 'attaching' | 'linking' | 'ready' | 'draining' | 'detaching' | 'deleting' | 'gone';
  readonly id: EniId;
  readonly mac: Mac;
  readonly groups: readonly GroupId[];
  readonly primary4?: Ip;
  readonly primary6?: Ip;
  readonly deviceIndex?: number;
  /** 1..127: mark and route table; 1 is the primary; given when it attaches. */
  readonly number?: number;
  /** The sync that brings its kernel state, until that is done: it does not serve before. */
  readonly sync?: number;
  readonly deadlineMs?: number;
  /** The mark's connections are flushed: its number may be used again. */
  readonly flushed: boolean;
  /** DeleteOnTermination is set. */
  readonly settled: boolean;
  /** Detach by force: it never came up. */
  readonly force: boolean;
  /** The cloud refused it more blocks of the family. */
  readonly fullUntilMs?: Readonly<Partial<Record<Family, number>>>;
  /** Primary only: blocks on it that the daemon did not assign; never handed out, they only take slots. */
  readonly foreignBlocks: readonly Cidr[];
}

/**
 * installing (the cloud gave it, the kernel's fence is on its way) -> ready -> releasing -> gone (no row).
 * `assigning` is the operation that asks for it: EC2 chooses the address, so there is no row to name before the answer.
 * missing: the cloud no longer lists it although leases use it; asked for again while its ENI is here; -> installing or gone.
 * A block of a draining ENI hands nothing out; that is the ENI's state, not the block's.
 */
export interface BlockRow {
  readonly id: Cidr;
  readonly eni: EniKey;
  readonly state: 'installing' | 'ready' | 'releasing' | 'missing';
  readonly sync: number;
  /** When one of its addresses last became free: the longest idle is handed out first. */
  readonly idleSinceMs: number;
  /** missing: when it may be asked for again. */
  readonly askAgainMs?: number;
}

/** A row only while held, cooling or quarantined; free is the block minus its rows. */
export type AddressRow = { readonly ip: Ip; readonly block: Cidr } & (
  | { readonly state: 'held'; readonly lease: LeaseId }
  | { readonly state: 'cooling'; readonly sinceMs: number; readonly flushed: 'no' | 'asked' | 'yes' | 'cannot' }
  | { readonly state: 'quarantined'; readonly sinceMs: number }
);

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** The pod's namespace: its path, and who it was (`dev:inode`) when the lease was made. */
export interface NetnsRef {
  readonly path: string;
  readonly id: string;
}

/**
 * held (committed; the kernel is being told) -> ready (wired) -> unwiring (fence asked for) -> gone (no row).
 * lost: wired, but the cloud no longer lists its address; kept, reported, never handed out; -> ready or unwiring.
 * Only `held` and `unwiring` are told apart in the journal: what is wired is read back from the kernel.
 */
export interface LeaseRow {
  readonly id: LeaseId;
  readonly key: AttachmentKey;
  readonly attachment: Attachment;
  readonly pool: PoolId;
  readonly state: 'held' | 'ready' | 'unwiring' | 'lost';
  readonly addresses: readonly Ip[];
  readonly netns: NetnsRef;
  readonly pod?: PodRef;
  readonly linkIndex: number;
  /** As it was wired, whatever is configured since; after a restart as its link has it. */
  readonly mtu: number;
  /** As its newest ADD asked. In the journal: what it may send nobody tells who does not know its namespace. */
  readonly bandwidth?: Bandwidth;
  /** The newest ADD. */
  readonly sinceMs: number;
  /** At most one kernel effect a lease; `mend` is the sync in flight, `look` the look into its namespace. */
  readonly busy: 'wire' | 'unwire' | 'verify' | 'mend' | 'look' | undefined;
  readonly notBeforeMs: number;
  /** A DEL came while `busy`. */
  readonly doomed: boolean;
  /** Its link went while it was being wired: by the wiring, which makes it anew, or with its namespace. */
  readonly unlinked?: true;
  /** The kernel made nothing of it: its addresses need no cooldown. A restart does not know, and lets them cool. */
  readonly unmade?: boolean;
  /** Requests answered when the effect in flight is done. */
  readonly adds: readonly RequestId[];
  readonly checks: readonly RequestId[];
  readonly dels: readonly RequestId[];
}

/** An ADD without an address yet. FIFO by `order` within its pool. */
export interface WaiterRow {
  readonly order: number;
  readonly key: AttachmentKey;
  readonly attachment: Attachment;
  readonly pool: PoolId;
  readonly netns: NetnsRef;
  readonly pod?: PodRef;
  readonly bandwidth?: Bandwidth;
  readonly sinceMs: number;
  readonly deadlineMs: number;
  readonly requests: readonly RequestId[];
}

/**
 * flying (the call is out) -> gone, or after an ambiguous answer or a crash:
 * waiting (called again at `notBeforeMs`) -> flying, or settling (assign: reads must agree first) -> gone.
 */
export interface OperationRow {
  readonly id: OperationId;
  readonly eni?: EniKey;
  readonly call: CloudCall;
  readonly state: 'flying' | 'waiting' | 'settling';
  readonly attempts: number;
  /** Why the last attempt was not done. */
  readonly refusal?: CloudFailureKind;
  readonly startedMs: number;
  readonly notBeforeMs: number;
}

/** The last read of one ENI that may be believed, for comparison with the next. */
export interface SightingRow {
  readonly eni: EniId;
  readonly atMs: number;
  /** The read's contents as text, or `absent`. */
  readonly seen: string;
}

/** A fenced link that its namespace has not taken along yet. */
export interface DeadLinkRow {
  readonly name: string;
  readonly netnsId: string;
  readonly sinceMs: number;
}

/** A NIC of the host, by its MAC, also when its ENI is not known yet. */
export interface LinkRow {
  readonly mac: Mac;
  readonly name: string;
  readonly index: number;
  readonly mtu: number;
}

/** The last failure of a cloud action, for reasons and back-off; gone with its next success. */
export interface FailureRow {
  readonly action: CloudAction;
  readonly failure: CloudFailure;
  readonly atMs: number;
  readonly notBeforeMs: number;
  readonly count: number;
  /** An attach that the cloud accepted and that never came up. */
  readonly stuck?: { readonly eni: EniId; readonly waitedMs: number };
  /** New ENIs in a row that never served: no other is created for now. */
  readonly inVain?: number;
}

/** One action's token bucket, as last computed. */
export interface BudgetRow {
  readonly action: CloudAction;
  readonly tokens: number;
  readonly atMs: number;
  /** Share of the declared rate in use, cut by throttling and grown back (AIMD). */
  readonly share: number;
  readonly notBeforeMs: number;
  /** The last throttling: many nodes call. Where in the crowd this node queues up, in refill times of the bucket. */
  readonly crowd?: { readonly sinceMs: number; readonly place: number };
  /** Calls that the broker granted, and until when they may be made. */
  readonly lease?: { readonly count: number; readonly untilMs: number };
  /** Calls that the broker was asked for, or will be at the end of this step; `expectedMs` is its own estimate. */
  readonly asked?: {
    readonly count: number;
    readonly priority: Priority;
    readonly sent: boolean;
    /** The last ask, or the last call made without the broker. */
    readonly atMs: number;
    /** Since when the broker owes an answer. */
    readonly silentSinceMs: number;
    readonly expectedMs?: number;
  };
  /** `create` only: calls since an ENI last served, and when the last of them went out. */
  readonly inVain?: { readonly count: number; readonly atMs: number };
}

export interface Rows {
  readonly node: NodeRow;
  readonly runtime: RuntimeRow;
  readonly pool: PoolRow;
  readonly forecast: ForecastRow;
  readonly subnet: SubnetRow;
  readonly unlisted: UnlistedRow;
  readonly use: UseRow;
  readonly eni: EniRow;
  readonly block: BlockRow;
  readonly address: AddressRow;
  readonly lease: LeaseRow;
  readonly bound: BoundRow;
  readonly waiter: WaiterRow;
  readonly operation: OperationRow;
  readonly sighting: SightingRow;
  readonly deadLink: DeadLinkRow;
  readonly look: LookRow;
  readonly link: LinkRow;
  readonly failure: FailureRow;
  readonly budget: BudgetRow;
}

export type Table = keyof Rows;
