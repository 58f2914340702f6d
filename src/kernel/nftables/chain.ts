/**
 * Chains with their rules. A chain is put as a whole: its rules are replaced, in one transaction.
 */
import type { NftChain, NftExpr, NftFamily } from '../../datapath/nft.ts';
import { attributeMap, attributeText, type Message, NLM } from '../netlink.ts';
import { readExpressions, writeExpressions } from './expression.ts';
import { NFGEN_BYTES, NFT_MSG, nftDump, nftMessage } from './message.ts';
import type { TableName } from './table.ts';

const NFTA_CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, TYPE: 7 } as const;
const NFTA_HOOK = { NUMBER: 1, PRIORITY: 2, DEVICE: 3 } as const;
const NFTA_RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;

type Hook = NonNullable<NftChain['hook']>;
type HookName = Hook['hook'];

/** NF_INET_*, for arp NF_ARP_*, for netdev NF_NETDEV_* (linux/netfilter.h, netfilter_arp.h). */
const INET_HOOK: Partial<Record<HookName, number>> = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 };
const ARP_HOOK: Partial<Record<HookName, number>> = { input: 0, output: 1 };
const NETDEV_HOOK: Partial<Record<HookName, number>> = { ingress: 0 };
const hooksOf = (family: NftFamily) => (family === 'arp' ? ARP_HOOK : family === 'netdev' ? NETDEV_HOOK : INET_HOOK);

/** The chain, the end of its old rules, and its rules. Policy accept. Throws TypeError for a hook that the family lacks. */
export function putChain(table: TableName, chain: NftChain): Buffer[] {
  return [
    nftMessage({ message: NFT_MSG.NEWCHAIN, family: table.family, flags: NLM.CREATE }, (writer) => {
      writer.attributeText(NFTA_CHAIN.TABLE, table.table);
      writer.attributeText(NFTA_CHAIN.NAME, chain.name);
      if (chain.hook === undefined) return;
      const { hook, priority, type, device } = chain.hook;
      const number = hooksOf(table.family)[hook];
      if (number === undefined) throw new TypeError(`${table.family} tables have no ${hook} hook`);
      writer.nest(NFTA_CHAIN.HOOK, () => {
        writer.attributeU32be(NFTA_HOOK.NUMBER, number);
        writer.attributeU32be(NFTA_HOOK.PRIORITY, priority);
        if (device !== undefined) writer.attributeText(NFTA_HOOK.DEVICE, device);
      });
      writer.attributeText(NFTA_CHAIN.TYPE, type);
    }),
    nftMessage({ message: NFT_MSG.DELRULE, family: table.family }, (writer) => {
      writer.attributeText(NFTA_RULE.TABLE, table.table);
      writer.attributeText(NFTA_RULE.CHAIN, chain.name);
    }),
    ...chain.rules.map((rule) => appendRule(table, chain.name, rule)),
  ];
}

/** With its rules. EBUSY while a rule or an element goes to it. */
export const removeChain = ({ family, table }: TableName, name: string): Buffer =>
  nftMessage({ message: NFT_MSG.DELCHAIN, family }, (writer) => {
    writer.attributeText(NFTA_CHAIN.TABLE, table);
    writer.attributeText(NFTA_CHAIN.NAME, name);
  });

function appendRule({ family, table }: TableName, chain: string, expressions: readonly NftExpr[]): Buffer {
  return nftMessage({ message: NFT_MSG.NEWRULE, family, flags: NLM.CREATE | NLM.APPEND }, (writer) => {
    writer.attributeText(NFTA_RULE.TABLE, table);
    writer.attributeText(NFTA_RULE.CHAIN, chain);
    writer.nest(NFTA_RULE.EXPRESSIONS, () => writeExpressions(writer, expressions));
  });
}

/** Of every table of the family: older kernels cannot leave the others out. */
export const dumpChains = ({ family }: TableName): Buffer => nftDump({ message: NFT_MSG.GETCHAIN, family });

/** Of one chain where it is named. */
export const dumpRules = ({ family, table }: TableName, chain?: string): Buffer =>
  nftDump({ message: NFT_MSG.GETRULE, family }, (writer) => {
    writer.attributeText(NFTA_RULE.TABLE, table);
    if (chain !== undefined) writer.attributeText(NFTA_RULE.CHAIN, chain);
  });

/** A chain of the table, without its rules; undefined for another table's. */
export function decodeChain({ payload }: Message, { family, table }: TableName): Omit<NftChain, 'rules'> | undefined {
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const text = (type: number) => attributeText(attributes.get(type) ?? Buffer.alloc(0));
  if (text(NFTA_CHAIN.TABLE) !== table) return undefined;
  const name = text(NFTA_CHAIN.NAME);
  const hook = attributes.get(NFTA_CHAIN.HOOK);
  if (hook === undefined) return { name };
  const fields = attributeMap(hook);
  const number = fields.get(NFTA_HOOK.NUMBER)?.readUInt32BE(0);
  const hooks = hooksOf(family);
  const hookName = (Object.keys(hooks) as HookName[]).find((candidate) => hooks[candidate] === number);
  if (hookName === undefined) return { name };
  const priority = fields.get(NFTA_HOOK.PRIORITY)?.readInt32BE(0) ?? 0;
  return { name, hook: { hook: hookName, type: text(NFTA_CHAIN.TYPE) === 'nat' ? 'nat' : 'filter', priority } };
}

export interface FoundRule {
  readonly chain: string;
  readonly expressions: readonly NftExpr[];
}

/** Undefined for another table's rule. */
export function decodeRule({ payload }: Message, { table }: TableName): FoundRule | undefined {
  const attributes = attributeMap(payload, NFGEN_BYTES);
  const text = (type: number) => attributeText(attributes.get(type) ?? Buffer.alloc(0));
  if (text(NFTA_RULE.TABLE) !== table) return undefined;
  const list = attributes.get(NFTA_RULE.EXPRESSIONS);
  return { chain: text(NFTA_RULE.CHAIN), expressions: list === undefined ? [] : readExpressions(list) };
}
