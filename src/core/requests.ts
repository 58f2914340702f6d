/**
 * What the runtime asks for: ADD, DEL, CHECK, GC, STATUS, and its hanging up. Repeats coalesce here, so that the
 * simulator runs them too.
 */
import { type Attachment, attachmentKey, type RequestId } from './brand.ts';
import type { Event } from './events.ts';
import { hindrance } from './explain.ts';
import { learnArrival } from './learn.ts';
import { answer, refused, release, verify, wire } from './lease.ts';
import { addressLost } from './lost.ts';
import type { Reason } from './reasons.ts';
import type { LeaseRow, PoolRow, WaiterRow } from './rows.ts';
import type { Turn } from './turn.ts';

type Of<K extends Event['kind']> = Extract<Event, { kind: K }>;

/** GC spares attachments younger than this: two runtimes may share one conflist folder. */
const GC_AGE_MIN_MS = 60_000;

export function add(turn: Turn, event: Of<'add'>): void {
  const { journal, journalDetail, settings } = turn.runtime;
  if (journal === 'down')
    return answer(turn, [event.request], refused({ code: 'JOURNAL_UNWRITABLE', detail: journalDetail }));
  const key = attachmentKey(event.attachment);
  const waiter = turn.state.get('waiter', key);
  if (waiter !== undefined) return joinWaiter(turn, waiter, event);
  const lease = turn.state.leaseOf(key);
  if (lease !== undefined && lease.state !== 'unwiring' && !lease.doomed) return addAgain(turn, lease, event);
  const waiting = turn.state.count('waiter');
  if (waiting >= settings.waiterCountMax) {
    return answer(turn, [event.request], refused({ code: 'QUEUE_FULL', waiting, limit: settings.waiterCountMax }));
  }
  const order = turn.runtime.nextWaiter;
  turn.setRuntime({ nextWaiter: order + 1 });
  learnArrival(turn, poolFor(turn), event.pod);
  turn.tx.put('waiter', {
    order,
    key,
    attachment: event.attachment,
    pool: poolFor(turn).id,
    netns: event.netns,
    ...(event.pod && { pod: event.pod }),
    ...(event.bandwidth && { bandwidth: event.bandwidth }),
    sinceMs: turn.nowMs,
    deadlineMs: deadlineOf(turn, event),
    requests: [event.request],
  });
}

const deadlineOf = (turn: Turn, event: Of<'add'>): number =>
  Math.min(event.deadlineMs, turn.nowMs + turn.runtime.settings.addDeadlineMs);

function joinWaiter(turn: Turn, waiter: WaiterRow, event: Of<'add'>): void {
  turn.tx.put('waiter', {
    ...waiter,
    netns: event.netns,
    ...limitsOf(waiter, event),
    requests: [...waiter.requests, event.request],
    deadlineMs: Math.max(waiter.deadlineMs, deadlineOf(turn, event)),
  });
}

/** A repeated ADD: answered when the kernel has what the lease says, by whichever path the runtime names its namespace. */
function addAgain(turn: Turn, lease: LeaseRow, event: Of<'add'>): void {
  if (isOtherNamespace(lease, event)) return answer(turn, [event.request], refused(runsElsewhere(lease, event)));
  if (lease.state === 'lost') return answer(turn, [event.request], refused(addressLost(turn.state, lease)));
  const doubted = lease.addresses.find((ip) => turn.state.get('address', ip)?.state === 'quarantined');
  if (doubted !== undefined) {
    const detail = `${doubted} is set apart since what is known of it was found wrong again and again`;
    return answer(turn, [event.request], refused({ code: 'INTERNAL', detail }));
  }
  // It looks at all of the pod: what was put back there before counts no more.
  turn.tx.remove('look', lease.id);
  const again: LeaseRow = {
    ...lease,
    ...limitsOf(lease, event),
    sinceMs: turn.nowMs,
    adds: [...lease.adds, event.request],
  };
  if (lease.busy !== undefined) return turn.tx.put('lease', again);
  wire(turn, { ...again, netns: event.netns }, false);
}

/**
 * A repeated ADD changes a limit or brings one, and takes none away: of a pod that runs it would stay in force while nothing
 * here knew of it. Of an adopted one they are not known whole before.
 */
const limitsOf = (before: WaiterRow | LeaseRow, { bandwidth }: Of<'add'>): Pick<LeaseRow, 'bandwidth'> =>
  bandwidth === undefined ? {} : { bandwidth: { ...before.bandwidth, ...bandwidth } };

/** From its link alone: neither its namespace nor when it was asked for is known before its next ADD. */
const isAdopted = ({ netns }: LeaseRow): boolean => netns.id === '';

