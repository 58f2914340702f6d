/**
 * What the CNI binary does with a DEL that no daemon takes (src/cni/state.h, src/cni/fence.h) and the daemon with what was
 * kept (src/daemon/spool.ts): the link is cut off, the DEL outlives every process, and is asked again until it is done.
 */
import { type Attachment, type AttachmentKey, attachmentKey, type RequestId } from '../core/brand.ts';
import type { Event, Reply } from '../core/events.ts';
import { linkName } from '../core/link-name.ts';
import type { VirtualClock } from './clock.ts';
import type { FakeKernel } from './kernel.ts';

/** How long the binary asks for its daemon before it keeps a DEL. */
export const DEL_AWAY_MS = 1_000;
const SCAN_MS = 10_000;

interface Kept {
  readonly attachment: Attachment;
  readonly wallMs: number;
}

export interface SpoolOptions {
  readonly clock: VirtualClock;
  readonly kernel: FakeKernel;
  /** Monotonic since boot, as the daemon sees it. */
  readonly nowMs: () => number;
  /** Numbers a request, whose answer comes to `done`; a process that ends takes it along. */
  readonly ask: (done: (reply: Reply) => void) => RequestId;
  readonly send: (event: Event) => void;
}

export class Spool {
  private readonly kept = new Map<AttachmentKey, Kept>();
  private readonly options: SpoolOptions;

  constructor(options: SpoolOptions) {
    this.options = options;
  }

  /** A repeat replaces its own. */
  keep(attachment: Attachment): void {
    const { clock, kernel } = this.options;
    const key = attachmentKey(attachment);
    kernel.fence(linkName(key));
    this.kept.set(key, { attachment, wallMs: clock.wallMs() });
  }

  /** For a process that has just read the kernel, before anything else is asked of it. */
  replay(): readonly Event[] {
    return [...this.kept.values()].map((kept) => this.asked(kept));
  }

  private asked(kept: Kept): Event {
    const { clock, nowMs, ask, send } = this.options;
    const { attachment, wallMs } = kept;
    const key = attachmentKey(attachment);
    const request = ask((reply) => {
      if (this.kept.get(key) !== kept) return;
      if (reply.kind === 'refused') clock.after(SCAN_MS, () => this.kept.get(key) === kept && send(this.asked(kept)));
      else this.kept.delete(key);
    });
    return { kind: 'del', request, attachment, askedMs: nowMs() - Math.max(0, clock.wallMs() - wallMs) };
  }
}
