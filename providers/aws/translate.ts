/**
 * EC2's shapes to the core's nouns and back. Pure; everything EC2 answered is parsed here and nowhere else.
 *
 * Invariant: what cannot be read is an answer of kind `bug`, also when only one ENI of a list is unreadable: leaving it
 * out would look like its absence.
 */
import type {
  CreateNetworkInterfaceCommandInput,
  InstanceTypeInfo,
  NetworkInterface,
  Subnet,
  Tag,
} from '@aws-sdk/client-ec2';
import {
  type EniId,
  type GroupId,
  type InstanceId,
  type Mac,
  type OperationId,
  parseMac,
  type SubnetId,
} from '../../src/core/brand.ts';
import type { Answer, BlockWish, EniFacts, InstanceLimits, SubnetFacts, Tags } from '../../src/core/cloud.ts';
import {
  type Cidr,
  cidrAddress,
  cidrBase,
  cidrLength,
  cidrSize,
  type Family,
  familyOf,
  hostCidr,
  type Ip,
  parseCidr,
  parseIp,
} from '../../src/core/ip.ts';

/** VPC User Guide: the router of a subnet is its base plus one; EC2 User Guide: its IPv6 address is this link-local one. */
const GATEWAY6 = 'fe80:ec2::1' as Ip;

class Unreadable extends Error {}

/** Runs a parser and makes what it cannot read an answer. */
function read<T>(parse: () => T): Answer<T> {
  try {
    return { ok: true, value: parse() };
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    const message = `EC2 answered without a readable ${error.message}`;
    return { ok: false, failure: { kind: 'bug', code: 'UnreadableReply', message } };
  }
}

function need<T>(value: T | undefined, field: string): T {
  if (value === undefined || value === '') throw new Unreadable(field);
  return value;
}

const needIp = (text: string | undefined, field: string): Ip => need(parseIp(text ?? ''), field);
const needCidr = (text: string | undefined, field: string): Cidr => need(parseCidr(text ?? ''), field);

export const enisIn = (list: readonly NetworkInterface[] | undefined): Answer<EniFacts[]> =>
  read(() => (list ?? []).map(eni));

export const eniIn = (shape: NetworkInterface | undefined): Answer<EniFacts> =>
  read(() => eni(need(shape, 'networkInterface')));

function eni(shape: NetworkInterface): EniFacts {
  const attachment = attachmentOf(shape);
  const primary = attachment?.deviceIndex === 0 && (shape.Attachment?.NetworkCardIndex ?? 0) === 0;
  const own4 = shape.PrivateIpAddress === undefined ? undefined : needIp(shape.PrivateIpAddress, 'privateIpAddress');
  const own6 = own6Of(shape, primary);
  return {
    id: need(shape.NetworkInterfaceId, 'networkInterfaceId') as EniId,
    mac: need(parseMac(shape.MacAddress ?? ''), 'macAddress'),
    subnet: need(shape.SubnetId, 'subnetId') as SubnetId,
    groups: (shape.Groups ?? []).map((group) => need(group.GroupId, 'groupId') as GroupId),
    ...(own4 === undefined ? {} : { primary4: own4 }),
    ...(own6 === undefined ? {} : { primary6: own6 }),
    blocks: blocksOf(shape, own6),
    ...(attachment === undefined ? {} : { attachment }),
    tags: tagsIn(shape.TagSet),
    primary,
  };
}

/** `detached` is as good as no attachment. */
function attachmentOf({ Attachment: shape }: NetworkInterface): EniFacts['attachment'] {
  if (shape === undefined || shape.Status === 'detached') return undefined;
  const state = shape.Status;
  if (state !== 'attaching' && state !== 'attached' && state !== 'detaching') throw new Unreadable('attachment.status');
  return {
    instance: need(shape.InstanceId, 'attachment.instanceId') as InstanceId,
    deviceIndex: need(shape.DeviceIndex, 'attachment.deviceIndex'),
    state,
  };
}

/**
 * The flagged address; on the instance's primary ENI without a flag the first one, which the instance was born with (where
 * it is a pod's, the core knows).
 */
function own6Of({ Ipv6Addresses = [] }: NetworkInterface, primary: boolean): Ip | undefined {
  const own = Ipv6Addresses.find((each) => each.IsPrimaryIpv6 === true) ?? (primary ? Ipv6Addresses[0] : undefined);
  return own === undefined ? undefined : needIp(own.Ipv6Address, 'ipv6Address');
}

