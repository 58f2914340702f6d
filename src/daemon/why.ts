/**
 * `GET /v1/why`: why a pod has no address, from the core's rows and the last refusals, and without a pod what the pool
 * is at. Reads only: `explain` and `prospect` are asked on a turn that nobody commits.
 */
import type { Capabilities } from '../core/cloud.ts';
import { explain } from '../core/explain.ts';
import { cidrSize } from '../core/ip.ts';
import { headroomExplained } from '../core/learn.ts';
import { addressLost, enisOfLease, isTakenAway } from '../core/lost.ts';
import { lostNodeAddresses, missingNodeAddresses } from '../core/node-address.ts';
import { holding, servingOf } from '../core/pool.ts';
import { prospect } from '../core/prospect.ts';
import { type Reason, reasonText } from '../core/reasons.ts';
import type { LeaseRow, PoolRow, WaiterRow } from '../core/rows.ts';
import { type State, Tx } from '../core/state.ts';
import { pressureOf } from '../core/subnet.ts';
import { fragmentation } from '../core/subnet-use.ts';
import { judgeTargets, type TargetsVerdict } from '../core/targets.ts';
import { Turn } from '../core/turn.ts';
import type { Clock } from '../ports/clock.ts';
import type { Expected, PoolSummary, Refused, SubnetSummary, ToldReason, WhyAnswer } from '../protocol/why.ts';
import { type Refusal, whoIs } from './refusals.ts';
import { linesOf } from './why-words.ts';

/** Of the last refusals this many are shown where no pod is named. */
const REFUSALS_SHOWN = 5;

/** An ADD that came before there was a core. */
export interface EarlyAdd {
  readonly who: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly sinceMs: number;
  readonly deadlineMs: number;
}

export interface WhyView {
  readonly state: () => State | undefined;
  /** Why there is no core yet. */
  readonly starting: () => Reason;
  readonly early: () => readonly EarlyAdd[];
  readonly refusals: () => readonly Refusal[];
  readonly clock: Pick<Clock, 'nowMs' | 'wallMs'>;
  readonly capabilities: Capabilities;
}

type Facts<A = WhyAnswer> = A extends unknown ? Omit<A, 'lines'> : never;

/**
 * `named` is `namespace/name`, the name alone, or the beginning of a container's id; undefined asks for the pool. Of a
 * pod with several interfaces the one that is worst off is the answer, and has the others beside it.
 */
export function whyAnswer(view: WhyView, named: string | undefined): WhyAnswer {
  const inWords = (facts: Facts): WhyAnswer => ({ ...facts, lines: linesOf(facts, view.clock.wallMs()) });
  if (named === undefined) return inWords(poolFacts(view));
  const [first, ...others] = podFacts(view, named).map(inWords);
  if (first === undefined) return inWords({ status: 'unknown', who: named, nameless: namelessIn(view) });
  if (others.length === 0) return first;
  return { ...first, lines: [first, ...others].flatMap(({ lines }) => lines), others };
}

interface Known {
  readonly who: string;
  readonly containerId: string;
  readonly ifname: string;
}

const knownOf = (row: LeaseRow | WaiterRow): Known => ({ who: whoIs(row), ...row.attachment });

/** Where it stands with each interface of the pod, the worst first; empty where nothing is known. */
function podFacts(view: WhyView, named: string): Facts[] {
  const state = view.state();
  const known = [
    ...[...leasesIn(state), ...(state?.waitersInOrder() ?? [])].map(knownOf),
    ...view.early(),
    ...view.refusals(),
  ];
  const isIt = waysToName(named).find((way) => known.some(way)) ?? (() => false);
  const found = known.filter(isIt);
  const pods = [...new Set(found.map(({ who }) => who))].sort();
  if (pods.length > 1) return [{ status: 'ambiguous', named, pods }];
  const ifnames = [...new Set(found.map(({ ifname }) => ifname))].sort();
  return ifnames
    .flatMap((ifname) => interfaceFacts(view, (one) => isIt(one) && one.ifname === ifname) ?? [])
    .sort((a, b) => badness(b) - badness(a));
}

const leasesIn = (state: State | undefined): readonly LeaseRow[] =>
  state === undefined ? [] : [...state.all('lease')].filter((row) => row.state !== 'unwiring');

