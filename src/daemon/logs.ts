/**
 * The log: JSON lines on standard output, one an event that matters to a person who asks what happened to a pod or an
 * ENI. What happens all the time and well is a metric, not a line.
 */
import pino, { type DestinationStream, type Logger } from 'pino';
import type { EniKey, LeaseId, OperationId } from '../core/brand.ts';
import type { CloudCall } from '../core/cloud.ts';
import type { Event, Repair } from '../core/events.ts';
import { addressLost } from '../core/lost.ts';
import { lostNodeAddresses } from '../core/node-address.ts';
import { reasonText } from '../core/reasons.ts';
import type { EniRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import type { Observation } from '../driver/driver.ts';
import { reasonBehind } from '../protocol/error.ts';
import type { Handled } from './desk.ts';
import { whoIs } from './refusals.ts';
import { Repairs } from './repairs.ts';

/** Written at once, not from a buffer: the last lines before a crash are the ones that are wanted. */
export const openLog = (options: {
  readonly level: string;
  readonly base: Readonly<Record<string, string>>;
  readonly destination?: DestinationStream;
}): Logger => {
  const { level, base, destination } = options;
  const format = { level: (label: string) => ({ level: label }) };
  return pino(
    { level, base: { ...base }, formatters: format, timestamp: pino.stdTimeFunctions.isoTime },
    destination ?? pino.destination({ dest: 1, sync: true }),
  );
};

const LEVEL_OF_VERB = {
  ADD: 'info',
  DEL: 'info',
  CHECK: 'debug',
  GC: 'info',
  STATUS: 'debug',
  INVALID: 'warn',
} as const;

/** One request's line: who, what it got, how long it took, and why not. */
export function logHandled(log: Logger, { verb, code, ms, request, reply, error, asked, lease }: Handled): void {
  const refused = reply?.kind === 'refused' ? reply.reason : undefined;
  const pod = lease?.pod ?? (request?.verb === 'ADD' ? request.pod : asked?.pod);
  const added = reply?.kind === 'added' ? { ips: reply.plan.addresses, enis: reply.enis, pool: reply.pool } : undefined;
  const fields = {
    verb,
    ...(request !== undefined && 'attachment' in request && { ...request.attachment }),
    ...(asked && { command: asked.command, ...asked.attachment }),
    ...(pod && { pod: `${pod.namespace}/${pod.name}` }),
    ...(lease && { ips: lease.addresses }),
    ...added,
    durationMs: Math.round(ms * 100) / 100,
    code,
    ...(refused && { reason: refused.code, why: reasonText(refused) }),
    ...(error && { reason: reasonBehind(error), why: error.msg, details: error.details }),
  };
  if (code === 0) log[LEVEL_OF_VERB[verb]](fields, DONE[verb]);
  else log.warn(fields, `${verb.toLowerCase()} refused`);
}

const DONE = {
  ADD: 'added',
  DEL: 'deleted',
  CHECK: 'checked',
  GC: 'collected',
  STATUS: 'status',
  INVALID: 'invalid',
} as const;

/**
 * Hears the driver and writes what changed: ENIs, failed calls, addresses lost (pods' and the node's own), the journal, the
 * phase, kernel state put back.
 */
export class Narrator {
  private readonly log: Logger;
  private readonly repairs: Repairs;
  private readonly eniStates = new Map<EniKey, EniRow['state']>();
  private readonly calls = new Map<OperationId, CloudCall>();
  private lost: ReadonlySet<LeaseId> = new Set();
  private nodeLost: ReadonlySet<string> = new Set();
  private phase = '';

  constructor(log: Logger, onRepair: (repair: Repair) => void) {
    this.log = log;
    this.repairs = new Repairs(log, onRepair);
  }

  observe(seen: Observation, state: State): void {
    if (seen.kind === 'journal') {
      if (seen.up) this.log.info('the journal can be written again');
      else this.log.error({ why: seen.detail }, 'the journal cannot be written: pods are deleted but not added');
    } else if (seen.kind === 'effect') {
      if (seen.effect.kind === 'cloud') this.calls.set(seen.effect.operation, seen.effect.call);
      if (seen.effect.kind === 'sync') this.repairs.asked(seen.effect.plan);
    } else if (seen.kind === 'event') {
      this.heard(seen.event);
      this.repairs.heard(seen.event, state, seen.nowMs);
      this.enis(state);
      this.losses(state);
      if (seen.event.kind === 'synced') this.nodeAddresses(state);
      this.phases(state);
    }
  }

  private heard(event: Event): void {
    if (event.kind === 'cloud-answered') {
      const call = this.calls.get(event.operation);
      this.calls.delete(event.operation);
      if (event.answer.ok) return this.log.debug({ ...call, operation: event.operation }, 'cloud call done');
      this.log.warn({ ...call, operation: event.operation, failure: event.answer.failure }, 'cloud call failed');
    } else if ((event.kind === 'wired' || event.kind === 'unwired') && event.failure !== undefined)
      this.log.warn({ lease: event.lease, failure: event.failure }, `kernel refused: not ${event.kind}`);
  }

  private enis(state: State): void {
    const seen = new Set<EniKey>();
    for (const eni of state.all('eni')) {
      seen.add(eni.key);
      const was = this.eniStates.get(eni.key);
      if (was === eni.state) continue;
      this.eniStates.set(eni.key, eni.state);
      const id = eni.state === 'creating' ? {} : { eni: eni.id };
      this.log.info({ key: eni.key, ...id, kind: eni.kind, subnet: eni.subnet, from: was, to: eni.state }, 'eni');
    }
    for (const [key, was] of this.eniStates) {
      if (seen.has(key)) continue;
      this.eniStates.delete(key);
      this.log.info({ key, from: was, to: 'gone' }, 'eni');
    }
  }

  /** One line for the pods of one ENI that lost their addresses together. */
  private losses(state: State): void {
    const lost = state.leasesIn('lost');
    const fresh = lost.filter(({ id }) => !this.lost.has(id));
    this.lost = new Set(lost.map(({ id }) => id));
    const reasons = fresh.map((lease) => ({ pod: whoIs(lease), reason: addressLost(state, lease) }));
    for (const [eni, alike] of Map.groupBy(reasons, ({ reason }) => reason.eni)) {
      const why = alike.slice(0, 1).map(({ reason }) => reasonText(reason))[0];
      const [pods, ips] = [alike.map(({ pod }) => pod), alike.map(({ reason }) => reason.address)];
      this.log.warn({ reason: 'ADDRESS_LOST', ...(eni && { eni }), pods, ips, why }, 'pods lost their addresses');
    }
  }

  private nodeAddresses(state: State): void {
    const lost = new Set(lostNodeAddresses(state));
    for (const why of lost) if (!this.nodeLost.has(why)) this.log.warn({ why }, "the node's own address is gone");
    if (this.nodeLost.size > 0 && lost.size === 0) this.log.info("the node's own addresses are there again");
    this.nodeLost = lost;
  }

  private phases(state: State): void {
    const { phase } = state.runtime;
    if (phase === this.phase) return;
    this.phase = phase;
    this.log.info({ phase }, phase === 'serving' ? 'serving' : `not serving yet: ${phase}`);
  }
}
