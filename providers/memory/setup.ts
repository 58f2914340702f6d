/**
 * What an account's owner does once, outside the calls under test: networks, instances, their ends. At once, without
 * buckets, latency or faults, and seen by every replica immediately unless it changes an ENI that lives.
 */
import type { EniId, GroupId, InstanceId, SubnetId } from '../../src/core/brand.ts';
import type { Tags } from '../../src/core/cloud.ts';
import { type Cidr, cidrBase, cidrContains, type Ip } from '../../src/core/ip.ts';
import { takeBlocks } from './address-calls.ts';
import type { EniRecord, InstanceRecord, RouteTableRecord, RouteTarget, SubnetRecord, VpcRecord } from './records.ts';
import { putTable } from './route-calls.ts';
import { ownAddresses, ownOf, type World } from './world.ts';

export interface NewVpc {
  readonly cidrs4: readonly Cidr[];
  readonly cidrs6?: readonly Cidr[];
  readonly tags?: Tags;
}

/** Comes with a main route table: the VPC's own ranges local, everything else to the internet. */
export function addVpc(world: World, { cidrs4, cidrs6 = [], tags = {} }: NewVpc): VpcRecord {
  const defaultGroup = world.newId('sg') as GroupId;
  const vpc: VpcRecord = { id: world.newId('vpc'), cidrs4, cidrs6, defaultGroup, tags };
  world.vpcs.set(vpc.id, vpc);
  addTable(world, { vpc, main: true, subnets: [], routes: [] });
  return vpc;
}

export interface NewSubnet {
  readonly vpc: string;
  readonly zone: string;
  readonly cidr4?: Cidr;
  readonly cidr6?: Cidr;
  readonly tags?: Tags;
}

export function addSubnet(world: World, { vpc, zone, cidr4, cidr6, tags = {} }: NewSubnet): SubnetRecord {
  const record = vpcOf(world, vpc);
  const ranges = [cidr4, cidr6].filter((cidr) => cidr !== undefined);
  if (ranges.length === 0) throw new RangeError('a subnet has a range of addresses');
  const outside = ranges.find(
    (cidr) => ![...record.cidrs4, ...record.cidrs6].some((range) => cidrContains(range, cidrBase(cidr))),
  );
  if (outside !== undefined) throw new RangeError(`${outside} is outside of ${vpc}`);
  const id = world.newId('subnet') as SubnetId;
  const subnet = { id, vpc, zone, ...(cidr4 && { cidr4 }), ...(cidr6 && { cidr6 }), tags };
  world.subnets.set(id, subnet);
  world.addSpaces(subnet);
  return subnet;
}

export interface NewRouteTable {
  readonly vpc: string;
  readonly subnets: readonly SubnetId[];
  readonly routes: readonly (readonly [Cidr, RouteTarget])[];
}

/** Takes its subnets away from the table they were in. */
export function addRouteTable(world: World, { vpc, subnets, routes }: NewRouteTable): RouteTableRecord {
  for (const table of [...world.routeTables.values()]) {
    const left = table.subnets.filter((subnet) => !subnets.includes(subnet));
    if (left.length < table.subnets.length) putTable(world, { ...table, subnets: left }, 0);
  }
  return addTable(world, { vpc: vpcOf(world, vpc), main: false, subnets, routes });
}

function addTable(
  world: World,
  options: {
    readonly vpc: VpcRecord;
    readonly main: boolean;
    readonly subnets: readonly SubnetId[];
    readonly routes: readonly (readonly [Cidr, RouteTarget])[];
  },
): RouteTableRecord {
  const { vpc, main, subnets } = options;
  const routes = new Map<Cidr, RouteTarget>();
  for (const cidr of [...vpc.cidrs4, ...vpc.cidrs6]) routes.set(cidr, { kind: 'local' });
  if (main) routes.set('0.0.0.0/0' as Cidr, { kind: 'internet' });
  if (main && vpc.cidrs6.length > 0) routes.set('::/0' as Cidr, { kind: 'internet' });
  for (const [destination, target] of options.routes) routes.set(destination, target);
  const table = { id: world.newId('rtb'), vpc: vpc.id, main, subnets, routes, tags: {} };
  putTable(world, table, 0);
  return table;
}

