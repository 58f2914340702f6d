/**
 * ENIs from creation to deletion. Each ENI's state says what it needs next; `progressEnis` starts that call when
 * nothing is in flight on it and the budget has a token, so a restart or a refused call needs no special path.
 */
import type { EniKey } from './brand.ts';
import { type CloudFailureKind, type EniFacts, intentOf, OWNER_TAGS, type Tags } from './cloud.ts';
import type { NicLink } from './events.ts';
import { type Cidr, cidrBase, cidrContains, cidrLength, type Family, familyOf, hostCidr, type Ip } from './ip.ts';
import { priorityOf, startOperation } from './operation.ts';
import { ENI_NUMBER_MAX } from './plan.ts';
import { isPresent } from './pool.ts';
import type { AddressRow, BlockRow, EniPresent, EniRow } from './rows.ts';
import type { EniTally } from './tally.ts';
import type { Turn } from './turn.ts';

/**
 * Link seen 2 s after the attach answers is usual on EC2, 18 s was seen (amazon-ecs-cni-plugins PR 66). Shorter than an ADD
 * waits (`addDeadlineMs`), so that the pod whose ENI this is may yet have another one's address.
 */
export const LINK_DEADLINE_MS = 45_000;
/** How long a delete waits for the link to go before it is tried anyway. */
const LINK_GONE_MS = 5_000;

export const nodeRow = (turn: Turn) => {
  const node = turn.state.get('node', 'node');
  if (node === undefined) throw new Error('the core was stepped before it was opened');
  return node;
};

export function ownerTags(turn: Turn, intent: EniKey): Tags {
  const node = nodeRow(turn);
  return {
    [OWNER_TAGS.cluster]: node.cluster,
    [OWNER_TAGS.node]: node.nodeName,
    [OWNER_TAGS.instance]: node.instanceId,
    [OWNER_TAGS.intent]: intent,
    [OWNER_TAGS.createdAt]: String(Math.floor(turn.wallMs)),
  };
}

export const intentIn = (turn: Turn, tags: Tags): EniKey | undefined => {
  const { cluster, instanceId } = nodeRow(turn);
  return intentOf(tags, { cluster, instanceId });
};

/** creating -> available: the cloud made it. Its blocks come in the same answer. */
export function created(turn: Turn, eni: EniRow, facts: EniFacts): void {
  if (eni.state !== 'creating') return;
  turn.tx.put('eni', {
    key: eni.key,
    pool: eni.pool,
    kind: 'secondary',
    ...(eni.decidedMs !== undefined && { decidedMs: eni.decidedMs }),
    subnet: facts.subnet,
    sinceMs: turn.nowMs,
    writtenMs: turn.nowMs,
    state: 'available',
    ...presentFacts(facts),
    flushed: false,
    settled: turn.capabilities.deleteOnTerminationAtCreate,
    force: false,
    foreignBlocks: [],
  });
  for (const ip of [facts.primary4, facts.primary6])
    if (ip !== undefined) for (const block of overlapping(turn, hostCidr(ip))) blockMissing(turn, block);
  installBlocks(turn, eni.key, facts.blocks);
}

type Optional = Pick<EniPresent, 'id' | 'mac' | 'groups'> & Partial<Pick<EniPresent, 'primary4' | 'primary6'>>;

export const presentFacts = (facts: EniFacts): Optional => ({
  id: facts.id,
  mac: facts.mac,
  groups: facts.groups,
  ...(facts.primary4 && { primary4: facts.primary4 }),
  ...(facts.primary6 && { primary6: facts.primary6 }),
});

/** Blocks the cloud gave: fenced in the kernel first, then handed out. One we know already stays as it is. */
export function installBlocks(turn: Turn, eni: EniKey, blocks: readonly Cidr[]): void {
  for (const id of blocks) {
    const known = turn.state.get('block', id);
    if (known !== undefined && known.eni === eni && known.state !== 'missing') continue;
    const overtaken = overlapping(turn, id).filter((block) => block.id !== id);
    for (const block of overtaken) blockMissing(turn, block);
    turn.tx.put('block', { id, eni, state: 'installing', sync: turn.wantSync(), idleSinceMs: turn.nowMs });
    leasesFound(turn, id);
    const before = turn.state.get('eni', known?.eni ?? '');
    if (before?.state === 'gone') leave(turn, before);
    for (const block of overtaken) if (turn.state.takenIn(block.id) === 0) removeBlock(turn, block.id);
  }
}

