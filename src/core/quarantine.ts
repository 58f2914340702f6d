/**
 * Addresses in doubt. Where an invariant that names them breaks for the third time in ten minutes, starting anew from
 * journal, kernel and cloud does not help: what is known of them is wrong. They are set apart, and the rest serves.
 *
 * any, free too -> quarantined; quarantined -> cooling on a new boot (boot.ts), when nobody can be using them any more,
 * or with the end of their lease where the cloud took their block away.
 *
 * Invariants: a quarantined address is neither handed out nor given back; a lease on it gets nothing new, and ends by
 * its DEL.
 */
import { blockOf } from './boot.ts';
import type { Ip } from './ip.ts';
import type { Turn } from './turn.ts';

export function quarantine(turn: Turn, addresses: readonly Ip[]): void {
  for (const ip of addresses) {
    const known = turn.state.get('address', ip);
    const block = known?.block ?? blockOf(turn, ip);
    if (block === undefined || known?.state === 'quarantined') continue;
    // On its way back to the cloud it is out of everybody's reach.
    if (turn.state.get('block', block)?.state === 'releasing') continue;
    turn.tx.put('address', { ip, block, state: 'quarantined', sinceMs: turn.nowMs });
  }
}
