/**
 * Branded names: a plain string that only its parser can make, so nothing is validated twice
 * and an ENI id never stands where a subnet id is meant.
 */
export type Brand<T, Name extends string> = T & { readonly brand: Name };

/** The cloud's own id of an ENI, such as `eni-0a1b…` (EC2) or `eni-bp1…` (ECS). */
export type EniId = Brand<string, 'EniId'>;
export type SubnetId = Brand<string, 'SubnetId'>;
export type InstanceId = Brand<string, 'InstanceId'>;
export type GroupId = Brand<string, 'GroupId'>;
/** Six lower-case hex bytes joined by colons. */
export type Mac = Brand<string, 'Mac'>;

/** Our own ids, `<epoch>-<n>`: never used twice, also over restarts and lost journals. */
export type EniKey = Brand<string, 'EniKey'>;
export type LeaseId = Brand<string, 'LeaseId'>;
/** Also the idempotency token of the cloud call, where the cloud takes one. */
export type OperationId = Brand<string, 'OperationId'>;
export type PoolId = Brand<string, 'PoolId'>;
/** One request on the socket, as the server numbered it. */
export type RequestId = Brand<string, 'RequestId'>;
/** `network/containerID/ifname`: what the CNI specification calls an attachment. */
export type AttachmentKey = Brand<string, 'AttachmentKey'>;

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/;

/** Parses a MAC address in any case; undefined when the text is none. */
export function parseMac(text: string): Mac | undefined {
  const lower = text.toLowerCase();
  return MAC.test(lower) ? (lower as Mac) : undefined;
}

/** The CNI specification's attachment: which interface of which container on which network. */
export interface Attachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Network names and container ids hold no slash (CNI regexes), so the join is unambiguous. */
export const attachmentKey = (a: Attachment): AttachmentKey =>
  `${a.network}/${a.containerId}/${a.ifname}` as AttachmentKey;
