/**
 * What the fabric lets through, in nf_tables: the source/destination check of every ENI in both families and ARP, and
 * who may reach the internet.
 *
 * Invariant: a packet passes only if the cloud agrees that the address is on that ENI. rp_filter could not say that:
 * IPv6 has none, and a VPC route to an ENI would satisfy it although the ENI's check is on.
 */
import { type Cidr, type Family, familyOf, hostCidr, type Ip } from '../../core/ip.ts';
import type { KernelObject, NftChainObject, NftElementObject, NftSetObject } from '../../datapath/kernel-state.ts';
import type { NftChain, NftFamily, NftKeyPart, NftSet } from '../../datapath/nft.ts';
import { INTERNET_LINK } from './addressing.ts';
import {
  accept,
  addressIn,
  addressIs,
  addressNotIn,
  arpPairNotIn,
  arpSenderIs,
  count,
  drop,
  goto,
  isFamily,
  isLinkLocal,
  isLinkMulticast,
  nameIn,
  nameIs,
  nameStarts,
  pairNotIn,
  rule,
  snatTo,
} from './nft-words.ts';

export const TABLE = 'vpc';
/** All links of ENIs begin with this. */
export const ENI_LINK_PREFIX = 'eni';

/** Why the fabric dropped a packet; `unowned` is counted, and answered `unreachable` by a route. */
export const DROP_REASONS = {
  source4: 'IPv4 source is not on the ENI',
  source6: 'IPv6 source is not on the ENI',
  arp: 'ARP sender is not on the ENI',
  destination4: 'IPv4 destination is not on the ENI',
  destination6: 'IPv6 destination is not on the ENI',
  internet4: 'to the internet from a source without a public address',
  unowned4: 'to an IPv4 address of a subnet that nobody has',
  unowned6: 'to an IPv6 address of a subnet that nobody has',
} as const;
export type DropReason = keyof typeof DROP_REASONS;

const set = (name: string, key: NftSet['key'], interval: boolean): NftSet => ({
  name,
  key,
  interval,
  verdictMap: false,
});
/** Which blocks are on which ENI's link. */
const OWNERS = { 4: set('owners4', ['ipv4_addr', 'ifname'], true), 6: set('owners6', ['ipv6_addr', 'ifname'], true) };
/** The same blocks, whoever has them, and the routers. */
const OWNED = { 4: set('owned4', ['ipv4_addr'], true), 6: set('owned6', ['ipv6_addr'], true) };
const SUBNETS = { 4: set('subnets4', ['ipv4_addr'], true), 6: set('subnets6', ['ipv6_addr'], true) };
const SENDERS = set('senders', ['ipv4_addr', 'ifname'], true);
/** Links of ENIs whose check is off, in either table. */
const UNCHECKED = set('unchecked', ['ifname'], false);

export const FAMILIES = [4, 6] as const;
const INET = { family: 'inet', table: TABLE } as const;
const ARP = { family: 'arp', table: TABLE } as const;
type Table = { readonly family: NftFamily; readonly table: string };

const chain = (table: Table, chain: NftChain): NftChainObject => ({ kind: 'nft-chain', ...table, chain });
const setIn = (table: Table, set: NftSet): NftSetObject => ({ kind: 'nft-set', ...table, set });
const element = (table: Table, set: NftSet, ...key: NftKeyPart[]): NftElementObject => ({
  kind: 'nft-element',
  ...table,
  set,
  element: { key },
});

/** Everything that no ENI changes. Chains come after those that they go to. */
export function baseRuleset(): KernelObject[] {
  const counters = Object.keys(DROP_REASONS).filter((reason) => reason !== 'arp');
  return [
    { kind: 'nft-table', ...INET, owned: false, counters },
    { kind: 'nft-table', ...ARP, owned: false, counters: ['arp'] },
    ...[OWNERS, OWNED, SUBNETS].flatMap((pair) => FAMILIES.map((family) => setIn(INET, pair[family]))),
    setIn(INET, UNCHECKED),
    setIn(ARP, UNCHECKED),
    setIn(ARP, SENDERS),
    ...sourceChains(),
    ...destinationChains(),
    chain(ARP, {
      name: 'input',
      hook: { hook: 'input', type: 'filter', priority: 0 },
      rules: [
        rule(nameIn('iifname', UNCHECKED.name), accept),
        // A probe for an address that its sender does not have yet (RFC 5227).
        rule(arpSenderIs('0.0.0.0' as Ip), accept),
        rule(nameStarts('iifname', ENI_LINK_PREFIX), arpPairNotIn(SENDERS.name), count('arp'), drop),
      ],
    }),
    internetSources([]),
  ];
}

