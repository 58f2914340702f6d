/** DescribeRouteTables, CreateRoute, ReplaceRoute and DeleteRoute. */
import type { RouteTableRecord, RouteTarget } from '../../../../providers/memory/records.ts';
import { type Cidr, familyOf, type Ip, ipBytes } from '../../../core/ip.ts';
import { ACCOUNT_ID, idLike } from '../account.ts';
import { action, RETURN_TRUE } from '../action.ts';
import { describe } from '../describe.ts';
import { Ec2Error, missing } from '../ec2-error.ts';
import { block, flag, type Input, id, need, text } from '../fields.ts';
import type { Session } from '../session.ts';
import { tagSet } from '../tags.ts';
import type { Content } from '../xml.ts';
import { ENI_ID } from './describe-enis.ts';
import { INSTANCE_ID } from './enis.ts';

const TABLE_ID = id('rtb', 'InvalidRouteTableID');

export const describeRouteTables = describe<string>('DescribeRouteTables', {
  is: 'describe-route-tables',
  set: 'routeTableSet',
  key: ['routeTableId'],
  ids: { name: 'RouteTableId', of: TABLE_ID },
  filters: {
    paths: {
      'association.main': 'associationSet.main',
      'association.route-table-association-id': 'associationSet.routeTableAssociationId',
      'association.route-table-id': 'associationSet.routeTableId',
      'association.subnet-id': 'associationSet.subnetId',
      'owner-id': 'ownerId',
      'route-table-id': 'routeTableId',
      'route.destination-cidr-block': 'routeSet.destinationCidrBlock',
      'route.destination-ipv6-cidr-block': 'routeSet.destinationIpv6CidrBlock',
      'route.gateway-id': 'routeSet.gatewayId',
      'route.instance-id': 'routeSet.instanceId',
      'route.nat-gateway-id': 'routeSet.natGatewayId',
      'route.origin': 'routeSet.origin',
      'route.state': 'routeSet.state',
      'vpc-id': 'vpcId',
    },
    tagSet: 'tagSet',
  },
  pageMax: 100,
  async rows(session, ids) {
    const tables = await session.call('describe-route-tables', ids === undefined ? {} : { ids });
    return tables.map((table) => tableContent(table, session));
  },
});

const tableContent = (table: RouteTableRecord, session: Session): Content => ({
  routeTableId: table.id,
  vpcId: table.vpc,
  ownerId: ACCOUNT_ID,
  routeSet: [...table.routes].map(([destination, target]) => ({
    [familyOf(destination) === 4 ? 'destinationCidrBlock' : 'destinationIpv6CidrBlock']: destination,
    ...targetContent(target, { session, vpc: table.vpc }),
    origin: target.kind === 'local' ? 'CreateRouteTable' : 'CreateRoute',
  })),
  associationSet: [
    ...(table.main
      ? [association(table.id, { main: true, routeTableAssociationId: idLike('rtbassoc', table.id) })]
      : []),
    ...table.subnets.map((subnetId) =>
      association(table.id, { main: false, routeTableAssociationId: idLike('rtbassoc', subnetId), subnetId }),
    ),
  ],
  propagatingVgwSet: [],
  tagSet: tagSet(table.tags),
});

const association = (routeTableId: string, fields: { readonly [name: string]: Content }): Content => ({
  ...fields,
  routeTableId,
  associationState: { state: 'associated' },
});

/** The model's internet gateways and NAT gateways have no ids; theirs come from the VPC and the public address. */
const gatewayId = (vpc: string): string => idLike('igw', vpc);
const natGatewayId = (publicIp: Ip): string =>
  `nat-0${Buffer.from(ipBytes(publicIp)).toString('hex').padStart(16, '0')}`;

function targetContent(target: RouteTarget, { session, vpc }: { session: Session; vpc: string }) {
  switch (target.kind) {
    case 'local':
      return { gatewayId: 'local', state: 'active' };
    case 'internet':
      return { gatewayId: gatewayId(vpc), state: 'active' };
    case 'nat':
      return { natGatewayId: natGatewayId(target.publicIp), state: 'active' };
    case 'eni': {
      const holder = session.truth.eni(target.eni)?.attachment?.instance;
      const instance = holder === undefined ? {} : { instanceId: holder, instanceOwnerId: ACCOUNT_ID };
      // EC2 User Guide: a route whose ENI is gone or not attached is a black hole.
      return { networkInterfaceId: target.eni, ...instance, state: holder === undefined ? 'blackhole' : 'active' };
    }
  }
}

