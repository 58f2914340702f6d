/**
 * The addresses of the lab's world: what a VPC, its internet and the fabric's own links are numbered with.
 * Documentation ranges (RFC 5737, RFC 3849) and link-local ones only, so nothing here exists anywhere else.
 */
import type { Mac } from '../../core/brand.ts';
import { type Cidr, cidrAddress, familyOf, type Ip, parseCidr } from '../../core/ip.ts';

export const VPC_CIDR4 = '10.0.0.0/16' as Cidr;
/** A /56, as AWS gives it. */
export const VPC_CIDR6 = '2001:db8:ec2::/56' as Cidr;

/** The n-th subnet, from 1: 10.0.16.0/20 and 2001:db8:ec2:1::/64, and so on up to 15. */
export function subnetCidrs(n: number): { readonly cidr4: Cidr; readonly cidr6: Cidr } {
  return { cidr4: cidr(`10.0.${16 * n}.0/20`), cidr6: cidr(`2001:db8:ec2:${n.toString(16)}::/64`) };
}

/** AWS's router of a subnet: the second address of it. */
export const gatewayOf = (subnet: Cidr): Ip => cidrAddress(subnet, 1);

/** What the internet sees of the n-th instance with a public address, from 0. */
export const publicAddress = (n: number): Ip => cidrAddress('198.51.100.0/24' as Cidr, n + 10);

/** The one host of the internet. */
export const INTERNET4 = '203.0.113.9' as Ip;
export const INTERNET6 = '2001:db8:ff::9' as Ip;

/** Inside an instance, on lo with scope link: with scope global it would be the source of the node's own packets. */
export const METADATA_ADDRESS = '169.254.169.254' as Ip;
/** Where an instance reaches the cloud's API. A real one is found by DNS. */
export const EC2_ADDRESS = '169.254.169.252' as Ip;

/** The same where there is no IPv4 (EC2 User Guide, "Access instance metadata": the IPv6 address is this one). */
const METADATA_ADDRESS6 = 'fd00:ec2::254' as Ip;
const EC2_ADDRESS6 = 'fd00:ec2::252' as Ip;

export const serviceAddresses = ({ ipv4 }: { readonly ipv4: boolean }) =>
  ipv4 ? { metadata: METADATA_ADDRESS, ec2: EC2_ADDRESS } : { metadata: METADATA_ADDRESS6, ec2: EC2_ADDRESS6 };

export const urlOf = (ip: Ip): string => `http://${familyOf(ip) === 4 ? ip : `[${ip}]`}`;

/**
 * On every link of the fabric, the far end by these names: a permanent neighbour each, so that a block is one route
 * `via` it, whether it is an address, a prefix or somebody's VPC route, and needs no neighbour for each address in it.
 */
export const FAR_END = { 4: '169.254.0.2' as Ip, 6: 'fe80::ec2:2' as Ip } as const;
/** The fabric by these names, from the internet's side. */
export const FABRIC_END = { 4: '169.254.0.1' as Ip, 6: 'fe80:ec2::1' as Ip } as const;

/** ENIs take jumbo frames; the way to the internet does not (EC2 User Guide, "Network MTU"). */
export const ENI_MTU = 9001;
export const INTERNET_MTU = 1500;

export const INTERNET_LINK = 'internet';
export const INTERNET_MAC = { fabric: '0e:fa:b0:00:00:01' as Mac, host: '0e:fa:b0:00:00:02' as Mac } as const;
/** Every ENI's other end: the VPC router has one MAC for each ENI, and nobody compares them. */
export const ROUTER_MAC = '0e:fa:b0:00:00:03' as Mac;

function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  if (parsed === undefined) throw new TypeError(`not a block: ${text}`);
  return parsed;
}