const namelessIn = (view: WhyView): number => leasesIn(view.state()).filter(({ pod }) => pod === undefined).length;

const badness = (facts: Facts): number =>
  facts.status === 'has-address' ? Number(facts.refused !== undefined) : facts.status === 'lost' ? 2 : 3;

function interfaceFacts(view: WhyView, isIt: (one: Known) => boolean): Facts | undefined {
  const state = view.state();
  const refusal = view.refusals().findLast(isIt);
  const lease = leasesIn(state).find((row) => isIt(knownOf(row)));
  if (state !== undefined && lease !== undefined) return leaseFacts(view, state, lease, refusal);
  const waiter = state?.waitersInOrder().find((row) => isIt(knownOf(row)));
  if (state !== undefined && waiter !== undefined) return waiterFacts(view, state, waiter);
  const nowMs = view.clock.nowMs();
  const early = view.early().find(isIt);
  if (early !== undefined) {
    const { who, ifname, sinceMs, deadlineMs } = early;
    const reason = told(view.starting());
    return { status: 'waits', who, ifname, forMs: nowMs - sinceMs, deadlineInMs: deadlineMs - nowMs, reason };
  }
  return refusal && { status: 'refused', refused: refused(refusal, nowMs) };
}

/** The surest first: no container's id, whatever it begins with, hides a pod of that name. */
const waysToName = (named: string): readonly ((pod: Known) => boolean)[] => [
  ({ who }) => who === named,
  ({ who }) => who.endsWith(`/${named}`),
  ({ containerId }) => containerId.startsWith(named),
];

const told = (reason: Reason): ToldReason => ({ code: reason.code, text: reasonText(reason) });

const refused = ({ who, ifname, by, code, text, atMs, count }: Refusal, nowMs: number): Refused => ({
  who,
  ifname,
  by,
  code,
  text,
  agoMs: nowMs - atMs,
  count,
});

function leaseFacts({ clock }: WhyView, state: State, lease: LeaseRow, refusal: Refusal | undefined): Facts {
  const { addresses } = lease;
  const { who, ifname } = knownOf(lease);
  if (lease.state === 'lost') {
    const lost = addresses.filter((ip) => isTakenAway(state, ip));
    return { status: 'lost', who, ifname, addresses, lost, reason: told(addressLost(state, lease)) };
  }
  const nowMs = clock.nowMs();
  const agoMs = nowMs - lease.sinceMs;
  const { lastMs } = state.runtime.listing;
  return {
    status: 'has-address',
    who,
    ifname,
    addresses,
    enis: enisOfLease(state, lease),
    agoMs,
    ...(lastMs !== undefined && { readAgoMs: nowMs - lastMs }),
    ...(refusal !== undefined && { refused: refused(refusal, nowMs) }),
  };
}

function waiterFacts(view: WhyView, state: State, waiter: WaiterRow): Facts {
  const nowMs = view.clock.nowMs();
  const pool = state.get('pool', waiter.pool);
  const queue = state.waitersInOrder().filter((row) => row.pool === waiter.pool);
  const expected = pool && expectedIn(view, state, pool);
  return {
    status: 'waits',
    who: whoIs(waiter),
    ifname: waiter.attachment.ifname,
    position: queue.findIndex((row) => row.key === waiter.key) + 1,
    waiting: queue.length,
    forMs: nowMs - waiter.sinceMs,
    deadlineInMs: waiter.deadlineMs - nowMs,
    reason: told(pool ? explain(readingTurn(view, state), pool) : view.starting()),
    ...(expected && { expected }),
  };
}

/** For what only reads: nobody commits it. */
export const readingTurn = ({ clock, capabilities }: Pick<WhyView, 'clock' | 'capabilities'>, state: State): Turn =>
  new Turn(new Tx(state), { nowMs: clock.nowMs(), wallMs: clock.wallMs(), capabilities });

/** Nothing is expected of a daemon that may not act. */
function expectedIn(view: WhyView, state: State, pool: PoolRow): Expected | undefined {
  const { phase, journal } = state.runtime;
  return phase === 'serving' && journal === 'up' ? prospect(readingTurn(view, state), pool) : undefined;
}

