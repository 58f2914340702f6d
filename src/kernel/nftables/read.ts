/**
 * Reads whole nf_tables tables, in the order in which they would be put: table, sets, chains, elements.
 */
import type {
  NftChainObject,
  NftElementObject,
  NftSetObject,
  NftTableObject,
  PolicerObject,
} from '../../datapath/kernel-state.ts';
import type { Session } from '../session.ts';
import { decodeChain, decodeRule, dumpChains, dumpRules } from './chain.ts';
import { decodeElements, dumpElements, joinElements } from './element.ts';
import { readPolicers } from './policer.ts';
import { decodeSet, dumpSets } from './set.ts';
import {
  type Counter,
  decodeCounter,
  decodeTable,
  dumpCounters,
  dumpTables,
  type FoundTable,
  type TableName,
} from './table.ts';

type TableContents = NftTableObject | NftSetObject | NftChainObject | NftElementObject | PolicerObject;

/** Of a netdev table the policers, which is all that ours has. */
export function readTables(session: Session, names: readonly string[]): TableContents[] {
  const tables = session.netfilter.dumpSupported(dumpTables(), decodeTable);
  return tables
    .filter(({ table }) => names.includes(table))
    .flatMap((found): TableContents[] =>
      found.family === 'netdev' ? readPolicers(session) : readTable(session, found),
    );
}

/** Empty when there is no such table. */
export const readCounters = (session: Session, table: TableName, { reset }: { readonly reset: boolean }): Counter[] =>
  session.netfilter.dump(dumpCounters({ ...table, reset }), decodeCounter);

function readTable(session: Session, found: FoundTable): TableContents[] {
  const { family, table } = found;
  const { netfilter } = session;
  const name = { family, table };
  const sets = netfilter.dump(dumpSets(name), decodeSet).filter((set) => set !== undefined);
  const rules = netfilter.dump(dumpRules(name), (m) => decodeRule(m, name)).filter((rule) => rule !== undefined);
  const chains = netfilter.dump(dumpChains(name), (m) => decodeChain(m, name)).filter((chain) => chain !== undefined);
  const counters = readCounters(session, name, { reset: false });
  // A table whose owner died is not ours until it is put again, which adopts it.
  const owned = found.owner === netfilter.port || session.ownerless.has(`${family} ${table}`);
  return [
    { kind: 'nft-table', ...name, owned, counters: counters.map((counter) => counter.name) },
    ...sets.map((set): NftSetObject => ({ kind: 'nft-set', ...name, set })),
    ...chains.map((chain): NftChainObject => {
      const own = rules.filter((rule) => rule.chain === chain.name).map(({ expressions }) => expressions);
      return { kind: 'nft-chain', ...name, chain: { ...chain, rules: own } };
    }),
    ...sets.flatMap((set): NftElementObject[] => {
      const raw = netfilter.dump(dumpElements(name, set), decodeElements).flat();
      return joinElements(set, raw).map((element) => ({ kind: 'nft-element', ...name, set, element }));
    }),
  ];
}