const isOtherNamespace = (lease: LeaseRow, event: Of<'add' | 'check'>): boolean =>
  !isAdopted(lease) && lease.netns.id !== event.netns.id;

/** Its link goes with the namespace that it is in, so that one is still there: making it anew would cut a running pod. */
const runsElsewhere = ({ netns, attachment }: LeaseRow, event: Of<'add'>): Reason => ({
  code: 'BAD_REQUEST',
  detail: `${attachment.ifname} of container ${attachment.containerId} runs in ${netns.path}, and CNI_NETNS names another namespace, ${event.netns.path}: it needs a DEL first`,
});

function poolFor(turn: Turn): PoolRow {
  for (const pool of turn.state.all('pool')) return pool;
  throw new Error('no pool is configured');
}

export function del(turn: Turn, event: Of<'del'>): void {
  const key = attachmentKey(event.attachment);
  const isMeant = ({ sinceMs }: { readonly sinceMs: number }): boolean => sinceMs <= (event.askedMs ?? turn.nowMs);
  const waiter = turn.state.get('waiter', key);
  if (waiter !== undefined && isMeant(waiter)) {
    turn.tx.remove('waiter', key);
    answer(turn, waiter.requests, refused({ code: 'DELETED_MEANWHILE' }));
  }
  const lease = turn.state.leaseOf(key);
  if (lease === undefined || !(isMeant(lease) || isAdopted(lease)))
    return answer(turn, [event.request], { kind: 'done' });
  const asked: LeaseRow = { ...lease, dels: [...lease.dels, event.request] };
  if (lease.state === 'unwiring' && lease.busy !== undefined) turn.tx.put('lease', asked);
  else release(turn, asked);
}

export function check(turn: Turn, event: Of<'check'>): void {
  const lease = turn.state.leaseOf(attachmentKey(event.attachment));
  if (lease === undefined || lease.state === 'unwiring') {
    return answer(
      turn,
      [event.request],
      refused({ code: 'NOT_AS_WIRED', problems: ['no address is leased to this attachment'] }),
    );
  }
  if (lease.state === 'lost') return answer(turn, [event.request], refused(addressLost(turn.state, lease)));
  if (isOtherNamespace(lease, event)) {
    const problem = `it was wired in ${lease.netns.path}, and CNI_NETNS names another namespace, ${event.netns.path}`;
    return answer(turn, [event.request], refused({ code: 'NOT_AS_WIRED', problems: [problem] }));
  }
  const asked: LeaseRow = { ...lease, checks: [...lease.checks, event.request] };
  if (lease.busy !== undefined) turn.tx.put('lease', asked);
  else verify(turn, asked);
}

export function gc(turn: Turn, event: Of<'gc'>): void {
  const valid = new Set(event.valid.map((attachment: Attachment) => attachmentKey(attachment)));
  for (const lease of turn.state.all('lease')) {
    if (lease.attachment.network !== event.network || valid.has(lease.key)) continue;
    if (turn.nowMs - lease.sinceMs < GC_AGE_MIN_MS || isInFlight(lease)) continue;
    release(turn, lease);
  }
  answer(turn, [event.request], { kind: 'done' });
}

/** An ADD or CHECK of it is being answered, so somebody knows it; or it is ending anyway. The next list has its turn. */
const isInFlight = ({ busy, state }: LeaseRow): boolean => busy !== undefined || state === 'unwiring';

/** STATUS says "can this daemon work", never "has it capacity". The kubelet sends no pods while it cannot. */
export function status(turn: Turn, event: Of<'status'>): void {
  const reason = hindrance(turn);
  answer(turn, [event.request], reason === undefined ? { kind: 'done' } : refused(reason));
}

/** The caller is gone. Its waiter is dropped; a lease that is being wired waits for its DEL. */
export function hangUp(turn: Turn, request: RequestId): void {
  for (const waiter of turn.state.all('waiter')) {
    if (!waiter.requests.includes(request)) continue;
    const requests = waiter.requests.filter((other) => other !== request);
    if (requests.length === 0) turn.tx.remove('waiter', waiter.key);
    else turn.tx.put('waiter', { ...waiter, requests });
    return;
  }
  for (const lease of turn.state.all('lease')) {
    const without = (requests: readonly RequestId[]) => requests.filter((other) => other !== request);
    if ([...lease.adds, ...lease.dels, ...lease.checks].includes(request)) {
      turn.tx.put('lease', {
        ...lease,
        adds: without(lease.adds),
        dels: without(lease.dels),
        checks: without(lease.checks),
      });
      return;
    }
  }
}
