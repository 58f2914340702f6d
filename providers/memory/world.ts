/**
 * The truth of one account's VPCs: every row, every subnet's free addresses, and who is told when something changes.
 * It applies changes; what a call may ask, and when, is the calls' business.
 *
 * Invariants: an address is taken in its subnet's space exactly while one ENI row has it; a fact is told after the
 * truth has changed, in the order of the changes.
 */
import type { EniId, InstanceId, Mac, SubnetId } from '../../src/core/brand.ts';
import { type Cidr, cidrBase, type Family, familyOf, hostCidr } from '../../src/core/ip.ts';
import type { Clock } from '../../src/ports/clock.ts';
import { AddressSpace } from './address-space.ts';
import type { Figures } from './figures.ts';
import type { Streams } from './random.ts';
import type {
  AttachmentRecord,
  CloudFact,
  EniRecord,
  InstanceRecord,
  RouteTableRecord,
  SubnetRecord,
  VpcRecord,
} from './records.ts';
import { ReplicatedTable, type WriteMoment } from './replicated-table.ts';

export interface WorldOptions {
  readonly figures: Figures;
  readonly streams: Streams;
  readonly clock: Pick<Clock, 'nowMs' | 'timer'>;
  /** `lowest`: the lowest free address, so a freed one is soon another's; `scattered`: anywhere, so prefixes fragment. */
  readonly placement: 'lowest' | 'scattered';
}

export class World {
  readonly figures: Figures;
  readonly streams: Streams;
  readonly clock: Pick<Clock, 'nowMs' | 'timer'>;
  readonly vpcs = new Map<string, VpcRecord>();
  readonly subnets = new Map<SubnetId, SubnetRecord>();
  readonly instances = new Map<InstanceId, InstanceRecord>();
  readonly enis = new ReplicatedTable<EniId, EniRecord>();
  readonly routeTables = new ReplicatedTable<string, RouteTableRecord>();
  /** ENIs whose link their instance sees now. */
  readonly links = new Set<EniId>();
  /** Creates by client token, for good: EC2 forgets a token after a day. */
  readonly createdWith = new Map<string, { readonly fingerprint: string; readonly eni: EniRecord }>();
  /** Assigns by token, where the cloud takes one. */
  readonly assignedWith = new Map<string, { readonly fingerprint: string; readonly blocks: readonly Cidr[] }>();
  /** From when calls that name a new ENI find it; settled ones have no entry. */
  readonly knownFromMs = new Map<EniId, number>();
  readonly #spaces = new Map<string, AddressSpace>();
  readonly #byInstance = new Map<InstanceId, Set<EniId>>();
  readonly #listeners = new Set<(fact: CloudFact) => void>();
  readonly #placement: WorldOptions['placement'];
  readonly #idSalt: string;
  #nextId = 1;

  constructor(options: WorldOptions) {
    this.figures = options.figures;
    this.streams = options.streams;
    this.clock = options.clock;
    this.#placement = options.placement;
    this.#idSalt = this.streams.bits('ids').toString(16).padStart(8, '0');
  }

