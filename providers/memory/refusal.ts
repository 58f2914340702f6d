/**
 * Why the cloud did not do what a call asked: a closed list with fields. The lab's endpoints turn these into a
 * cloud's codes, the memory provider into core's failure kinds. A refused call changed nothing.
 */
import type { EniId, InstanceId, SubnetId } from '../../src/core/brand.ts';
import type { Cidr, Family, Ip } from '../../src/core/ip.ts';
import type { ApiAction } from './api.ts';
import type { AttachmentRecord } from './records.ts';

export type CloudRefusal =
  /** EC2 RequestLimitExceeded. `retryAfterMs` is when the bucket has its next token. */
  | { readonly kind: 'throttled'; readonly action: ApiAction; readonly retryAfterMs: number }
  /** EC2 UnauthorizedOperation. */
  | { readonly kind: 'denied'; readonly action: ApiAction }
  | {
      readonly kind: 'not-found';
      readonly what: 'eni' | 'subnet' | 'instance' | 'attachment' | 'vpc' | 'route-table' | 'route' | 'instance-type';
      readonly id: string;
    }
  /** The request contradicts itself or names what cannot be; a client's bug. */
  | { readonly kind: 'invalid'; readonly detail: string }
  /** Attach of an attached ENI, delete of one that is attached, attaching or detaching (InvalidNetworkInterface.InUse). */
  | {
      readonly kind: 'eni-in-use';
      readonly eni: EniId;
      readonly instance: InstanceId;
      readonly state: AttachmentRecord['state'];
    }
  /** Detach of an attachment that is not `attached` yet (without force) or already `detaching` (IncorrectState). */
  | { readonly kind: 'attachment-state'; readonly attachment: string; readonly state: 'attaching' | 'detaching' }
  /** Detach of an ENI that is not attached, or of an instance's primary one (OperationNotPermitted). */
  | { readonly kind: 'not-attached'; readonly eni: EniId }
  | { readonly kind: 'primary-eni'; readonly eni: EniId }
  | { readonly kind: 'device-index-in-use'; readonly instance: InstanceId; readonly deviceIndex: number }
  /** The instance has all the ENIs its type allows (AttachmentLimitExceeded). */
  | { readonly kind: 'attachment-limit'; readonly instance: InstanceId; readonly max: number }
  | { readonly kind: 'zone-mismatch'; readonly eniZone: string; readonly instanceZone: string }
  /** The instance is terminated (IncorrectInstanceState). */
  | { readonly kind: 'instance-state'; readonly instance: InstanceId }
  /** The ENI has all the addresses and prefixes it may have (PrivateIpAddressLimitExceeded). */
  | { readonly kind: 'address-limit'; readonly eni: EniId | undefined; readonly family: Family; readonly max: number }
  /** EC2 InsufficientFreeAddressesInSubnet: nothing of the wish was given. */
  | { readonly kind: 'subnet-full'; readonly subnet: SubnetId; readonly wanted: number; readonly free: number }
  /** EC2 InsufficientCidrBlocks: addresses may be free, but no whole aligned prefix is. */
  | { readonly kind: 'no-prefix'; readonly subnet: SubnetId; readonly prefixLength: number }
  /** An address asked for by name is taken (InvalidIPAddress.InUse). */
  | { readonly kind: 'address-in-use'; readonly address: Cidr }
  | { readonly kind: 'address-not-in-subnet'; readonly address: Cidr; readonly subnet: SubnetId }
  /** Unassign of blocks that are not on the ENI; the others of that call stay too. */
  | { readonly kind: 'address-not-on-eni'; readonly eni: EniId; readonly missing: readonly Cidr[] }
  | { readonly kind: 'primary-address'; readonly eni: EniId; readonly ip: Ip }
  /** The account's ENIs in this region (NetworkInterfaceLimitExceeded). */
  | { readonly kind: 'eni-limit'; readonly max: number }
  /** The token was used with other parameters (IdempotentParameterMismatch). */
  | { readonly kind: 'token-mismatch'; readonly token: string }
  | { readonly kind: 'route-exists'; readonly destination: Cidr }
  | { readonly kind: 'route-limit'; readonly max: number };

export interface Refused {
  readonly kind: 'refused';
  readonly refusal: CloudRefusal;
}

export interface Done<T> {
  readonly kind: 'done';
  readonly value: T;
}

export const refuse = (refusal: CloudRefusal): Refused => ({ kind: 'refused', refusal });
export const done = <T>(value: T): Done<T> => ({ kind: 'done', value });

/**
 * What a client sees. `lost`: the connection breaks (or, `silent`, nothing ever comes) and the client cannot know
 * whether the work was done. `unreachable`: no connection, so surely nothing was done.
 */
export type Outcome<T> =
  | Done<T>
  | Refused
  | { readonly kind: 'lost'; readonly silent: boolean }
  | { readonly kind: 'unreachable' };
