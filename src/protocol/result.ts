/**
 * The result of ADD in the version that was asked for. Byte-stable: the same facts give the same text.
 *
 * containerd takes the pod's address only from the interface named eth0 (go-cni keys interfaces by name), so every
 * address points at the pod's interface; and the host's own eth0, the ENI, is never listed: it would overwrite it.
 */
import type { Mac } from '../core/brand.ts';
import { familyOf, hostCidr, type Ip } from '../core/ip.ts';
import type { Dns, NetworkConfig } from './network-config.ts';
import type { RuntimeConfig } from './runtime-config.ts';
import { type CniVersion, isSince } from './version.ts';

/** What a pod got. One address and one gateway a family; the default route of each family goes by its gateway. */
export interface PodNetwork {
  readonly host: { readonly link: string; readonly mac: Mac };
  readonly pod: { readonly ifname: string; readonly mac: Mac; readonly netns: string };
  readonly mtu: number;
  readonly addresses: readonly { readonly ip: Ip; readonly gateway: Ip }[];
}

/**
 * JSON text. A prevResult (a plugin stands before us in the chain) is passed on, ours appended, as the specification
 * asks; dns is the earlier plugin's, else the capability's, which the convention puts before the configuration's own.
 */
export function addResult(network: PodNetwork, config: NetworkConfig): string {
  const { cniVersion, prevResult, runtimeConfig } = config;
  const before = prevResult ?? { interfaces: [], ips: [], routes: [], dns: undefined };
  const dns = before.dns ?? filled(dynamicDns(runtimeConfig)) ?? filled(config.dns);
  const eth0 = before.interfaces.length + 1;
  return JSON.stringify({
    cniVersion,
    interfaces: [...before.interfaces, ...interfaces(network, cniVersion)],
    ips: [...before.ips, ...network.addresses.map((address) => ipEntry(address, eth0, cniVersion))],
    routes: [
      ...before.routes,
      ...network.addresses.map(({ ip, gateway }) => ({ dst: familyOf(ip) === 4 ? '0.0.0.0/0' : '::/0', gw: gateway })),
    ],
    ...(dns && { dns }),
  });
}

/** The host's side has no sandbox: that is how a reader tells it from the pod's. `mtu` came with 1.1.0. */
function interfaces({ host, pod, mtu }: PodNetwork, cniVersion: CniVersion): readonly object[] {
  const size = isSince(cniVersion, '1.1.0') ? { mtu } : {};
  return [
    { name: host.link, mac: host.mac, ...size },
    { name: pod.ifname, mac: pod.mac, ...size, sandbox: pod.netns },
  ];
}

/** `version` is required before 1.0.0 and gone since. */
function ipEntry({ ip, gateway }: PodNetwork['addresses'][number], eth0: number, cniVersion: CniVersion): object {
  const family = isSince(cniVersion, '1.0.0') ? {} : { version: String(familyOf(ip)) };
  return { ...family, address: hostCidr(ip), gateway, interface: eth0 };
}

/** The capability `dns` has other names for what a result has, and empty lists. */
const dynamicDns = (runtime: RuntimeConfig | undefined): Dns | undefined => {
  if (runtime?.dns === undefined) return undefined;
  const { servers, searches, options } = runtime.dns;
  return {
    nameservers: servers.length > 0 ? servers : undefined,
    domain: undefined,
    search: searches.length > 0 ? searches : undefined,
    options: options.length > 0 ? options : undefined,
  };
};

/** Undefined for a dns object that says nothing. */
const filled = (dns: Dns | undefined): Dns | undefined =>
  dns !== undefined && Object.values(dns).some((value) => value !== undefined) ? dns : undefined;
