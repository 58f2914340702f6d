/**
 * The role that every instance of the lab has. Its access key names the instance, so the EC2 endpoint knows who calls
 * and a fault can strike one node only. The secret signs, and nobody checks the signature.
 */
import { createHash } from 'node:crypto';
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { InstanceId } from '../../core/brand.ts';

export const ROLE_NAME = 'underway-lab-node';
/** What EC2 gives at least: metadata renews credentials well before they end. */
const VALID_MS = 6 * 3_600_000;

/** `ASIA` and 16 of base 32, as temporary access keys look. */
export function accessKeyOf(instance: InstanceId): string {
  const digest = createHash('sha256').update(instance).digest();
  const letters = [...digest.subarray(0, 16)].map((byte) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.charAt(byte & 31));
  return `ASIA${letters.join('')}`;
}

/** The instance whose role has this access key; undefined when it is none's. */
export function callerOf(accessKey: string, cloud: MemoryCloud): InstanceId | undefined {
  for (const instance of cloud.truth.instances.keys()) if (accessKeyOf(instance) === accessKey) return instance;
  return undefined;
}

/** Shape: EC2 User Guide, "Retrieve security credentials from instance metadata". */
export const credentials = (instance: InstanceId, wallMs: number): string =>
  JSON.stringify(
    {
      Code: 'Success',
      LastUpdated: seconds(wallMs),
      Type: 'AWS-HMAC',
      AccessKeyId: accessKeyOf(instance),
      SecretAccessKey: 'the/lab/does/not/verify/signatures/00000',
      Token: 'the-lab-does-not-verify-session-tokens',
      Expiration: seconds(wallMs + VALID_MS),
    },
    null,
    2,
  );

/** ISO 8601 without fractions, as metadata writes times. */
export const seconds = (wallMs: number): string => `${new Date(wallMs).toISOString().slice(0, 19)}Z`;
