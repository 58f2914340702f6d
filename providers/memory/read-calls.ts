/** Reads. ENIs and route tables come from one of several lagging replicas, drawn anew for each call. */
import type { EniId } from '../../src/core/brand.ts';
import type { CallMoment, Calls } from './call.ts';
import type { SubnetRecord } from './records.ts';
import { type CloudRefusal, type Done, done, type Refused, refuse } from './refusal.ts';
import { REPLICA_COUNT } from './replicated-table.ts';
import type { World } from './world.ts';

type Thing = Extract<CloudRefusal, { kind: 'not-found' }>['what'];

/** The rows of these ids, all of which must be there; every row when no ids are given. */
function chosen<Row>(
  ids: readonly string[] | undefined,
  what: Thing,
  from: { readonly all: () => Iterable<Row>; readonly one: (id: string) => Row | undefined },
): Done<Row[]> | Refused {
  if (ids === undefined) return done([...from.all()]);
  const rows: Row[] = [];
  for (const id of ids) {
    const row = from.one(id);
    if (row === undefined) return refuse({ kind: 'not-found', what, id });
    rows.push(row);
  }
  return done(rows);
}

const fromMap = <Row>(map: ReadonlyMap<string, Row>) => ({
  all: () => map.values(),
  one: (id: string) => map.get(id),
});

const replica = (world: World, { caller }: CallMoment): number =>
  world.streams.pick(`replica/${caller}`, REPLICA_COUNT);

export const describeEnis: Calls['describe-enis'] = (world, { ids, where }, moment) => {
  const at = replica(world, moment);
  const enis = chosen(ids as readonly string[] | undefined, 'eni', {
    all: () => world.enis.read(at, moment.nowMs),
    one: (id) => world.enis.readOne(id as EniId, at, moment.nowMs),
  });
  return enis.kind === 'done' && where !== undefined ? done(enis.value.filter(where)) : enis;
};

export const describeRouteTables: Calls['describe-route-tables'] = (world, { ids }, moment: CallMoment) => {
  const at = replica(world, moment);
  return chosen(ids, 'route-table', {
    all: () => world.routeTables.read(at, moment.nowMs),
    one: (id) => world.routeTables.readOne(id, at, moment.nowMs),
  });
};

export const describeSubnets: Calls['describe-subnets'] = (world, { ids }, { strikes }) => {
  const subnets = chosen<SubnetRecord>(ids, 'subnet', fromMap(world.subnets));
  if (subnets.kind === 'refused') return subnets;
  const full = strikes['subnet-full'];
  const freeCount4 = (id: SubnetRecord['id']): number =>
    full !== undefined && (full.subnet ?? id) === id ? 0 : (world.space(id, 4)?.freeCount ?? 0);
  return done(subnets.value.map((subnet) => ({ ...subnet, freeCount4: freeCount4(subnet.id) })));
};

export const describeInstances: Calls['describe-instances'] = (world, { ids }) =>
  chosen(ids, 'instance', fromMap(world.instances));

export const describeVpcs: Calls['describe-vpcs'] = (world, { ids }) => chosen(ids, 'vpc', fromMap(world.vpcs));

export const describeInstanceTypes: Calls['describe-instance-types'] = (world, { ids }) =>
  chosen(ids, 'instance-type', fromMap(world.figures.instanceTypes));
