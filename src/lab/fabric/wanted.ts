/**
 * What the fabric should hold for one ENI, for the VPC and for its route tables, as kernel objects. Pure.
 *
 * The order of look-ups: main (an ENI's blocks, then `unreachable` for the rest of a subnet), and behind it, by the
 * link a packet came in on, the route table of that ENI's subnet.
 */
import type { Mac } from '../../core/brand.ts';
import { type Cidr, type Family, familyOf, type Ip } from '../../core/ip.ts';
import type { KernelObject, NeighbourObject, RouteObject } from '../../datapath/kernel-state.ts';
import { FABRIC_END, FAR_END, gatewayOf, INTERNET_LINK } from './addressing.ts';
import { eniElements, FAMILIES, subnetElements } from './ruleset.ts';
import { fabricLinkSysctls } from './sysctls.ts';

const MAIN_TABLE = 254;
/** RTPROT_STATIC. */
const STATIC = 4;
/** Behind the kernel's rules for main (32766) and default (32767). */
const VPC_ROUTE_PRIORITY = 40_000;
const UNREACHABLE_METRIC = 4_000_000_000;
export const EVERYWHERE = { 4: '0.0.0.0/0' as Cidr, 6: '::/0' as Cidr } as const;

export interface FabricEni {
  readonly link: string;
  readonly mac: Mac;
  readonly blocks: readonly Cidr[];
  readonly checked: boolean;
  /** Number of its subnet's route table in the fabric. */
  readonly table: number;
}

/** Routes come after the neighbours that they go by. */
export function eniObjects({ link, mac, blocks, checked, table }: FabricEni): KernelObject[] {
  return [
    ...fabricLinkSysctls(link),
    {
      kind: 'address',
      link,
      address: `${FABRIC_END[6]}/64`,
      scope: 'link',
      noPrefixRoute: false,
      noDad: true,
      deprecated: false,
    },
    ...farEnd(link, mac),
    ...eniElements({ link, blocks, checked }),
    ...blocks.map((block) => routeToLink({ destination: block, link, table: MAIN_TABLE })),
    ...FAMILIES.map(
      (family) => ({ kind: 'rule', family, priority: VPC_ROUTE_PRIORITY, table, iif: link, protocol: STATIC }) as const,
    ),
  ];
}

export const farEnd = (link: string, mac: Mac): NeighbourObject[] =>
  FAMILIES.map((family) => ({ kind: 'neighbour', link, address: FAR_END[family], mac }));

/** A subnet: its routers, and `unreachable` for what nobody has. Proxy ARP is silent about those. */
export function subnetObjects(cidr: Cidr): KernelObject[] {
  const router = gatewayOf(cidr);
  return [
    {
      kind: 'address',
      link: 'lo',
      address: `${router}/${familyOf(cidr) === 4 ? 32 : 128}`,
      scope: 'global',
      noPrefixRoute: true,
      noDad: true,
      deprecated: false,
    },
    unreachable(cidr, MAIN_TABLE),
    ...subnetElements(cidr, router),
  ];
}

/** Where a VPC route goes, seen from the fabric; nowhere when its ENI has no link. */
export type Way = { readonly link: string } | 'nowhere';

export const vpcRoute = (destination: Cidr, way: Way, table: number): RouteObject =>
  way === 'nowhere' ? unreachable(destination, table) : routeToLink({ destination, link: way.link, table });

export const internetWay: Way = { link: INTERNET_LINK };

/** `via` a neighbour that is always there: nothing is asked for on an ENI. */
function routeToLink(to: { readonly destination: Cidr; readonly link: string; readonly table: number }): RouteObject {
  const { destination, link, table } = to;
  const family = familyOf(destination);
  return {
    kind: 'route',
    family,
    table,
    type: 'unicast',
    destination,
    link,
    gateway: FAR_END[family],
    onLink: true,
    metric: metricOf(family),
    scope: 'global',
    protocol: STATIC,
  };
}

const unreachable = (destination: Cidr, table: number): RouteObject => ({
  kind: 'route',
  family: familyOf(destination),
  table,
  type: 'unreachable',
  destination,
  metric: UNREACHABLE_METRIC,
  scope: 'global',
  protocol: STATIC,
});

/** The kernel's own default. */
const metricOf = (family: Family): number => (family === 4 ? 0 : 1024);

/** Way out by default, for a host whose only router is the other end of a link. */
export const defaultRoute = (link: string, gateway: Ip, protocol = STATIC): RouteObject => ({
  kind: 'route',
  family: familyOf(gateway),
  table: MAIN_TABLE,
  type: 'unicast',
  destination: EVERYWHERE[familyOf(gateway)],
  link,
  gateway,
  onLink: true,
  metric: metricOf(familyOf(gateway)),
  scope: 'global',
  protocol,
});