  listen(listener: (fact: CloudFact) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(fact: CloudFact): void {
    for (const listener of this.#listeners) listener(fact);
  }

  /** `<kind>-<17 hex digits>`, as EC2 writes ids since 2018; never the same twice. */
  newId(kind: string): string {
    return `${kind}-0${this.#idSalt}${(this.#nextId++).toString(16).padStart(8, '0')}`;
  }

  /** Locally administered, never the same twice. */
  newMac(): Mac {
    const digits = (this.#nextId++).toString(16).padStart(8, '0');
    return ['02', this.#idSalt.slice(0, 2), ...(digits.match(/../g) ?? [])].join(':') as Mac;
  }

  /** A write of the named row now; `lagMs` is how far the worst replica may stay behind it. */
  moment(id: string, lagMs = this.figures.listLagMs): WriteMoment {
    return { nowMs: this.clock.nowMs(), lagMs, draw: () => this.streams.uniform(`replica-lag/${id}`) };
  }

  addSpaces(subnet: SubnetRecord): void {
    for (const cidr of [subnet.cidr4, subnet.cidr6])
      if (cidr !== undefined) this.#spaces.set(`${subnet.id}/${familyOf(cidr)}`, new AddressSpace(cidr));
  }

  /** Undefined when the subnet has no such family. */
  space(subnet: SubnetId, family: Family): AddressSpace | undefined {
    return this.#spaces.get(`${subnet}/${family}`);
  }

  /** The chunk at which a search for a free address begins. */
  searchFrom(subnet: SubnetId, family: Family): number {
    if (this.#placement === 'lowest') return 0;
    return this.streams.pick(`placement/${subnet}`, this.space(subnet, family)?.chunkCount ?? 1);
  }

  putEni(eni: EniRecord, lagMs?: number): void {
    const old = this.enis.get(eni.id)?.attachment?.instance;
    const now = eni.attachment?.instance;
    if (old !== undefined && old !== now) this.#byInstance.get(old)?.delete(eni.id);
    if (now !== undefined && old !== now) {
      const enis = this.#byInstance.get(now) ?? new Set();
      this.#byInstance.set(now, enis.add(eni.id));
    }
    this.enis.put(eni.id, eni, this.moment(eni.id, lagMs));
  }

  /** Gives its addresses back and forgets it; its link, if any, goes. */
  removeEni(eni: EniRecord, lagMs?: number): void {
    this.unlink(eni);
    for (const cidr of ownAddresses(eni)) this.freeBlock(eni, cidr);
    for (const cidr of eni.blocks) this.freeBlock(eni, cidr);
    if (eni.attachment !== undefined) this.#byInstance.get(eni.attachment.instance)?.delete(eni.id);
    this.knownFromMs.delete(eni.id);
    this.enis.remove(eni.id, this.moment(eni.id, lagMs));
    this.tell({ kind: 'eni-deleted', eni });
  }

  /** The block goes back to its subnet; the row is the caller's to change. */
  freeBlock(eni: EniRecord, cidr: Cidr): void {
    this.space(eni.subnet, familyOf(cidr))?.release(cidr);
    this.tell({ kind: 'address-removed', eni: eni.id, cidr });
  }

  /** Attached, attaching or detaching here, by device index. */
  enisOf(instance: InstanceId): EniRecord[] {
    const enis: EniRecord[] = [];
    for (const id of this.#byInstance.get(instance) ?? []) {
      const eni = this.enis.get(id);
      if (eni !== undefined) enis.push(eni);
    }
    return enis.sort((a, b) => (a.attachment?.deviceIndex ?? 0) - (b.attachment?.deviceIndex ?? 0));
  }

  /** The instance sees the link from now on, if the ENI is still attached by this attachment. */
  link(eni: EniId, attachment: string): void {
    const row = this.enis.get(eni);
    if (row?.attachment?.id !== attachment || row.attachment.state === 'detaching' || this.links.has(eni)) return;
    this.links.add(eni);
    this.tell({ kind: 'link-seen', eni: row, instance: row.attachment.instance });
  }

  unlink(eni: EniRecord): void {
    if (!this.links.delete(eni.id) || eni.attachment === undefined) return;
    this.tell({ kind: 'link-gone', eni, instance: eni.attachment.instance });
  }

  /** Takes the ENI off its instance at once: the end of every detach. */
  unattach(eni: EniRecord, lagMs?: number): void {
    this.unlink(eni);
    const { attachment: _, ...rest } = eni;
    this.putEni({ ...rest, state: 'available', primary: false }, lagMs);
  }

  /** Changes the ENI's attachment if it is still the one named. */
  putAttachment(id: EniId, attachment: string, change: Partial<AttachmentRecord>, lagMs?: number): void {
    const eni = this.enis.get(id);
    if (eni?.attachment?.id !== attachment) return;
    this.putEni({ ...eni, attachment: { ...eni.attachment, ...change } }, lagMs);
  }
}

/** The addresses an ENI has from birth to death, as blocks of one. */
export const ownAddresses = ({ primary4, primary6 }: OwnAddresses): Cidr[] =>
  [primary4, primary6].flatMap((ip) => (ip === undefined ? [] : hostCidr(ip)));

type OwnAddresses = Pick<EniRecord, 'primary4' | 'primary6'>;

/** The other way round: at most one block of each family. */
export function ownOf(blocks: readonly Cidr[]): OwnAddresses {
  const [primary4, primary6] = ([4, 6] as const).map((family) => blocks.find((cidr) => familyOf(cidr) === family));
  return { ...(primary4 && { primary4: cidrBase(primary4) }), ...(primary6 && { primary6: cidrBase(primary6) }) };
}
