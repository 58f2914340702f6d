/**
 * veth mode's nf_tables table `inet underway`: which ENI a connection belongs to, decided once a connection.
 * Keyed by block and ENI, so ADD and DEL never touch it; changed by element, never replaced.
 *
 * This very ruleset passed 104 of 104 packet cases with kube-proxy beside it; test/unit/datapath/golden has it as nft
 * compiles it from text.
 */
import { type Cidr, familyOf, type Ip } from '../../core/ip.ts';
import { ENI_NUMBER_MAX, type EniPlan, type NodePlan } from '../../core/plan.ts';
import type { KernelObject } from '../kernel-state.ts';
import type { NftChain, NftElement, NftSet } from '../nft.ts';
import {
  accept,
  CT_STATE,
  ct,
  drop,
  fibReplyInterface,
  goto,
  hasAnyOf,
  interfaceName,
  ip4,
  ip6,
  is,
  isNot,
  isOutside,
  and as maskedBy,
  meta,
  notIn,
  rule,
  setMark,
  snatTo,
  u32,
  vmap,
} from '../nft-rule.ts';
import { eniMark, LINK_GROUP, NFT_TABLE } from '../numbering.ts';

const TABLE = { family: 'inet', table: NFT_TABLE } as const;

/** Addresses that a pod reaches with its own address: the VPC's. */
const INSIDE4: NftSet = { name: 'inside4', key: ['ipv4_addr'], interval: true, verdictMap: false };
/** Connection mark -> the ENI it belongs to. Every packet is looked up here. */
const RESTORE: NftSet = { name: 'restore', key: ['mark'], interval: false, verdictMap: true, size: ENI_NUMBER_MAX };
/** ENI's link -> a connection that arrives there is pinned to it. */
const ARRIVE: NftSet = { name: 'arrive', key: ['ifname'], interval: false, verdictMap: true };
/** Block -> a pod's new connection is pinned to the ENI that holds the pod's address. */
const FROM4: NftSet = { name: 'from4', key: ['ipv4_addr'], interval: true, verdictMap: true };
const FROM6: NftSet = { name: 'from6', key: ['ipv6_addr'], interval: true, verdictMap: true };

const LINK_LOCAL6 = 'fe80::/10' as Cidr;

/** Table, sets, chains, elements: each names only what stands before it. */
export function wantedRuleset(plan: NodePlan): KernelObject[] {
  const exit = masqueradeExit(plan);
  const sets = [...(exit ? [INSIDE4] : []), RESTORE, ARRIVE, FROM4, FROM6];
  const chains = [
    ...plan.enis.map((eni) => markChain(eni, plan.markMask)),
    ...plan.enis.map((eni) => pinChain(eni, plan.markMask)),
    preroutingChain(plan.markMask, exit !== undefined),
    ...(exit ? [postroutingChain(exit)] : []),
  ];
  return [
    { kind: 'nft-table', ...TABLE, owned: true, counters: [] },
    ...sets.map((set): KernelObject => ({ kind: 'nft-set', ...TABLE, set })),
    ...chains.map((chain): KernelObject => ({ kind: 'nft-chain', ...TABLE, chain })),
    ...(exit ? plan.vpcCidrs.filter((cidr) => familyOf(cidr) === 4).map(inside) : []),
    ...plan.enis.flatMap((eni) => eniElements(eni, plan.markMask)),
  ];
}

/** Marks are written by constant: OR-ing a looked-up value into a mark needs a kernel newer than ours may be. */
const markChain = (eni: EniPlan, mask: number): NftChain => ({
  name: `eni${eni.number}`,
  rules: [rule(setMark('meta', { mask, value: eniMark(eni.number, mask) }))],
});

const pinChain = (eni: EniPlan, mask: number): NftChain => ({
  name: `new${eni.number}`,
  rules: [rule(setMark('ct', { mask, value: eniMark(eni.number, mask) })), rule(goto(`eni${eni.number}`))],
});

/**
 * At dstnat + 10: after kube-proxy's DNAT, since only then "outside the VPC" can be told (a ClusterIP looks outside),
 * and before routing.
 */
const preroutingChain = (mask: number, masquerade: boolean): NftChain => ({
  name: 'prerouting',
  hook: { hook: 'prerouting', type: 'filter', priority: -90 },
  rules: [
    // The fence of DEL: route removal alone lets a dying pod go on sending, also after its address has a new owner.
    rule(meta('iifgroup'), is(u32(LINK_GROUP.dead)), drop),
    rule(ct('mark'), maskedBy(mask), vmap(RESTORE.name)),
    rule(ct('state'), hasAnyOf(CT_STATE.established | CT_STATE.related), accept),
    rule(meta('iifname'), vmap(ARRIVE.name)),
    rule(meta('iifgroup'), isNot(u32(LINK_GROUP.live)), accept),
    // IPv6 has no rp_filter; a pod cannot open a connection with another's address.
    rule(ip6('saddr'), isOutside(LINK_LOCAL6), fibReplyInterface, is(u32(0)), drop),
    // Left unmarked: main table, primary ENI, and postrouting gives it the node's address.
    ...(masquerade ? [rule(ip4('daddr'), notIn(INSIDE4.name), accept)] : []),
    rule(ip4('saddr'), vmap(FROM4.name)),
    rule(ip6('saddr'), vmap(FROM6.name)),
  ],
});

/** Where pods' IPv4 traffic leaves the VPC, and as whom. */
interface Exit {
  readonly link: string;
  readonly address: Ip;
}

function masqueradeExit(plan: NodePlan): Exit | undefined {
  const primary = plan.enis.find((eni) => eni.number === 1);
  return plan.masquerade && primary?.primary4 ? { link: primary.link, address: primary.primary4 } : undefined;
}

/** At srcnat - 5: before kube-proxy's own masquerade. */
const postroutingChain = ({ link, address }: Exit): NftChain => ({
  name: 'postrouting',
  hook: { hook: 'postrouting', type: 'nat', priority: 95 },
  rules: [
    rule(
      meta('iifgroup'),
      is(u32(LINK_GROUP.live)),
      meta('oifname'),
      is(interfaceName(link)),
      ip4('daddr'),
      notIn(INSIDE4.name),
      snatTo(address),
    ),
  ],
});

function eniElements(eni: EniPlan, mask: number): KernelObject[] {
  const pin = { verdict: 'goto', chain: `new${eni.number}` } as const;
  const restore = { verdict: 'goto', chain: `eni${eni.number}` } as const;
  // A block of the primary is in no `from` map: its pods stay unmarked and use main, as the node does.
  const blocks = eni.number === 1 ? [] : eni.blocks;
  return [
    element(RESTORE, { key: [eniMark(eni.number, mask)], verdict: restore }),
    element(ARRIVE, { key: [eni.link], verdict: pin }),
    ...blocks.map((block) => element(familyOf(block) === 4 ? FROM4 : FROM6, { key: [block], verdict: pin })),
  ];
}

const inside = (cidr: Cidr): KernelObject => element(INSIDE4, { key: [cidr] });

const element = (set: NftSet, content: NftElement): KernelObject => ({
  kind: 'nft-element',
  ...TABLE,
  set,
  element: content,
});
