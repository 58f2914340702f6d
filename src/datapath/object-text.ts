/**
 * A kernel object in a few words, close to what the tools print, for sentences that people read.
 */
import { type KernelObject, objectIdentity, type RouteObject, type RuleObject } from './kernel-state.ts';
import { LOCAL_TABLE } from './numbering.ts';

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
    case 'policer':
      return `limit of ${object.bytesPerSecond * 8} bit/s on what comes in by ${object.link}`;
    case 'rule':
      return ruleText(object);
    case 'sysctl':
      return `${object.path} = ${object.value}`;
    default:
      return objectIdentity(object);
  }
}

function ruleText({ family, priority, from, mark, iif, table }: RuleObject): string {
  return [
    `${family === 4 ? '' : 'IPv6 '}rule ${priority}`,
    ...(from === undefined ? [] : ['from', from]),
    ...(iif === undefined ? [] : ['iif', iif]),
    ...(mark === undefined ? [] : [`fwmark 0x${mark.value.toString(16)}/0x${mark.mask.toString(16)}`]),
    `lookup ${table}`,
  ].join(' ');
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
    `in table ${route.table === LOCAL_TABLE ? 'local' : route.table}`,
  ].join(' ');
}