function poolFacts(view: WhyView): Facts {
  const state = view.state();
  const nowMs = view.clock.nowMs();
  const last = view.refusals().slice(-REFUSALS_SHOWN).reverse();
  const shown = last.map((refusal) => refused(refusal, nowMs));
  const common = { status: 'pool', refused: shown } as const;
  if (state === undefined)
    return { ...common, serving: false, reason: told(view.starting()), pools: [], subnets: [], underWay: [] };
  const { phase, journal } = state.runtime;
  const serving = phase === 'serving' && journal === 'up';
  const [first] = state.all('pool');
  const verdicts = targetsOf(readingTurn(view, state));
  return {
    ...common,
    serving,
    ...(!serving && first !== undefined && { reason: told(explain(readingTurn(view, state), first)) }),
    pools: [...state.all('pool')].map((pool) => summaryOf(view, state, pool, verdicts.get(pool.id))),
    subnets: subnetsOf(state, nowMs),
    underWay: [...state.all('operation')].map(({ call, state: at, startedMs }) => {
      const on = 'eni' in call ? ` on ${call.eni}` : '';
      return `${call.action}${on} (${at}, ${((nowMs - startedMs) / 1_000).toFixed(1)} s)`;
    }),
  };
}

function subnetsOf(state: State, nowMs: number): SubnetSummary[] {
  const unlisted = [...state.all('unlisted')].map(
    ({ id }): SubnetSummary => ({ id, pressure: 'normal', unlisted: true }),
  );
  const listed = [...state.all('subnet')].filter(({ id }) => state.get('unlisted', id) === undefined);
  const counted = listed.map((subnet): SubnetSummary => {
    const use = state.get('use', subnet.id);
    return {
      id: subnet.id,
      ...(subnet.freeCount4 !== undefined && { free: subnet.freeCount4 }),
      ...(subnet.cidr4 !== undefined && { size: cidrSize(subnet.cidr4) }),
      pressure: pressureOf(subnet, nowMs),
      ...(use !== undefined && { fragmentation: fragmentation(use) }),
    };
  });
  return [...counted, ...unlisted];
}

function summaryOf(view: WhyView, state: State, pool: PoolRow, verdict: TargetsVerdict | undefined): PoolSummary {
  const waiting = state.waiterCount(pool.id);
  const expected = waiting > 0 ? expectedIn(view, state, pool) : undefined;
  const headroom = verdict && headroomExplained(readingTurn(view, state), pool);
  const lost = state.leasesIn('lost').filter((lease) => lease.pool === pool.id);
  const [firstLost] = lost;
  return {
    id: pool.id,
    addresses: pool.families.map((family) => ({ family, ...holding(state, pool, family) })),
    eniCount: new Set(pool.families.flatMap((family) => [...servingOf(state, pool, family)])).size,
    ...(firstLost && { lost: { pods: lost.map(whoIs), reason: told(addressLost(state, firstLost)) } }),
    waiting,
    ...(waiting > 0 && { reason: told(explain(readingTurn(view, state), pool)) }),
    ...(expected && { expected }),
    ...(headroom && { headroom }),
    ...(verdict && {
      targets: {
        accepted: verdict.accepted,
        sentence: verdict.sentence,
        warnings: [...(verdict.accepted ? verdict.warnings : []), ...lostNodeAddresses(state, [pool])],
      },
    }),
  };
}

/** What each pool's targets come to, and what the node lacks for them; empty while the instance's limits are not known. */
export function targetsOf(
  turn: Turn,
  pools: Iterable<PoolRow> = turn.state.all('pool'),
): ReadonlyMap<PoolRow['id'], TargetsVerdict> {
  const { state, capabilities } = turn;
  const limits = state.get('node', 'node')?.limits;
  if (limits === undefined) return new Map();
  const verdictOf = (pool: PoolRow): TargetsVerdict => {
    const learned = headroomExplained(turn, pool)?.headroom;
    const verdict = judgeTargets({ pool, limits, capabilities, ...(learned !== undefined && { learned }) });
    if (!verdict.accepted) return verdict;
    return { ...verdict, warnings: [...verdict.warnings, ...missingNodeAddresses(turn, pool)] };
  };
  return new Map([...pools].map((pool) => [pool.id, verdictOf(pool)]));
}
