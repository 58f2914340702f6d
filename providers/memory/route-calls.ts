/** Routes of a VPC's route tables: one entry a destination. */
import type { Cidr } from '../../src/core/ip.ts';
import type { Calls } from './call.ts';
import type { RouteTableRecord, RouteTarget } from './records.ts';
import { done, type Refused, refuse } from './refusal.ts';
import type { World } from './world.ts';

/** VPC quotas, "Routes per route table": 500 since 2025, the local one not counted. */
const ROUTE_COUNT_MAX = 500;

export const createRoute: Calls['create-route'] = (world, { table: id, destination, target }, moment) => {
  const table = world.routeTables.get(id);
  if (table === undefined) return refuse({ kind: 'not-found', what: 'route-table', id });
  if (table.routes.has(destination)) return refuse({ kind: 'route-exists', destination });
  if (table.routes.size > ROUTE_COUNT_MAX) return refuse({ kind: 'route-limit', max: ROUTE_COUNT_MAX });
  return putRoute(world, table, { destination, target, lagMs: moment.lagMs });
};

export const replaceRoute: Calls['replace-route'] = (world, { table: id, destination, target }, moment) => {
  const table = world.routeTables.get(id);
  if (table === undefined) return refuse({ kind: 'not-found', what: 'route-table', id });
  const missing = notReplaceable(table, destination);
  return missing ?? putRoute(world, table, { destination, target, lagMs: moment.lagMs });
};

export const deleteRoute: Calls['delete-route'] = (world, { table: id, destination }, moment) => {
  const table = world.routeTables.get(id);
  if (table === undefined) return refuse({ kind: 'not-found', what: 'route-table', id });
  const missing = notReplaceable(table, destination);
  if (missing !== undefined) return missing;
  const routes = new Map(table.routes);
  routes.delete(destination);
  putTable(world, { ...table, routes }, moment.lagMs);
  return done(undefined);
};

function notReplaceable(table: RouteTableRecord, destination: Cidr): Refused | undefined {
  const target = table.routes.get(destination);
  if (target === undefined) return refuse({ kind: 'not-found', what: 'route', id: destination });
  if (target.kind === 'local') return refuse({ kind: 'invalid', detail: `${destination} is the VPC's own route` });
  return undefined;
}

function putRoute(
  world: World,
  table: RouteTableRecord,
  route: { readonly destination: Cidr; readonly target: RouteTarget; readonly lagMs: number },
) {
  const { target } = route;
  if (target.kind === 'eni' && world.enis.get(target.eni) === undefined)
    return refuse({ kind: 'not-found', what: 'eni', id: target.eni });
  const routes = new Map(table.routes).set(route.destination, target);
  putTable(world, { ...table, routes }, route.lagMs);
  return done(undefined);
}

export function putTable(world: World, table: RouteTableRecord, lagMs?: number): void {
  world.routeTables.put(table.id, table, world.moment(table.id, lagMs));
  world.tell({ kind: 'route-table', table });
}
