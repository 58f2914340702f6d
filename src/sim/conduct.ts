/**
 * Whether a daemon behaves, seen in what it commits and sends: one ENI for each intent, none forgotten that the cloud
 * has, none swept before its time, nobody served who hung up, one kernel effect a lease, and no unassign while the same
 * one may yet be done.
 */
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { EniRecord } from '../../providers/memory/records.ts';
import {
  type AttachmentKey,
  attachmentKey,
  type EniId,
  type InstanceId,
  type LeaseId,
  type OperationId,
  type RequestId,
} from '../core/brand.ts';
import { OWNER_TAGS } from '../core/cloud.ts';
import type { Effect, Event } from '../core/events.ts';
import { isPresent } from '../core/pool.ts';
import type { EniRow, WaiterRow } from '../core/rows.ts';
import { CLUSTER } from './node.ts';
import type { RowChange } from './row-watch.ts';

/** An ENI of ours that nobody knows of is watched for so long. */
const SWEEP_AGE_MS = 600_000;

/** As many links as one pass over the kernel's lock may delete. */
const REAP_COUNT_MAX = 16;

export interface ConductOptions {
  readonly cloud: MemoryCloud;
  readonly instance: InstanceId;
  readonly nowMs: () => number;
  /** A call that went out has been done after so long, or never will be. */
  readonly callDeadlineMs: number;
  readonly breach: (text: string) => void;
}

export class Conduct {
  private readonly options: ConductOptions;
  private readonly intents = new Map<string, EniId>();
  /** Since when each ENI is unattached. */
  private readonly looseSinceMs = new Map<EniId, number>();
  private readonly busy = new Set<LeaseId>();
  private readonly wiring = new Set<LeaseId>();
  /** By the sync in flight. */
  private mended: readonly LeaseId[] = [];
  /** Requests of each attachment that nobody hung up. */
  private readonly open = new Map<AttachmentKey, Set<RequestId>>();
  private readonly keys = new Map<RequestId, AttachmentKey>();
  /** Served by this batch though all its requests had been hung up before. */
  private readonly unasked = new Set<AttachmentKey>();
  /** Unassigns in flight, by operation, and those in doubt with when they last went out. */
  private readonly unassigns = new Map<OperationId, { readonly blocks: string; readonly sentMs: number }>();
  private readonly doubtfulMs = new Map<string, number>();

  constructor(options: ConductOptions) {
    this.options = options;
  }

  eniCreated({ id, tags }: EniRecord): void {
    this.looseSinceMs.set(id, this.options.nowMs());
    const intent = tags[OWNER_TAGS.intent];
    if (
      intent === undefined ||
      tags[OWNER_TAGS.instance] !== this.options.instance ||
      tags[OWNER_TAGS.cluster] !== CLUSTER
    )
      return;
    const other = this.intents.get(intent);
    if (other !== undefined) this.options.breach(`${id} and ${other} were both made for ${intent}`);
    this.intents.set(intent, id);
  }

  eniDetached({ id }: EniRecord): void {
    this.looseSinceMs.set(id, this.options.nowMs());
  }

  /** A new process: of an earlier one's effects and requests nothing comes back. */
  opened(): void {
    for (const memory of [this.busy, this.wiring, this.open, this.keys, this.unasked, this.unassigns, this.doubtfulMs])
      memory.clear();
    this.mended = [];
  }

  /** The core took an event; the changes of its whole batch come with the first. */
  step(event: Event, changes: readonly RowChange[]): void {
    if (changes.length > 0) this.unasked.clear();
    for (const { table, before, after } of changes) {
      if (table === 'eni') this.eniChanged(before as EniRow | undefined, after as EniRow | undefined);
      else if (table === 'waiter' && after === undefined) this.leftQueue(before as WaiterRow);
    }
    switch (event.kind) {
      case 'add':
        return this.asked(attachmentKey(event.attachment), event.request);
      case 'hang-up': {
        const key = this.keys.get(event.request);
        if (key !== undefined) this.open.get(key)?.delete(event.request);
        return;
      }
      case 'wired':
      case 'unwired':
      case 'verified':
        this.busy.delete(event.lease);
        this.wiring.delete(event.lease);
        return;
      case 'synced':
        for (const lease of this.mended) this.busy.delete(lease);
        return;
      case 'looked':
        for (const { lease } of event.pods) this.busy.delete(lease);
        return;
      case 'cloud-answered':
        return this.answered(event);
    }
  }

