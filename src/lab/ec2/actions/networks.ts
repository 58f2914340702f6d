/** DescribeVpcs, DescribeSubnets, DescribeAvailabilityZones and DescribeSecurityGroups. */
import type { SubnetView } from '../../../../providers/memory/api.ts';
import type { VpcRecord } from '../../../../providers/memory/records.ts';
import type { GroupId, SubnetId } from '../../../core/brand.ts';
import type { Cidr } from '../../../core/ip.ts';
import { ACCOUNT_ID, idLike, zoneId } from '../account.ts';
import { groupName } from '../content/eni.ts';
import { describe } from '../describe.ts';
import { Ec2Error } from '../ec2-error.ts';
import { flag, id, list, text } from '../fields.ts';
import type { Session } from '../session.ts';
import { tagSet } from '../tags.ts';
import type { Content, Elements } from '../xml.ts';
import { GROUP_ID } from './create-eni.ts';

const ASSOCIATED = { state: 'associated' };

const CIDR_FILTERS: Readonly<Record<string, string>> = {
  'ipv6-cidr-block-association.association-id': 'ipv6CidrBlockAssociationSet.associationId',
  'ipv6-cidr-block-association.ipv6-cidr-block': 'ipv6CidrBlockAssociationSet.ipv6CidrBlock',
  'ipv6-cidr-block-association.state': 'ipv6CidrBlockAssociationSet.ipv6CidrBlockState.state',
  'owner-id': 'ownerId',
  state: 'state',
  'vpc-id': 'vpcId',
};

export const describeVpcs = describe<string>('DescribeVpcs', {
  is: 'describe-vpcs',
  set: 'vpcSet',
  key: ['vpcId'],
  ids: { name: 'VpcId', of: id('vpc', 'InvalidVpcID') },
  filters: {
    paths: {
      ...CIDR_FILTERS,
      cidr: 'cidrBlock',
      'cidr-block-association.association-id': 'cidrBlockAssociationSet.associationId',
      'cidr-block-association.cidr-block': 'cidrBlockAssociationSet.cidrBlock',
      'cidr-block-association.state': 'cidrBlockAssociationSet.cidrBlockState.state',
      'dhcp-options-id': 'dhcpOptionsId',
      'is-default': 'isDefault',
    },
    tagSet: 'tagSet',
  },
  pageMax: 1_000,
  rows: async (session, ids) => (await session.call('describe-vpcs', ids === undefined ? {} : { ids })).map(vpcContent),
});

function vpcContent({ id: vpcId, cidrs4, cidrs6, tags }: VpcRecord): Content {
  const associationId = (at: number) => `${idLike('vpc-cidr-assoc', vpcId)}${at === 0 ? '' : at}`;
  return {
    vpcId,
    ownerId: ACCOUNT_ID,
    state: 'available',
    cidrBlock: cidrs4[0],
    cidrBlockAssociationSet: cidrs4.map((cidrBlock, at) => ({
      associationId: associationId(at),
      cidrBlock,
      cidrBlockState: ASSOCIATED,
    })),
    ipv6CidrBlockAssociationSet: cidrs6.map((cidr, at) => ipv6Association(cidr, associationId(cidrs4.length + at))),
    dhcpOptionsId: idLike('dopt', vpcId),
    instanceTenancy: 'default',
    isDefault: false,
    tagSet: tagSet(tags),
  };
}

const ipv6Association = (ipv6CidrBlock: Cidr, associationId: string): Elements => ({
  associationId,
  ipv6CidrBlock,
  ipv6CidrBlockState: ASSOCIATED,
});

export const describeSubnets = describe<SubnetId>('DescribeSubnets', {
  is: 'describe-subnets',
  set: 'subnetSet',
  key: ['subnetId'],
  ids: { name: 'SubnetId', of: id<SubnetId>('subnet', 'InvalidSubnetID') },
  filters: {
    paths: {
      ...CIDR_FILTERS,
      'availability-zone': 'availabilityZone',
      'availability-zone-id': 'availabilityZoneId',
      availabilityZone: 'availabilityZone',
      availabilityZoneId: 'availabilityZoneId',
      'available-ip-address-count': 'availableIpAddressCount',
      cidr: 'cidrBlock',
      'cidr-block': 'cidrBlock',
      cidrBlock: 'cidrBlock',
      'default-for-az': 'defaultForAz',
      defaultForAz: 'defaultForAz',
      'map-public-ip-on-launch': 'mapPublicIpOnLaunch',
      'subnet-arn': 'subnetArn',
      'subnet-id': 'subnetId',
    },
    tagSet: 'tagSet',
  },
  pageMax: 1_000,
  async rows(session, ids) {
    const subnets = await session.call('describe-subnets', ids === undefined ? {} : { ids });
    return subnets.map((subnet) => subnetContent(subnet, session));
  },
});