function blocksOf(shape: NetworkInterface, own6: Ip | undefined): Cidr[] {
  const { PrivateIpAddresses = [], Ipv4Prefixes = [], Ipv6Addresses = [], Ipv6Prefixes = [] } = shape;
  const secondary4 = PrivateIpAddresses.filter((each) => each.Primary !== true);
  return [
    ...secondary4.map((each) => hostCidr(needIp(each.PrivateIpAddress, 'privateIpAddress'))),
    ...Ipv4Prefixes.map((each) => needCidr(each.Ipv4Prefix, 'ipv4Prefix')),
    ...Ipv6Addresses.map((each) => needIp(each.Ipv6Address, 'ipv6Address'))
      .filter((ip) => ip !== own6)
      .map(hostCidr),
    ...Ipv6Prefixes.map((each) => needCidr(each.Ipv6Prefix, 'ipv6Prefix')),
  ];
}

const tagsIn = (tags: readonly Tag[] = []): Tags =>
  Object.fromEntries(tags.map(({ Key, Value }) => [need(Key, 'tag.key'), Value ?? '']));

export const subnetsIn = (list: readonly Subnet[] | undefined): Answer<SubnetFacts[]> =>
  read(() => (list ?? []).map(subnet));

function subnet(shape: Subnet): SubnetFacts {
  const cidr4 = shape.CidrBlock === undefined ? undefined : needCidr(shape.CidrBlock, 'cidrBlock');
  const associated = shape.Ipv6CidrBlockAssociationSet?.find((each) => each.Ipv6CidrBlockState?.State === 'associated');
  const cidr6 = associated === undefined ? undefined : needCidr(associated.Ipv6CidrBlock, 'ipv6CidrBlock');
  return {
    id: need(shape.SubnetId, 'subnetId') as SubnetId,
    zone: need(shape.AvailabilityZone, 'availabilityZone'),
    freeCount4: need(shape.AvailableIpAddressCount, 'availableIpAddressCount'),
    ...routedBy(cidr4, cidr6),
  };
}

const routedBy = (cidr4: Cidr | undefined, cidr6: Cidr | undefined) => ({
  ...(cidr4 === undefined ? {} : { cidr4, gateway4: cidrAddress(cidr4, 1) }),
  ...(cidr6 === undefined ? {} : { cidr6, gateway6: GATEWAY6 }),
});

/**
 * Of the default network card, the only one we attach to: a p4d.24xlarge has 4 cards of 15 ENIs, not 60 ENIs.
 * Prefixes need Nitro (EC2 User Guide, "Prefix delegation"); bare metal instances are Nitro without a hypervisor.
 */
export const limitsIn = (list: readonly InstanceTypeInfo[] | undefined): Answer<InstanceLimits> =>
  read(() => {
    const shape = need(list?.[0], 'instanceType');
    const network = need(shape.NetworkInfo, 'networkInfo');
    const cardIndex = network.DefaultNetworkCardIndex ?? 0;
    const card = network.NetworkCards?.find((each) => each.NetworkCardIndex === cardIndex);
    const eniCountMax = card?.MaximumNetworkInterfaces ?? network.MaximumNetworkInterfaces;
    return {
      instanceType: need(shape.InstanceType, 'instanceType'),
      eniCountMax: need(eniCountMax, 'maximumNetworkInterfaces'),
      slotsPerEni: {
        4: need(network.Ipv4AddressesPerInterface, 'ipv4AddressesPerInterface'),
        6: network.Ipv6Supported === true ? need(network.Ipv6AddressesPerInterface, 'ipv6AddressesPerInterface') : 0,
      },
      prefixes: shape.Hypervisor === 'nitro' || shape.BareMetal === true,
    };
  });

/** Single addresses and prefixes that an assign answered: only what is new. */
export const assignedIn = (reply: {
  readonly addresses?: readonly (string | undefined)[] | undefined;
  readonly prefixes?: readonly (string | undefined)[] | undefined;
}): Answer<Cidr[]> =>
  read(() => [
    ...(reply.addresses ?? []).map((text) => hostCidr(needIp(text, 'assigned address'))),
    ...(reply.prefixes ?? []).map((text) => needCidr(text, 'assigned prefix')),
  ]);

/** CIDRs, one a line, as instance metadata lists them. */
export const cidrsIn = (text: string | undefined): Answer<Cidr[]> =>
  read(() => linesOf(text).map((line) => needCidr(line, 'VPC CIDR')));

const linesOf = (text: string | undefined): string[] =>
  (text ?? '').split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim()]));

/** What instance metadata says of an ENI and its subnet; EC2 User Guide, "Instance metadata categories". */
export const PRIMARY_ITEMS = [
  'interface-id',
  'security-group-ids',
  'local-ipv4s',
  'ipv6s',
  'ipv4-prefix',
  'ipv6-prefix',
  'subnet-id',
  'subnet-ipv4-cidr-block',
  'subnet-ipv6-cidr-blocks',
] as const;

/**
 * The primary ENI and its subnet as metadata tells them: without tags, and without the subnet's count of free addresses.
 * Of each family the address named first is the ENI's own.
 */
