/**
 * What a run has shown: transitions of each lifecycle, kinds of the cloud's failures, reasons given to pods, verdicts on
 * what a new process found. Transitions.ts declares what there is.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { InstanceId, LeaseId } from '../core/brand.ts';
import type { Event, FoundLink } from '../core/events.ts';
import { cidrContains, type Ip } from '../core/ip.ts';
import { linkName } from '../core/link-name.ts';
import type { Reason } from '../core/reasons.ts';
import type { LeaseRow, Rows, Table } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { RowChange } from './row-watch.ts';

/** No row: what it is called for each lifecycle. */
const NO_ROW: { readonly [T in Table]?: string } = {
  eni: 'none',
  block: 'none',
  address: 'free',
  lease: 'none',
  operation: 'none',
};

export class Coverage {
  readonly seen = new Set<string>();
  /** The transitions among them: to which states from each. */
  private readonly transitions: { [T in Table]?: Map<string, Set<string>> } = {};
  private readonly cloud: MemoryCloud;
  private readonly instance: InstanceId;
  /** What the process found in the journal. */
  private leases: readonly LeaseRow[] = [];
  private trusted = false;

  constructor(cloud: MemoryCloud, instance: InstanceId) {
    this.cloud = cloud;
    this.instance = instance;
  }

  opened(state: State): void {
    this.leases = [...state.all('lease')];
    this.trusted = state.get('node', 'node')?.trusted === true;
  }

  refused({ code }: Reason): void {
    this.seen.add(`reason ${code}`);
  }

  step(event: Event, changes: readonly RowChange[]): void {
    for (const change of changes) this.change(change);
    if (event.kind === 'started') this.verdicts(event);
    else if (event.kind === 'cloud-answered' && !event.answer.ok) {
      const { failure } = event.answer;
      this.seen.add(`failure ${failure.kind}${failure.kind === 'exhausted' ? ` ${failure.scope}` : ''}`);
    }
  }

  private change({ table, before, after }: RowChange): void {
    const none = NO_ROW[table];
    if (none === undefined) return;
    const from = before === undefined ? none : stateOf(table, before);
    const to = after === undefined ? none : stateOf(table, after);
    if (from === to) return;
    // Asked at every change: a text for each would cost more than all else here.
    const known = this.transitions[table]?.get(from);
    if (known?.has(to)) return;
    if (known === undefined) {
      this.transitions[table] ??= new Map();
      this.transitions[table].set(from, new Set([to]));
    } else known.add(to);
    this.seen.add(`${table} ${from} -> ${to}`);
  }

  /** Design section 6: the journal's lease, the address on the ENI, the link. */
  private verdicts({ links, aliveLeases }: Extract<Event, { kind: 'started' }>): void {
    const left = new Map(links.map((link) => [link.name, link]));
    const alive = new Set<LeaseId>(aliveLeases);
    for (const lease of this.leases) {
      const link = left.get(linkName(lease.key));
      left.delete(linkName(lease.key));
      this.seen.add(`verdict ${this.ofLease(lease, link, alive.has(lease.id))}`);
    }
    // One that is fenced has no route any more that would name its addresses.
    for (const link of left.values()) this.seen.add(`verdict ${this.ofLink(link)}`);
    const used = [...this.leases, ...links].flatMap(({ addresses }) => addresses);
    const isIdle = this.cloud.truth
      .enisOf(this.instance)
      .some((eni) => eni.blocks.some((block) => !used.some((ip) => cidrContains(block, ip))));
    if (isIdle) this.seen.add('verdict no-yes-no');
  }

  private ofLease(lease: LeaseRow, link: FoundLink | undefined, alive: boolean): string {
    const isWired = link !== undefined && !link.fenced && link.lease?.id === lease.id;
    const on = lease.addresses.every((ip) => this.isOnEni(ip)) ? 'yes' : 'no';
    if (isWired) return `yes-${on}-yes`;
    return `yes-${on}-no, namespace ${alive ? 'there' : 'gone'}`;
  }

  private ofLink(link: FoundLink): string {
    const on = link.addresses.every((ip) => this.isOnEni(ip)) ? 'yes' : 'no';
    return `no-${on}-yes, journal ${this.trusted ? 'intact' : 'lost'}`;
  }

  private isOnEni(ip: Ip): boolean {
    return this.cloud.truth.enisOf(this.instance).some((eni) => eni.blocks.some((block) => cidrContains(block, ip)));
  }
}

function stateOf(table: Table, row: Rows[Table]): string {
  if (table === 'eni' && (row as Rows['eni']).kind !== 'secondary') return (row as Rows['eni']).kind;
  return (row as Rows['block']).state;
}
