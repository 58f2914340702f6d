/**
 * Counts over blocks and addresses, kept as rows change, so that a step costs the same with ten addresses and with a
 * thousand. Called by State alone; a transaction's undo comes through the same door.
 */
import type { EniKey } from './brand.ts';
import { Heap } from './heap.ts';
import { type Cidr, cidrBase, cidrLength, type Family, familyOf, ipValue } from './ip.ts';
import type { AddressRow, BlockRow } from './rows.ts';

/** How many addresses one block of this length adds; a huge IPv6 block counts as what a node could ever use. */
export const wishSize = (family: Family, prefixLength: number): number =>
  2 ** Math.min(16, (family === 4 ? 32 : 128) - prefixLength);

export const blockSize = (block: Pick<BlockRow, 'id'>): number => wishSize(familyOf(block.id), cidrLength(block.id));

/** Address rows by state. */
interface Taken {
  held: number;
  cooling: number;
  quarantined: number;
}

interface BlockTally extends Taken {
  readonly base: bigint;
  readonly size: number;
  taken: number;
  /** Every address of the block before this index is taken. */
  lowestFree: number;
}

/** One family on one ENI. `held`, `cooling` and `quarantined` count in ready blocks only; sizes are addresses. */
export interface EniTally extends Taken {
  /** Blocks in any state: each takes one slot. */
  blocks: number;
  missing: number;
  /** Blocks of more than one address. */
  prefixes: number;
  ready: number;
  installing: number;
  /** Address rows in blocks of any state. */
  taken: number;
  /** Ready blocks of one address that is free. */
  idleSingles: number;
}

/** A block that may have a free address, as it was when it was offered. */
interface Offer {
  readonly id: Cidr;
  readonly base: bigint;
  readonly taken: number;
  readonly idleSinceMs: number;
}

interface EniCount extends EniTally {
  readonly offers: Heap<Offer>;
}

const NOTHING: EniTally = {
  blocks: 0,
  missing: 0,
  prefixes: 0,
  ready: 0,
  installing: 0,
  taken: 0,
  idleSingles: 0,
  held: 0,
  cooling: 0,
  quarantined: 0,
};

const isIdleSingle = ({ size, taken }: BlockTally): boolean => size === 1 && taken === 0;

/** Placement packs: fullest block, longest idle, lowest address. */
const better = (a: Offer, b: Offer): boolean => {
  if (a.taken !== b.taken) return a.taken > b.taken;
  if (a.idleSinceMs !== b.idleSinceMs) return a.idleSinceMs < b.idleSinceMs;
  return a.base < b.base;
};

export class Tallies {
  private readonly rowOf: (id: Cidr) => BlockRow | undefined;
  private readonly blocks = new Map<Cidr, BlockTally>();
  private readonly enis = new Map<EniKey, { readonly 4: EniCount; readonly 6: EniCount }>();

  constructor(rowOf: (id: Cidr) => BlockRow | undefined) {
    this.rowOf = rowOf;
  }

  block(row: BlockRow, add: boolean): void {
    const sign = add ? 1 : -1;
    const block = this.blockTally(row.id);
    const eni = this.eniCount(row.eni, familyOf(row.id));
    eni.blocks += sign;
    if (block.size > 1) eni.prefixes += sign;
    eni.taken += sign * block.taken;
    if (row.state === 'missing') eni.missing += sign;
    else if (row.state === 'installing') eni.installing += sign * block.size;
    else if (row.state === 'ready') {
      eni.ready += sign * block.size;
      eni.held += sign * block.held;
      eni.cooling += sign * block.cooling;
      eni.quarantined += sign * block.quarantined;
      if (isIdleSingle(block)) eni.idleSingles += sign;
    }
    if (add) this.offer(row, block, eni);
    else if (block.taken === 0) this.blocks.delete(row.id);
  }

  address(row: AddressRow, add: boolean): void {
    const sign = add ? 1 : -1;
    const block = this.blockTally(row.block);
    block.taken += sign;
    block[row.state] += sign;
    if (!add) block.lowestFree = Math.min(block.lowestFree, Number(ipValue(row.ip) - block.base));
    const owner = this.rowOf(row.block);
    if (owner === undefined) {
      if (block.taken === 0) this.blocks.delete(row.block);
      return;
    }
    const eni = this.eniCount(owner.eni, familyOf(owner.id));
    eni.taken += sign;
    if (owner.state === 'ready') {
      eni[row.state] += sign;
      if (block.size === 1) eni.idleSingles -= sign;
    }
    this.offer(owner, block, eni);
  }

  of(eni: EniKey, family: Family): EniTally {
    return this.enis.get(eni)?.[family] ?? NOTHING;
  }

  takenIn(id: Cidr): number {
    return this.blocks.get(id)?.taken ?? 0;
  }

  coolingIn(id: Cidr): number {
    return this.blocks.get(id)?.cooling ?? 0;
  }

  /** The ready block of this ENI and family that the next pod gets its address from. */
  bestBlock(eni: EniKey, family: Family): BlockRow | undefined {
    const count = this.enis.get(eni)?.[family];
    const top = count?.offers.top((offer) => this.holds(offer, eni));
    return top === undefined ? undefined : this.rowOf(top.id);
  }

  /** Index of the block's lowest address that `isTaken` denies; the search starts where the last one ended. */
  lowestFree(id: Cidr, isTaken: (index: number) => boolean): number {
    const block = this.blockTally(id);
    while (isTaken(block.lowestFree)) block.lowestFree++;
    return block.lowestFree;
  }

  private holds(offer: Offer, eni: EniKey): boolean {
    const row = this.rowOf(offer.id);
    return (
      row?.state === 'ready' &&
      row.eni === eni &&
      row.idleSinceMs === offer.idleSinceMs &&
      this.blocks.get(offer.id)?.taken === offer.taken
    );
  }

  private offer(row: BlockRow, { base, taken, size }: BlockTally, eni: EniCount): void {
    if (row.state !== 'ready' || taken >= size) return;
    const { offers } = eni;
    offers.push({ id: row.id, base, taken, idleSinceMs: row.idleSinceMs });
    if (offers.size <= 4 * eni.blocks + 64) return;
    const newest = new Map(offers.all().map((offer) => [offer.id, offer]));
    for (const offer of offers.all()) if (this.holds(offer, row.eni)) newest.set(offer.id, offer);
    offers.rebuild([...newest.values()].filter((offer) => this.holds(offer, row.eni)));
  }

  private blockTally(id: Cidr): BlockTally {
    const known = this.blocks.get(id);
    if (known !== undefined) return known;
    // The first address of an IPv6 prefix is the subnet-router anycast address (RFC 4291, 2.6.1): no pod gets it.
    const lowestFree = familyOf(id) === 6 && cidrLength(id) < 127 ? 1 : 0;
    const size = blockSize({ id }) - lowestFree;
    const base = ipValue(cidrBase(id));
    const fresh = { base, size, lowestFree, taken: 0, held: 0, cooling: 0, quarantined: 0 };
    this.blocks.set(id, fresh);
    return fresh;
  }

  private eniCount(key: EniKey, family: Family): EniCount {
    const known = this.enis.get(key);
    if (known !== undefined) return known[family];
    const fresh = (): EniCount => ({ ...NOTHING, offers: new Heap<Offer>(better) });
    const both = { 4: fresh(), 6: fresh() };
    this.enis.set(key, both);
    return both[family];
  }
}
