/** CreateNetworkInterface: many ways to say which addresses, one call of the model. */
import type { ApiRequest } from '../../../../providers/memory/api.ts';
import type { GroupId, SubnetId } from '../../../core/brand.ts';
import type { BlockWish, Tags } from '../../../core/cloud.ts';
import { hostCidr } from '../../../core/ip.ts';
import { action } from '../action.ts';
import { eniContent } from '../content/eni.ts';
import { Ec2Error, invalidCombination, invalidValue, notInLab } from '../ec2-error.ts';
import { address, block, flag, type Input, id, integer, list, need, oneOf, structure, text } from '../fields.ts';
import { tagSpecificationParameter, tagsOf } from '../tags.ts';

export const GROUP_ID = id<GroupId>('sg', 'InvalidGroupId');
const COUNT = integer({ min: 0 });

const PARAMETERS = {
  SubnetId: need(id<SubnetId>('subnet', 'InvalidSubnetID')),
  Description: text({ lengthMax: 255 }),
  SecurityGroupId: list(GROUP_ID),
  PrivateIpAddress: address(4),
  PrivateIpAddresses: list(structure({ PrivateIpAddress: need(address(4)), Primary: flag() })),
  SecondaryPrivateIpAddressCount: COUNT,
  Ipv4Prefix: list(structure({ Ipv4Prefix: need(block(4, 28)) })),
  Ipv4PrefixCount: COUNT,
  Ipv6Addresses: list(structure({ Ipv6Address: need(address(6)), IsPrimaryIpv6: flag() })),
  Ipv6AddressCount: COUNT,
  Ipv6Prefix: list(structure({ Ipv6Prefix: need(block(6, 80)) })),
  Ipv6PrefixCount: COUNT,
  EnablePrimaryIpv6: flag(),
  InterfaceType: oneOf('interface'),
  TagSpecification: tagSpecificationParameter,
  ClientToken: text({ lengthMax: 64 }),
  DryRun: flag(),
};

type Wanted = Input<typeof PARAMETERS>;

export const createNetworkInterface = action({
  parameters: PARAMETERS,
  notInLab: ['ConnectionTrackingSpecification', 'Operator'],
  // EC2 API reference, CreateNetworkInterface: each says which others it excludes.
  exclusive: [
    ['SecondaryPrivateIpAddressCount', 'PrivateIpAddresses'],
    ['SecondaryPrivateIpAddressCount', 'Ipv4PrefixCount'],
    ['SecondaryPrivateIpAddressCount', 'Ipv4Prefix'],
    ['Ipv4PrefixCount', 'Ipv4Prefix'],
    ['Ipv4PrefixCount', 'PrivateIpAddresses'],
    ['Ipv4Prefix', 'PrivateIpAddresses'],
    ['Ipv6AddressCount', 'Ipv6Addresses', 'Ipv6PrefixCount', 'Ipv6Prefix'],
  ],
  is: 'create-eni',
  async handle(input, session) {
    const { ClientToken: clientToken } = input;
    const eni = await session.call('create-eni', {
      subnet: input.SubnetId,
      groups: input.SecurityGroupId,
      tags: tagsIn(input),
      ...(input.Description === undefined ? {} : { description: input.Description }),
      ...addresses4(input),
      ...withBlocks(input),
      ...(clientToken === undefined ? {} : { token: clientToken }),
    });
    return { networkInterface: eniContent(eni, session), clientToken };
  },
});

function tagsIn({ TagSpecification: specifications }: Wanted): Tags {
  const other = specifications.find(({ ResourceType }) => ResourceType !== 'network-interface');
  if (other !== undefined)
    throw invalidValue(`'${other.ResourceType}' is not a valid taggable resource type for this operation.`);
  return tagsOf(specifications.flatMap(({ Tag }) => Tag));
}

function addresses4(input: Wanted): Pick<ApiRequest<'create-eni'>, 'primary4'> {
  const primaries = input.PrivateIpAddresses.filter(({ Primary }) => Primary === true);
  const [first, second] = [input.PrivateIpAddress, ...primaries.map((each) => each.PrivateIpAddress)].filter(
    (ip) => ip !== undefined,
  );
  if (second !== undefined) throw invalidCombination('Only one primary private IP address can be specified.');
  return first === undefined ? {} : { primary4: first };
}

function withBlocks(input: Wanted): Pick<ApiRequest<'create-eni'>, 'wishes' | 'blocks' | 'primary6'> {
  const primary6 = input.EnablePrimaryIpv6 === true;
  if (primary6 && (input.Ipv6AddressCount ?? 0) === 0) {
    // The model chooses the ENI's own IPv6 address itself.
    if (input.Ipv6Addresses.length > 0) throw notInLab('EnablePrimaryIpv6 beside Ipv6Addresses');
    throw new Ec2Error('MissingParameter', 'A primary IPv6 address needs the parameter Ipv6AddressCount');
  }
  if (input.Ipv6Addresses.some(({ IsPrimaryIpv6 }) => IsPrimaryIpv6 === true)) throw notInLab('IsPrimaryIpv6');
  const wishes: BlockWish[] = [
    { family: 4, prefixLength: 32, count: input.SecondaryPrivateIpAddressCount ?? 0 },
    { family: 4, prefixLength: 28, count: input.Ipv4PrefixCount ?? 0 },
    // The first of them becomes the ENI's own.
    { family: 6, prefixLength: 128, count: (input.Ipv6AddressCount ?? 0) - (primary6 ? 1 : 0) },
    { family: 6, prefixLength: 80, count: input.Ipv6PrefixCount ?? 0 },
  ];
  const blocks = [
    ...input.PrivateIpAddresses.filter(({ Primary }) => Primary !== true).map((each) =>
      hostCidr(each.PrivateIpAddress),
    ),
    ...input.Ipv4Prefix.map((each) => each.Ipv4Prefix),
    ...input.Ipv6Addresses.map((each) => hostCidr(each.Ipv6Address)),
    ...input.Ipv6Prefix.map((each) => each.Ipv6Prefix),
  ];
  return { wishes: wishes.filter(({ count }) => count > 0), blocks, primary6 };
}