/** The cloud gives an address once: what we hold elsewhere of a new one was taken away and not yet noticed. */
function overlapping(turn: Turn, id: Cidr): BlockRow[] {
  const found: BlockRow[] = [];
  const length = cidrLength(id);
  // Blocks of one size are the same or have nothing in common.
  for (const block of turn.state.all('block'))
    if (block.id === id || (cidrLength(block.id) !== length && overlap(block.id, id))) found.push(block);
  return found;
}

const overlap = (a: Cidr, b: Cidr): boolean => cidrContains(a, cidrBase(b)) || cidrContains(b, cidrBase(a));

/** lost -> ready for leases whose block the cloud lists (again). Adopted addresses learn here which block they are of. */
function leasesFound(turn: Turn, block: Cidr): void {
  for (const address of addressesWithin(turn, block)) {
    if (address.block !== block) turn.tx.put('address', { ...address, block });
    const lease = address.state === 'held' ? turn.state.get('lease', address.lease) : undefined;
    if (lease?.state === 'lost' && lease.addresses.every((ip) => hasBlock(turn, ip)))
      turn.tx.put('lease', { ...lease, state: 'ready' });
  }
}

function addressesWithin(turn: Turn, block: Cidr): AddressRow[] {
  const single = cidrBase(block);
  if (hostCidr(single) !== block) return [...turn.state.all('address')].filter(({ ip }) => cidrContains(block, ip));
  const row = turn.state.get('address', single);
  return row === undefined ? [] : [row];
}

const hasBlock = (turn: Turn, ip: Ip): boolean =>
  turn.state.get('block', turn.state.get('address', ip)?.block ?? '') !== undefined;

/** attaching -> linking: the cloud accepted it; its link is awaited. */
export function attached(turn: Turn, eni: EniPresent, deviceIndex: number | undefined): void {
  if (eni.state !== 'available' && eni.state !== 'attaching') return;
  const isLinked = turn.state.get('link', eni.mac) !== undefined;
  turn.tx.put('eni', {
    ...eni,
    state: 'linking',
    sinceMs: turn.nowMs,
    writtenMs: turn.nowMs,
    deadlineMs: turn.nowMs + LINK_DEADLINE_MS,
    number: eni.number ?? numberFor(turn, eni),
    ...(deviceIndex === undefined ? {} : { deviceIndex }),
    // Its kernel state is wanted as soon as its link is there.
    ...(isLinked && { sync: turn.wantSync() }),
  });
}

/** The first link with a MAC is the NIC: what is made upon it (a VLAN, a bridge) may share the MAC, and comes later. */
export function linkSeen(turn: Turn, { mac, name, index, mtu }: NicLink): void {
  const known = turn.state.get('link', mac);
  if (known !== undefined && known.index !== index) return;
  if (known?.name !== name || known.mtu !== mtu) turn.tx.put('link', { mac, name, index, mtu });
  const isNew = known?.name !== name;
  for (const eni of turn.state.all('eni')) {
    if (!isPresent(eni) || eni.mac !== mac) continue;
    // What hangs on it is read again: the kernel drops routes without a word. Another MTU is for pods to come.
    if (!isNew) {
      if (eni.kind !== 'foreign') turn.wantSync();
      continue;
    }
    // The link is the proof that the attach was done, also when its answer was lost.
    if (eni.state === 'attaching' || eni.state === 'available') {
      endOperation(turn, eni.key, 'attach');
      attached(turn, eni, eni.deviceIndex);
    } else turn.tx.put('eni', { ...eni, sync: turn.wantSync() });
  }
}

