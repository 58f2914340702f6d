/**
 * What was refused of late, by pod: the ADDs, which `underway why` tells when the pod neither has an address nor waits,
 * and the CHECKs of pods that run; and whose link somebody removed. Bounded; an ADD that is done ends what was noted of
 * its pod, a DEL what befell the pod while it ran, and a CHECK that is content what CHECK had found.
 */
import { type Attachment, attachmentKey } from '../core/brand.ts';
import type { Reply } from '../core/events.ts';
import { type Reason, type ReasonCode, reasonText } from '../core/reasons.ts';
import type { LeaseRow } from '../core/rows.ts';
import { reasonBehind } from '../protocol/error.ts';
import type { CniRequest } from '../protocol/request.ts';
import type { Refused } from '../protocol/why.ts';
import type { Handled } from './desk.ts';

/** A node runs at most some hundred pods; the newest are the ones that are asked for. */
const KEPT_COUNT_MAX = 256;

export interface Refusal {
  /** `namespace/name`, or the container's id where the runtime named no pod. */
  readonly who: string;
  readonly attachment: Attachment;
  readonly containerId: string;
  readonly ifname: string;
  readonly by: Refused['by'];
  readonly code: ReasonCode;
  readonly text: string;
  readonly atMs: number;
  /** How often since it last had an address. */
  readonly count: number;
}

export class Refusals {
  private readonly kept = new Map<string, Refusal>();

  /** Oldest first. */
  get all(): readonly Refusal[] {
    return [...this.kept.values()];
  }

  note({ request, reply, lease, asked, error }: Handled, nowMs: number): void {
    if (request?.verb === 'DEL') return this.ended(request.attachment);
    if (request?.verb === 'ADD') this.noteOf(request, 'ADD', reply, nowMs);
    if (asked?.command === 'ADD' && asked.attachment.containerId !== '' && error !== undefined)
      this.noteOf(asked, 'ADD', { kind: 'refused', reason: { code: reasonBehind(error), detail: error.msg } }, nowMs);
    // What has no lease has a refused ADD or nothing to tell of.
    if (request?.verb === 'CHECK' && lease !== undefined) this.noteOf(lease, 'CHECK', reply, nowMs);
  }

  /** Somebody removed the link of a pod that runs. */
  noteRemoved(lease: LeaseRow, reason: Reason, nowMs: number): void {
    this.noteOf(lease, 'removal', { kind: 'refused', reason }, nowMs);
  }

  private noteOf(pod: Named, by: Refusal['by'], reply: Reply | undefined, nowMs: number): void {
    const key = keyOf(pod);
    const before = this.kept.get(key);
    // A CHECK that is content says nothing of an ADD that was refused.
    if (reply?.kind !== 'refused' && by === 'CHECK' && before?.by === 'ADD') return;
    this.kept.delete(key);
    if (reply?.kind !== 'refused') return;
    const { reason } = reply;
    const { attachment } = pod;
    const { containerId, ifname } = attachment;
    const count = before?.by === by ? before.count + 1 : 1;
    const said = { code: reason.code, text: reasonText(reason), atMs: nowMs, count };
    this.kept.set(key, { who: whoIs(pod), attachment, containerId, ifname, by, ...said });
    const [oldest] = this.kept.keys();
    if (this.kept.size > KEPT_COUNT_MAX && oldest !== undefined) this.kept.delete(oldest);
  }

  /** The sandbox of a refused ADD ends too, and the pod is still refused; what ran and ends is nobody's to ask for. */
  private ended(attachment: Attachment): void {
    for (const [key, kept] of this.kept)
      if (kept.by !== 'ADD' && attachmentKey(kept.attachment) === attachmentKey(attachment)) this.kept.delete(key);
  }
}

type Named = Pick<Extract<CniRequest, { verb: 'ADD' }>, 'pod' | 'attachment'>;

/** Kubernetes' own names are shorter: 63 and 253 characters. */
const NAME_SHOWN_MAX = 320;

export function whoIs({ pod, attachment }: Named): string {
  const who = pod === undefined ? attachment.containerId : `${pod.namespace}/${pod.name}`;
  return who.length > NAME_SHOWN_MAX ? `${who.slice(0, NAME_SHOWN_MAX)}…` : who;
}

/** A pod's sandbox is made anew, with another id, each time it fails; its interfaces are separate. */
const keyOf = ({ pod, attachment }: Named): string =>
  pod === undefined
    ? attachmentKey(attachment)
    : `${pod.namespace}/${pod.name} ${attachment.network} ${attachment.ifname}`;
