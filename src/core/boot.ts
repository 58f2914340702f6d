/**
 * From a journal and a kernel to a state: what a restart, a reboot, a lost journal mean for each lease.
 * The verdict table of design section 6 is `started` (journal and kernel) and observe.ts (the cloud's side).
 */
import { coolAddress } from './address.ts';
import { attachmentKey, type LeaseId } from './brand.ts';
import { LINK_DEADLINE_MS, linkSeen, nodeRow } from './eni.ts';
import type { Event, FoundLink } from './events.ts';
import { afterBoot } from './forecast.ts';
import { type Cidr, cidrContains, hostCidr, type Ip } from './ip.ts';
import { release } from './lease.ts';
import { linkName } from './link-name.ts';
import { lookAtAll } from './look.ts';
import { MAY_BE_PUT_OFF, settle, waitOut } from './operation.ts';
import { isPresent } from './pool.ts';
import type { EniPresent, LeaseRow, NodeRow, Rows, RuntimeRow, Settings, Table } from './rows.ts';
import { SCHEMA } from './rows.ts';
import { type JournalRow, State, Tx } from './state.ts';
import { UNMARKED } from './subnet.ts';
import type { Turn } from './turn.ts';

export interface Identity {
  readonly cluster: string;
  readonly nodeName: string;
  readonly instanceId: NodeRow['instanceId'];
  readonly bootId: string;
  readonly epoch: string;
}

export const DEFAULT_SETTINGS: Settings = {
  addDeadlineMs: 60_000,
  waiterCountMax: 1_024,
  cooldownMs: 30_000,
  cooldownUnflushedMs: 120_000,
  cooldownUnderPressureMs: 5_000,
  surplusMs: 60_000,
  mtu: 9_001,
  masquerade: true,
  markMask: 0x7f,
};

/** Whose journal this is; undefined for one that was never begun. */
export function journalOwner(rows: readonly JournalRow[]): NodeRow | undefined {
  return rows.find((row) => row.table === 'node')?.row as NodeRow | undefined;
}

/** True when the rows are this instance's, written by a schema this program reads. */
export function isOurs(rows: readonly JournalRow[], identity: Identity): boolean {
  const owner = journalOwner(rows);
  return (
    owner !== undefined &&
    owner.schema === SCHEMA &&
    owner.instanceId === identity.instanceId &&
    owner.cluster === identity.cluster
  );
}

/**
 * The state a process begins with. `rows` is the journal when it is intact and ours, else empty. The returned rows
 * must be committed before the first step: they hold the new epoch.
 */
export function openState(options: {
  readonly rows: readonly JournalRow[];
  readonly identity: Identity;
  readonly nowMs: number;
}): { readonly state: State; readonly first: readonly JournalRow[] } {
  const { rows, identity, nowMs } = options;
  const state = new State();
  const tx = new Tx(state);
  for (const { table, key, row } of rows)
    if (row !== null) state.replace(table as Table, key, asIndexed(table as Table, row as Rows[Table], nowMs));
  const known = state.get('node', 'node');
  const rebooted = known !== undefined && known.bootId !== identity.bootId;
  tx.put('node', { vpcCidrs: [], zone: '', trusted: false, ...known, key: 'node', schema: SCHEMA, ...identity });
  tx.put('runtime', freshRuntime(nowMs));
  const restored = new Restore(tx, nowMs, rebooted);
  restored.run();
  return { state, first: tx.journalRows() };
}

/** Blocks are offered by how long they idled, which the journal leaves out: without it no offer has an order. */
const asIndexed = (table: Table, row: Rows[Table], nowMs: number): Rows[Table] =>
  table === 'block' ? { ...(row as Rows['block']), idleSinceMs: nowMs } : row;

function freshRuntime(nowMs: number): RuntimeRow {
  return {
    key: 'runtime',
    nextId: 1,
    nextLinkIndex: 0,
    nextWaiter: 1,
    phase: 'opening',
    journal: 'up',
    journalDetail: '',
    startedMs: nowMs,
    sync: { wanted: 1, done: 0, mend: 1, notBeforeMs: 0 },
    listing: { wantedFromMs: nowMs },
    settings: DEFAULT_SETTINGS,
    flush: { inFlight: false },
    reap: { inFlight: false },
    look: { inFlight: false },
    refused: [],
    fenced: [],
    numbers: [],
  };
}

/** A lease that nobody asks about and the kernel is not at. */
const AT_REST = { busy: undefined, notBeforeMs: 0, doomed: false, adds: [], checks: [], dels: [] };