const subnetContent = (subnet: SubnetView, { region }: Session): Content => ({
  subnetId: subnet.id,
  subnetArn: `arn:aws:ec2:${region}:${ACCOUNT_ID}:subnet/${subnet.id}`,
  vpcId: subnet.vpc,
  ownerId: ACCOUNT_ID,
  state: 'available',
  cidrBlock: subnet.cidr4,
  ipv6CidrBlockAssociationSet:
    subnet.cidr6 === undefined ? [] : [ipv6Association(subnet.cidr6, idLike('subnet-cidr-assoc', subnet.id))],
  availableIpAddressCount: subnet.freeCount4,
  availabilityZone: subnet.zone,
  availabilityZoneId: zoneId(subnet.zone, region),
  defaultForAz: false,
  mapPublicIpOnLaunch: false,
  assignIpv6AddressOnCreation: subnet.cidr4 === undefined,
  ipv6Native: subnet.cidr4 === undefined,
  tagSet: tagSet(subnet.tags),
});

/** The zones that have a subnet: the model knows no others. */
export const describeAvailabilityZones = describe<string>('DescribeAvailabilityZones', {
  is: 'describe-subnets',
  set: 'availabilityZoneInfo',
  key: ['zoneName'],
  ids: { name: 'ZoneName', of: text() },
  filters: {
    paths: {
      'group-name': 'groupName',
      'opt-in-status': 'optInStatus',
      'region-name': 'regionName',
      state: 'zoneState',
      'zone-id': 'zoneId',
      'zone-name': 'zoneName',
      'zone-type': 'zoneType',
    },
  },
  also: { AllAvailabilityZones: flag(), ZoneId: list(text()) },
  async rows(session, names, input) {
    const subnets = await session.call('describe-subnets', {});
    const zones = [...new Set(subnets.map(({ zone }) => zone))];
    const asked = [...(names ?? []), ...(input.ZoneId as readonly string[])];
    const unknown = asked.find((name) => !zones.some((zone) => isZone(zone, name, session)));
    if (unknown !== undefined) throw new Ec2Error('InvalidParameterValue', `Invalid availability zone: [${unknown}]`);
    return zones
      .filter((zone) => asked.length === 0 || asked.some((name) => isZone(zone, name, session)))
      .map((zone) => zoneContent(zone, session));
  },
});

const isZone = (zone: string, name: string, { region }: Session): boolean =>
  zone === name || zoneId(zone, region) === name;

const zoneContent = (zone: string, { region }: Session): Content => ({
  zoneName: zone,
  zoneId: zoneId(zone, region),
  zoneState: 'available',
  zoneType: 'availability-zone',
  regionName: region,
  groupName: `${region}-zg-1`,
  networkBorderGroup: region,
  optInStatus: 'opt-in-not-required',
  messageSet: [],
});

/** Each VPC's default group, and every other group that an ENI names: the lab's groups let everything through. */
export const describeSecurityGroups = describe<GroupId>('DescribeSecurityGroups', {
  is: 'describe-vpcs',
  set: 'securityGroupInfo',
  key: ['groupId'],
  ids: { name: 'GroupId', of: GROUP_ID },
  filters: {
    paths: {
      description: 'groupDescription',
      'group-id': 'groupId',
      'group-name': 'groupName',
      'owner-id': 'ownerId',
      'vpc-id': 'vpcId',
    },
    tagSet: 'tagSet',
  },
  pageMax: 1_000,
  also: { GroupName: list(text()) },
  async rows(session, ids, input) {
    const vpcs = await session.call('describe-vpcs', {});
    const groups = new Map(vpcs.map((vpc) => [vpc.defaultGroup, vpc.id]));
    for (const { groups: named, vpc } of session.truth.enis())
      for (const group of named) if (!groups.has(group)) groups.set(group, vpc);
    const names = input.GroupName as readonly string[];
    const missing =
      ids?.find((group) => !groups.has(group)) ??
      names.find((name) => ![...groups.keys()].some((group) => groupName(group, session) === name));
    if (missing !== undefined)
      throw new Ec2Error('InvalidGroup.NotFound', `The security group '${missing}' does not exist`);
    return [...groups]
      .filter(([group]) => ids === undefined || ids.includes(group))
      .filter(([group]) => names.length === 0 || names.includes(groupName(group, session)))
      .map(([group, vpc]) => groupContent(group, vpc, session));
  },
});

const EVERYTHING = [
  {
    ipProtocol: '-1',
    groups: [],
    ipRanges: [{ cidrIp: '0.0.0.0/0' }],
    ipv6Ranges: [{ cidrIpv6: '::/0' }],
    prefixListIds: [],
  },
];

const groupContent = (groupId: GroupId, vpcId: string, session: Session): Content => ({
  groupId,
  groupName: groupName(groupId, session),
  groupDescription: 'the lab lets everything through',
  ownerId: ACCOUNT_ID,
  vpcId,
  ipPermissions: EVERYTHING,
  ipPermissionsEgress: EVERYTHING,
  tagSet: [],
});
