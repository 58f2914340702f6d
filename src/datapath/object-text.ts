/**
 * A kernel object in a few words, close to what the tools print, for sentences that people read.
 */
import { type KernelObject, objectIdentity, type RouteObject } from './kernel-state.ts';

export function objectText(object: KernelObject): string {
  switch (object.kind) {
    case 'address':
      return `address ${object.address} on ${object.link}`;
    case 'neighbour':
      return `neighbour ${object.address} at ${object.mac} on ${object.link}`;
    case 'route':
      return routeText(object);
    case 'qdisc':
      return `limit of ${object.bytesPerSecond * 8} bit/s on ${object.link}`;
    case 'sysctl':
      return `${object.path} = ${object.value}`;
    default:
      return objectIdentity(object);
  }
}

function routeText(route: RouteObject): string {
  const destination = route.destination.endsWith('/0') ? 'default' : route.destination;
  return [
    'route',
    ...(route.type === 'unicast' ? [] : [route.type]),
    destination,
    ...(route.gateway === undefined ? [] : ['via', route.gateway]),
    ...(route.link === undefined ? [] : ['dev', route.link]),
    ...(route.source === undefined ? [] : ['src', route.source]),
    `in table ${route.table}`,
  ].join(' ');
}
