/** What EC2 can and cannot do, as data; docs/providers/port.md has each field beside ECS's. */
import type { Capabilities } from '../../src/core/cloud.ts';

export const CAPABILITIES: Capabilities = {
  // No documented limit a call; the most slots an ENI of any common type has is 50, one of them its own address.
  maxBlocksPerCall: 49,
  prefixLengths: { 4: [32, 28], 6: [128, 80] },
  ipv6: true,
  token: { create: true, assign: false },
  deviceIndex: 'caller',
  deleteOnTerminationAtCreate: false,
  listUse: true,
  // EC2 names no figure ("eventual consistency"); assumed.
  listLagMs: 2_000,
  callDeadlineMs: 10_000,
  // EC2 Developer Guide, "Request throttling": per account, region and action.
  rates: {
    create: { burst: 100, perSecond: 5 },
    delete: { burst: 100, perSecond: 5 },
    assign: { burst: 100, perSecond: 5 },
    unassign: { burst: 100, perSecond: 5 },
    modify: { burst: 100, perSecond: 5 },
    attach: { burst: 50, perSecond: 5 },
    detach: { burst: 50, perSecond: 5 },
    tag: { burst: 100, perSecond: 10 },
    // Two DescribeNetworkInterfaces a list, so half of Describe's 100 and 20.
    listEnis: { burst: 50, perSecond: 10 },
    listSubnets: { burst: 100, perSecond: 20 },
    listUse: { burst: 50, perSecond: 10 },
    describeNode: { burst: 100, perSecond: 20 },
  },
};
