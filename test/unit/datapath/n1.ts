/** Node n1 of the trial whose state the golden files show: eth0 primary, eth1 and eth2 secondary ENIs, both families. */
import type { LeaseId } from '../../../src/core/brand.ts';
import { parseMac } from '../../../src/core/brand.ts';
import { type Cidr, type Ip, parseCidr, parseIp } from '../../../src/core/ip.ts';
import type { EniPlan, NodePlan, PodPlan } from '../../../src/core/plan.ts';

export const ip = (text: string): Ip => parseIp(text) ?? fail(text);
export const cidr = (text: string): Cidr => parseCidr(text) ?? fail(text);
export const mac = (text: string) => parseMac(text) ?? fail(text);

function fail(text: string): never {
  throw new Error(`not an address: ${text}`);
}

export const eth0: EniPlan = {
  number: 1,
  mac: mac('02:00:00:00:00:10'),
  link: 'eth0',
  primary4: ip('10.0.1.10'),
  primary6: ip('2001:db8:1::10'),
  gateway4: ip('10.0.1.1'),
  gateway6: ip('fe80:ec2::1'),
  blocks: [cidr('10.0.1.11'), cidr('2001:db8:1::11')],
};
export const eth1: EniPlan = {
  number: 2,
  mac: mac('02:00:00:00:00:20'),
  link: 'eth1',
  primary4: ip('10.0.1.20'),
  primary6: ip('2001:db8:1::20'),
  gateway4: ip('10.0.1.1'),
  gateway6: ip('fe80:ec2::1'),
  blocks: [cidr('10.0.1.21'), cidr('10.0.1.22'), cidr('2001:db8:1::21'), cidr('2001:db8:1::22')],
};
/** A prefix a family, as prefix mode has it. */
export const eth2: EniPlan = {
  number: 3,
  mac: mac('02:00:00:00:00:30'),
  link: 'eth2',
  primary4: ip('10.0.2.30'),
  primary6: ip('2001:db8:2::30'),
  gateway4: ip('10.0.2.1'),
  gateway6: ip('fe80:ec2::1'),
  blocks: [cidr('10.0.2.32/28'), cidr('2001:db8:2:0:1::/80')],
};

export const n1: NodePlan = {
  vpcCidrs: [cidr('10.0.0.0/16'), cidr('2001:db8::/56')],
  masquerade: true,
  markMask: 0x7f,
  enis: [eth0, eth1, eth2],
};

export const p3: PodPlan = {
  lease: '0123456789abcdef-7' as LeaseId,
  attachment: { network: 'underway', containerId: 'p3', ifname: 'eth0' },
  link: 'uw00000000000c3',
  linkIndex: 100_003,
  netns: '/run/netns/p3',
  addresses: [ip('10.0.1.21'), ip('2001:db8:1::21')],
  podMac: mac('02:75:77:01:00:03'),
  mtu: 9001,
  nodeAddresses: [ip('10.0.1.10'), ip('2001:db8:1::10')],
};
