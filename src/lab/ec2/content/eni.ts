/** An ENI as EC2 writes it. */
import type { EniRecord } from '../../../../providers/memory/records.ts';
import type { Ip } from '../../../core/ip.ts';
import { ACCOUNT_ID, dnsName, hostName, idLike, zoneId } from '../account.ts';
import { prefixesOf, singlesOf } from '../blocks.ts';
import type { Session } from '../session.ts';
import { tagSet } from '../tags.ts';
import type { Content, Elements } from '../xml.ts';

/** EC2 API reference, NetworkInterface. */
export function eniContent(eni: EniRecord, session: Session): Elements {
  const { id, publicIp, attachment } = eni;
  const association = publicIp && { ...publicAddress(publicIp), associationId: idLike('eipassoc', id) };
  return {
    ...commonContent(eni, { session, association }),
    availabilityZone: eni.zone,
    availabilityZoneId: zoneId(eni.zone, session.region),
    attachment: attachment && {
      ...attachmentContent(attachment, session),
      instanceId: attachment.instance,
      instanceOwnerId: ACCOUNT_ID,
    },
    requesterManaged: false,
    tagSet: tagSet(eni.tags),
  };
}

/** EC2 API reference, InstanceNetworkInterface: the same without what the instance says already. */
export function instanceEniContent(eni: EniRecord, session: Session): Elements {
  const { publicIp, attachment } = eni;
  return {
    ...commonContent(eni, { session, association: publicIp && publicAddress(publicIp) }),
    attachment: attachment && attachmentContent(attachment, session),
  };
}

/** `association`: how the internet sees the ENI's own address. */
function commonContent(
  eni: EniRecord,
  { session, association }: { readonly session: Session; readonly association: Content },
): Elements {
  const address = (ip: Ip) => ({ privateIpAddress: ip, privateDnsName: dnsName(ip, session.region) });
  return {
    networkInterfaceId: eni.id,
    subnetId: eni.subnet,
    vpcId: eni.vpc,
    description: eni.description,
    ownerId: ACCOUNT_ID,
    status: eni.state,
    macAddress: eni.mac,
    privateIpAddress: eni.primary4,
    privateDnsName: hostName(eni, session.region),
    sourceDestCheck: eni.sourceDestCheck,
    interfaceType: 'interface',
    groupSet: groupSet(eni.groups, session),
    association,
    privateIpAddressesSet: [
      ...(eni.primary4 === undefined ? [] : [{ ...address(eni.primary4), primary: true, association }]),
      ...singlesOf(eni.blocks, 4).map((ip) => ({ ...address(ip), primary: false })),
    ],
    ipv6AddressesSet: [
      ...(eni.primary6 === undefined ? [] : [{ ipv6Address: eni.primary6, isPrimaryIpv6: true }]),
      ...singlesOf(eni.blocks, 6).map((ip) => ({ ipv6Address: ip, isPrimaryIpv6: false })),
    ],
    ipv4PrefixSet: prefixesOf(eni.blocks, 4).map((cidr) => ({ ipv4Prefix: cidr })),
    ipv6PrefixSet: prefixesOf(eni.blocks, 6).map((cidr) => ({ ipv6Prefix: cidr })),
  };
}

export const attachmentContent = (
  attachment: NonNullable<EniRecord['attachment']>,
  session: Session,
): { readonly [name: string]: Content } => ({
  attachmentId: attachment.id,
  attachTime: session.wallTime(attachment.sinceMs),
  deviceIndex: attachment.deviceIndex,
  networkCardIndex: 0,
  status: attachment.state,
  deleteOnTermination: attachment.deleteOnTermination,
});

export const groupSet = (groups: EniRecord['groups'], session: Session): Content =>
  groups.map((groupId) => ({ groupId, groupName: groupName(groupId, session) }));

/** Only the VPC's default group has a name of its own in the model. */
export const groupName = (groupId: string, session: Session): string =>
  [...session.truth.vpcs.values()].some((vpc) => vpc.defaultGroup === groupId) ? 'default' : groupId;

const publicAddress = (publicIp: Ip): Elements => ({ publicIp, ipOwnerId: ACCOUNT_ID });
