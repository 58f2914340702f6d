/**
 * Where a pod's addresses are, and which of them the cloud took from it: asked for again (grow.ts), or gone with its ENI.
 */
import { isLeaving } from './eni.ts';
import type { Ip } from './ip.ts';
import { isPresent } from './pool.ts';
import type { Reason } from './reasons.ts';
import type { EniPresent, LeaseRow } from './rows.ts';
import type { State } from './state.ts';

/** What the pod of a `lost` lease is told. */
export function addressLost(state: State, { addresses }: LeaseRow): Extract<Reason, { code: 'ADDRESS_LOST' }> {
  const address = addresses.find((ip) => isTakenAway(state, ip)) ?? addresses[0];
  if (address === undefined) throw new Error('a lease without an address cannot have lost it');
  const eni = eniOf(state, address);
  const again = eni !== undefined && eni.state !== 'detaching' && !isLeaving(eni);
  return { code: 'ADDRESS_LOST', address, ...(eni && { eni: eni.id }), again };
}

/** The cloud does not list its block, or listed none for a pod that was adopted with it. */
export function isTakenAway(state: State, ip: Ip): boolean {
  const block = state.get('block', state.get('address', ip)?.block ?? '');
  return block === undefined || block.state === 'missing';
}

/** The ENI of each of its addresses: the families share one where they can. */
export const enisOfLease = (state: State, { addresses }: LeaseRow): string[] =>
  addresses.map((ip) => eniOf(state, ip)?.id ?? '');

/** The ENI that the address is on, or was. */
function eniOf(state: State, ip: Ip): EniPresent | undefined {
  const eni = state.get('eni', state.get('block', state.get('address', ip)?.block ?? '')?.eni ?? '');
  return eni !== undefined && isPresent(eni) ? eni : undefined;
}
