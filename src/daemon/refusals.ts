/**
 * The ADDs that were refused of late, by pod: what `underway why` says when the pod neither has an address nor waits.
 * Bounded; a pod that gets its address is forgotten here.
 */
import { attachmentKey } from '../core/brand.ts';
import { type ReasonCode, reasonText } from '../core/reasons.ts';
import type { CniRequest } from '../protocol/request.ts';
import type { Handled } from './desk.ts';

/** A node runs at most some hundred pods; the newest are the ones that are asked for. */
const KEPT_COUNT_MAX = 256;

export interface Refusal {
  /** `namespace/name`, or the container's id where the runtime named no pod. */
  readonly who: string;
  readonly containerId: string;
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

  note({ request, reply }: Handled, nowMs: number): void {
    if (request?.verb !== 'ADD') return;
    const key = keyOf(request);
    const before = this.kept.get(key);
    this.kept.delete(key);
    if (reply?.kind !== 'refused') return;
    const { reason } = reply;
    const { containerId } = request.attachment;
    const count = (before?.count ?? 0) + 1;
    const who = whoIs(request);
    this.kept.set(key, { who, containerId, code: reason.code, text: reasonText(reason), atMs: nowMs, count });
    const [oldest] = this.kept.keys();
    if (this.kept.size > KEPT_COUNT_MAX && oldest !== undefined) this.kept.delete(oldest);
  }
}

type Add = Extract<CniRequest, { verb: 'ADD' }>;

export const whoIs = ({ pod, attachment }: Pick<Add, 'pod' | 'attachment'>): string =>
  pod === undefined ? attachment.containerId : `${pod.namespace}/${pod.name}`;

/** A pod's sandbox is made anew, with another id, each time it fails; its interfaces are separate. */
const keyOf = ({ pod, attachment }: Add): string =>
  pod === undefined
    ? attachmentKey(attachment)
    : `${pod.namespace}/${pod.name} ${attachment.network} ${attachment.ifname}`;
