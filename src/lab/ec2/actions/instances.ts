/** DescribeInstances and DescribeInstanceTypes. */
import type { InstanceId } from '../../../core/brand.ts';
import { instanceTypeContent, reservationContent } from '../content/instance.ts';
import { describe } from '../describe.ts';
import { flag, text } from '../fields.ts';
import type { Content } from '../xml.ts';
import { INSTANCE_ID } from './enis.ts';

const INSTANCE_FILTERS: Readonly<Record<string, string>> = {
  architecture: 'architecture',
  'availability-zone': 'placement.availabilityZone',
  'dns-name': 'dnsName',
  hypervisor: 'hypervisor',
  'image-id': 'imageId',
  'instance-id': 'instanceId',
  'instance-state-code': 'instanceState.code',
  'instance-state-name': 'instanceState.name',
  'instance-type': 'instanceType',
  'instance.group-id': 'groupSet.groupId',
  'instance.group-name': 'groupSet.groupName',
  'ip-address': 'ipAddress',
  'ipv6-address': 'networkInterfaceSet.ipv6AddressesSet.ipv6Address',
  'launch-time': 'launchTime',
  'network-interface.addresses.primary': 'networkInterfaceSet.privateIpAddressesSet.primary',
  'network-interface.addresses.private-ip-address': 'networkInterfaceSet.privateIpAddressesSet.privateIpAddress',
  'network-interface.attachment.attachment-id': 'networkInterfaceSet.attachment.attachmentId',
  'network-interface.attachment.device-index': 'networkInterfaceSet.attachment.deviceIndex',
  'network-interface.attachment.status': 'networkInterfaceSet.attachment.status',
  'network-interface.description': 'networkInterfaceSet.description',
  'network-interface.group-id': 'networkInterfaceSet.groupSet.groupId',
  'network-interface.ipv6-addresses.ipv6-address': 'networkInterfaceSet.ipv6AddressesSet.ipv6Address',
  'network-interface.mac-address': 'networkInterfaceSet.macAddress',
  'network-interface.network-interface-id': 'networkInterfaceSet.networkInterfaceId',
  'network-interface.private-dns-name': 'networkInterfaceSet.privateDnsName',
  'network-interface.source-dest-check': 'networkInterfaceSet.sourceDestCheck',
  'network-interface.status': 'networkInterfaceSet.status',
  'network-interface.subnet-id': 'networkInterfaceSet.subnetId',
  'network-interface.vpc-id': 'networkInterfaceSet.vpcId',
  'private-dns-name': 'privateDnsName',
  'private-ip-address': 'privateIpAddress',
  'source-dest-check': 'sourceDestCheck',
  'subnet-id': 'subnetId',
  tenancy: 'placement.tenancy',
  'virtualization-type': 'virtualizationType',
  'vpc-id': 'vpcId',
};

/** The filters are the instance's; the rows that they look into are reservations. */
const inReservation = Object.fromEntries(
  Object.entries(INSTANCE_FILTERS).map(([name, path]) => [name, `instancesSet.${path}`]),
);

export const describeInstances = describe<InstanceId>('DescribeInstances', {
  is: 'describe-instances',
  set: 'reservationSet',
  key: ['instancesSet.instanceId'],
  ids: { name: 'InstanceId', of: INSTANCE_ID, excludesPages: true },
  filters: {
    paths: { ...inReservation, 'owner-id': 'ownerId', 'reservation-id': 'reservationId' },
    tagSet: 'instancesSet.tagSet',
  },
  pageMax: 1_000,
  also: { IncludeManagedResources: flag() },
  async rows(session, ids) {
    const instances = await session.call('describe-instances', ids === undefined ? {} : { ids });
    return instances.map((instance): Content => reservationContent(instance, session));
  },
});

export const describeInstanceTypes = describe<string>('DescribeInstanceTypes', {
  is: 'describe-instance-types',
  set: 'instanceTypeSet',
  key: ['instanceType'],
  ids: { name: 'InstanceType', of: text() },
  filters: {
    paths: {
      'bare-metal': 'bareMetal',
      'current-generation': 'currentGeneration',
      hypervisor: 'hypervisor',
      'instance-type': 'instanceType',
      'network-info.efa-supported': 'networkInfo.efaSupported',
      'network-info.ena-support': 'networkInfo.enaSupport',
      'network-info.ipv4-addresses-per-interface': 'networkInfo.ipv4AddressesPerInterface',
      'network-info.ipv6-addresses-per-interface': 'networkInfo.ipv6AddressesPerInterface',
      'network-info.ipv6-supported': 'networkInfo.ipv6Supported',
      'network-info.maximum-network-cards': 'networkInfo.maximumNetworkCards',
      'network-info.maximum-network-interfaces': 'networkInfo.maximumNetworkInterfaces',
      'processor-info.supported-architecture': 'processorInfo.supportedArchitectures',
      'supported-usage-class': 'supportedUsageClasses',
      'supported-virtualization-type': 'supportedVirtualizationTypes',
    },
  },
  pageMax: 100,
  // Every type the lab knows is supported in its region.
  also: { IncludeUnsupportedInRegion: flag() },
  async rows(session, ids) {
    const types = await session.call('describe-instance-types', ids === undefined ? {} : { ids });
    return types.map((type): Content => instanceTypeContent(type));
  },
});
