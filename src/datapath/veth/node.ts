/**
 * The node's part of veth mode's wanted state: sysctls, ENI addresses, ENI tables, block fences, rules, ruleset.
 * Invariant: the list is in the order in which a node is built: nothing is steered before its way exists.
 */
import type { Mac } from '../../core/brand.ts';
import { type Cidr, type Family, familyOf, hostCidr, type Ip, parseIp } from '../../core/ip.ts';
import type { EniPlan, NodePlan } from '../../core/plan.ts';
import type {
  AddressObject,
  KernelObject,
  KernelState,
  RouteObject,
  RuleObject,
  SysctlObject,
} from '../kernel-state.ts';
import { eniMark, eniTable, FENCE_METRIC, POD_TABLE, PROTOCOL, ROUTE_METRIC, RULE_PRIORITY } from '../numbering.ts';
import { wantedRuleset } from './ruleset.ts';

const DEFAULT = { 4: '0.0.0.0/0' as Cidr, 6: '::/0' as Cidr } as const;

export function wantedNode(plan: NodePlan): KernelObject[] {
  const secondaries = secondaryEnis(plan);
  return [
    ...sysctls(plan),
    ...secondaries.flatMap(eniAddresses),
    ...plan.enis.flatMap((eni) => eni.blocks.map(fence)),
    ...secondaries.flatMap(eniRoutes),
    ...rules(plan),
    ...wantedRuleset(plan),
  ];
}

/** The ENIs whose links are ours to bring up and to give addresses; the primary's are the operating system's. */
export const secondaryEnis = (plan: NodePlan): readonly EniPlan[] => plan.enis.filter((eni) => eni.number !== 1);

/** A family that the ENI does not carry gets no state: a node without IPv6 is not made a router of it. */
function familiesOf(eni: EniPlan): readonly Family[] {
  const has = (family: Family) =>
    (family === 4 ? eni.primary4 : eni.primary6) !== undefined || eni.blocks.some((b) => familyOf(b) === family);
  return ([4, 6] as const).filter(has);
}

const nodeFamilies = (plan: NodePlan): readonly Family[] =>
  ([4, 6] as const).filter((family) => plan.enis.some((eni) => familiesOf(eni).includes(family)));

function sysctls(plan: NodePlan): SysctlObject[] {
  const families = nodeFamilies(plan);
  const primaries = plan.enis.filter((eni) => eni.number === 1);
  return [
    // A default route from router advertisements goes the moment forwarding is on, unless accept_ra is 2 before.
    ...(families.includes(6) ? primaries.map((eni) => sysctl(`net/ipv6/conf/${eni.link}/accept_ra`, 2)) : []),
    ...(families.includes(4) ? [sysctl('net/ipv4/ip_forward', 1)] : []),
    ...(families.includes(6) ? [sysctl('net/ipv6/conf/all/forwarding', 1)] : []),
    // The kernel takes the maximum of this and `all`, so 0 could not be relied on.
    ...plan.enis.map((eni) => sysctl(`net/ipv4/conf/${eni.link}/rp_filter`, 2)),
    ...secondaryEnis(plan)
      .filter((eni) => familiesOf(eni).includes(6))
      .flatMap((eni) => [
        sysctl(`net/ipv6/conf/${eni.link}/addr_gen_mode`, 1),
        sysctl(`net/ipv6/conf/${eni.link}/use_oif_addrs_only`, 1),
      ]),
  ];
}

const sysctl = (path: string, value: number): SysctlObject => ({ kind: 'sysctl', path, value: String(value) });

/**
 * Loose rp_filter drops everything on an interface without an address, and ARP leaves with another interface's
 * address, which a source-checking cloud never answers. IPv6: deprecated, so that the node's own traffic keeps the
 * primary's; a link-local by hand, since the kernel's own is tentative, and its gateway unanswered, for two seconds.
 */
