/** Every action the lab's EC2 answers, by its name on the wire. */
import type { Action } from './action.ts';
import {
  assignIpv6Addresses,
  assignPrivateIpAddresses,
  unassignIpv6Addresses,
  unassignPrivateIpAddresses,
} from './actions/addresses.ts';
import { createNetworkInterface } from './actions/create-eni.ts';
import { describeNetworkInterfaces } from './actions/describe-enis.ts';
import {
  attachNetworkInterface,
  deleteNetworkInterface,
  describeNetworkInterfaceAttribute,
  detachNetworkInterface,
  modifyNetworkInterfaceAttribute,
} from './actions/enis.ts';
import { describeInstances, describeInstanceTypes } from './actions/instances.ts';
import {
  describeAvailabilityZones,
  describeSecurityGroups,
  describeSubnets,
  describeVpcs,
} from './actions/networks.ts';
import { createRoute, deleteRoute, describeRouteTables, replaceRoute } from './actions/routes.ts';
import { createTags, deleteTags, describeTags } from './actions/tags.ts';

export const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['AssignIpv6Addresses', assignIpv6Addresses],
  ['AssignPrivateIpAddresses', assignPrivateIpAddresses],
  ['AttachNetworkInterface', attachNetworkInterface],
  ['CreateNetworkInterface', createNetworkInterface],
  ['CreateRoute', createRoute],
  ['CreateTags', createTags],
  ['DeleteNetworkInterface', deleteNetworkInterface],
  ['DeleteRoute', deleteRoute],
  ['DeleteTags', deleteTags],
  ['DescribeAvailabilityZones', describeAvailabilityZones],
  ['DescribeInstanceTypes', describeInstanceTypes],
  ['DescribeInstances', describeInstances],
  ['DescribeNetworkInterfaceAttribute', describeNetworkInterfaceAttribute],
  ['DescribeNetworkInterfaces', describeNetworkInterfaces],
  ['DescribeRouteTables', describeRouteTables],
  ['DescribeSecurityGroups', describeSecurityGroups],
  ['DescribeSubnets', describeSubnets],
  ['DescribeTags', describeTags],
  ['DescribeVpcs', describeVpcs],
  ['DetachNetworkInterface', detachNetworkInterface],
  ['ModifyNetworkInterfaceAttribute', modifyNetworkInterfaceAttribute],
  ['ReplaceRoute', replaceRoute],
  ['UnassignIpv6Addresses', unassignIpv6Addresses],
  ['UnassignPrivateIpAddresses', unassignPrivateIpAddresses],
]);
