/** EC2's replies as its API reference shows them, with the fields that matter here. */
import { INSTANCE, reply } from './ec2-server.ts';

interface EniShape {
  readonly id?: string;
  readonly secondary?: readonly string[];
  readonly prefixes4?: readonly string[];
  readonly addresses6?: readonly { readonly ip: string; readonly primary?: boolean }[];
  readonly prefixes6?: readonly string[];
  readonly attachment?: { readonly index: number; readonly status: string; readonly instance?: string };
  readonly tags?: Readonly<Record<string, string>>;
  readonly mac?: string;
}

const items = (list: readonly string[]): string => list.map((item) => `<item>${item}</item>`).join('');

/** One ENI: API reference, DescribeNetworkInterfaces and CreateNetworkInterface, examples. */
export function eniXml(shape: EniShape = {}): string {
  const { id = 'eni-0b11111111111111b', secondary = [], attachment, mac = '02:74:b0:72:79:61' } = shape;
  const addresses6 = (shape.addresses6 ?? []).map(
    ({ ip, primary = false }) => `<ipv6Address>${ip}</ipv6Address><isPrimaryIpv6>${primary}</isPrimaryIpv6>`,
  );
  return `
<networkInterfaceId>${id}</networkInterfaceId><subnetId>subnet-0b0b0b0b0b0b0b0b0</subnetId><vpcId>vpc-a01106c2</vpcId>
<availabilityZone>us-east-1a</availabilityZone><description>Underway</description><ownerId>123456789012</ownerId>
<requesterManaged>false</requesterManaged><status>${attachment ? 'in-use' : 'pending'}</status><macAddress>${mac}</macAddress>
<privateIpAddress>10.0.1.149</privateIpAddress><sourceDestCheck>true</sourceDestCheck>
<groupSet><item><groupId>sg-0123456789abcdef0</groupId><groupName>nodes</groupName></item></groupSet>${attachmentXml(attachment)}
<tagSet>${items(Object.entries(shape.tags ?? {}).map(([key, value]) => `<key>${key}</key><value>${value}</value>`))}</tagSet>
<privateIpAddressesSet>${items([
    '<privateIpAddress>10.0.1.149</privateIpAddress><primary>true</primary>',
    ...secondary.map((ip) => `<privateIpAddress>${ip}</privateIpAddress><primary>false</primary>`),
  ])}</privateIpAddressesSet>
<ipv4PrefixSet>${items((shape.prefixes4 ?? []).map((prefix) => `<ipv4Prefix>${prefix}</ipv4Prefix>`))}</ipv4PrefixSet>
<ipv6AddressesSet>${items(addresses6)}</ipv6AddressesSet>
<ipv6PrefixSet>${items((shape.prefixes6 ?? []).map((prefix) => `<ipv6Prefix>${prefix}</ipv6Prefix>`))}</ipv6PrefixSet>
<interfaceType>interface</interfaceType>`;
}

const attachmentXml = (attachment: EniShape['attachment']): string =>
  attachment === undefined
    ? ''
    : `<attachment><attachmentId>eni-attach-6537fc0c</attachmentId><instanceId>${attachment.instance ?? INSTANCE}</instanceId>
<instanceOwnerId>123456789012</instanceOwnerId><deviceIndex>${attachment.index}</deviceIndex><networkCardIndex>0</networkCardIndex>
<status>${attachment.status}</status><attachTime>2026-07-01T21:45:27.000Z</attachTime><deleteOnTermination>true</deleteOnTermination></attachment>`;

export const listedEnis = (enis: readonly string[], nextToken = ''): string =>
  reply(
    'DescribeNetworkInterfaces',
    `<networkInterfaceSet>${items(enis)}</networkInterfaceSet>${nextToken && `<nextToken>${nextToken}</nextToken>`}`,
  );

export const createdEni = (eni: string): string =>
  reply('CreateNetworkInterface', `<networkInterface>${eni}</networkInterface><clientToken>token</clientToken>`);

export const ATTACHED = reply(
  'AttachNetworkInterface',
  '<attachmentId>eni-attach-6537fc0c</attachmentId><networkCardIndex>0</networkCardIndex>',
);

export const done = (action: string): string => reply(action, '<return>true</return>');

export const SUBNETS = reply(
  'DescribeSubnets',
  `<subnetSet><item><subnetId>subnet-0b0b0b0b0b0b0b0b0</subnetId><state>available</state><vpcId>vpc-a01106c2</vpcId>
<cidrBlock>10.0.1.0/24</cidrBlock><ipv6CidrBlockAssociationSet>
<item><ipv6CidrBlock>2001:db8:8::/64</ipv6CidrBlock><associationId>subnet-cidr-assoc-1</associationId><ipv6CidrBlockState><state>disassociated</state></ipv6CidrBlockState></item>
<item><ipv6CidrBlock>2001:db8:7::/64</ipv6CidrBlock><associationId>subnet-cidr-assoc-2</associationId><ipv6CidrBlockState><state>associated</state></ipv6CidrBlockState></item>
</ipv6CidrBlockAssociationSet><availableIpAddressCount>249</availableIpAddressCount><availabilityZone>us-east-1a</availabilityZone></item></subnetSet>`,
);

interface TypeShape {
  readonly name: string;
  readonly hypervisor?: string;
  readonly cards?: readonly number[];
  readonly ipv6?: boolean;
}

export const instanceType = ({ name, hypervisor = 'nitro', cards = [3], ipv6 = true }: TypeShape): string =>
  reply(
    'DescribeInstanceTypes',
    `<instanceTypeSet><item><instanceType>${name}</instanceType><bareMetal>false</bareMetal><hypervisor>${hypervisor}</hypervisor>
<networkInfo><maximumNetworkInterfaces>${cards.reduce((sum, max) => sum + max, 0)}</maximumNetworkInterfaces>
<maximumNetworkCards>${cards.length}</maximumNetworkCards><defaultNetworkCardIndex>0</defaultNetworkCardIndex>
<networkCards>${items(cards.map((max, index) => `<networkCardIndex>${index}</networkCardIndex><maximumNetworkInterfaces>${max}</maximumNetworkInterfaces>`))}</networkCards>
<ipv4AddressesPerInterface>10</ipv4AddressesPerInterface><ipv6AddressesPerInterface>10</ipv6AddressesPerInterface>
<ipv6Supported>${ipv6}</ipv6Supported></networkInfo></item></instanceTypeSet>`,
  );

export const assigned4 = (addresses: readonly string[], prefixes: readonly string[] = []): string =>
  reply(
    'AssignPrivateIpAddresses',
    `<networkInterfaceId>eni-0b11111111111111b</networkInterfaceId><assignedPrivateIpAddressesSet>${items(
      addresses.map((ip) => `<privateIpAddress>${ip}</privateIpAddress>`),
    )}</assignedPrivateIpAddressesSet><assignedIpv4PrefixSet>${items(
      prefixes.map((prefix) => `<ipv4Prefix>${prefix}</ipv4Prefix>`),
    )}</assignedIpv4PrefixSet>`,
  );

export const assigned6 = (addresses: readonly string[], prefixes: readonly string[] = []): string =>
  reply(
    'AssignIpv6Addresses',
    `<networkInterfaceId>eni-0b11111111111111b</networkInterfaceId><assignedIpv6Addresses>${items(addresses)}</assignedIpv6Addresses>
<assignedIpv6PrefixSet>${items(prefixes)}</assignedIpv6PrefixSet>`,
  );