function eniAddresses(eni: EniPlan): AddressObject[] {
  const own = { kind: 'address', link: eni.link } as const;
  const addresses: AddressObject[] = [];
  if (eni.primary4 !== undefined) {
    addresses.push({
      ...own,
      address: `${eni.primary4}/32`,
      scope: 'global',
      noPrefixRoute: true,
      noDad: false,
      deprecated: false,
    });
  }
  if (eni.primary6 !== undefined) {
    addresses.push({
      ...own,
      address: `${eni.primary6}/128`,
      scope: 'global',
      noPrefixRoute: true,
      noDad: true,
      deprecated: true,
    });
  }
  if (familiesOf(eni).includes(6)) {
    addresses.push({
      ...own,
      address: `${linkLocal(eni.mac)}/64`,
      scope: 'link',
      noPrefixRoute: false,
      noDad: true,
      deprecated: false,
    });
  }
  return addresses;
}

/** fe80:: and the MAC's modified EUI-64 (RFC 4291 appendix A): what the kernel would have made. */
export function linkLocal(mac: Mac): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((hex) => Number.parseInt(hex, 16));
  const group = (high: number, low: number) => ((high << 8) | low).toString(16);
  const text = `fe80::${group(a ^ 2, b)}:${group(c, 0xff)}:${group(0xfe, d)}:${group(e, f)}`;
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(`not a MAC address: ${mac}`);
  return ip;
}

/**
 * Held from assign to unassign, under every pod's own route: a packet to a free or cooling address would loop
 * through the cloud, out and back in, until its TTL ends (32 crossings seen).
 */
const fence = (block: Cidr): RouteObject => unreachable({ table: POD_TABLE, destination: block });

/** No subnet route: a neighbour in the subnet is reached by the gateway too, as everything in a VPC is. */
function eniRoutes(eni: EniPlan): RouteObject[] {
  const table = eniTable(eni.number);
  return familiesOf(eni).flatMap((family) => {
    const gateway = family === 4 ? eni.gateway4 : eni.gateway6;
    const way = { kind: 'route', family, table, type: 'unicast', link: eni.link } as const;
    const common = { metric: ROUTE_METRIC[family], protocol: PROTOCOL } as const;
    return [
      // An IPv6 gateway is link-local, which needs no route to it.
      ...(family === 4 && gateway !== undefined
        ? [{ ...way, destination: hostCidr(gateway), scope: 'link', ...common } as const]
        : []),
      ...(gateway !== undefined
        ? [{ ...way, destination: DEFAULT[family], gateway, scope: 'global', ...common } as const]
        : []),
      // When the link flaps, packets would fall through to main and leave by the primary with a foreign source.
      unreachable({ table, destination: DEFAULT[family] }),
    ];
  });
}

/** What `fence` put. */
export const fenced = ({ objects }: KernelState): Cidr[] =>
  objects.flatMap((object) =>
    object.kind === 'route' &&
    object.table === POD_TABLE &&
    object.protocol === PROTOCOL &&
    object.type === 'unreachable'
      ? [object.destination]
      : [],
  );

const unreachable = ({ table, destination }: { table: number; destination: Cidr }): RouteObject => ({
  kind: 'route',
  family: familyOf(destination),
  table,
  type: 'unreachable',
  destination,
  metric: FENCE_METRIC,
  scope: 'global',
  protocol: PROTOCOL,
});

function rules(plan: NodePlan): RuleObject[] {
  return nodeFamilies(plan).flatMap((family) => {
    const ours = { kind: 'rule', family, protocol: PROTOCOL } as const;
    const enis = secondaryEnis(plan).filter((eni) => familiesOf(eni).includes(family));
    const own = (eni: EniPlan) => (family === 4 ? eni.primary4 : eni.primary6);
    return [
      ...enis.map((eni) => ({
        ...ours,
        priority: RULE_PRIORITY.mark,
        table: eniTable(eni.number),
        mark: { value: eniMark(eni.number, plan.markMask), mask: plan.markMask },
      })),
      ...enis.flatMap((eni) => {
        const ip = own(eni);
        return ip === undefined
          ? []
          : [{ ...ours, priority: RULE_PRIORITY.from, table: eniTable(eni.number), from: hostCidr(ip) }];
      }),
    ];
  });
}
