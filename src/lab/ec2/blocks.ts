/** What an ENI holds, apart as EC2 lists it: single addresses and prefixes, each family for itself. */
import { type Cidr, cidrBase, cidrLength, type Family, familyOf, type Ip } from '../../core/ip.ts';

const isSingle = (cidr: Cidr): boolean => cidrLength(cidr) === (familyOf(cidr) === 4 ? 32 : 128);

export const singlesOf = (blocks: readonly Cidr[], family: Family): Ip[] =>
  blocks.filter((cidr) => familyOf(cidr) === family && isSingle(cidr)).map(cidrBase);

export const prefixesOf = (blocks: readonly Cidr[], family: Family): Cidr[] =>
  blocks.filter((cidr) => familyOf(cidr) === family && !isSingle(cidr));
