/**
 * Every call the cloud takes, with what it asks and answers. Cloud-neutral: the lab's endpoints and the memory
 * provider translate. Each call is one request of a real cloud's API and costs one token of its action's bucket.
 */
import type { EniId, GroupId, InstanceId, SubnetId } from '../../src/core/brand.ts';
import type { BlockWish, InstanceLimits, Tags } from '../../src/core/cloud.ts';
import type { Cidr, Family, Ip } from '../../src/core/ip.ts';
import type { CallClass } from './figures.ts';
import type { EniRecord, InstanceRecord, RouteTableRecord, RouteTarget, SubnetRecord, VpcRecord } from './records.ts';

/** A subnet with what is free in it now (EC2 AvailableIpAddressCount). */
export interface SubnetView extends SubnetRecord {
  readonly freeCount4: number;
}

/** Reads take ids, all of which must exist, or none for everything. */
interface Read<Id> {
  readonly ids?: readonly Id[];
}

export interface ApiCalls {
  'create-eni': {
    request: {
      readonly subnet: SubnetId;
      /** Empty: the VPC's default group. */
      readonly groups: readonly GroupId[];
      readonly description?: string;
      readonly tags: Tags;
      /** The ENI's own address; the cloud chooses when absent. */
      readonly primary4?: Ip;
      /** Give the ENI an IPv6 address of its own, besides the blocks. */
      readonly primary6?: boolean;
      readonly wishes: readonly BlockWish[];
      /** These very blocks, besides the wishes. */
      readonly blocks?: readonly Cidr[];
      /** Later attachments begin with `deleteOnTermination`; clouds that take it at create only. */
      readonly deleteWithInstance?: boolean;
      readonly token?: string;
    };
    /** As it was created, `pending`; a repeat with the same token answers the first call's row. */
    result: EniRecord;
  };
  'delete-eni': { request: { readonly eni: EniId }; result: undefined };
  'attach-eni': {
    /** The cloud takes the lowest free index when there is none. */
    request: { readonly eni: EniId; readonly instance: InstanceId; readonly deviceIndex?: number };
    result: { readonly attachment: string; readonly deviceIndex: number };
  };
  'detach-eni': {
    request: ({ readonly eni: EniId } | { readonly attachment: string }) & { readonly force: boolean };
    result: undefined;
  };
  'modify-eni': {
    request: {
      readonly eni: EniId;
      readonly groups?: readonly GroupId[];
      readonly sourceDestCheck?: boolean;
      readonly description?: string;
      /** Of this attachment where it is named, else of the one the ENI has. */
      readonly deleteOnTermination?: boolean;
      readonly attachment?: string;
    };
    result: undefined;
  };
  /** All or nothing. `reassign` (EC2 AllowReassignment) takes `blocks` from the ENI that has them now. */
  assign: {
    request: {
      readonly eni: EniId;
      readonly family: Family;
      /** Empty when `blocks` names all. */
      readonly wishes: readonly BlockWish[];
      readonly blocks?: readonly Cidr[];
      readonly reassign?: boolean;
      /** Only clouds that take one (ECS); EC2's endpoint never sends it. */
      readonly token?: string;
    };
    /** Only what is new. */
    result: readonly Cidr[];
  };
  unassign: {
    request: { readonly eni: EniId; readonly family: Family; readonly blocks: readonly Cidr[] };
    result: undefined;
  };
  tag: { request: { readonly enis: readonly EniId[]; readonly tags: Tags }; result: undefined };
  untag: { request: { readonly enis: readonly EniId[]; readonly keys: readonly string[] }; result: undefined };
  /** Stale: from one of several replicas. `where` stands for the cloud's own filters. */
  'describe-enis': {
    request: Read<EniId> & { readonly where?: (eni: EniRecord) => boolean };
    result: readonly EniRecord[];
  };
  'describe-subnets': { request: Read<SubnetId>; result: readonly SubnetView[] };
  'describe-instances': { request: Read<InstanceId>; result: readonly InstanceRecord[] };
  'describe-vpcs': { request: Read<string>; result: readonly VpcRecord[] };
  'describe-instance-types': { request: Read<string>; result: readonly InstanceLimits[] };
  /** Stale as ENIs are. */
  'describe-route-tables': { request: Read<string>; result: readonly RouteTableRecord[] };
  'create-route': {
    request: { readonly table: string; readonly destination: Cidr; readonly target: RouteTarget };
    result: undefined;
  };
  'replace-route': {
    request: { readonly table: string; readonly destination: Cidr; readonly target: RouteTarget };
    result: undefined;
  };
  'delete-route': { request: { readonly table: string; readonly destination: Cidr }; result: undefined };
}

export type ApiAction = keyof ApiCalls;
export type ApiRequest<A extends ApiAction> = ApiCalls[A]['request'];
export type ApiResult<A extends ApiAction> = ApiCalls[A]['result'];

/** Which figures an action goes by. */
export const CALL_CLASS: Readonly<Record<ApiAction, CallClass>> = {
  'create-eni': 'create',
  'delete-eni': 'delete',
  'attach-eni': 'attach',
  'detach-eni': 'detach',
  'modify-eni': 'modify',
  assign: 'assign',
  unassign: 'unassign',
  tag: 'tag',
  untag: 'tag',
  'describe-enis': 'describe',
  'describe-subnets': 'describe',
  'describe-instances': 'describe',
  'describe-vpcs': 'describe',
  'describe-instance-types': 'describe',
  'describe-route-tables': 'describe',
  'create-route': 'route',
  'replace-route': 'route',
  'delete-route': 'route',
};