const DESTINATION = {
  RouteTableId: need(TABLE_ID),
  DestinationCidrBlock: block(4),
  DestinationIpv6CidrBlock: block(6),
  DryRun: flag(),
};
const ROUTE = {
  ...DESTINATION,
  GatewayId: text(),
  NetworkInterfaceId: ENI_ID,
  NatGatewayId: text(),
  InstanceId: INSTANCE_ID,
};
const FOREIGN_TARGETS = [
  'CarrierGatewayId',
  'CoreNetworkArn',
  'DestinationPrefixListId',
  'EgressOnlyInternetGatewayId',
  'LocalGatewayId',
  'OdbNetworkArn',
  'TransitGatewayId',
  'VpcEndpointId',
  'VpcPeeringConnectionId',
];
const TARGETS = ['GatewayId', 'NetworkInterfaceId', 'NatGatewayId', 'InstanceId'] as const;
const EXCLUSIVE = [['DestinationCidrBlock', 'DestinationIpv6CidrBlock'], TARGETS] as const;

const putRoute = (is: 'create-route' | 'replace-route') =>
  action({
    parameters: ROUTE,
    notInLab: is === 'create-route' ? FOREIGN_TARGETS : [...FOREIGN_TARGETS, 'LocalTarget'],
    exclusive: EXCLUSIVE,
    is,
    async handle(input, session) {
      const destination = destinationOf(input);
      const target = targetOf(input, session);
      await session.call(is, { table: input.RouteTableId, destination, target });
      return RETURN_TRUE;
    },
  });

export const createRoute = putRoute('create-route');
export const replaceRoute = putRoute('replace-route');

export const deleteRoute = action({
  parameters: DESTINATION,
  notInLab: ['DestinationPrefixListId'],
  exclusive: [['DestinationCidrBlock', 'DestinationIpv6CidrBlock']],
  is: 'delete-route',
  async handle(input, session) {
    await session.call('delete-route', { table: input.RouteTableId, destination: destinationOf(input) });
    return RETURN_TRUE;
  },
});

function destinationOf(input: Input<typeof DESTINATION>): Cidr {
  const destination = input.DestinationCidrBlock ?? input.DestinationIpv6CidrBlock;
  if (destination === undefined) throw missing('DestinationCidrBlock');
  return destination;
}

function targetOf(input: Input<typeof ROUTE>, session: Session): RouteTarget {
  const { GatewayId, NetworkInterfaceId, NatGatewayId, InstanceId } = input;
  if (NetworkInterfaceId !== undefined) return { kind: 'eni', eni: NetworkInterfaceId };
  if (InstanceId !== undefined) return { kind: 'eni', eni: onlyEniOf(InstanceId, session) };
  if (GatewayId !== undefined) {
    const vpc = session.truth.routeTables().find((table) => table.id === input.RouteTableId)?.vpc;
    if (vpc === undefined || GatewayId === gatewayId(vpc)) return { kind: 'internet' };
    throw new Ec2Error('InvalidGatewayID.NotFound', `The gateway ID '${GatewayId}' does not exist`);
  }
  if (NatGatewayId === undefined)
    throw new Ec2Error('MissingParameter', `The request must contain one of the parameters ${TARGETS.join(', ')}`);
  const known = session.truth
    .routeTables()
    .flatMap((table) => [...table.routes.values()])
    .find((target) => target.kind === 'nat' && natGatewayId(target.publicIp) === NatGatewayId);
  if (known !== undefined) return known;
  throw new Ec2Error('InvalidNatGatewayID.NotFound', `The NAT gateway ${NatGatewayId} does not exist`);
}

function onlyEniOf(instance: NonNullable<Input<typeof ROUTE>['InstanceId']>, session: Session) {
  const [eni, another] = session.truth.enisOf(instance);
  if (eni === undefined)
    throw new Ec2Error('InvalidInstanceID.NotFound', `The instance ID '${instance}' does not exist`);
  if (another === undefined) return eni.id;
  throw new Ec2Error('InvalidInstanceID', `There are multiple interfaces attached to instance '${instance}'.`);
}
