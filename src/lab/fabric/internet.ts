/**
 * The internet: a namespace with one host in it, behind a link with an MTU of 1500. The fabric lets through what comes
 * from a public address (ruleset.ts); this host answers whoever reaches it.
 */
import { familyOf, type Ip } from '../../core/ip.ts';
import type { KernelObject } from '../../datapath/kernel-state.ts';
import type { Networks } from '../../kernel/networks.ts';
import { FABRIC_END, INTERNET_LINK, INTERNET_MAC, INTERNET_MTU, INTERNET4, INTERNET6 } from './addressing.ts';
import { namespaceSysctls } from './sysctls.ts';
import { defaultRoute, farEnd } from './wanted.ts';

const HOST_LINK = 'eth0';

/** Both namespaces are there and prepared. */
export async function buildInternet(
  networks: Networks,
  { fabric, internet }: { readonly fabric: string; readonly internet: string },
): Promise<void> {
  await networks.put(internet, namespaceSysctls({ router: false }));
  await networks.createVeth(
    { netns: fabric, name: INTERNET_LINK, mac: INTERNET_MAC.fabric, mtu: INTERNET_MTU },
    { netns: internet, name: HOST_LINK, mac: INTERNET_MAC.host, mtu: INTERNET_MTU },
  );
  const up = (netns: string, name: string) =>
    networks.apply([{ do: 'set-link', at: 'host', link: { name, up: true, noAddrGen: true } }], { netns });
  await up(internet, 'lo');
  await up(internet, HOST_LINK);
  await up(fabric, INTERNET_LINK);
  await networks.put(internet, hostObjects());
  await networks.put(fabric, [linkAddress(), ...farEnd(INTERNET_LINK, INTERNET_MAC.host)]);
}

function hostObjects(): KernelObject[] {
  const addresses = [INTERNET4, INTERNET6].map((ip) => address(ip, familyOf(ip) === 4 ? 32 : 128));
  const routers = ([4, 6] as const).map((family) => FABRIC_END[family]);
  return [
    ...addresses,
    ...routers.map(
      (ip): KernelObject => ({ kind: 'neighbour', link: HOST_LINK, address: ip, mac: INTERNET_MAC.fabric }),
    ),
    ...routers.map((ip) => defaultRoute(HOST_LINK, ip)),
  ];
}

const address = (ip: Ip, length: number): KernelObject => ({
  kind: 'address',
  link: HOST_LINK,
  address: `${ip}/${length}`,
  scope: 'global',
  noPrefixRoute: true,
  noDad: true,
  deprecated: false,
});

const linkAddress = (): KernelObject => ({
  kind: 'address',
  link: INTERNET_LINK,
  address: `${FABRIC_END[6]}/64`,
  scope: 'link',
  noPrefixRoute: false,
  noDad: true,
  deprecated: false,
});