export interface NewInstance {
  readonly instanceType: string;
  readonly subnet: SubnetId;
  readonly groups?: readonly GroupId[];
  readonly tags?: Tags;
  /** The primary ENI's own address; the lowest free one when absent. */
  readonly primary4?: Ip;
  /** The internet sees the instance as this address; without one its packets to the internet are dropped. */
  readonly publicIp?: Ip;
}

/** Runs at once, its primary ENI attached as device 0 and seen. It has an address of its own of each of its subnet's ranges. */
export function launch(world: World, wish: NewInstance): InstanceRecord {
  const subnet = world.subnets.get(wish.subnet);
  const limits = world.figures.instanceTypes.get(wish.instanceType);
  if (subnet === undefined) throw new RangeError(`no subnet ${wish.subnet}`);
  if (limits === undefined) throw new RangeError(`no instance type ${wish.instanceType} in the figures`);
  const id = world.newId('i') as InstanceId;
  const nowMs = world.clock.nowMs();
  const eni: EniRecord = {
    id: world.newId('eni') as EniId,
    vpc: subnet.vpc,
    subnet: subnet.id,
    zone: subnet.zone,
    mac: world.newMac(),
    state: 'in-use',
    primary: true,
    ...primaryAddresses(world, subnet, wish.primary4),
    ...(wish.publicIp === undefined ? {} : { publicIp: wish.publicIp }),
    blocks: [],
    groups: wish.groups ?? [vpcOf(world, subnet.vpc).defaultGroup],
    description: 'primary',
    sourceDestCheck: true,
    deleteWithInstance: true,
    tags: {},
    attachment: {
      id: world.newId('eni-attach'),
      instance: id,
      deviceIndex: 0,
      state: 'attached',
      deleteOnTermination: true,
      sinceMs: nowMs,
    },
    createdMs: nowMs,
  };
  const base = { id, limits, zone: subnet.zone, vpc: subnet.vpc, primaryEni: eni.id, launchedMs: nowMs };
  const instance: InstanceRecord = { ...base, state: 'running', tags: wish.tags ?? {} };
  world.instances.set(id, instance);
  world.putEni(eni, 0);
  world.tell({ kind: 'eni-created', eni });
  for (const cidr of ownAddresses(eni)) world.tell({ kind: 'address-added', eni: eni.id, cidr });
  world.link(eni.id, eni.attachment?.id ?? '');
  return instance;
}

function primaryAddresses(world: World, subnet: SubnetRecord, primary4: Ip | undefined) {
  const isChosen = primary4 === undefined && subnet.cidr4 !== undefined;
  const wishes4 = isChosen ? [{ family: 4, prefixLength: 32, count: 1 } as const] : [];
  const wishes6 = subnet.cidr6 === undefined ? [] : [{ family: 6, prefixLength: 128, count: 1 } as const];
  const blocks = primary4 === undefined ? [] : [`${primary4}/32` as Cidr];
  const taken = takeBlocks(world, { subnet: subnet.id, wishes: [...wishes4, ...wishes6], blocks }, {});
  if (taken.kind === 'refused') throw new RangeError(`launch in ${subnet.id}: ${taken.refusal.kind}`);
  return ownOf(taken.value);
}

/** ENIs that delete on termination go with it; the others become available. Absent: nothing happens. */
export function terminate(world: World, id: InstanceId): void {
  const instance = world.instances.get(id);
  if (instance?.state !== 'running') return;
  world.instances.set(id, { ...instance, state: 'terminated' });
  for (const eni of world.enisOf(id)) {
    if (eni.attachment?.deleteOnTermination === true) world.removeEni(eni);
    else world.unattach(eni);
  }
  world.tell({ kind: 'instance-terminated', instance: id });
}

function vpcOf(world: World, id: string): VpcRecord {
  const vpc = world.vpcs.get(id);
  if (vpc === undefined) throw new RangeError(`no VPC ${id}`);
  return vpc;
}
