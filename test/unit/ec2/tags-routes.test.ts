/** Tags and routes through the endpoint. */
import { onStage, type Parameters, type Stage } from './stage.ts';
import { elementsAt, textAt, textsAt } from './xml-reader.ts';

const tagsOf = (stage: Stage, eni: string) => stage.cloud.truth.eni(eni as never)?.tags;

test(
  'tags are put on several ENIs at once, listed, and taken away',
  onStage(async (stage) => {
    const [a, b] = [await stage.createEni(), await stage.createEni()];
    const both = { 'ResourceId.1': a, 'ResourceId.2': b };
    const tags = { 'Tag.1.Key': 'x', 'Tag.1.Value': '1', 'Tag.2.Key': 'y' };
    expect(textAt(await stage.value('CreateTags', { ...both, ...tags }), 'return')).toBe('true');
    expect([tagsOf(stage, a), tagsOf(stage, b)]).toEqual([
      { x: '1', y: '' },
      { x: '1', y: '' },
    ]);
    const listed = await stage.value('DescribeTags', { 'Filter.1.Name': 'resource-id', 'Filter.1.Value.1': a });
    expect(textsAt(listed, 'tagSet.item.key')).toEqual(['x', 'y']);
    expect(textsAt(listed, 'tagSet.item.resourceType')).toEqual(['network-interface', 'network-interface']);
    const others = await stage.value('DescribeTags', { 'Filter.1.Name': 'tag:role', 'Filter.1.Value.1': 'pods' });
    expect(textsAt(others, 'tagSet.item.resourceId')).toEqual([stage.subnet]);
    await stage.value('DeleteTags', { ...both, 'Tag.1.Key': 'x', 'Tag.1.Value': '2' });
    expect(tagsOf(stage, a)).toEqual({ x: '1', y: '' });
    await stage.value('DeleteTags', { 'ResourceId.1': a, 'Tag.1.Key': 'x', 'Tag.1.Value': '1' });
    await stage.value('DeleteTags', { 'ResourceId.1': b, 'Tag.1.Key': 'y' });
    expect([tagsOf(stage, a), tagsOf(stage, b)]).toEqual([{ y: '' }, { x: '1' }]);
    await stage.value('DeleteTags', both);
    expect([tagsOf(stage, a), tagsOf(stage, b)]).toEqual([{}, {}]);
  }),
);

test(
  'tags that cannot be are refused, and then none is changed',
  onStage(async (stage) => {
    const eni = await stage.createEni();
    const code = (parameters: Parameters, action = 'CreateTags') =>
      stage.code(action, { 'Tag.1.Key': 'x', ...parameters });
    expect(await code({})).toBe('MissingParameter');
    expect(await code({ 'ResourceId.1': 'what is this' })).toBe('InvalidID');
    expect(await code({ 'ResourceId.1': stage.subnet })).toBe('UnsupportedOperation');
    expect(await code({ 'ResourceId.1': eni, 'ResourceId.2': 'eni-0ffffffffffffffff' })).toBe(
      'InvalidNetworkInterfaceID.NotFound',
    );
    expect(await code({ 'ResourceId.1': eni, 'Tag.1.Key': 'aws:x' })).toBe('InvalidParameterValue');
    expect(tagsOf(stage, eni)).toEqual({});
    const fifty = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`Tag.${at + 1}.Key`, `k${at}`]));
    await stage.value('CreateTags', { 'ResourceId.1': eni, ...fifty });
    expect(await code({ 'ResourceId.1': eni })).toBe('TagLimitExceeded');
    expect(await code({ 'ResourceId.1': 'eni-0ffffffffffffffff' }, 'DeleteTags')).toBe(
      'InvalidNetworkInterfaceID.NotFound',
    );
  }),
);