export function linkGone(turn: Turn, { mac, index }: Pick<NicLink, 'mac' | 'index'>): void {
  if (turn.state.get('link', mac)?.index !== index) return;
  turn.tx.remove('link', mac);
  turn.wantSync();
  for (const eni of turn.state.all('eni')) {
    if (!isPresent(eni) || eni.mac !== mac) continue;
    // A sync without it sets nothing of it up: it waits for the one that its link asks for when it comes back.
    const { sync: _, ...rest } = eni;
    const served = eni.kind !== 'primary' && (eni.state === 'ready' || eni.state === 'draining');
    turn.tx.put('eni', { ...rest, ...(served && { writtenMs: turn.nowMs }) });
    // Somebody may have detached it: the cloud knows, and says so once its replicas have heard.
    if (served) turn.wantListing(turn.nowMs + turn.capabilities.listLagMs);
  }
}

function endOperation(turn: Turn, eni: EniKey, action: 'attach'): void {
  const operation = turn.state.operationOn(eni);
  if (operation?.call.action === action) turn.tx.remove('operation', operation.id);
}

/**
 * The one that it has in the kernel, also where the journal is lost: its connections carry it as their mark, and would
 * leave by another ENI. Else the lowest that neither an ENI has nor the kernel knew of a link when the process started.
 */
function numberFor(turn: Turn, { mac }: EniPresent): number {
  const used = new Set<number>();
  for (const eni of turn.state.all('eni')) if (isPresent(eni) && eni.number !== undefined) used.add(eni.number);
  const own = turn.runtime.numbers.find((one) => one.mac === mac)?.number;
  if (own !== undefined && !used.has(own)) return own;
  for (const { number } of turn.runtime.numbers) used.add(number);
  for (let number = 2; number <= ENI_NUMBER_MAX; number++) if (!used.has(number)) return number;
  throw new Error('an instance with more than 126 ENIs is not known to exist');
}

/** Device indexes no ENI of the instance is known to have, lowest first. */
export function freeDeviceIndexes(turn: Turn): number[] {
  const used = new Set([0]);
  for (const eni of turn.state.all('eni'))
    if (isPresent(eni) && eni.deviceIndex !== undefined) used.add(eni.deviceIndex);
  const limit = nodeRow(turn).limits?.eniCountMax ?? 0;
  return Array.from({ length: limit * 2 }, (_, at) => at).filter((index) => !used.has(index));
}

/** any -> detaching: nothing is leased or cooling on it, or it never came up. */
export function startDetaching(turn: Turn, eni: EniPresent, force: boolean): void {
  if (eni.kind !== 'secondary') throw new Error(`${eni.id} is ${eni.kind}: it is never detached`);
  losePods(turn, eni);
  turn.tx.put('eni', { ...eni, state: 'detaching', sinceMs: turn.nowMs, force });
  turn.wantSync();
}

/** detaching -> deleting */
export function detached(turn: Turn, eni: EniPresent): void {
  losePods(turn, eni);
  const { deviceIndex: _, ...rest } = eni;
  turn.tx.put('eni', {
    ...rest,
    state: 'deleting',
    sinceMs: turn.nowMs,
    writtenMs: turn.nowMs,
    flushed: eni.number === undefined,
  });
}

/** Addresses that the cloud moved to an ENI which never came up are used by pods that lost them. */
function losePods(turn: Turn, eni: EniPresent): void {
  for (const block of turn.state.blocksOf(eni.key)) if (turn.state.takenIn(block.id) > 0) blockMissing(turn, block);
}

/** any -> gone: the cloud has it no more. Its pods are lost; the row stays as long as they do. */
export function eniGone(turn: Turn, eni: EniRow): void {
  const operation = turn.state.operationOn(eni.key);
  if (operation !== undefined) turn.tx.remove('operation', operation.id);
  turn.wantSync();
  if (!isPresent(eni)) return turn.tx.remove('eni', eni.key);
  turn.tx.remove('sighting', eni.id);
  if (eni.kind === 'foreign') return turn.tx.remove('eni', eni.key);
  for (const block of turn.state.blocksOf(eni.key)) blockMissing(turn, block);
  const { deviceIndex: _, deadlineMs: _deadline, ...rest } = eni;
  leave(turn, { ...rest, state: 'gone', sinceMs: turn.nowMs });
}

