/**
 * Reads one namespace back as plain objects.
 */
import { type Cidr, cidrBase, type Family, familyOf } from '../core/ip.ts';
import type {
  KernelObject,
  KernelState,
  LinkState,
  Place,
  RouteObject,
  SysctlObject,
} from '../datapath/kernel-state.ts';
import { readSysctl } from './namespace.ts';
import { readPolicers } from './nftables/policer.ts';
import { readTables } from './nftables/read.ts';
import { decodeAddress, dumpAddresses } from './rtnetlink/address.ts';
import { decodeReadLink, dumpLinks, getLink, indexOf } from './rtnetlink/link.ts';
import { decodeNeighbour, dumpNeighbours } from './rtnetlink/neighbour.ts';
import { decodeQdisc, dumpQdiscs, TBF } from './rtnetlink/qdisc.ts';
import { decodeRoute, dumpRoutes } from './rtnetlink/route.ts';
import { decodeRule, dumpRules } from './rtnetlink/rule.ts';
import type { Session } from './session.ts';

/** Ours: routes and rules that carry it are read and reported, others not. src/datapath/numbering.ts says the same. */
export const PROTOCOL = 117;
/** RT_TABLE_LOCAL: the kernel's own routes to each address, and ours to pods. */
const LOCAL_TABLE = 255;
const FAMILIES: readonly Family[] = [4, 6];
const NODE_SYSCTLS = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'] as const;
export interface ReadScope {
  /** Only routes and rules of this protocol; undefined is all but the kernel's own of `local`. */
  readonly protocol?: number;
  /** Names of the nf_tables tables to read, of whatever family. */
  readonly nftTables: readonly string[];
}

/**
 * All links with the sysctls that the datapath sets on them, all addresses, all permanent neighbours, limits, and the routes,
 * rules and tables of the scope. Throws SystemError (EINTR when changes interrupted every attempt).
 */
export function readState(session: Session, scope: ReadScope): KernelState {
  const { route } = session;
  const links: LinkState[] = [];
  const sysctls: SysctlObject[] = [];
  let isShaped = false;
  for (const read of route.dump(dumpLinks(), decodeReadLink)) {
    links.push(read.link);
    sysctls.push(...read.sysctls);
    isShaped ||= read.queueKind === TBF;
  }
  const names = new Map(links.map(({ index, name }) => [index, name]));
  const linkName = (index: number) => names.get(index);
  const isOurs = ({ protocol }: { readonly protocol: number }) =>
    scope.protocol === undefined || protocol === scope.protocol;

  const routes = FAMILIES.flatMap((family) =>
    route.dumpSupported(dumpRoutes({ family, protocol: scope.protocol ?? 0 }), (m) => decodeRoute(m, linkName)),
  );
  const rules = FAMILIES.flatMap((family) => route.dumpSupported(dumpRules(family), decodeRule));
  const objects: KernelObject[] = [
    ...nodeSysctls(session),
    ...sysctls,
    ...route.dumpSupported(dumpAddresses(), (m) => decodeAddress(m, linkName)),
    ...route.dumpSupported(dumpNeighbours(), (m) => decodeNeighbour(m, linkName)),
    // A namespace in which nothing is limited, as nearly all, is not asked.
    ...(isShaped ? route.dumpSupported(dumpQdiscs(), (m) => decodeQdisc(m, linkName)) : []),
    ...routes.filter((found) => isOurs(found) && !isToOwnAddress(found)),
    ...rules.filter((found) => isOurs(found) && found.table !== LOCAL_TABLE),
    ...(scope.nftTables.length === 0 ? [] : readTables(session, scope.nftTables)),
  ];
  return { links, objects };
}

/** Comes and goes with an address, whoever put it there. */
const isToOwnAddress = ({ table, type, protocol }: RouteObject): boolean =>
  table === LOCAL_TABLE && (type === 'local' || protocol !== PROTOCOL);

