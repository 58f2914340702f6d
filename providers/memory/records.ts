/**
 * What the cloud holds, as plain immutable rows: a change is a new row, so a stale reader can keep an old one.
 * Invariant: a row is never changed in place.
 */
import type { EniId, GroupId, InstanceId, Mac, SubnetId } from '../../src/core/brand.ts';
import type { InstanceLimits, Tags } from '../../src/core/cloud.ts';
import type { Cidr, Ip } from '../../src/core/ip.ts';

export interface VpcRecord {
  readonly id: string;
  readonly cidrs4: readonly Cidr[];
  /** A /56 as AWS gives it; subnets take /64s of it. */
  readonly cidrs6: readonly Cidr[];
  /** The security group of ENIs that are created with none. Other group ids are taken as they come. */
  readonly defaultGroup: GroupId;
  readonly tags: Tags;
}

export interface SubnetRecord {
  readonly id: SubnetId;
  readonly vpc: string;
  readonly zone: string;
  /** One of the two at least; without IPv4 it is what EC2 calls an IPv6-only subnet. */
  readonly cidr4?: Cidr;
  readonly cidr6?: Cidr;
  readonly tags: Tags;
}

export interface InstanceRecord {
  readonly id: InstanceId;
  readonly limits: InstanceLimits;
  readonly zone: string;
  readonly vpc: string;
  readonly state: 'running' | 'terminated';
  readonly primaryEni: EniId;
  readonly launchedMs: number;
  readonly tags: Tags;
}

export interface AttachmentRecord {
  /** `eni-attach-…` */
  readonly id: string;
  readonly instance: InstanceId;
  readonly deviceIndex: number;
  readonly state: 'attaching' | 'attached' | 'detaching';
  readonly deleteOnTermination: boolean;
  /** When attach was accepted. */
  readonly sinceMs: number;
}

export interface EniRecord {
  readonly id: EniId;
  readonly vpc: string;
  readonly subnet: SubnetId;
  readonly zone: string;
  readonly mac: Mac;
  readonly state: 'pending' | 'available' | 'in-use';
  /** The primary ENI of an instance can be neither detached nor deleted while the instance lives. */
  readonly primary: boolean;
  /** Absent in an IPv6-only subnet. */
  readonly primary4?: Ip;
  /** The ENI's own IPv6 address (EC2 EnablePrimaryIpv6). */
  readonly primary6?: Ip;
  /** The internet sees `primary4` as this address. */
  readonly publicIp?: Ip;
  /** Secondary addresses as blocks of one, and prefixes, in the order they were given. */
  readonly blocks: readonly Cidr[];
  readonly groups: readonly GroupId[];
  readonly description: string;
  readonly sourceDestCheck: boolean;
  /** Attachments begin with this as their `deleteOnTermination` (ECS DeleteOnRelease; EC2 has it on the attachment only). */
  readonly deleteWithInstance: boolean;
  readonly tags: Tags;
  readonly attachment?: AttachmentRecord;
  /** EC2 has no such field: for snapshots and tests only. */
  readonly createdMs: number;
}

export type RouteTarget =
  | { readonly kind: 'local' }
  | { readonly kind: 'internet' }
  /** Sources leave with this public address. */
  | { readonly kind: 'nat'; readonly publicIp: Ip }
  | { readonly kind: 'eni'; readonly eni: EniId };

export interface RouteTableRecord {
  readonly id: string;
  readonly vpc: string;
  /** The VPC's table for subnets that are in no other. */
  readonly main: boolean;
  readonly subnets: readonly SubnetId[];
  readonly routes: ReadonlyMap<Cidr, RouteTarget>;
  readonly tags: Tags;
}

/** What really happened, told at the moment it does: the packet fabric and the instances live by these. */
export type CloudFact =
  | { readonly kind: 'eni-created' | 'eni-deleted'; readonly eni: EniRecord }
  /** The instance sees a link with the ENI's MAC, or no longer does. */
  | { readonly kind: 'link-seen' | 'link-gone'; readonly eni: EniRecord; readonly instance: InstanceId }
  /** The ENI's own addresses too, as blocks of one. */
  | { readonly kind: 'address-added' | 'address-removed'; readonly eni: EniId; readonly cidr: Cidr }
  | { readonly kind: 'source-dest-check'; readonly eni: EniId; readonly on: boolean }
  | { readonly kind: 'public-address'; readonly eni: EniId; readonly ip: Ip | undefined }
  | { readonly kind: 'route-table'; readonly table: RouteTableRecord }
  | { readonly kind: 'instance-terminated'; readonly instance: InstanceId };
