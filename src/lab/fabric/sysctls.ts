/**
 * The sysctls that the lab relies on, each set in every namespace: a new one copies the machine's IPv4 values, and
 * the machine may forward, filter or answer differently.
 */
import type { SysctlObject } from '../../datapath/kernel-state.ts';

export const sysctl = (path: string, value: number | string): SysctlObject => ({
  kind: 'sysctl',
  path,
  value: String(value),
});

/** Of a namespace without links yet, so that `default` reaches all of them. */
export function namespaceSysctls({ router }: { readonly router: boolean }): SysctlObject[] {
  const forwarding = router ? 1 : 0;
  const each = (family: 'ipv4' | 'ipv6', values: Readonly<Record<string, number>>) =>
    ['all', 'default'].flatMap((scope) =>
      Object.entries(values).map(([name, value]) => sysctl(`net/${family}/conf/${scope}/${name}`, value)),
    );
  return [
    sysctl('net/ipv4/ip_forward', forwarding),
    sysctl('net/ipv6/conf/all/forwarding', forwarding),
    sysctl('net/ipv6/conf/default/forwarding', forwarding),
    ...each('ipv4', {
      rp_filter: 0,
      send_redirects: 0,
      accept_redirects: 0,
      proxy_arp: 0,
      arp_ignore: 0,
      arp_announce: 0,
      arp_filter: 0,
      src_valid_mark: 0,
    }),
    // As systemd boots every machine (its sysctl.d/50-default.conf).
    ...(router ? [] : [sysctl('net/ipv4/conf/default/rp_filter', 2)]),
    ...each('ipv6', { disable_ipv6: 0, accept_ra: 0, accept_redirects: 0, addr_gen_mode: 0 }),
    // Errors are what the lab shows; a limit would hide every second one.
    sysctl('net/ipv4/icmp_ratelimit', 0),
    sysctl('net/ipv6/icmp/ratelimit', 0),
    // Probes ping without a raw socket. Group 0 is the one that is there in a user namespace too.
    sysctl('net/ipv4/ping_group_range', '0 0'),
  ];
}

/**
 * Of an ENI's end in the fabric. With the kernel's proxy_delay an answer takes 60 to 630 ms, with 0 it takes 0.3. A VPC's
 * router knows its ENIs: the kernel would probe whom it answered, 5 s later, and that is a packet on the ENI's link.
 */
export const fabricLinkSysctls = (link: string): SysctlObject[] => [
  sysctl(`net/ipv4/conf/${link}/proxy_arp`, 1),
  sysctl(`net/ipv4/neigh/${link}/proxy_delay`, 0),
  sysctl(`net/ipv6/neigh/${link}/delay_first_probe_time`, 86_400),
];
