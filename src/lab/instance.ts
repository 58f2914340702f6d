/**
 * An instance: a namespace whose operating system has configured its primary link as DHCP and router advertisements
 * would, with the metadata service and the cloud's API within reach. Other links come up as a hypervisor leaves them:
 * there, down and without addresses.
 */
import { createServer, type Server as HttpServer } from 'node:http';
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniRecord, SubnetRecord } from '../../providers/memory/records.ts';
import type { InstanceId } from '../core/brand.ts';
import { type Cidr, cidrLength, familyOf, type Ip } from '../core/ip.ts';
import type { KernelObject } from '../datapath/kernel-state.ts';
import type { Networks } from '../kernel/networks.ts';
import type { Clock } from '../ports/clock.ts';
import { FABRIC_END, gatewayOf, serviceAddresses } from './fabric/addressing.ts';
import { namespaceSysctls } from './fabric/sysctls.ts';
import { defaultRoute } from './fabric/wanted.ts';
import { createImds, type Imds } from './imds/imds.ts';
import { type NamespaceServer, serveIn } from './namespace-server.ts';

/** RTPROT_DHCP and RTPROT_RA: who made a route. */
const BY_DHCP = 16;
const BY_RA = 9;
const HTTP_PORT = 80;

export interface InstanceOptions {
  /** `node-1` or `vm-1`. */
  readonly name: string;
  readonly netns: string;
  readonly cloud: MemoryCloud;
  readonly clock: Pick<Clock, 'nowMs' | 'wallMs'>;
  readonly networks: Networks;
  readonly region: string;
  readonly ec2: HttpServer;
  /** False in an IPv6-only subnet: metadata and the cloud's API are then reached by IPv6. */
  readonly ipv4: boolean;
}

export class Instance {
  readonly name: string;
  readonly netns: string;
  readonly id: InstanceId;
  readonly metadata: Imds;
  /** Where its programs find metadata and the cloud's API. */
  readonly services: ReturnType<typeof serviceAddresses>;
  readonly #servers: readonly NamespaceServer[];

  private constructor(
    { name, netns, ipv4 }: InstanceOptions,
    parts: { readonly id: InstanceId; readonly metadata: Imds; readonly servers: readonly NamespaceServer[] },
  ) {
    this.name = name;
    this.netns = netns;
    this.id = parts.id;
    this.metadata = parts.metadata;
    this.services = serviceAddresses({ ipv4 });
    this.#servers = parts.servers;
  }

  /** Makes the namespace; `launch` then gives it its identity, and with it its primary link. */
  static async build(options: InstanceOptions, launch: () => InstanceId): Promise<Instance> {
    const { netns, networks, cloud, clock, region, ec2, ipv4 } = options;
    const services = serviceAddresses({ ipv4 });
    await networks.createNamespace(netns);
    await networks.put(netns, namespaceSysctls({ router: false }));
    await networks.apply([{ do: 'set-link', at: 'host', link: { name: 'lo', up: true } }], { netns });
    await networks.put(netns, Object.values(services).map(serviceAddress));
    const id = launch();
    const metadata = createImds({ instance: id, cloud, clock, region });
    const imdsServer = createServer(metadata.listener);
    const reach = (address: Ip, http: HttpServer) =>
      serveIn(networks, { netns, address, port: HTTP_PORT }, (socket) => http.emit('connection', socket));
    const servers = [await reach(services.metadata, imdsServer), await reach(services.ec2, ec2)];
    return new Instance(options, { id, metadata, servers });
  }

  /** While a socket listens in it, a namespace lives on. */
  async close(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
  }
}

/** Scope link, or deprecated: else an address on lo would become the source of the node's own packets (tried). */
const serviceAddress = (ip: Ip): KernelObject => ({
  kind: 'address',
  link: 'lo',
  noPrefixRoute: true,
  ...(familyOf(ip) === 4
    ? { address: `${ip}/32`, scope: 'link', noDad: false, deprecated: false }
    : { address: `${ip}/128`, scope: 'global', noDad: true, deprecated: true }),
});

/** The primary link as the image's DHCP client and the kernel's router discovery leave it. */
export async function configurePrimary(
  networks: Networks,
  link: { readonly netns: string; readonly name: string; readonly eni: EniRecord; readonly subnet: SubnetRecord },
): Promise<void> {
  const { netns, name, eni, subnet } = link;
  const own = { kind: 'address', link: name, noPrefixRoute: false, noDad: true, deprecated: false } as const;
  await networks.apply([{ do: 'set-link', at: 'host', link: { name, up: true, noAddrGen: true } }], { netns });
  await networks.put(netns, [
    // By hand and without duplicate detection: the instance booted long ago.
    { ...own, address: `${linkLocalOf(eni)}/64`, scope: 'link' },
    ...(eni.primary4 === undefined || subnet.cidr4 === undefined ? [] : addresses4(name, eni.primary4, subnet.cidr4)),
    ...(eni.primary6 === undefined ? [] : addresses6(name, eni.primary6)),
  ]);
}

const addresses4 = (link: string, ip: Ip, subnet: Cidr): KernelObject[] => [
  {
    kind: 'address',
    link,
    address: `${ip}/${cidrLength(subnet)}`,
    scope: 'global',
    noPrefixRoute: false,
    noDad: false,
    deprecated: false,
  },
  { ...defaultRoute(link, gatewayOf(subnet), BY_DHCP), onLink: false },
];

const addresses6 = (link: string, ip: Ip): KernelObject[] => [
  {
    kind: 'address',
    link,
    address: `${ip}/128`,
    scope: 'global',
    noPrefixRoute: false,
    noDad: true,
    deprecated: false,
  },
  defaultRoute(link, FABRIC_END[6], BY_RA),
];

/** fe80:: and the MAC's modified EUI-64 (RFC 4291 appendix A), as the kernel makes it. */
function linkLocalOf({ mac }: EniRecord): Ip {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((hex) => Number.parseInt(hex, 16));
  const group = (high: number, low: number) => ((high << 8) | low).toString(16);
  return `fe80::${group(a ^ 2, b)}:${group(c, 0xff)}:${group(0xfe, d)}:${group(e, f)}` as Ip;
}
