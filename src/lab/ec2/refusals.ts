/**
 * The model's refusals in EC2's words: the code, the message and the status that EC2 answers for the same thing.
 * Where AWS documents no text, the message is the lab's; clients match some texts (providers/aws/errors.ts lists them).
 */
import type { ApiAction } from '../../../providers/memory/api.ts';
import type { CloudRefusal } from '../../../providers/memory/refusal.ts';
import { type Cidr, familyOf } from '../../core/ip.ts';
import { singlesOf } from './blocks.ts';
import { Ec2Error, invalidCombination, invalidValue } from './ec2-error.ts';

type Kind = CloudRefusal['kind'];
type Table = { readonly [K in Kind]: (refusal: Extract<CloudRefusal, { kind: K }>, action: ApiAction) => Ec2Error };

/** Code and noun of each thing that may not be there. */
const NOT_FOUND: Readonly<Record<Extract<CloudRefusal, { kind: 'not-found' }>['what'], readonly [string, string]>> = {
  eni: ['InvalidNetworkInterfaceID.NotFound', 'networkInterface'],
  subnet: ['InvalidSubnetID.NotFound', 'subnet'],
  instance: ['InvalidInstanceID.NotFound', 'instance'],
  attachment: ['InvalidAttachmentID.NotFound', 'networkInterface attachment'],
  vpc: ['InvalidVpcID.NotFound', 'vpc'],
  'route-table': ['InvalidRouteTableID.NotFound', 'routeTable'],
  route: ['InvalidRoute.NotFound', 'route'],
  'instance-type': ['InvalidInstanceType', 'instance type'],
};

const notFound = (what: keyof typeof NOT_FOUND, id: string): Ec2Error => {
  const [code, noun] = NOT_FOUND[what];
  if (what === 'instance-type')
    return new Ec2Error(code, `The following supplied instance types do not exist: [${id}]`);
  if (what === 'route') return new Ec2Error(code, `no route with destination-cidr-block ${id} in the route table`);
  return new Ec2Error(code, `The ${noun} ID '${id}' does not exist`);
};

/** Single addresses without their length, prefixes with it. */
const shown = (cidr: Cidr): string => singlesOf([cidr], familyOf(cidr))[0] ?? cidr;

const TABLE: Table = {
  throttled: () => new Ec2Error('RequestLimitExceeded', 'Request limit exceeded.', 503),
  denied: () => deniedError(),
  'not-found': ({ what, id }) => notFound(what, id),
  invalid: ({ detail }) => invalidValue(detail),
  'eni-in-use': ({ eni }, action) =>
    action === 'delete-eni'
      ? invalidValue(`Network interface '${eni}' is currently in use.`)
      : new Ec2Error('InvalidNetworkInterface.InUse', `Interface: [${eni}] in use.`),
  'attachment-state': ({ attachment, state }) =>
    new Ec2Error('IncorrectState', `The network interface attachment '${attachment}' is in state '${state}'.`),
  'not-attached': ({ eni }) =>
    new Ec2Error('InvalidAttachmentID.NotFound', `The network interface '${eni}' is not attached`),
  'primary-eni': () =>
    new Ec2Error('OperationNotPermitted', 'The network interface at device index 0 cannot be detached.'),
  'device-index-in-use': ({ instance, deviceIndex }) =>
    invalidValue(`Instance '${instance}' already has an interface attached at device index '${deviceIndex}'.`),
  'attachment-limit': ({ instance, max }) =>
    new Ec2Error('AttachmentLimitExceeded', `Interface count ${max + 1} exceeds the limit for ${instance}`),
  'zone-mismatch': () =>
    invalidCombination(
      'You may not attach a network interface to an instance if they are not in the same availability zone',
    ),
  'instance-state': ({ instance }) =>
    new Ec2Error('IncorrectState', `Instance '${instance}' is not 'running' or 'stopped'.`),
  'address-limit': () =>
    new Ec2Error('PrivateIpAddressLimitExceeded', 'Number of private addresses will exceed limit.'),
  'subnet-full': () =>
    new Ec2Error(
      'InsufficientFreeAddressesInSubnet',
      'The specified subnet does not have enough free addresses to satisfy the request.',
    ),
  'no-prefix': () =>
    new Ec2Error(
      'InsufficientCidrBlocks',
      'The specified subnet does not have enough free cidr blocks to satisfy the request.',
    ),
  'address-in-use': ({ address }, action) =>
    action === 'assign'
      ? invalidValue(`[${shown(address)}] is assigned, but move is not allowed.`)
      : new Ec2Error('InvalidIPAddress.InUse', `Address ${shown(address)} is in use.`),
  'address-not-in-subnet': ({ address }) =>
    invalidValue(`Address ${shown(address)} does not fall within the subnet's address range`),
  'address-not-on-eni': ({ eni, missing }) =>
    invalidValue(`Some of [${missing.map(shown).join(', ')}] are not assigned to interface ${eni}`),
  'primary-address': ({ ip }) => invalidValue(`The primary address ${ip} of an interface cannot be unassigned`),
  'eni-limit': ({ max }) =>
    new Ec2Error(
      'NetworkInterfaceLimitExceeded',
      `The maximum number of network interfaces (${max}) has been reached.`,
    ),
  'token-mismatch': () =>
    new Ec2Error(
      'IdempotentParameterMismatch',
      'The request uses the same client token as a previous, but non-identical request.',
    ),
  'route-exists': ({ destination }) =>
    new Ec2Error('RouteAlreadyExists', `The route identified by ${destination} already exists.`),
  'route-limit': () => new Ec2Error('RouteLimitExceeded', 'The maximum number of routes has been reached.'),
};

export const deniedError = (): Ec2Error =>
  new Ec2Error('UnauthorizedOperation', 'You are not authorized to perform this operation.', 403);

/** The error for a refusal of a call of this action; EC2 names a few of them differently by action. */
export function errorOf<K extends Kind>(refusal: Extract<CloudRefusal, { kind: K }>, action: ApiAction): Ec2Error {
  const word: (refusal: Extract<CloudRefusal, { kind: K }>, action: ApiAction) => Ec2Error = TABLE[refusal.kind as K];
  return word(refusal, action);
}