export const primaryIn = (
  items: Readonly<Record<(typeof PRIMARY_ITEMS)[number], string | undefined>> & { readonly mac: Mac },
  { instanceId, availabilityZone }: { readonly instanceId: string; readonly availabilityZone: string },
): Answer<{ readonly eni: EniFacts; readonly subnet: SubnetFacts }> =>
  read(() => {
    const [own4, ...secondary4] = linesOf(items['local-ipv4s']).map((text) => needIp(text, 'local-ipv4s'));
    const [own6, ...secondary6] = linesOf(items.ipv6s).map((text) => needIp(text, 'ipv6s'));
    const prefixes = [...linesOf(items['ipv4-prefix']), ...linesOf(items['ipv6-prefix'])];
    const subnet = need(items['subnet-id']?.trim(), 'subnet-id') as SubnetId;
    const [cidr4, cidr6] = [items['subnet-ipv4-cidr-block'], items['subnet-ipv6-cidr-blocks']].map(
      (text) => linesOf(text).map((line) => needCidr(line, 'subnet CIDR'))[0],
    );
    return {
      eni: {
        id: need(items['interface-id']?.trim(), 'interface-id') as EniId,
        mac: items.mac,
        subnet,
        groups: linesOf(items['security-group-ids']) as GroupId[],
        ...(own4 === undefined ? {} : { primary4: own4 }),
        ...(own6 === undefined ? {} : { primary6: own6 }),
        blocks: [...[...secondary4, ...secondary6].map(hostCidr), ...prefixes.map((text) => needCidr(text, 'prefix'))],
        attachment: { instance: instanceId as InstanceId, deviceIndex: 0, state: 'attached' },
        tags: {},
        primary: true,
      },
      subnet: { id: subnet, zone: availabilityZone, ...routedBy(cidr4, cidr6) },
    };
  });

const isSingle = (family: Family, length: number): boolean => length === (family === 4 ? 32 : 128);

/**
 * A wish for IPv6 addresses asks for one more: the first becomes the ENI's own (`EnablePrimaryIpv6`). EC2 does not say
 * what that flag gives beside a count of prefixes, which excludes a count of addresses, so it is not sent there.
 */
export function createInput(wish: {
  readonly subnet: SubnetId;
  readonly groups: readonly GroupId[];
  readonly blocks: readonly BlockWish[];
  readonly tags: Tags;
  readonly token: OperationId;
}): CreateNetworkInterfaceCommandInput {
  const count = (family: Family, single: boolean): number =>
    wish.blocks
      .filter((each) => each.family === family && isSingle(family, each.prefixLength) === single)
      .reduce((sum, each) => sum + each.count, 0);
  const [addresses4, prefixes4, addresses6, prefixes6] = [
    count(4, true),
    count(4, false),
    count(6, true),
    count(6, false),
  ];
  return {
    SubnetId: wish.subnet,
    Groups: [...wish.groups],
    ClientToken: wish.token,
    Description: 'Underway',
    TagSpecifications: [{ ResourceType: 'network-interface', Tags: tagList(wish.tags) }],
    ...(addresses4 > 0 ? { SecondaryPrivateIpAddressCount: addresses4 } : {}),
    ...(prefixes4 > 0 ? { Ipv4PrefixCount: prefixes4 } : {}),
    ...(addresses6 > 0 ? { Ipv6AddressCount: addresses6 + 1, EnablePrimaryIpv6: true } : {}),
    ...(prefixes6 > 0 ? { Ipv6PrefixCount: prefixes6 } : {}),
  };
}

export const tagList = (tags: Tags): Tag[] => Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));

/** What assign and unassign name: single addresses bare, prefixes with their length; a kind not named is absent. */
export function namesOf(blocks: readonly Cidr[]): { addresses: string[] | undefined; prefixes: string[] | undefined } {
  const single = (block: Cidr): boolean => isSingle(familyOf(block), cidrLength(block));
  return {
    addresses: absentIfEmpty(blocks.filter(single).map(cidrBase)),
    prefixes: absentIfEmpty(blocks.filter((block) => !single(block))),
  };
}

const absentIfEmpty = (list: string[]): string[] | undefined => (list.length > 0 ? list : undefined);

/** IPv4 addresses and prefixes of an ENI, its own among them. */
export const blocks4 = ({ primary4, blocks }: EniFacts): Cidr[] => [
  ...(primary4 === undefined ? [] : [hostCidr(primary4)]),
  ...blocks.filter((block) => familyOf(block) === 4),
];

/** VPC User Guide, "Subnet CIDR blocks": the first four addresses and the last of a subnet are not for use. */
export const reservedIn = (cidr4: Cidr): Cidr[] =>
  [0, 1, 2, 3, cidrSize(cidr4) - 1].map((index) => hostCidr(cidrAddress(cidr4, index)));