function sourceChains(): NftChainObject[] {
  const from = (family: Family) => [
    isFamily(family),
    nameStarts('iifname', ENI_LINK_PREFIX),
    pairNotIn('iifname', family, OWNERS[family].name),
    count(`source${family}`),
    drop,
  ];
  return [
    chain(INET, {
      name: 'destined',
      rules: FAMILIES.map((family) =>
        rule(
          isFamily(family),
          addressIn('daddr', family, SUBNETS[family].name),
          addressNotIn('daddr', family, OWNED[family].name),
          count(`unowned${family}`),
        ),
      ),
    }),
    chain(INET, {
      name: 'prerouting',
      hook: { hook: 'prerouting', type: 'filter', priority: -300 },
      rules: [
        rule(nameIn('iifname', UNCHECKED.name), goto('destined')),
        rule(isFamily(6), isLinkLocal('saddr'), accept),
        // Neighbour discovery: it never leaves the link, and asks with the source of the packet that waits for it,
        // which may be an address that was taken away a moment ago.
        rule(isFamily(6), isLinkLocal('daddr'), accept),
        rule(isFamily(6), isLinkMulticast, accept),
        rule(isFamily(6), addressIs('saddr', '::' as Ip), accept),
        rule(...from(4)),
        rule(...from(6)),
        rule(goto('destined')),
      ],
    }),
  ];
}

function destinationChains(): NftChainObject[] {
  const to = (family: Family) =>
    rule(isFamily(family), pairNotIn('oifname', family, OWNERS[family].name), count(`destination${family}`), drop);
  return [
    chain(INET, { name: 'destination', rules: [rule(nameIn('oifname', UNCHECKED.name), accept), to(4), to(6)] }),
    outside([]),
    chain(INET, {
      name: 'forward',
      hook: { hook: 'forward', type: 'filter', priority: 0 },
      rules: [
        rule(nameStarts('oifname', ENI_LINK_PREFIX), goto('destination')),
        rule(nameIs('oifname', INTERNET_LINK), isFamily(4), goto('outside')),
      ],
    }),
  ];
}

/** What the internet sees packets of a source, or of all of an ENI's that has no public address of its own, as. */
export type PublicSource = { readonly source: Ip; readonly as: Ip } | { readonly link: string; readonly as: Ip };

const matching = (from: PublicSource) =>
  'source' in from ? addressIs('saddr', from.source) : nameIs('iifname', from.link);

const outside = (sources: readonly PublicSource[]): NftChainObject =>
  chain(INET, {
    name: 'outside',
    rules: [...sources.map((from) => rule(matching(from), accept)), rule(count('internet4'), drop)],
  });

const internetSources = (sources: readonly PublicSource[]): NftChainObject =>
  chain(INET, {
    name: 'postrouting',
    hook: { hook: 'postrouting', type: 'nat', priority: 100 },
    rules: sources.map((from) => rule(nameIs('oifname', INTERNET_LINK), isFamily(4), matching(from), snatTo(from.as))),
  });

/** Addresses translated one to one on the way out. IPv6 keeps its own. */
export const publicSources = (sources: readonly PublicSource[]): KernelObject[] => [
  outside(sources),
  internetSources(sources),
];

/** The subnet and its routers' addresses, which no ENI has. */
export const subnetElements = (cidr: Cidr, router: Ip): KernelObject[] => [
  element(INET, SUBNETS[familyOf(cidr)], cidr),
  element(INET, OWNED[familyOf(cidr)], hostCidr(router)),
];

/** An ENI's place in the sets. */
export function eniElements(eni: {
  readonly link: string;
  readonly blocks: readonly Cidr[];
  readonly checked: boolean;
}): KernelObject[] {
  const { link, blocks, checked } = eni;
  return [
    ...blocks.flatMap((cidr) => [
      element(INET, OWNERS[familyOf(cidr)], cidr, link),
      element(INET, OWNED[familyOf(cidr)], cidr),
    ]),
    ...blocks.filter((cidr) => familyOf(cidr) === 4).map((cidr) => element(ARP, SENDERS, cidr, link)),
    ...(checked ? [] : [element(INET, UNCHECKED, link), element(ARP, UNCHECKED, link)]),
  ];
}
