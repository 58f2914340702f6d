/** Two clouds' abilities over the one model: what the core reads is all that tells them apart. */
import type { Capabilities, Rate } from '../../src/core/cloud.ts';
import type { Figures } from './figures.ts';

const CALL_DEADLINE_MS = 10_000;

function ratesOf({ buckets }: Figures): Capabilities['rates'] {
  const describe: Rate = buckets.describe;
  const { create, attach, modify, detach, delete: remove, assign, unassign, tag } = buckets;
  const mutations = { create, attach, modify, detach, delete: remove, assign, unassign, tag };
  return { ...mutations, listEnis: describe, listSubnets: describe, listUse: describe, describeNode: describe };
}

/** As EC2: no token on assign, the caller names the device index. */
export const ec2Capabilities = (figures: Figures): Capabilities => ({
  // EC2 sets no limit but the ENI's slots, of which the largest types have 50.
  maxBlocksPerCall: 49,
  prefixLengths: { 4: [32, 28], 6: [128, 80] },
  ipv6: true,
  token: { create: true, assign: false },
  deviceIndex: 'caller',
  deleteOnTerminationAtCreate: false,
  listUse: true,
  listLagMs: figures.listLagMs,
  callDeadlineMs: CALL_DEADLINE_MS,
  rates: ratesOf(figures),
});

/** As ECS: tokens on create and assign, ten addresses a call, the cloud picks the device index. */
export const ecsCapabilities = (figures: Figures): Capabilities => ({
  ...ec2Capabilities(figures),
  maxBlocksPerCall: 10,
  token: { create: true, assign: true },
  deviceIndex: 'cloud',
  deleteOnTerminationAtCreate: true,
});
