/**
 * Counts over ENIs, so that a step costs the same with one ENI and with twenty: how many are not at rest, which subnets
 * they are in, and what each pool holds. What a pool holds is counted when it is asked for, kept up as addresses come
 * and go, and counted anew after anything else that it depends on has changed. Called by State alone, pool.ts counts.
 */
import type { EniKey, PoolId, SubnetId } from './brand.ts';
import type { Family } from './ip.ts';
import type { AddressRow, BlockRow, EniRow, OperationRow, PoolRow, Rows, Table } from './rows.ts';
import { blockSize } from './tally.ts';

/** One family of one pool. */
export interface PoolCount {
  readonly serving: ReadonlySet<EniKey>;
  total: number;
  leased: number;
  cooling: number;
  quarantined: number;
  coming: number;
  /** Blocks of more than one address, and ready ones of one that is free. */
  prefixes: number;
  idleSingles: number;
}

export class Census {
  /** ENIs that serve and are settled are at rest: nothing is to be done about them. */
  inMotion = 0;
  missingBlocks = 0;
  private readonly subnets = new Map<SubnetId, number>();
  private readonly pools = new Map<PoolId, { [F in Family]?: PoolCount }>();

  /** Subnets of our own ENIs. */
  eniSubnets(): IterableIterator<SubnetId> {
    return this.subnets.keys();
  }

  poolCount(pool: PoolId, family: Family): PoolCount | undefined {
    return this.pools.get(pool)?.[family];
  }

  keep(pool: PoolId, family: Family, count: PoolCount): void {
    const families = this.pools.get(pool);
    if (families === undefined) this.pools.set(pool, { [family]: count });
    else families[family] = count;
  }

  /** A row is replaced: pools are counted anew unless only addresses changed, or when a block began to be idle. */
  replaced(table: Table, before: Rows[Table] | undefined, after: Rows[Table] | undefined): void {
    if (this.pools.size > 0 && isCounted(table, before, after)) this.pools.clear();
  }

  eni(row: EniRow, add: boolean): void {
    const sign = add ? 1 : -1;
    if (row.state !== 'ready' || !row.settled) this.inMotion += sign;
    if (row.kind === 'foreign') return;
    const count = (this.subnets.get(row.subnet) ?? 0) + sign;
    if (count > 0) this.subnets.set(row.subnet, count);
    else this.subnets.delete(row.subnet);
  }

  block(row: BlockRow, add: boolean): void {
    if (row.state === 'missing') this.missingBlocks += add ? 1 : -1;
  }

  /** `block` is the address's, of that family. */
  address(row: AddressRow, { block, family, add }: { block: BlockRow; family: Family; add: boolean }): void {
    if (block.state !== 'ready') return;
    for (const families of this.pools.values()) {
      const count = families[family];
      if (count?.serving.has(block.eni) !== true) continue;
      const sign = add ? 1 : -1;
      count[row.state === 'held' ? 'leased' : row.state] += sign;
      if (blockSize(block) === 1) count.idleSingles -= sign;
    }
  }
}

function isCounted(table: Table, before: Rows[Table] | undefined, after: Rows[Table] | undefined): boolean {
  switch (table) {
    case 'eni':
    case 'link':
      return true;
    case 'pool':
      return (before as PoolRow | undefined)?.primaryEni !== (after as PoolRow | undefined)?.primaryEni;
    case 'operation':
      return ((after ?? before) as OperationRow | undefined)?.eni !== undefined;
    case 'block': {
      const [was, is] = [before as BlockRow | undefined, after as BlockRow | undefined];
      return was?.eni !== is?.eni || was?.state !== is?.state;
    }
    default:
      return false;
  }
}
