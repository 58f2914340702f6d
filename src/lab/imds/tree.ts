/**
 * What instance metadata says about one instance, as folders and texts, read from the truth at the moment of asking.
 *
 * Invariant: an ENI is listed while its instance sees its link, so metadata lags an attach exactly as the link does.
 * Source: EC2 User Guide, "Instance metadata categories"; lists are one item a line.
 */
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { EniRecord, InstanceRecord } from '../../../providers/memory/records.ts';
import type { Clock } from '../../ports/clock.ts';
import { ACCOUNT_ID, hostName, idLike, zoneId } from '../ec2/account.ts';
import { prefixesOf, singlesOf } from '../ec2/blocks.ts';
import { credentials, ROLE_NAME, seconds } from './role.ts';

/** A text, or a folder; what is undefined is not there. */
export type Metadata = string | { readonly [name: string]: Metadata | undefined };

export interface TreeOptions {
  readonly cloud: MemoryCloud;
  readonly clock: Pick<Clock, 'nowMs' | 'wallMs'>;
  readonly region: string;
}

/** Everything under `/latest/`. */
export function metadataOf(instance: InstanceRecord, options: TreeOptions): Metadata {
  const { cloud, clock, region } = options;
  const enis = cloud.truth.enisOf(instance.id).filter((eni) => cloud.truth.linked(eni.id));
  const primary = enis.find(({ id }) => id === instance.primaryEni);
  const startedMs = clock.wallMs() - (clock.nowMs() - instance.launchedMs);
  return {
    dynamic: { 'instance-identity': { document: identityDocument(instance, { region, startedMs, primary }) } },
    'meta-data': {
      'ami-id': idLike('ami', instance.vpc),
      'ami-launch-index': '0',
      iam: {
        info: JSON.stringify({
          Code: 'Success',
          LastUpdated: seconds(startedMs),
          InstanceProfileArn: `arn:aws:iam::${ACCOUNT_ID}:instance-profile/${ROLE_NAME}`,
        }),
        'security-credentials': { [ROLE_NAME]: credentials(instance.id, clock.wallMs()) },
      },
      'instance-id': instance.id,
      'instance-life-cycle': 'on-demand',
      'instance-type': instance.limits.instanceType,
      ...(primary && ownNames(primary, region)),
      network: {
        interfaces: { macs: Object.fromEntries(enis.map((eni) => [eni.mac, interfaceOf(eni, { cloud, region })])) },
      },
      placement: {
        'availability-zone': instance.zone,
        'availability-zone-id': zoneId(instance.zone, region),
        region,
      },
      'reservation-id': idLike('r', instance.id),
      'security-groups': primary?.groups.join('\n'),
      services: { domain: 'amazonaws.com', partition: 'aws' },
    },
  };
}

const ownNames = (primary: EniRecord, region: string) => ({
  hostname: hostName(primary, region),
  ipv6: primary.primary6,
  'local-hostname': hostName(primary, region),
  'local-ipv4': primary.primary4,
  mac: primary.mac,
  'public-ipv4': primary.publicIp,
});

function interfaceOf(eni: EniRecord, { cloud, region }: { cloud: MemoryCloud; region: string }): Metadata {
  const subnet = cloud.truth.subnets.get(eni.subnet);
  const vpc = cloud.truth.vpcs.get(eni.vpc);
  return {
    'device-number': String(eni.attachment?.deviceIndex ?? 0),
    'interface-id': eni.id,
    'ipv4-prefix': lines(prefixesOf(eni.blocks, 4)),
    'ipv6-prefix': lines(prefixesOf(eni.blocks, 6)),
    ipv6s: lines([...(eni.primary6 === undefined ? [] : [eni.primary6]), ...singlesOf(eni.blocks, 6)]),
    'local-hostname': hostName(eni, region),
    'local-ipv4s': lines([...(eni.primary4 === undefined ? [] : [eni.primary4]), ...singlesOf(eni.blocks, 4)]),
    mac: eni.mac,
    'network-card': '0',
    'owner-id': ACCOUNT_ID,
    'public-ipv4s': eni.publicIp,
    'security-group-ids': lines(eni.groups),
    'security-groups': lines(eni.groups),
    'subnet-id': eni.subnet,
    'subnet-ipv4-cidr-block': subnet?.cidr4,
    'subnet-ipv6-cidr-blocks': subnet?.cidr6,
    'vpc-id': eni.vpc,
    'vpc-ipv4-cidr-block': vpc?.cidrs4[0],
    'vpc-ipv4-cidr-blocks': lines(vpc?.cidrs4 ?? []),
    'vpc-ipv6-cidr-blocks': lines(vpc?.cidrs6 ?? []),
  };
}

const lines = (items: readonly string[]): string | undefined => (items.length === 0 ? undefined : items.join('\n'));

const identityDocument = (
  instance: InstanceRecord,
  at: { readonly region: string; readonly startedMs: number; readonly primary: EniRecord | undefined },
): string =>
  JSON.stringify(
    {
      accountId: ACCOUNT_ID,
      architecture: 'x86_64',
      availabilityZone: instance.zone,
      billingProducts: null,
      devpayProductCodes: null,
      imageId: idLike('ami', instance.vpc),
      instanceId: instance.id,
      instanceType: instance.limits.instanceType,
      kernelId: null,
      marketplaceProductCodes: null,
      pendingTime: seconds(at.startedMs),
      privateIp: at.primary?.primary4,
      ramdiskId: null,
      region: at.region,
      version: '2017-09-30',
    },
    null,
    2,
  );