/** Fills in the columns that the journal leaves out, and moves times of another boot to this one's. */
class Restore {
  private readonly tx: Tx;
  private readonly nowMs: number;
  private readonly rebooted: boolean;

  constructor(tx: Tx, nowMs: number, rebooted: boolean) {
    this.tx = tx;
    this.nowMs = nowMs;
    this.rebooted = rebooted;
  }

  run(): void {
    const { state } = this.tx;
    for (const row of [...state.all('lease')]) this.lease(row as LeaseRow & { unwiring: boolean });
    for (const row of [...state.all('block')]) {
      // What was handed out before is so again when the kernel's fence has been looked at.
      const state = row.state === 'ready' ? 'installing' : row.state;
      this.tx.put('block', { id: row.id, eni: row.eni, state, sync: 1, idleSinceMs: this.nowMs });
    }
    for (const row of [...state.all('subnet')]) this.tx.put('subnet', { ...row, ...UNMARKED });
    for (const row of [...state.all('address')]) {
      // All that cooled in an earlier boot cools again; a flush that was asked for is asked for again.
      if (row.state === 'cooling')
        this.tx.put('address', { ...row, flushed: 'no', sinceMs: this.rebooted ? this.nowMs : row.sinceMs });
    }
    for (const row of [...state.all('address')]) if (row.state === 'quarantined' && this.rebooted) this.cool(row.ip);
    for (const { pool, ...learnt } of [...state.all('forecast')])
      if (this.rebooted) this.tx.put('forecast', { ...afterBoot(learnt, this.nowMs), pool });
    // How long an ENI took that was decided by another process is nobody's lead time.
    for (const { decidedMs: _, ...row } of [...state.all('eni')]) {
      if (isPresent(row)) this.eni(row);
      else this.tx.put('eni', { ...row, sinceMs: this.nowMs, writtenMs: this.nowMs });
    }
  }

  /** On a new boot every lease is dead, without exception: its addresses cool. */
  private lease(row: LeaseRow & { readonly unwiring: boolean }): void {
    const { unwiring, ...columns } = row;
    if (this.rebooted) {
      this.tx.remove('lease', row.id);
      for (const ip of row.addresses) this.cool(ip);
      return;
    }
    this.tx.put('lease', {
      ...columns,
      state: unwiring ? 'unwiring' : this.listed(row) ? 'held' : 'lost',
      // Its link tells.
      mtu: 0,
      ...AT_REST,
    });
  }

  /** Also one of a block that the cloud took away, as in coolAddress. */
  private cool(ip: Ip): void {
    const address = this.tx.state.get('address', ip);
    if (address === undefined) return;
    this.tx.put('address', { ip, block: address.block, state: 'cooling', sinceMs: this.nowMs, flushed: 'no' });
  }

  /** The cloud had all of its addresses when the journal was written. */
  private listed({ addresses }: LeaseRow): boolean {
    const { state } = this.tx;
    return addresses.every((ip) => {
      const block = state.get('block', state.get('address', ip)?.block ?? '');
      return block !== undefined && block.state !== 'missing';
    });
  }

  /** Calls of a dead process may still land, so every ENI counts as written to just now. */
  private eni(row: EniPresent): void {
    // Its last pods were lost with the boot, and nobody else would take its row along.
    if (row.state === 'gone' && row.flushed && this.tx.state.blocksOf(row.key).length === 0)
      return this.tx.remove('eni', row.key);
    const { sync: _, ...rest } = row;
    const state = rest.state === 'ready' || rest.state === 'draining' ? 'ready' : rest.state;
    this.tx.put('eni', {
      ...rest,
      state,
      sinceMs: this.nowMs,
      writtenMs: this.nowMs,
      ...(row.deadlineMs === undefined ? {} : { deadlineMs: this.nowMs + LINK_DEADLINE_MS }),
      ...(state === 'ready' ? { sync: 1 } : {}),
    });
  }
}

/** The first event: verdicts on each lease and link, then every operation that a dead process left. */
export function started(turn: Turn, event: Extract<Event, { kind: 'started' }>): void {
  const numbers = event.eniLinks.flatMap(({ mac, number }) => (number === undefined ? [] : { mac, number }));
  turn.setRuntime({ numbers });
  // Those with a number first: they are NICs for sure, and what is made upon one shares its MAC.
  const numbered = event.eniLinks.filter(({ number }) => number !== undefined);
  for (const link of [...numbered, ...event.eniLinks]) linkSeen(turn, link);
  const highest = Math.max(0x100000, ...event.links.map((link) => link.index));
  turn.setRuntime({ phase: 'starting', nextLinkIndex: highest + 1 });
  if (!nodeRow(turn).trusted) turn.setRuntime({ fenced: event.fenced });
  const links = new Map(event.links.map((link) => [link.name, link]));
  const alive = new Set<LeaseId>(event.aliveLeases);
  for (const lease of turn.state.all('lease')) {
    const link = links.get(linkName(lease.key));
    links.delete(linkName(lease.key));
    judge(turn, lease, link, alive.has(lease.id));
  }
  for (const link of links.values()) orphan(turn, link);
  lookAtAll(turn);
  for (const operation of turn.state.all('operation')) resumeAfterCrash(turn, operation.id);
}

