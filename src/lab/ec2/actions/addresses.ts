/** Assign and unassign, of both families. Replies list only what is new. */
import type { BlockWish } from '../../../core/cloud.ts';
import { type Cidr, hostCidr } from '../../../core/ip.ts';
import { action, RETURN_TRUE } from '../action.ts';
import { prefixesOf, singlesOf } from '../blocks.ts';
import { Ec2Error } from '../ec2-error.ts';
import { address, block, flag, integer, list, need } from '../fields.ts';
import { ENI_ID } from './describe-enis.ts';

const COUNT = integer({ min: 1 });

export const assignPrivateIpAddresses = action({
  parameters: {
    NetworkInterfaceId: need(ENI_ID),
    PrivateIpAddress: list(address(4)),
    SecondaryPrivateIpAddressCount: COUNT,
    Ipv4Prefix: list(block(4, 28)),
    Ipv4PrefixCount: COUNT,
    AllowReassignment: flag(),
  },
  exclusive: [
    ['PrivateIpAddress', 'SecondaryPrivateIpAddressCount'],
    ['Ipv4Prefix', 'Ipv4PrefixCount'],
  ],
  is: 'assign',
  async handle(input, session) {
    const { NetworkInterfaceId: eni, AllowReassignment: reassign = false } = input;
    const wishes = wished(
      { family: 4, prefixLength: 32, count: input.SecondaryPrivateIpAddressCount },
      { family: 4, prefixLength: 28, count: input.Ipv4PrefixCount },
    );
    const blocks = [...input.PrivateIpAddress.map(hostCidr), ...input.Ipv4Prefix];
    mustName(wishes, blocks, 'SecondaryPrivateIpAddressCount');
    const given = await session.call('assign', { eni, family: 4, wishes, blocks, reassign });
    return {
      networkInterfaceId: eni,
      assignedPrivateIpAddressesSet: singlesOf(given, 4).map((ip) => ({ privateIpAddress: ip })),
      assignedIpv4PrefixSet: prefixesOf(given, 4).map((cidr) => ({ ipv4Prefix: cidr })),
      ...RETURN_TRUE,
    };
  },
});

export const unassignPrivateIpAddresses = action({
  parameters: { NetworkInterfaceId: need(ENI_ID), PrivateIpAddress: list(address(4)), Ipv4Prefix: list(block(4, 28)) },
  is: 'unassign',
  async handle({ NetworkInterfaceId: eni, PrivateIpAddress, Ipv4Prefix }, session) {
    const blocks = [...PrivateIpAddress.map(hostCidr), ...Ipv4Prefix];
    mustName([], blocks, 'PrivateIpAddress');
    await session.call('unassign', { eni, family: 4, blocks });
    return RETURN_TRUE;
  },
});

export const assignIpv6Addresses = action({
  parameters: {
    NetworkInterfaceId: need(ENI_ID),
    Ipv6Addresses: list(address(6)),
    Ipv6AddressCount: COUNT,
    Ipv6Prefix: list(block(6, 80)),
    Ipv6PrefixCount: COUNT,
  },
  exclusive: [
    ['Ipv6Addresses', 'Ipv6AddressCount'],
    ['Ipv6Prefix', 'Ipv6PrefixCount'],
  ],
  is: 'assign',
  async handle(input, session) {
    const { NetworkInterfaceId: eni } = input;
    const wishes = wished(
      { family: 6, prefixLength: 128, count: input.Ipv6AddressCount },
      { family: 6, prefixLength: 80, count: input.Ipv6PrefixCount },
    );
    const blocks = [...input.Ipv6Addresses.map(hostCidr), ...input.Ipv6Prefix];
    mustName(wishes, blocks, 'Ipv6AddressCount');
    const given = await session.call('assign', { eni, family: 6, wishes, blocks });
    return {
      networkInterfaceId: eni,
      assignedIpv6Addresses: singlesOf(given, 6),
      assignedIpv6PrefixSet: prefixesOf(given, 6),
    };
  },
});

export const unassignIpv6Addresses = action({
  parameters: { NetworkInterfaceId: need(ENI_ID), Ipv6Addresses: list(address(6)), Ipv6Prefix: list(block(6, 80)) },
  is: 'unassign',
  async handle({ NetworkInterfaceId: eni, Ipv6Addresses, Ipv6Prefix }, session) {
    const blocks = [...Ipv6Addresses.map(hostCidr), ...Ipv6Prefix];
    mustName([], blocks, 'Ipv6Addresses');
    await session.call('unassign', { eni, family: 6, blocks });
    return { networkInterfaceId: eni, unassignedIpv6Addresses: Ipv6Addresses, unassignedIpv6PrefixSet: Ipv6Prefix };
  },
});

type MaybeWish = Omit<BlockWish, 'count'> & { readonly count: number | undefined };

const wished = (...wishes: readonly MaybeWish[]): BlockWish[] =>
  wishes.flatMap((wish) => (wish.count === undefined ? [] : [{ ...wish, count: wish.count }]));

function mustName(wishes: readonly BlockWish[], blocks: readonly Cidr[], example: string): void {
  if (wishes.length === 0 && blocks.length === 0)
    throw new Ec2Error('MissingParameter', `The request names no address and no prefix, such as by ${example}`);
}
