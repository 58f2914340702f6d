/**
 * What a peer's daemon knows of its ENIs: blocks, and which of their addresses are held or cooling. Policies differ in
 * what they do with it; none needs an order of its own, so what a Go map decides is drawn here.
 */
import type { Streams } from '../../../providers/memory/random.ts';
import type { EniId } from '../../core/brand.ts';
import { type Cidr, cidrAddress, cidrLength, type Ip } from '../../core/ip.ts';

export interface Block {
  readonly cidr: Cidr;
  readonly size: number;
  readonly held: Set<Ip>;
  /** Until when each may not be handed out. */
  readonly coolingUntilMs: Map<Ip, number>;
  /** Since when none of it is held. */
  idleSinceMs: number;
}

export interface StoredEni {
  readonly id: EniId;
  readonly primary: boolean;
  readonly sinceMs: number;
  readonly blocks: Map<Cidr, Block>;
}

export const freeCount = ({ size, held }: Block): number => size - held.size;
export const blockSize = (cidr: Cidr): number => 2 ** (32 - cidrLength(cidr));

export class Store {
  readonly enis: StoredEni[] = [];
  private readonly streams: Streams;
  private readonly name: string;
  /** Which address a sandbox has. */
  private readonly owners = new Map<string, { readonly ip: Ip; readonly block: Block }>();

  constructor(streams: Streams, name: string) {
    this.streams = streams;
    this.name = name;
  }

  get blocks(): Block[] {
    return this.enis.flatMap((eni) => [...eni.blocks.values()]);
  }

  get total(): number {
    return this.blocks.reduce((sum, { size }) => sum + size, 0);
  }

  get held(): number {
    return this.owners.size;
  }

  addEni(eni: { readonly id: EniId; readonly primary: boolean; readonly sinceMs: number }): StoredEni {
    const stored = { ...eni, blocks: new Map<Cidr, Block>() };
    this.enis.push(stored);
    return stored;
  }

  removeEni(eni: StoredEni): void {
    this.enis.splice(this.enis.indexOf(eni), 1);
  }

  addBlocks(eni: StoredEni, cidrs: readonly Cidr[], nowMs: number): void {
    for (const cidr of cidrs)
      eni.blocks.set(cidr, {
        cidr,
        size: blockSize(cidr),
        held: new Set(),
        coolingUntilMs: new Map(),
        idleSinceMs: nowMs,
      });
  }

  /** Hands out the lowest address of a random block that has one ready; undefined when none has. */
  take(sandbox: string, nowMs: number, blocks: readonly Block[] = this.blocks): Ip | undefined {
    for (const block of this.shuffled(blocks)) {
      const ip = readyAddress(block, nowMs);
      if (ip === undefined) continue;
      block.held.add(ip);
      block.coolingUntilMs.delete(ip);
      this.owners.set(sandbox, { ip, block });
      return ip;
    }
    return undefined;
  }

  /** Of a sandbox that has none, nothing happens. */
  release(sandbox: string, nowMs: number, cooldownMs: number): void {
    const owner = this.owners.get(sandbox);
    if (owner === undefined) return;
    this.owners.delete(sandbox);
    owner.block.held.delete(owner.ip);
    if (cooldownMs > 0) owner.block.coolingUntilMs.set(owner.ip, nowMs + cooldownMs);
    if (owner.block.held.size === 0) owner.block.idleSinceMs = nowMs;
  }

  /** Go's map order: any. */
  shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.streams.pick(`${this.name}/map-order`, at + 1);
      const [a, b] = [shuffled[at], shuffled[other]];
      if (a === undefined || b === undefined) continue;
      shuffled[at] = b;
      shuffled[other] = a;
    }
    return shuffled;
  }
}

function readyAddress({ cidr, size, held, coolingUntilMs }: Block, nowMs: number): Ip | undefined {
  if (held.size === size) return undefined;
  for (let at = 0; at < size; at++) {
    const ip = cidrAddress(cidr, at);
    if (!held.has(ip) && (coolingUntilMs.get(ip) ?? 0) <= nowMs) return ip;
  }
  return undefined;
}
