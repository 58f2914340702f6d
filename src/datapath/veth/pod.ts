/**
 * One pod's part of veth mode's wanted state, and the steps that wire it and cut it off.
 * Invariants: the link is in the live group only while its lease may send; a fence puts it into the dead group before
 * any route goes; every removal names the link, so a late one cannot cut the address's next owner.
 */
import { type Cidr, type Family, familyOf, hostCidr, type Ip } from '../../core/ip.ts';
import { HOST_MAC, POD_GATEWAY, type PodPlan } from '../../core/plan.ts';
import { formatAlias } from '../alias.ts';
import type { FencedPod, WantedPod } from '../datapath.ts';
import type { KernelObject, LinkChange, Place, RouteObject, Step } from '../kernel-state.ts';
import {
  asideNumber,
  LINK_GROUP,
  LOCAL_TABLE,
  MAIN_TABLE,
  POD_TABLE,
  PROTOCOL,
  ROUTE_METRIC,
  RULE_PRIORITY,
} from '../numbering.ts';
import { policer, shaper } from './shaper.ts';

/** What every runtime calls a pod's first interface; other names are of networks beside it (Multus: `net1`). */
const FIRST = 'eth0';
const DEFAULT = { 4: '0.0.0.0/0' as Cidr, 6: '::/0' as Cidr } as const;
/** Strict: a pod cannot speak with another's IPv4 address. No cost per packet was measurable. */
const HOST_RP_FILTER = 1;

export const wantedPod = (plan: PodPlan): WantedPod => ({ host: wantedOnHost(plan), pod: wantedInside(plan) });

export const wantedOnHost = (plan: PodPlan): readonly KernelObject[] => [
  ...hostQueue(plan),
  ...hostPolicer(plan),
  ...hostSysctls(plan),
  ...hostNeighbours(plan),
  ...hostRoutes(plan),
];

export const wantedInside = (plan: PodPlan): readonly KernelObject[] => [
  ...podQueue(plan),
  ...plan.addresses.flatMap((ip) => insidePod(plan, ip)),
];

/**
 * The host's routes come last: an address is reachable once its pod can answer. Queues come before their links are up:
 * of one that sends already the kernel would have to wait for what is on its way through the old one.
 */
export function wirePod(plan: PodPlan): Step[] {
  const { host, pod } = wantedPod(plan);
  const { ifname } = plan.attachment;
  const isFirst = ({ kind }: KernelObject) => kind === 'qdisc';
  return [
    {
      do: 'create-veth',
      host: { name: plan.link, index: plan.linkIndex, mac: HOST_MAC, mtu: plan.mtu, group: LINK_GROUP.live },
      pod: { name: ifname, mac: plan.podMac, mtu: plan.mtu },
    },
    ...host.filter(isFirst).map((object) => put('host', object)),
    { do: 'set-link', at: 'host', link: hostLinkChange(plan) },
    ...pod.filter(isFirst).map((object) => put('pod', object)),
    { do: 'set-link', at: 'pod', link: { name: 'lo', up: true } },
    { do: 'set-link', at: 'pod', link: { name: ifname, up: true } },
    ...pod.filter((object) => !isFirst(object)).map((object) => put('pod', object)),
    ...plan.addresses.flatMap((ip) => usableAtOnce(ifname, ip)),
    ...host.filter((object) => object.kind !== 'sysctl' && !isFirst(object)).map((object) => put('host', object)),
  ];
}

/** Not wanted of every pod: it is on where nobody turned it off. */
export function allowIpv6({ link, attachment }: PodPlan, at: Place): Step {
  const name = at === 'host' ? link : attachment.ifname;
  return put(at, { kind: 'sysctl', path: `net/ipv6/conf/${name}/disable_ipv6`, value: '0' });
}

/**
 * The kernel makes an IPv6 address's own local route in the work that checks for duplicates, also where there is nothing
 * to check, and that work waits for RTNL: until then the pod drops what comes for it. This one is there at once.
 */
export const usableAtOnce = (link: string, ip: Ip): Step[] =>
  familyOf(ip) === 6 ? [put('pod', localRoute(link, ip))] : [];

const localRoute = (link: string, ip: Ip): RouteObject => ({
  kind: 'route',
  type: 'local',
  link,
  family: 6,
  table: LOCAL_TABLE,
  destination: hostCidr(ip),
  metric: ROUTE_METRIC[6],
  scope: 'global',
  protocol: PROTOCOL,
});

/** One message (12 us, no write to /proc) for what creation cannot set: the kernel ignores an alias there. */
export const hostLinkChange = (plan: PodPlan): LinkChange => ({
  name: plan.link,
  alias: formatAlias({ id: plan.lease, attachment: plan.attachment }),
  up: true,
  rpFilter: HOST_RP_FILTER,
  // Only with IPv6: a kernel without it refuses the attribute.
  ...(hasIpv6(plan) ? { noAddrGen: true } : {}),
});

/** Group first: packets of a dying pod stop at once in both families, those of established connections too. */
export function fencePod({ link, addresses, bandwidth }: FencedPod): Step[] {
  return [
    { do: 'set-link', at: 'host', link: { name: link, group: LINK_GROUP.dead } },
    ...addresses.map((ip) => remove(podRoute(link, ip))),
    ...addresses.map((ip) => remove({ kind: 'neighbour', link, address: ip, mac: HOST_MAC })),
    // From Linux 6.16 on it outlives its link.
    ...(bandwidth?.egress === undefined
      ? []
      : [remove({ kind: 'policer', link, bytesPerSecond: 0, bucketBytes: 0 } as const)]),
  ];
}