  /** The core sends one, after the events of its batch were told. */
  sent(effect: Effect): void {
    switch (effect.kind) {
      case 'wire': {
        const { lease, attachment } = effect.plan;
        const key = attachmentKey(attachment);
        if (effect.fresh && this.unasked.has(key)) this.options.breach(`${key} is served, and had hung up`);
        this.wiring.add(lease);
        return this.begins(lease, effect.kind);
      }
      case 'reap':
        // A group delete holds the kernel's lock for about 20 ms.
        if (effect.links.length > REAP_COUNT_MAX)
          this.options.breach(`${effect.links.length} links are deleted in one pass`);
        if (this.wiring.size > 0) this.options.breach(`links are deleted while ${[...this.wiring]} are being wired`);
        return;
      case 'verify':
        return this.begins(effect.plan.lease, effect.kind);
      case 'sync':
        this.mended = effect.pods.map(({ lease }) => lease);
        for (const lease of this.mended) this.begins(lease, effect.kind);
        return;
      case 'look':
        for (const { lease } of effect.pods) this.begins(lease, effect.kind);
        return;
      case 'unwire':
        // A link that no lease is behind has none to be busy with.
        return effect.lease === '' ? undefined : this.begins(effect.lease, effect.kind);
      case 'cloud':
        if (effect.call.action === 'unassign') this.unassigning(effect.operation, effect.call.blocks.join(' '));
    }
  }

  private begins(lease: LeaseId, deed: string): void {
    if (this.busy.has(lease)) this.options.breach(`${deed} of ${lease} begins before the kernel is done with it`);
    this.busy.add(lease);
  }

  private asked(key: AttachmentKey, request: RequestId): void {
    this.unasked.delete(key);
    this.keys.set(request, key);
    const open = this.open.get(key);
    if (open === undefined) this.open.set(key, new Set([request]));
    else open.add(request);
  }

  private leftQueue({ key }: WaiterRow): void {
    if (this.open.get(key)?.size === 0) this.unasked.add(key);
  }

  private eniChanged(before: EniRow | undefined, after: EniRow | undefined): void {
    const { cloud, instance, nowMs, breach } = this.options;
    if (before === undefined && after?.state === 'deleting') {
      const looseMs = nowMs() - (this.looseSinceMs.get(after.id) ?? nowMs());
      if (looseMs < SWEEP_AGE_MS)
        breach(`${after.id} is swept ${Math.round(looseMs)} ms after it was made or detached`);
    }
    if (before === undefined || !isPresent(before) || before.kind !== 'secondary' || before.state === 'gone') return;
    if (after !== undefined && after.state !== 'gone') return;
    const there = cloud.truth.eni(before.id);
    if (there !== undefined && (there.attachment?.instance ?? instance) === instance)
      breach(`${before.id} is forgotten while ${before.state}, and the cloud has it`);
  }

  private unassigning(operation: OperationId, blocks: string): void {
    const { nowMs, callDeadlineMs, breach } = this.options;
    const sentMs = this.doubtfulMs.get(blocks);
    if (sentMs !== undefined && nowMs() < sentMs + callDeadlineMs)
      breach(
        `${blocks} are unassigned again ${Math.round(nowMs() - sentMs)} ms after an unassign that may yet be done`,
      );
    this.unassigns.set(operation, { blocks, sentMs: nowMs() });
  }

  private answered({ operation, answer }: Extract<Event, { kind: 'cloud-answered' }>): void {
    const call = this.unassigns.get(operation);
    if (call === undefined) return;
    this.unassigns.delete(operation);
    if (!answer.ok && answer.failure.kind === 'ambiguous') this.doubtfulMs.set(call.blocks, call.sentMs);
    else this.doubtfulMs.delete(call.blocks);
  }
}
