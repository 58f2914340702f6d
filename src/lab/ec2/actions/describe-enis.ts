/** DescribeNetworkInterfaces. */
import type { EniId } from '../../../core/brand.ts';
import { eniContent } from '../content/eni.ts';
import { describe } from '../describe.ts';
import { flag, id } from '../fields.ts';

export const ENI_ID = id<EniId>('eni', 'InvalidNetworkInterfaceID');

/** What EC2 API reference lists for DescribeNetworkInterfaces, as far as the lab has it to answer. */
const FILTERS: Readonly<Record<string, string>> = {
  'addresses.association.owner-id': 'privateIpAddressesSet.association.ipOwnerId',
  'addresses.association.public-ip': 'privateIpAddressesSet.association.publicIp',
  'addresses.primary': 'privateIpAddressesSet.primary',
  'addresses.private-ip-address': 'privateIpAddressesSet.privateIpAddress',
  'association.association-id': 'association.associationId',
  'association.ip-owner-id': 'association.ipOwnerId',
  'association.public-ip': 'association.publicIp',
  'attachment.attach-time': 'attachment.attachTime',
  'attachment.attachment-id': 'attachment.attachmentId',
  'attachment.delete-on-termination': 'attachment.deleteOnTermination',
  'attachment.device-index': 'attachment.deviceIndex',
  'attachment.instance-id': 'attachment.instanceId',
  'attachment.instance-owner-id': 'attachment.instanceOwnerId',
  'attachment.network-card-index': 'attachment.networkCardIndex',
  'attachment.status': 'attachment.status',
  'availability-zone': 'availabilityZone',
  'availability-zone-id': 'availabilityZoneId',
  description: 'description',
  'group-id': 'groupSet.groupId',
  'group-name': 'groupSet.groupName',
  'interface-type': 'interfaceType',
  'ipv6-addresses.ipv6-address': 'ipv6AddressesSet.ipv6Address',
  'mac-address': 'macAddress',
  'network-interface-id': 'networkInterfaceId',
  'owner-id': 'ownerId',
  'private-dns-name': 'privateDnsName',
  'private-ip-address': 'privateIpAddress',
  'requester-managed': 'requesterManaged',
  'source-dest-check': 'sourceDestCheck',
  status: 'status',
  'subnet-id': 'subnetId',
  'vpc-id': 'vpcId',
};

export const describeNetworkInterfaces = describe<EniId>('DescribeNetworkInterfaces', {
  is: 'describe-enis',
  set: 'networkInterfaceSet',
  key: ['networkInterfaceId'],
  ids: { name: 'NetworkInterfaceId', of: ENI_ID, excludesPages: true },
  filters: { paths: FILTERS, tagSet: 'tagSet' },
  pageMax: 1_000,
  // Nothing in the lab is managed by a service of AWS's.
  also: { IncludeManagedResources: flag() },
  async rows(session, ids) {
    const enis = await session.call('describe-enis', ids === undefined ? {} : { ids });
    return enis.map((eni) => eniContent(eni, session));
  },
});