const put = (at: Place, object: KernelObject): Step => ({ do: 'put', at, object });
const remove = (object: KernelObject): Step => ({ do: 'remove', at: 'host', object });

const hasIpv6 = (plan: PodPlan): boolean => plan.addresses.some((ip) => familyOf(ip) === 6);

/** What goes to the pod leaves the host by this link. */
const hostQueue = ({ link, mtu, bandwidth }: PodPlan): KernelObject[] =>
  bandwidth?.ingress === undefined ? [] : [shaper({ link, mtu, rate: bandwidth.ingress })];

/** Where the pod sends, and not where the host receives: a queue that is full there slows down who fills it. */
const podQueue = ({ attachment, mtu, bandwidth }: PodPlan): KernelObject[] =>
  bandwidth?.egress === undefined ? [] : [shaper({ link: attachment.ifname, mtu, rate: bandwidth.egress })];

/** What the pod sends past its queue, or without it: whatever it may do inside, it gets no more than it asked for. */
const hostPolicer = ({ link, mtu, bandwidth }: PodPlan): KernelObject[] => {
  const policed = bandwidth?.egress && policer({ link, mtu, rate: bandwidth.egress });
  return policed === undefined ? [] : [policed];
};

/** Set by the link's message; here so that a read which shows them can be compared. IPv6's spoof check is nft's. */
const hostSysctls = (plan: PodPlan): KernelObject[] => [
  { kind: 'sysctl', path: `net/ipv4/conf/${plan.link}/rp_filter`, value: String(HOST_RP_FILTER) },
  ...(hasIpv6(plan) ? [{ kind: 'sysctl', path: `net/ipv6/conf/${plan.link}/addr_gen_mode`, value: '1' } as const] : []),
];

/** Permanent: without them IPv6 is silent for 2 s after each ADD, and 1,024 pods of a machine fill gc_thresh3. */
const hostNeighbours = (plan: PodPlan): KernelObject[] =>
  plan.addresses.map((address) => ({ kind: 'neighbour', link: plan.link, address, mac: plan.podMac }));

/** With the node's primary address as source: else probes come from any address that lo or an ENI holds. */
const hostRoutes = (plan: PodPlan): RouteObject[] =>
  plan.addresses.map((ip) => {
    const source = plan.nodeAddresses.find((address) => familyOf(address) === familyOf(ip));
    return { ...podRoute(plan.link, ip), ...(source === undefined ? {} : { source }) };
  });

function podRoute(link: string, ip: Ip): RouteObject {
  const family = familyOf(ip);
  return onLinkRoute({ link, family, table: POD_TABLE, destination: hostCidr(ip) });
}

/** IPv6 routes have no scope: the kernel shows global. */
const onLinkRoute = (way: { link: string; family: Family; table: number; destination: Cidr }): RouteObject => ({
  kind: 'route',
  type: 'unicast',
  ...way,
  metric: ROUTE_METRIC[way.family],
  scope: way.family === 4 ? 'link' : 'global',
  protocol: PROTOCOL,
});

function insidePod(plan: PodPlan, ip: Ip): KernelObject[] {
  const family = familyOf(ip);
  const link = plan.attachment.ifname;
  return [
    {
      kind: 'address',
      link,
      address: `${ip}/${family === 4 ? 32 : 128}`,
      scope: 'global',
      noPrefixRoute: false,
      noDad: family === 6,
      deprecated: false,
    },
    { kind: 'neighbour', link, address: POD_GATEWAY[family], mac: HOST_MAC },
    ...(link === FIRST ? firstWays(family) : asideWays(plan, ip)),
  ];
}

/** An IPv6 gateway is link-local, which needs no route to it. */
const firstWays = (family: Family): RouteObject[] => [
  ...(family === 4
    ? [onLinkRoute({ link: FIRST, family, table: MAIN_TABLE, destination: hostCidr(POD_GATEWAY[family]) })]
    : []),
  defaultRoute({ link: FIRST, family, table: MAIN_TABLE, metric: ROUTE_METRIC[family] }),
];

/**
 * The pod's own traffic stays with its first interface, whichever was wired first, and what is sent from this one's
 * address leaves by it: by another, the host's rp_filter would drop it. Alone in its pod, it has the default route.
 */
function asideWays(plan: PodPlan, ip: Ip): KernelObject[] {
  const family = familyOf(ip);
  const link = plan.attachment.ifname;
  const number = asideNumber(plan.podMac);
  // The first interface has the one route to the gateway.
  const way = { link, family, ...(family === 4 ? { onLink: true } : {}) };
  return [
    defaultRoute({ ...way, table: MAIN_TABLE, metric: number }),
    defaultRoute({ ...way, table: number, metric: ROUTE_METRIC[family] }),
    { kind: 'rule', family, priority: RULE_PRIORITY.from, table: number, from: hostCidr(ip), protocol: PROTOCOL },
  ];
}

const defaultRoute = (way: Pick<RouteObject, 'link' | 'family' | 'table' | 'metric' | 'onLink'>): RouteObject => ({
  kind: 'route',
  type: 'unicast',
  ...way,
  destination: DEFAULT[way.family],
  gateway: POD_GATEWAY[way.family],
  scope: 'global',
  protocol: PROTOCOL,
});
