/**
 * Policers: a chain at each limited link's ingress, named as the link, in a table that has nothing else and comes with the
 * first of them. The table has no owner, since a pod is wired on either thread: flushed by others, it is put back.
 */
import type { PolicerObject } from '../../datapath/kernel-state.ts';
import type { NftExpr } from '../../datapath/nft.ts';
import type { Session } from '../session.ts';
import { decodeRule, dumpRules, putChain, removeChain } from './chain.ts';
import { putTable } from './table.ts';

/** src/datapath/numbering.ts has the same name. */
export const POLICER_TABLE = { family: 'netdev', table: 'underway' } as const;

export const putPolicer = ({ link, bytesPerSecond, bucketBytes }: PolicerObject): Buffer[] => [
  putTable({ ...POLICER_TABLE, owned: false }),
  ...putChain(POLICER_TABLE, {
    name: link,
    hook: { hook: 'ingress', type: 'filter', priority: 0, device: link },
    rules: [
      [
        { op: 'limit', bytesPerSecond, burstBytes: bucketBytes },
        { op: 'verdict', verdict: 'drop' },
      ],
    ],
  }),
];

export const removePolicer = ({ link }: PolicerObject): Buffer => removeChain(POLICER_TABLE, link);

/** Of all links, or of one. A chain that holds anything else is none, and is put again. */
export function readPolicers({ netfilter }: Session, link?: string): PolicerObject[] {
  const found = new Map<string, (readonly NftExpr[])[]>();
  for (const rule of netfilter.dumpSupported(dumpRules(POLICER_TABLE, link), (message) =>
    decodeRule(message, POLICER_TABLE),
  )) {
    const rules = found.get(rule.chain);
    if (rules === undefined) found.set(rule.chain, [rule.expressions]);
    else rules.push(rule.expressions);
  }
  return [...found].flatMap(([chain, [rule = [], ...more]]): PolicerObject[] => {
    const [limit, verdict, ...rest] = rule;
    const isOurs = verdict?.op === 'verdict' && verdict.verdict === 'drop' && rest.length + more.length === 0;
    if (limit?.op !== 'limit' || !isOurs) return [];
    return [{ kind: 'policer', link: chain, bytesPerSecond: limit.bytesPerSecond, bucketBytes: limit.burstBytes }];
  });
}
