/** What the reads answer and by what they can be filtered. */
import type { Cidr } from '../../../src/core/ip.ts';
import { onStage, type Stage } from './stage.ts';
import { type Element, elementsAt, textAt, textsAt } from './xml-reader.ts';

const ENIS = 'networkInterfaceSet.item.networkInterfaceId';

const filtered = async (stage: Stage, action: string, filter: readonly [string, ...string[]], path: string) => {
  const [name, ...values] = filter;
  const parameters = Object.fromEntries(values.map((value, at) => [`Filter.1.Value.${at + 1}`, value]));
  return textsAt(await stage.value(action, { 'Filter.1.Name': name, ...parameters }), path);
};

/** The texts of some elements, as one object. */
const some = (root: Element, ...paths: string[]) => Object.fromEntries(paths.map((path) => [path, textAt(root, path)]));

test(
  'ENIs are found by each of their filters',
  onStage(async (stage) => {
    const eni = await stage.createEni({
      Description: 'mine',
      SecondaryPrivateIpAddressCount: 1,
      Ipv6AddressCount: 1,
      'TagSpecification.1.ResourceType': 'network-interface',
      'TagSpecification.1.Tag.1.Key': 'team',
      'TagSpecification.1.Tag.1.Value': 'net',
    });
    const attachment = await stage.attach(eni, 1);
    await stage.createEni({ SubnetId: stage.elsewhere });
    const row = stage.cloud.truth.eni(eni as never);
    const [second = '', six = ''] = (row?.blocks ?? []).map((cidr) => cidr.slice(0, cidr.indexOf('/')));
    const both = [await primary(stage), eni];
    const cases: readonly (readonly [readonly [string, ...string[]], readonly string[]])[] = [
      [['network-interface-id', eni], [eni]],
      [['attachment.instance-id', stage.node], both],
      [['attachment.attachment-id', attachment], [eni]],
      [['attachment.device-index', '1'], [eni]],
      [['attachment.status', 'attached'], both],
      [['attachment.delete-on-termination', 'false'], [eni]],
      [['subnet-id', stage.subnet], both],
      [['status', 'in-use'], both],
      [['availability-zone', 'us-east-1a'], both],
      [['mac-address', row?.mac ?? ''], [eni]],
      [['private-ip-address', row?.primary4 ?? ''], [eni]],
      [['addresses.private-ip-address', second, '10.9.9.9'], [eni]],
      [['addresses.primary', 'false'], [eni]],
      [['ipv6-addresses.ipv6-address', six], [eni]],
      [['description', 'm?n*'], [eni]],
      [['group-name', 'nobodys'], []],
      [['tag:team', 'net'], [eni]],
      [['tag-key', 'team'], [eni]],
      [['tag-key', 'Team'], []],
    ];
    for (const [filter, expected] of cases)
      expect([filter, await filtered(stage, 'DescribeNetworkInterfaces', filter, ENIS)]).toEqual([filter, expected]);
    expect(await filtered(stage, 'DescribeNetworkInterfaces', ['vpc-id', stage.vpc], ENIS)).toHaveLength(3);
    const unknown = { 'Filter.1.Name': 'colour', 'Filter.1.Value.1': 'red' };
    expect(await stage.refusal('DescribeNetworkInterfaces', unknown)).toEqual({
      status: 400,
      code: 'InvalidParameterValue',
      message: "The filter 'colour' is invalid",
    });
  }),
);

const primary = async (stage: Stage): Promise<string> => stage.cloud.truth.enisOf(stage.node)[0]?.id ?? '';

test(
  'an instance has its ENIs, its placement and its state',
  onStage(async (stage) => {
    await stage.attach(await stage.createEni({ Ipv4PrefixCount: 1 }), 1);
    const root = await stage.value('DescribeInstances', { 'InstanceId.1': stage.node });
    const [instance] = elementsAt(root, 'reservationSet.item.instancesSet.item');
    if (instance === undefined) throw new Error('no instance');
    expect(some(instance, 'instanceId', 'instanceType', 'instanceState.name', 'placement.availabilityZone')).toEqual({
      instanceId: stage.node,
      instanceType: 'm5.large',
      'instanceState.name': 'running',
      'placement.availabilityZone': 'us-east-1a',
    });
    expect(textsAt(instance, 'networkInterfaceSet.item.attachment.deviceIndex')).toEqual(['0', '1']);
    expect(textsAt(instance, 'networkInterfaceSet.item.ipv4PrefixSet.item.ipv4Prefix')).toHaveLength(1);
    const ids = 'reservationSet.item.instancesSet.item.instanceId';
    for (const filter of [
      ['tag:Name', 'node'],
      ['instance-type', 'm5.*'],
      ['network-interface.attachment.device-index', '1'],
      ['instance-state-name', 'running'],
    ] as [string, string][])
      expect(await filtered(stage, 'DescribeInstances', filter, ids)).toEqual([stage.node]);
    expect(await filtered(stage, 'DescribeInstances', ['instance-state-name', 'stopped'], ids)).toEqual([]);
    expect(await stage.code('DescribeInstances', { 'InstanceId.1': 'i-0ffffffffffffffff' })).toBe(
      'InvalidInstanceID.NotFound',
    );
  }),
);

