/** The node's own addresses are the operating system's to give: here it is only seen that they are there. */
import { type Cidr, cidrBase, type Ip } from '../core/ip.ts';
import type { NodePlan } from '../core/plan.ts';
import type { KernelState } from './kernel-state.ts';

/** Those of the primary ENI that no link of the host has: it may be a bridge over the ENI's that has them. */
export function absentNodeAddresses({ enis }: NodePlan, { objects }: KernelState): Ip[] {
  const there = new Set(
    objects.flatMap((object) => (object.kind === 'address' ? [cidrBase(object.address as Cidr)] : [])),
  );
  const primaries = enis.filter(({ number }) => number === 1);
  const own = primaries.flatMap(({ primary4, primary6 }) => [primary4, primary6]).filter((ip) => ip !== undefined);
  return own.filter((ip) => !there.has(ip));
}
