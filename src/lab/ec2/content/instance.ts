/** An instance as EC2 writes it: a reservation of one. */
import type { EniRecord, InstanceRecord } from '../../../../providers/memory/records.ts';
import type { InstanceLimits } from '../../../core/cloud.ts';
import { ACCOUNT_ID, hostName, idLike } from '../account.ts';
import type { Session } from '../session.ts';
import { tagSet } from '../tags.ts';
import type { Elements } from '../xml.ts';
import { groupSet, instanceEniContent } from './eni.ts';

/** EC2 API reference, InstanceState. */
const STATES = { running: { code: 16, name: 'running' }, terminated: { code: 48, name: 'terminated' } } as const;

/** EC2 API reference, Reservation. A terminated instance has no network any more. */
export function reservationContent(instance: InstanceRecord, session: Session): Elements {
  const enis = session.truth.enisOf(instance.id);
  const primary = enis.find(({ id }) => id === instance.primaryEni);
  return {
    reservationId: idLike('r', instance.id),
    ownerId: ACCOUNT_ID,
    groupSet: [],
    instancesSet: [
      {
        instanceId: instance.id,
        imageId: idLike('ami', instance.vpc),
        instanceState: STATES[instance.state],
        instanceType: instance.limits.instanceType,
        launchTime: session.wallTime(instance.launchedMs),
        amiLaunchIndex: 0,
        placement: { availabilityZone: instance.zone, tenancy: 'default' },
        monitoring: { state: 'disabled' },
        architecture: 'x86_64',
        hypervisor: 'xen',
        virtualizationType: 'hvm',
        enaSupport: true,
        metadataOptions: {
          state: 'applied',
          httpTokens: 'required',
          httpPutResponseHopLimit: 2,
          httpEndpoint: 'enabled',
        },
        tagSet: tagSet(instance.tags),
        ...(primary && ownNetwork(primary, session)),
        networkInterfaceSet: enis.map((eni) => instanceEniContent(eni, session)),
      },
    ],
  };
}

const ownNetwork = (primary: EniRecord, session: Session): Elements => ({
  vpcId: primary.vpc,
  subnetId: primary.subnet,
  privateIpAddress: primary.primary4,
  privateDnsName: hostName(primary, session.region),
  ipAddress: primary.publicIp,
  ipv6Address: primary.primary6,
  sourceDestCheck: primary.sourceDestCheck,
  groupSet: groupSet(primary.groups, session),
});

/** EC2 API reference, InstanceTypeInfo: what the model knows of it. */
export function instanceTypeContent({ instanceType, eniCountMax, slotsPerEni, prefixes }: InstanceLimits): Elements {
  return {
    instanceType,
    currentGeneration: true,
    bareMetal: false,
    hypervisor: prefixes ? 'nitro' : 'xen',
    supportedUsageClasses: ['on-demand'],
    supportedVirtualizationTypes: ['hvm'],
    processorInfo: { supportedArchitectures: ['x86_64'] },
    networkInfo: {
      maximumNetworkInterfaces: eniCountMax,
      maximumNetworkCards: 1,
      defaultNetworkCardIndex: 0,
      networkCards: [{ networkCardIndex: 0, maximumNetworkInterfaces: eniCountMax }],
      ipv4AddressesPerInterface: slotsPerEni[4],
      ipv6AddressesPerInterface: slotsPerEni[6],
      ipv6Supported: slotsPerEni[6] > 0,
      enaSupport: 'required',
      efaSupported: false,
    },
  };
}
