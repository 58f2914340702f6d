/**
 * Which instance this is, and whether the journal is its own.
 *
 * The journal may have been baked into an image, so it is believed without asking the cloud only where it was written
 * on this very boot (boot ids are random), or by a node of this name while the cloud does not answer. The second kind
 * of belief is remembered in a file, over restarts too, until the cloud has confirmed it.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { journalOwner } from '../core/boot.ts';
import type { InstanceId } from '../core/brand.ts';
import type { Answer, CloudFailure } from '../core/cloud.ts';
import type { Reason } from '../core/reasons.ts';
import { type NodeRow, SCHEMA } from '../core/rows.ts';
import type { Clock } from '../ports/clock.ts';
import type { Journal, RowChange } from '../ports/journal.ts';
import type { Provider } from '../ports/provider.ts';
import { pause } from './rhythm.ts';

/** Metadata answers in milliseconds; a daemon that waits longer keeps pods waiting. */
const ASK_TIMEOUT_MS = 5_000;
const RETRY_MS = 1_000;
const VERIFY_RETRY_MS = 10_000;

export interface Self {
  readonly cluster: string;
  readonly nodeName: string;
  readonly bootId: string;
}

export interface InquiryOptions {
  readonly self: Self;
  readonly stateDir: string;
  readonly journal: Pick<Journal, 'load'>;
  readonly provider: Pick<Provider, 'describeNode'>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

interface Found {
  readonly instanceId: InstanceId;
  readonly sure: boolean;
}

export class Inquiry {
  private readonly options: InquiryOptions;
  private readonly doubtFile: string;

  constructor(options: InquiryOptions) {
    this.options = options;
    this.doubtFile = join(options.stateDir, 'instance-unverified');
  }

  /**
   * Asks until somebody knows; `waiting` hears why nobody does. `sure` is false where only the node's name speaks for
   * the journal. Undefined when it is stopped before.
   */
  async find(waiting: (reason: Reason) => void): Promise<Found | undefined> {
    const { self, journal, clock, signal } = this.options;
    const owner = journalOwner(journal.load().rows);
    const known = owner !== undefined && owner.schema === SCHEMA && owner.cluster === self.cluster ? owner : undefined;
    if (known?.bootId === self.bootId && !existsSync(this.doubtFile))
      return { instanceId: known.instanceId, sure: true };
    while (!signal.aborted) {
      const answer = await this.ask();
      if (signal.aborted) return undefined;
      if (answer.ok) {
        this.forgetDoubt();
        return { instanceId: answer.value, sure: true };
      }
      const believed = known?.nodeName === self.nodeName ? this.believe(known) : reasonOf(answer.failure);
      if ('instanceId' in believed) return believed;
      waiting(believed);
      await pause(clock, RETRY_MS);
    }
    return undefined;
  }

  /** Asks in the background until the cloud answers; `stranger` hears when it is another instance. */
  verify(believed: InstanceId, stranger: (instance: InstanceId) => void): void {
    const { clock, signal } = this.options;
    const again = async (): Promise<void> => {
      const answer = await this.ask();
      if (signal.aborted) return;
      if (!answer.ok) {
        clock.timer(clock.nowMs() + VERIFY_RETRY_MS, () => {
          if (!signal.aborted) void again();
        });
        return;
      }
      this.forgetDoubt();
      if (answer.value !== believed) stranger(answer.value);
    };
    void again();
  }

  /** Nothing is believed that a restart would take for sure: while the disk is full or sick, the cloud has to answer. */
  private believe({ instanceId }: NodeRow): Found | Reason {
    try {
      writeFileSync(this.doubtFile, '', { mode: 0o600 });
      return { instanceId, sure: false };
    } catch (error) {
      return { code: 'JOURNAL_UNWRITABLE', detail: String(error) };
    }
  }

  private forgetDoubt(): void {
    try {
      rmSync(this.doubtFile, { force: true });
    } catch {
      // A sick disk: the next start asks once more.
    }
  }

  private async ask(): Promise<Answer<InstanceId>> {
    const { provider, signal } = this.options;
    const answer = await provider.describeNode({ signal, timeoutMs: ASK_TIMEOUT_MS });
    return answer.ok ? { ok: true, value: answer.value.instanceId } : answer;
  }
}

/** One word for the name of a journal that is not ours. */
export function strangerWord(rows: readonly RowChange[], self: Self): string {
  const owner = journalOwner(rows);
  if (owner === undefined) return 'no-owner';
  if (owner.schema !== SCHEMA) return `schema-${owner.schema}`;
  return owner.cluster === self.cluster ? 'other-instance' : 'other-cluster';
}

function reasonOf({ kind, code, message, source }: CloudFailure): Reason {
  const asked = { action: 'describeNode', retryMs: RETRY_MS } as const;
  if (source === 'metadata') return { code: 'METADATA_UNREACHABLE', detail: message, retryMs: RETRY_MS };
  if (kind === 'denied') return { code: 'DENIED', ...asked, cloudCode: code };
  if (kind === 'misconfigured') return { code: 'CLOUD_MISCONFIGURED', ...asked, cloudCode: code, detail: message };
  return { code: 'CLOUD_UNREACHABLE', ...asked, detail: `${code}: ${message}` };
}
