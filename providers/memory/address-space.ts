/**
 * Which addresses of one subnet and family are taken. A subnet is a row of chunks, each the size of the prefix the
 * cloud delegates (a /28 or an /80): a chunk is whole (one prefix), or holds single addresses, or is free.
 *
 * Invariant: a prefix is only ever given from a chunk without any taken or reserved address (EC2: "fragmentation").
 * The first four addresses and the last of a subnet are the cloud's (VPC user guide, "Subnet CIDR reservations").
 */
import {
  type Cidr,
  cidrAddress,
  cidrBase,
  cidrLength,
  cidrSize,
  type Family,
  familyOf,
  formatIp,
  hostCidr,
  ipValue,
} from '../../src/core/ip.ts';

const BITS = { 4: 32, 6: 128 } as const;
export const PREFIX_LENGTH = { 4: 28, 6: 80 } as const;
const RESERVED_FIRST = 4;

/** The cloud's own addresses of a subnet. */
export const reservedIn = (cidr4: Cidr): Cidr[] => {
  const indexes = [...Array(RESERVED_FIRST).keys(), cidrSize(cidr4) - 1];
  return indexes.map((index) => hostCidr(cidrAddress(cidr4, index)));
};

export class AddressSpace {
  readonly family: Family;
  readonly #base: bigint;
  readonly #chunkSize: number;
  readonly #chunkCount: number;
  /** Absent: free. `whole`: one prefix. Else the taken offsets, reserved ones included. */
  readonly #chunks = new Map<number, 'whole' | Set<number>>();
  #free: number;

  constructor(cidr: Cidr) {
    this.family = familyOf(cidr);
    this.#base = ipValue(cidrBase(cidr));
    this.#chunkSize = 2 ** (BITS[this.family] - PREFIX_LENGTH[this.family]);
    this.#chunkCount = cidrSize(cidr) / this.#chunkSize;
    if (this.#chunkCount < 1) throw new RangeError(`${cidr}: smaller than a /${PREFIX_LENGTH[this.family]}`);
    for (let offset = 0; offset < RESERVED_FIRST; offset++) this.#offsets(0).add(offset);
    this.#offsets(this.#chunkCount - 1).add(this.#chunkSize - 1);
    this.#free = cidrSize(cidr) - RESERVED_FIRST - 1;
  }

  /** Addresses that are neither taken, nor reserved, nor part of a prefix. */
  get freeCount(): number {
    return this.#free;
  }

  /** Takes one free address, the first at or after the chunk `from`; undefined when there is none. */
  takeAddress(from = 0): Cidr | undefined {
    for (let step = 0; step < this.#chunkCount; step++) {
      const chunk = (from + step) % this.#chunkCount;
      const taken = this.#chunks.get(chunk);
      if (taken === 'whole' || (taken !== undefined && taken.size === this.#chunkSize)) continue;
      const offsets = this.#offsets(chunk);
      let offset = 0;
      while (offsets.has(offset)) offset++;
      offsets.add(offset);
      this.#free--;
      return hostCidr(this.#ip(chunk, offset));
    }
    return undefined;
  }

  /** Takes one whole free prefix, the first at or after the chunk `from`; undefined when every chunk is touched. */
  takePrefix(from = 0): Cidr | undefined {
    for (let step = 0; step < this.#chunkCount; step++) {
      const chunk = (from + step) % this.#chunkCount;
      if (this.#chunks.has(chunk)) continue;
      this.#chunks.set(chunk, 'whole');
      this.#free -= this.#chunkSize;
      return `${this.#ip(chunk, 0)}/${PREFIX_LENGTH[this.family]}` as Cidr;
    }
    return undefined;
  }

  /** Takes this very block; false when any of it is taken or reserved. The block lies in the subnet. */
  takeExactly(block: Cidr): boolean {
    const { chunk, offset } = this.#locate(block);
    if (cidrLength(block) === PREFIX_LENGTH[this.family]) {
      if (this.#chunks.has(chunk)) return false;
      this.#chunks.set(chunk, 'whole');
      this.#free -= this.#chunkSize;
      return true;
    }
    const taken = this.#chunks.get(chunk);
    if (taken === 'whole' || taken?.has(offset) === true) return false;
    this.#offsets(chunk).add(offset);
    this.#free--;
    return true;
  }

  release(block: Cidr): void {
    const { chunk, offset } = this.#locate(block);
    const taken = this.#chunks.get(chunk);
    if (taken === 'whole') {
      this.#chunks.delete(chunk);
      this.#free += this.#chunkSize;
    } else if (taken?.delete(offset) === true) {
      this.#free++;
      if (taken.size === 0) this.#chunks.delete(chunk);
    }
  }

  get chunkCount(): number {
    return this.#chunkCount;
  }

  #offsets(chunk: number): Set<number> {
    const taken = this.#chunks.get(chunk);
    if (taken === 'whole') throw new Error(`chunk ${chunk} is a prefix`);
    if (taken !== undefined) return taken;
    const fresh = new Set<number>();
    this.#chunks.set(chunk, fresh);
    return fresh;
  }

  #ip(chunk: number, offset: number) {
    return formatIp(this.family, this.#base + BigInt(chunk) * BigInt(this.#chunkSize) + BigInt(offset));
  }

  #locate(block: Cidr): { chunk: number; offset: number } {
    const distance = ipValue(cidrBase(block)) - this.#base;
    const size = BigInt(this.#chunkSize);
    return { chunk: Number(distance / size), offset: Number(distance % size) };
  }
}