/** What hangs on a link, by kind and family; a link's own sysctls come with it. */
export type Hanging = 'qdisc' | 'policer' | `${'address' | 'neighbour' | 'route' | 'rule'}${Family}`;

export function kindsOf(objects: readonly KernelObject[]): readonly Hanging[] {
  const kinds = objects.flatMap((object): Hanging[] => {
    switch (object.kind) {
      case 'qdisc':
      case 'policer':
        return [object.kind];
      case 'address':
        return [`address${familyOf(cidrBase(object.address as Cidr))}`];
      case 'neighbour':
        return [`neighbour${familyOf(object.address)}`];
      case 'route':
      case 'rule':
        return [`${object.kind}${object.family}`];
      default:
        return [];
    }
  });
  return [...new Set(kinds)];
}

export interface PodScope {
  readonly host: Session;
  readonly pod: Session;
  /** The host's end of the pair. */
  readonly link: string;
  /** The pod's. */
  readonly ifname: string;
  readonly wanted: Record<Place, readonly Hanging[]>;
}

/** What both ends of a pod's link make, asked for link by link: a node's other pods cost nothing. */
export function readPod({ host, pod, link, ifname, wanted }: PodScope): { host: KernelState; pod: KernelState } {
  const { links, objects } = readLink(pod, { name: ifname, kinds: wanted.pod });
  return {
    host: readLink(host, { name: link, kinds: wanted.host, protocol: PROTOCOL }),
    pod: { links: [...readLink(pod, { name: 'lo', kinds: [] }).links, ...links], objects },
  };
}

interface LinkScope {
  readonly name: string;
  readonly kinds: readonly Hanging[];
  /** Of routes; all without it. */
  readonly protocol?: number;
}

/** Empty where there is no such link. */
function readLink(session: Session, { name, kinds, protocol = 0 }: LinkScope): KernelState {
  const { route } = session;
  const answer = route.query(getLink(name));
  if (!('payload' in answer)) return { links: [], objects: [] };
  const index = indexOf(answer);
  const nameOf = (other: number) => (other === index ? name : undefined);
  const { link, sysctls } = decodeReadLink(answer);
  const read = (kind: Hanging): readonly KernelObject[] => {
    const family = kind.endsWith('4') ? 4 : 6;
    switch (kind) {
      case 'qdisc':
        return route.dumpSupported(dumpQdiscs(), (m) => decodeQdisc(m, nameOf));
      case 'policer':
        return readPolicers(session, name);
      case 'address4':
      case 'address6':
        return route.dumpSupported(dumpAddresses({ family, index }), (m) => decodeAddress(m, nameOf));
      case 'neighbour4':
      case 'neighbour6':
        return route.dumpSupported(dumpNeighbours({ family, index }), (m) => decodeNeighbour(m, nameOf));
      case 'route4':
      case 'route6':
        return route
          .dumpSupported(dumpRoutes({ family, index, protocol }), (m) => decodeRoute(m, nameOf))
          .filter((found) => found.link === name && !isToOwnAddress(found));
      case 'rule4':
      case 'rule6':
        return route.dumpSupported(dumpRules(family), decodeRule).filter(({ table }) => table !== LOCAL_TABLE);
    }
  };
  return { links: [link], objects: [...sysctls, ...kinds.flatMap(read)] };
}

/** What a change of which nobody is told of, or not by whom it was made: links with their sysctls, and addresses. */
export function readQuiet(session: Session): string {
  const { route } = session;
  const links = route.dump(dumpLinks(), decodeReadLink);
  const addresses = route.dumpSupported(dumpAddresses(), (m) => decodeAddress(m, (index) => String(index)));
  return JSON.stringify([links, addresses, nodeSysctls(session)]);
}

/** The two that belong to no link. */
function nodeSysctls(session: Session): SysctlObject[] {
  return session.inside(() =>
    NODE_SYSCTLS.flatMap((path): SysctlObject[] => {
      const value = readSysctl(path);
      return value === undefined ? [] : [{ kind: 'sysctl', path, value }];
    }),
  );
}
