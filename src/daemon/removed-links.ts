/**
 * Pods' links that somebody removed. Such a link looks to the core like that of a pod that ended, whose address it
 * gives up; but the pod's namespace is still there, and the pod runs on without a network until it is deleted.
 */
import type { Logger } from 'pino';
import type { Event } from '../core/events.ts';
import { isLinkName } from '../core/link-name.ts';
import type { Reason } from '../core/reasons.ts';
import type { LeaseRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { Clock } from '../ports/clock.ts';
import type { Kernel } from '../ports/kernel.ts';
import { type Refusals, whoIs } from './refusals.ts';

export interface Telling {
  readonly kernel: Pick<Kernel, 'identify'>;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly log: Logger;
  readonly refusals: Refusals;
}

/** Asked before the core hears of the event. */
export async function tellRemoval(event: Event, state: State, telling: Telling): Promise<void> {
  const lease = event.kind === 'link-gone' && isLinkName(event.name) && state.leaseOfLinkName(event.name);
  if (!lease || lease.linkIndex !== event.index || !(await runsOn(lease, telling.kernel))) return;
  const problem = `somebody removed its link ${event.name}, and its address was given up: delete the pod`;
  const reason: Reason = { code: 'NOT_AS_WIRED', problems: [problem] };
  telling.refusals.noteRemoved(lease, reason, telling.clock.nowMs());
  const { attachment, addresses } = lease;
  const pod = { pod: whoIs(lease), ...attachment, ips: addresses };
  telling.log.warn({ ...pod, reason: reason.code, why: problem }, 'a pod lost its link');
}

/** It neither ended, nor is the daemon itself at its link. */
async function runsOn({ state, busy, netns }: LeaseRow, kernel: Telling['kernel']): Promise<boolean> {
  if (state === 'unwiring' || busy === 'wire' || netns.path === '') return false;
  return (await kernel.identify(netns.path).catch(() => undefined)) === netns.id;
}