/** A lease the journal knows: live with its link, cool without its namespace, unwired where the link is half gone. */
function judge(turn: Turn, lease: LeaseRow, link: FoundLink | undefined, namespaceAlive: boolean): void {
  const wired = link !== undefined && !link.fenced && link.lease?.id === lease.id;
  if (wired && lease.state !== 'unwiring') {
    const state = lease.state === 'lost' ? 'lost' : 'ready';
    return turn.tx.put('lease', { ...lease, state, linkIndex: link.index, mtu: link.mtu });
  }
  if (link === undefined && !namespaceAlive) {
    for (const ip of lease.addresses) coolAddress(turn, ip);
    return turn.tx.remove('lease', lease.id);
  }
  release(turn, lease);
}

/** A link no lease knows. Journal lost: its pod is adopted. Journal intact: it is fenced and goes. */
function orphan(turn: Turn, link: FoundLink): void {
  const addresses = link.addresses.filter((ip) => turn.state.get('address', ip) === undefined);
  // Its ADD died before it had a name, and so before it had an address; or somebody changed the name since.
  if (link.lease === undefined || linkName(attachmentKey(link.lease.attachment)) !== link.name) {
    const { name, bandwidth } = link;
    turn.emit({ kind: 'unwire', lease: '' as LeaseId, link: name, addresses, ...(bandwidth && { bandwidth }) });
    turn.tx.put('deadLink', { name: link.name, netnsId: link.netns?.id ?? '', sinceMs: turn.nowMs });
    for (const ip of addresses) {
      const block = blockOf(turn, ip) ?? hostCidr(ip);
      turn.tx.put('address', { ip, block, state: 'cooling', sinceMs: turn.nowMs, flushed: 'no' });
    }
    return;
  }
  const lease = foundLease(turn, link, link.lease, addresses);
  for (const ip of addresses)
    turn.tx.put('address', { ip, block: blockOf(turn, ip) ?? hostCidr(ip), state: 'held', lease: lease.id });
  const isAdopted = !nodeRow(turn).trusted && !link.fenced && addresses.length > 0;
  if (isAdopted) turn.tx.put('lease', lease);
  else release(turn, lease);
}

const foundLease = (
  turn: Turn,
  link: FoundLink,
  { id, attachment }: NonNullable<FoundLink['lease']>,
  addresses: readonly Ip[],
): LeaseRow => ({
  id,
  key: attachmentKey(attachment),
  attachment,
  pool: firstPoolId(turn),
  state: addresses.every((ip) => blockOf(turn, ip) !== undefined) ? 'ready' : 'lost',
  addresses,
  netns: link.netns ?? { path: '', id: '' },
  linkIndex: link.index,
  mtu: link.mtu,
  ...(link.bandwidth && { bandwidth: link.bandwidth }),
  sinceMs: turn.nowMs,
  ...AT_REST,
});

/** The block of ours that holds the address; undefined while the cloud has not been asked. */
export function blockOf(turn: Turn, ip: Ip): Cidr | undefined {
  for (const block of turn.state.all('block')) if (cidrContains(block.id, ip)) return block.id;
  return undefined;
}

const firstPoolId = (turn: Turn) => {
  for (const pool of turn.state.all('pool')) return pool.id;
  throw new Error('started before configured');
};

/** An operation of a dead process: repeated where that is safe, else the cloud is read until it is clear. */
function resumeAfterCrash(turn: Turn, id: string): void {
  const operation = turn.state.get('operation', id);
  if (operation === undefined) return;
  const { token } = turn.capabilities;
  const { action } = operation.call;
  const blind = (action === 'assign' && !token.assign) || (action === 'create' && !token.create) || action === 'attach';
  if (MAY_BE_PUT_OFF.includes(action)) turn.tx.remove('operation', id);
  else if (blind) settle(turn, operation);
  else if (action === 'unassign') waitOut(turn, operation);
  else turn.tx.put('operation', { ...operation, state: 'waiting', startedMs: turn.nowMs, notBeforeMs: turn.nowMs });
}
