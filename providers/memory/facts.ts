/** The cloud's rows as the core's facts. */
import type { EniFacts, NodeFacts, SubnetFacts } from '../../src/core/cloud.ts';
import { cidrAddress, type Ip } from '../../src/core/ip.ts';
import type { EniRecord, InstanceRecord, SubnetRecord, VpcRecord } from './records.ts';

/** The VPC router's link-local address (EC2, "IPv6 in a VPC"). */
export const GATEWAY6 = 'fe80:ec2::1' as Ip;

export function eniFacts(eni: EniRecord): EniFacts {
  const { id, mac, subnet, groups, primary4, primary6, blocks, attachment, tags, primary } = eni;
  return {
    id,
    mac,
    subnet,
    groups,
    ...(primary4 === undefined ? {} : { primary4 }),
    ...(primary6 === undefined ? {} : { primary6 }),
    blocks,
    ...(attachment === undefined
      ? {}
      : {
          attachment: {
            instance: attachment.instance,
            deviceIndex: attachment.deviceIndex,
            state: attachment.state,
          },
        }),
    tags,
    primary,
  };
}

export function subnetFacts({ id, zone, cidr4, cidr6 }: SubnetRecord): SubnetFacts {
  return {
    id,
    zone,
    ...(cidr4 === undefined ? {} : { cidr4, gateway4: cidrAddress(cidr4, 1) }),
    ...(cidr6 === undefined ? {} : { cidr6, gateway6: GATEWAY6 }),
  };
}

export function nodeFacts({ id, limits, primaryEni, zone }: InstanceRecord, vpc: VpcRecord): NodeFacts {
  return { instanceId: id, limits, vpcCidrs: [...vpc.cidrs4, ...vpc.cidrs6], primaryEni, zone };
}