/** The cloud does not have it, or is being asked to delete it: the mark's connections are flushed. */
export const isLeaving = (eni: EniRow): boolean => eni.state === 'deleting' || eni.state === 'gone';

/** Puts the row of a leaving ENI, or removes it when nothing needs it any more. */
export function leave(turn: Turn, eni: EniPresent): void {
  const needed =
    eni.state !== 'gone' || (!eni.flushed && eni.number !== undefined) || turn.state.blocksOf(eni.key).length > 0;
  if (needed) turn.tx.put('eni', eni);
  else turn.tx.remove('eni', eni.key);
}

/** ready -> lost: the cloud no longer lists the block. Kept for its pods, asked for again; gone when nobody uses it. */
export function blockMissing(turn: Turn, block: BlockRow): void {
  for (const address of turn.state.addressesOf(block.id)) {
    // What cools goes on cooling: the cloud may give it to another ENI of ours at once.
    if (address.state === 'quarantined' && !isUsed(turn, address)) turn.tx.remove('address', address.ip);
    const lease = address.state === 'held' ? turn.state.get('lease', address.lease) : undefined;
    if (lease?.state === 'ready') turn.tx.put('lease', { ...lease, state: 'lost' });
  }
  if (turn.state.takenIn(block.id) === 0) removeBlock(turn, block.id);
  else turn.tx.put('block', { ...block, state: 'missing' });
}

/** A pod has it, also where what is known of that is in doubt. */
const isUsed = (turn: Turn, { ip, state }: AddressRow): boolean =>
  state === 'held' ||
  (state === 'quarantined' && [...turn.state.all('lease')].some((lease) => lease.addresses.includes(ip)));

/** The block is the node's no longer: the fence goes after it. Leases on it are lost, and stay. */
export function removeBlock(turn: Turn, id: Cidr): void {
  const addresses = turn.state.addressesOf(id);
  for (const address of addresses) if (!isUsed(turn, address)) turn.tx.remove('address', address.ip);
  if (addresses.some(({ state }) => state === 'held')) throw new Error(`${id} has leases: it is not ours to drop`);
  const eni = turn.state.get('eni', turn.state.get('block', id)?.eni ?? '');
  turn.tx.remove('block', id);
  turn.wantSync();
  if (eni?.state === 'gone') leave(turn, eni);
}

/** Starts what each ENI's state asks for next. */
export function progressEnis(turn: Turn): void {
  if (turn.state.census.inMotion === 0) return;
  for (const eni of turn.state.all('eni')) {
    if (!isPresent(eni) || eni.kind !== 'secondary') continue;
    const busy = turn.state.operationOn(eni.key) !== undefined;
    if (isStuck(turn, eni, busy)) stuck(turn, eni);
    else if (eni.state === 'available' && !busy) attach(turn, eni);
    else if (eni.state === 'draining' && !busy) drained(turn, eni);
    else if (eni.state === 'detaching' && !busy)
      startOperation(turn, { action: 'detach', eni: eni.id, force: eni.force }, priorityOf(turn, 'detach'), eni.key);
    else if (eni.state === 'deleting' && !busy && eni.flushed) remove(turn, eni);
  }
}

/** Sets DeleteOnTermination once the ENI serves and nobody waits: it is one more mutation that would hold up an assign. */
export function settleEnis(turn: Turn): void {
  if (turn.state.census.inMotion === 0 || turn.state.count('waiter') > 0) return;
  for (const eni of turn.state.all('eni')) {
    if (eni.state !== 'ready' || eni.settled || turn.state.operationOn(eni.key) !== undefined) continue;
    startOperation(turn, { action: 'modify', eni: eni.id, deleteOnTermination: true }, 'release', eni.key);
  }
}

