/** Names that EC2 derives from others, and the account that owns everything in the lab. */
import type { EniRecord } from '../../../providers/memory/records.ts';
import type { Ip } from '../../core/ip.ts';

/** AWS's documentation's own example account. */
export const ACCOUNT_ID = '123456789012';

/** EC2 User Guide, "EC2 instance hostnames and domains": IP name of a private address. */
export const dnsName = (ip: Ip, region: string): string =>
  `ip-${ip.replaceAll('.', '-')}.${region === 'us-east-1' ? 'ec2.internal' : `${region}.compute.internal`}`;

/** An instance without IPv4 has a name by its id; an ENI that has not even that has none. */
export function hostName({ primary4, attachment }: EniRecord, region: string): string | undefined {
  if (primary4 !== undefined) return dnsName(primary4, region);
  return attachment && `${attachment.instance}.${region}.compute.internal`;
}

/** `us-east-1b` is `use1-az2` here; in an account of AWS's the numbers are shuffled. */
export function zoneId(zone: string, region: string): string {
  const [area = '', direction = '', number = ''] = region.split('-');
  const letters = direction.replace(/(north|south|east|west|central)/g, (word) => word.charAt(0));
  return `${area}${letters}${number}-az${zone.charCodeAt(zone.length - 1) - 'a'.charCodeAt(0) + 1}`;
}

/** An id of another kind for the same thing: `subnet-0ab…` has the association `rtbassoc-0ab…`. */
export const idLike = (kind: string, id: string): string => `${kind}-${id.slice(id.lastIndexOf('-') + 1)}`;
