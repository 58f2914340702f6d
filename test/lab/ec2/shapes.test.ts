/**
 * Every answer of the endpoint against AWS's own model of EC2: nothing the model does not know, lists of items, values
 * of their types and enumerations. And every parameter of the model is either taken or refused by name.
 */
import { ACTIONS } from '../../../src/lab/ec2/actions.ts';
import { type Parameters, Stage } from '../../unit/ec2/stage.ts';
import { textAt, textsAt } from '../../unit/ec2/xml-reader.ts';
import { findBoto } from './boto.ts';
import { declaredParameters, type Ec2Model, misfits, modelledParameters, readModel } from './shapes.ts';

/** What the lab's EC2 answers: a client may count on these. */
const GOLDEN = [
  'AssignIpv6Addresses',
  'AssignPrivateIpAddresses',
  'AttachNetworkInterface',
  'CreateNetworkInterface',
  'CreateRoute',
  'CreateTags',
  'DeleteNetworkInterface',
  'DeleteRoute',
  'DeleteTags',
  'DescribeAvailabilityZones',
  'DescribeInstanceTypes',
  'DescribeInstances',
  'DescribeNetworkInterfaceAttribute',
  'DescribeNetworkInterfaces',
  'DescribeRouteTables',
  'DescribeSecurityGroups',
  'DescribeSubnets',
  'DescribeTags',
  'DescribeVpcs',
  'DetachNetworkInterface',
  'ModifyNetworkInterfaceAttribute',
  'ReplaceRoute',
  'UnassignIpv6Addresses',
  'UnassignPrivateIpAddresses',
];

test('the actions are the golden ones', () => {
  expect([...ACTIONS.keys()].sort()).toEqual(GOLDEN);
});

const boto = await findBoto();
const model: Ec2Model = boto === undefined ? { operations: {}, shapes: {} } : readModel(boto.botocore);
const testWithBoto = boto === undefined ? test.skip : test;

testWithBoto('each parameter of EC2’s is taken as its type, or refused by name', () => {
  for (const [name, action] of ACTIONS) {
    const isRefused = (line: string) => action.notInLab.some((refused) => new RegExp(`^${refused}[.:]`).test(line));
    const wanted = modelledParameters(model, name).filter((line) => !isRefused(line));
    expect([name, declaredParameters(action.parameters).sort()]).toEqual([name, expectedBy(name, wanted)]);
  }
});

/** What the lab reads beside the model, or leaves to `UnknownParameter` inside a structure that it takes. */
function expectedBy(name: string, wanted: readonly string[]): string[] {
  const left =
    name === 'ModifyNetworkInterfaceAttribute' ? ['Attachment.DefaultEnaQueueCount', 'Attachment.EnaQueueCount'] : [];
  return wanted.filter((line) => !left.some((each) => line.startsWith(each))).sort();
}

testWithBoto('every answer fits the model', async () => {
  const stage = await new Stage().open();
  const seen = new Set<string>();
  const wrong: string[] = [];
  const ask = async (action: string, parameters: Parameters = {}) => {
    const root = await stage.value(action, parameters);
    seen.add(action);
    wrong.push(...misfits(model, action, root));
    return root;
  };
  try {
    await everyAction(stage, ask);
    expect(wrong).toEqual([]);
    expect([...seen].sort()).toEqual(GOLDEN);
  } finally {
    await stage.close();
  }
});

type Ask = (action: string, parameters?: Parameters) => ReturnType<Stage['value']>;

/** One life of everything the endpoint has, with every optional element there at some time. */
async function everyAction(stage: Stage, ask: Ask): Promise<void> {
  const root = await ask('CreateNetworkInterface', {
    SubnetId: stage.subnet,
    Description: 'x',
    'SecurityGroupId.1': 'sg-0123456789abcdef0',
    SecondaryPrivateIpAddressCount: 2,
    Ipv6AddressCount: 2,
    EnablePrimaryIpv6: true,
    ClientToken: 'token',
    'TagSpecification.1.ResourceType': 'network-interface',
    'TagSpecification.1.Tag.1.Key': 'a',
  });
  const eni = textAt(root, 'networkInterface.networkInterfaceId');
  const one = { NetworkInterfaceId: eni };
  const attach = { ...one, InstanceId: stage.node, DeviceIndex: 1 };
  const attachment = textAt(await ask('AttachNetworkInterface', attach), 'attachmentId');
  await ask('DescribeNetworkInterfaces');
  stage.clock.advance(10_000);
  for (const { id } of stage.cloud.truth.enis()) stage.cloud.setPublicIp(id, '198.51.100.7' as never);
  await ask('ModifyNetworkInterfaceAttribute', { ...one, 'SourceDestCheck.Value': false });
  for (const Attribute of ['description', 'groupSet', 'sourceDestCheck', 'attachment'])
    await ask('DescribeNetworkInterfaceAttribute', { ...one, Attribute });
  const four = await ask('AssignPrivateIpAddresses', { ...one, SecondaryPrivateIpAddressCount: 1, Ipv4PrefixCount: 1 });
  const six = await ask('AssignIpv6Addresses', { ...one, Ipv6AddressCount: 1, Ipv6PrefixCount: 1 });
  await ask('CreateTags', { 'ResourceId.1': eni, 'Tag.1.Key': 'b', 'Tag.1.Value': 'c' });
  await routes(ask, { eni });
  for (const action of GOLDEN.filter((name) => /^Describe(?!NetworkInterfaceAttribute)/.test(name))) await ask(action);
  await ask('DescribeInstanceTypes', { MaxResults: 5 });
  await ask('DeleteTags', { 'ResourceId.1': eni });
  await ask('UnassignPrivateIpAddresses', {
    ...one,
    'PrivateIpAddress.1': textAt(four, 'assignedPrivateIpAddressesSet.item.privateIpAddress'),
    'Ipv4Prefix.1': textAt(four, 'assignedIpv4PrefixSet.item.ipv4Prefix'),
  });
  await ask('UnassignIpv6Addresses', {
    ...one,
    'Ipv6Addresses.1': textAt(six, 'assignedIpv6Addresses.item'),
    'Ipv6Prefix.1': textAt(six, 'assignedIpv6PrefixSet.item'),
  });
  await ask('DetachNetworkInterface', { AttachmentId: attachment });
  stage.clock.advance(10_000);
  await ask('DescribeNetworkInterfaces');
  await ask('DeleteNetworkInterface', one);
  stage.cloud.terminate(stage.node);
  await ask('DescribeInstances');
}

async function routes(ask: Ask, { eni }: { readonly eni: string }): Promise<void> {
  const tables = await ask('DescribeRouteTables');
  const [RouteTableId = ''] = textsAt(tables, 'routeTableSet.item.routeTableId');
  const route = { RouteTableId, DestinationCidrBlock: '10.200.0.0/24' };
  await ask('CreateRoute', { ...route, NetworkInterfaceId: eni });
  await ask('DescribeRouteTables', { 'RouteTableId.1': RouteTableId });
  await ask('ReplaceRoute', { ...route, NetworkInterfaceId: eni });
  await ask('DeleteRoute', route);
}