test(
  'a route to an ENI is made, seen as a black hole until it is attached, replaced and deleted',
  onStage(async (stage) => {
    const table = textAt(await stage.value('DescribeRouteTables'), 'routeTableSet.item.routeTableId');
    const eni = await stage.createEni();
    const route = { RouteTableId: table, DestinationCidrBlock: '10.200.0.0/24' };
    expect(textAt(await stage.value('CreateRoute', { ...route, NetworkInterfaceId: eni }), 'return')).toBe('true');
    const routes = async () => {
      const root = await stage.value('DescribeRouteTables', { 'RouteTableId.1': table });
      return elementsAt(root, 'routeTableSet.item.routeSet.item').find(
        (each) => textsAt(each, 'destinationCidrBlock')[0] === route.DestinationCidrBlock,
      );
    };
    const seen = async (path: string) => textsAt((await routes()) ?? { name: '', text: '', children: [] }, path)[0];
    expect([await seen('networkInterfaceId'), await seen('state')]).toEqual([eni, 'blackhole']);
    await stage.attach(eni, 1);
    expect([await seen('instanceId'), await seen('state')]).toEqual([stage.node, 'active']);
    const gateway = textsAt(await stage.value('DescribeRouteTables'), 'routeTableSet.item.routeSet.item.gatewayId');
    const internet = gateway.find((each) => each.startsWith('igw-')) ?? '';
    await stage.value('ReplaceRoute', { ...route, GatewayId: internet });
    expect(await seen('gatewayId')).toBe(internet);
    await stage.value('DeleteRoute', route);
    expect(await routes()).toBeUndefined();
    const six = { RouteTableId: table, DestinationIpv6CidrBlock: '2001:db8:ffff::/64', NetworkInterfaceId: eni };
    await stage.value('CreateRoute', six);
  }),
);

test(
  'routes that cannot be are refused',
  onStage(async (stage) => {
    const table = textAt(await stage.value('DescribeRouteTables'), 'routeTableSet.item.routeTableId');
    const route = { RouteTableId: table, DestinationCidrBlock: '10.200.0.0/24' };
    const eni = await stage.createEni();
    const code = (parameters: Parameters, action = 'CreateRoute') => stage.code(action, { ...route, ...parameters });
    expect(await code({})).toBe('MissingParameter');
    expect(await code({ NetworkInterfaceId: eni, GatewayId: 'igw-1' })).toBe('InvalidParameterCombination');
    expect(await code({ GatewayId: 'igw-1' })).toBe('InvalidGatewayID.NotFound');
    expect(await code({ NatGatewayId: 'nat-1' })).toBe('InvalidNatGatewayID.NotFound');
    expect(await code({ NetworkInterfaceId: 'eni-0ffffffffffffffff' })).toBe('InvalidNetworkInterfaceID.NotFound');
    expect(await code({ TransitGatewayId: 'tgw-1' })).toBe('UnsupportedOperation');
    expect(await code({ NetworkInterfaceId: eni, DestinationCidrBlock: '10.200.0.1/24' })).toBe(
      'InvalidParameterValue',
    );
    expect(await code({ NetworkInterfaceId: eni, RouteTableId: 'rtb-0ffffffffffffffff' })).toBe(
      'InvalidRouteTableID.NotFound',
    );
    expect(await code({ NetworkInterfaceId: eni }, 'ReplaceRoute')).toBe('InvalidRoute.NotFound');
    expect(await code({}, 'DeleteRoute')).toBe('InvalidRoute.NotFound');
    expect(await code({ DestinationCidrBlock: '10.0.0.0/16' }, 'DeleteRoute')).toBe('InvalidParameterValue');
    await stage.value('CreateRoute', { ...route, InstanceId: stage.node });
    expect(await code({ NetworkInterfaceId: eni })).toBe('RouteAlreadyExists');
    await stage.attach(eni, 1);
    expect(await code({ InstanceId: stage.node }, 'ReplaceRoute')).toBe('InvalidInstanceID');
  }),
);