/** Past its deadline; an attach that is still in flight or in doubt answers first. */
function isStuck(turn: Turn, eni: EniPresent, busy: boolean): boolean {
  // One whose link is there waits for our own kernel state, and may carry pods: a lost journal's adopted ones do.
  const hasLink = turn.state.get('link', eni.mac) !== undefined;
  if (eni.state === 'linking') return !hasLink && eni.deadlineMs !== undefined && !busy && turn.due(eni.deadlineMs);
  const operation = turn.state.operationOn(eni.key);
  if (eni.state !== 'attaching' || operation?.state !== 'waiting') return false;
  const { refusal } = operation;
  if (refusal !== undefined && NOT_THE_ENIS.includes(refusal)) return false;
  return turn.due(eni.sinceMs + LINK_DEADLINE_MS);
}

/** Refusals that another ENI would meet as well: this one is kept, and attached when they end. */
const NOT_THE_ENIS: readonly CloudFailureKind[] = ['throttled', 'denied', 'misconfigured', 'transient'];

function attach(turn: Turn, eni: EniPresent): void {
  const index = freeDeviceIndexes(turn)[0];
  const call = {
    action: 'attach',
    eni: eni.id,
    ...(turn.capabilities.deviceIndex === 'caller' && { deviceIndex: index ?? 1 }),
  } as const;
  const current = turn.state.get('eni', eni.key);
  if (current === undefined || !startOperation(turn, call, 'blocked-pod', eni.key)) return;
  turn.tx.put('eni', {
    ...eni,
    state: 'attaching',
    sinceMs: turn.nowMs,
    ...(index === undefined ? {} : { deviceIndex: index }),
  });
}

function stuck(turn: Turn, eni: EniPresent): void {
  const operation = turn.state.operationOn(eni.key);
  if (operation !== undefined) turn.tx.remove('operation', operation.id);
  turn.tx.put('failure', {
    action: 'attach',
    failure: { kind: 'bug', code: 'ATTACH_STUCK', message: eni.id },
    atMs: turn.nowMs,
    notBeforeMs: turn.nowMs,
    count: 1,
    stuck: { eni: eni.id, waitedMs: turn.nowMs - eni.sinceMs },
  });
  startDetaching(turn, eni, true);
}

/**
 * draining -> detaching once nothing on it is leased, cooling or quarantined, and the call has its token: one that was put
 * off for minutes can still be taken back.
 */
function drained(turn: Turn, eni: EniPresent): void {
  const call = { action: 'detach', eni: eni.id, force: false } as const;
  if (usedOn(turn, eni) === 0 && startOperation(turn, call, priorityOf(turn, 'detach'), eni.key))
    startDetaching(turn, eni, false);
}

function remove(turn: Turn, eni: EniPresent): void {
  const linkUp = turn.state.get('link', eni.mac) !== undefined;
  if (linkUp && !turn.due(eni.sinceMs + LINK_GONE_MS)) return;
  startOperation(turn, { action: 'delete', eni: eni.id }, priorityOf(turn, 'delete'), eni.key);
}

/** Slots of one family still free on the ENI: its own address, our blocks and others' take one each. */
export function freeSlots(turn: Turn, eni: EniPresent, family: Family): number {
  const fullUntilMs = eni.fullUntilMs?.[family];
  if (fullUntilMs !== undefined && !turn.due(fullUntilMs)) return 0;
  const slots = nodeRow(turn).limits?.slotsPerEni[family] ?? 0;
  const own = (family === 4 ? eni.primary4 : eni.primary6) === undefined ? 0 : 1;
  const foreign = eni.foreignBlocks.reduce((sum, block) => (familyOf(block) === family ? sum + 1 : sum), 0);
  return slots - own - foreign - turn.state.tally(eni.key, family).blocks;
}

/** Addresses of both families on the ENI that are leased, cooling or quarantined. */
export const usedOn = (turn: Turn, { key }: EniRow): number =>
  turn.state.tally(key, 4).taken + turn.state.tally(key, 6).taken;

/** Addresses of both families on the ENI that are free, in blocks that are ready. */
export function freeOn(turn: Turn, { key }: EniRow): number {
  const free = ({ ready, held, cooling, quarantined }: EniTally) => ready - held - cooling - quarantined;
  return free(turn.state.tally(key, 4)) + free(turn.state.tally(key, 6));
}