test(
  'instance types say what an instance may hold',
  onStage(async (stage) => {
    const root = await stage.value('DescribeInstanceTypes', { 'InstanceType.1': 'm5.large' });
    const [type] = elementsAt(root, 'instanceTypeSet.item');
    if (type === undefined) throw new Error('no type');
    expect(some(type, 'networkInfo.maximumNetworkInterfaces', 'networkInfo.ipv4AddressesPerInterface')).toEqual({
      'networkInfo.maximumNetworkInterfaces': '3',
      'networkInfo.ipv4AddressesPerInterface': '10',
    });
    expect(textAt(type, 'hypervisor')).toBe('nitro');
    expect(await stage.code('DescribeInstanceTypes', { 'InstanceType.1': 'm5.tiny' })).toBe('InvalidInstanceType');
    const paged = await stage.value('DescribeInstanceTypes', { MaxResults: 5 });
    expect(elementsAt(paged, 'instanceTypeSet.item')).toHaveLength(5);
  }),
);

test(
  'subnets count what is free, VPCs have all their ranges',
  onStage(async (stage) => {
    const free = async () =>
      textAt(
        await stage.value('DescribeSubnets', { 'SubnetId.1': stage.small }),
        'subnetSet.item.availableIpAddressCount',
      );
    expect(await free()).toBe('11');
    await stage.createEni({ SubnetId: stage.small, SecondaryPrivateIpAddressCount: 2 });
    expect(await free()).toBe('8');
    const ids = 'subnetSet.item.subnetId';
    expect(await filtered(stage, 'DescribeSubnets', ['tag:role', 'pods'], ids)).toEqual([stage.subnet]);
    expect(await filtered(stage, 'DescribeSubnets', ['availability-zone-id', 'use1-az2'], ids)).toEqual([
      stage.elsewhere,
    ]);
    expect(await filtered(stage, 'DescribeSubnets', ['cidr-block', '10.0.2.0/28'], ids)).toEqual([stage.small]);
    const vpcs = await stage.value('DescribeVpcs');
    expect(textsAt(vpcs, 'vpcSet.item.cidrBlockAssociationSet.item.cidrBlock')).toEqual(['10.0.0.0/16']);
    expect(textsAt(vpcs, 'vpcSet.item.ipv6CidrBlockAssociationSet.item.ipv6CidrBlock')).toEqual(['2001:db8:7::/56']);
    expect(await stage.code('DescribeVpcs', { 'VpcId.1': 'vpc-0ffffffffffffffff' })).toBe('InvalidVpcID.NotFound');
  }),
);

test(
  'a subnet without IPv4 is what EC2 calls IPv6-only, and so are its ENIs',
  onStage(async (stage) => {
    const cidr6 = '2001:db8:7:6::/64' as Cidr;
    const { id } = stage.cloud.addSubnet({ vpc: stage.vpc, zone: 'us-east-1a', cidr6 });
    const subnets = await stage.value('DescribeSubnets', { 'SubnetId.1': id });
    const at = (name: string) => textsAt(subnets, `subnetSet.item.${name}`);
    expect([
      at('ipv6Native'),
      at('assignIpv6AddressOnCreation'),
      at('availableIpAddressCount'),
      at('cidrBlock'),
    ]).toEqual([['true'], ['true'], ['0'], []]);
    const eni = await stage.createEni({ SubnetId: id, Ipv6AddressCount: 2, EnablePrimaryIpv6: true });
    const reply = await stage.value('DescribeNetworkInterfaces', { 'NetworkInterfaceId.1': eni });
    const item = (name: string) => textsAt(reply, `networkInterfaceSet.item.${name}`);
    expect([item('privateIpAddress'), item('privateIpAddressesSet.item.primary')]).toEqual([[], []]);
    expect(item('ipv6AddressesSet.item.isPrimaryIpv6')).toEqual(['true', 'false']);
  }),
);

test(
  'zones and security groups are those in use',
  onStage(async (stage) => {
    const zones = await stage.value('DescribeAvailabilityZones');
    expect(textsAt(zones, 'availabilityZoneInfo.item.zoneName')).toEqual(['us-east-1a', 'us-east-1b']);
    const one = await stage.value('DescribeAvailabilityZones', { 'ZoneId.1': 'use1-az2' });
    expect(textsAt(one, 'availabilityZoneInfo.item.zoneName')).toEqual(['us-east-1b']);
    expect(await stage.code('DescribeAvailabilityZones', { 'ZoneName.1': 'moon' })).toBe('InvalidParameterValue');
    await stage.createEni({ 'SecurityGroupId.1': 'sg-00000000000000009' });
    const names = 'securityGroupInfo.item.groupName';
    expect(textsAt(await stage.value('DescribeSecurityGroups'), names).sort()).toEqual([
      'default',
      'sg-00000000000000009',
    ]);
    expect(await filtered(stage, 'DescribeSecurityGroups', ['group-name', 'default'], names)).toEqual(['default']);
    expect(await stage.code('DescribeSecurityGroups', { 'GroupId.1': 'sg-0ffffffffffffffff' })).toBe(
      'InvalidGroup.NotFound',
    );
  }),
);
