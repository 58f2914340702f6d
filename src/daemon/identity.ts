/**
 * Which instance this is, and whether the journal is its own.
 *
 * The journal may have been baked into an image, so it is believed without asking the cloud only where it was written
 * on this very boot (boot ids are random), or by a node of this name while the cloud does not answer.
 */
import { journalOwner } from '../core/boot.ts';
import type { InstanceId } from '../core/brand.ts';
import type { CloudFailure } from '../core/cloud.ts';
import type { Reason } from '../core/reasons.ts';
import { type NodeRow, SCHEMA } from '../core/rows.ts';
import type { RowChange } from '../ports/journal.ts';
import type { Provider } from '../ports/provider.ts';

/** Metadata answers in milliseconds; a daemon that waits longer keeps pods waiting. */
const ASK_TIMEOUT_MS = 5_000;

export interface Self {
  readonly cluster: string;
  readonly nodeName: string;
  readonly bootId: string;
}

/** `sure`: read from the cloud, or proven by the boot id. */
export type Verdict =
  | { readonly kind: 'known'; readonly instanceId: InstanceId; readonly sure: boolean }
  | { readonly kind: 'unknown'; readonly reason: Reason };

export async function whoAmI(options: {
  readonly self: Self;
  readonly rows: readonly RowChange[];
  readonly provider: Pick<Provider, 'describeNode'>;
  readonly signal: AbortSignal;
}): Promise<Verdict> {
  const { self, rows, provider, signal } = options;
  const owner = journalOwner(rows);
  if (owner !== undefined && owner.bootId === self.bootId && isReadable(owner, self))
    return { kind: 'known', instanceId: owner.instanceId, sure: true };
  const answer = await provider.describeNode({ signal, timeoutMs: ASK_TIMEOUT_MS });
  if (answer.ok) return { kind: 'known', instanceId: answer.value.instanceId, sure: true };
  if (owner !== undefined && owner.nodeName === self.nodeName && isReadable(owner, self))
    return { kind: 'known', instanceId: owner.instanceId, sure: false };
  return { kind: 'unknown', reason: reasonOf(answer.failure) };
}

const isReadable = (owner: NodeRow, self: Self): boolean => owner.schema === SCHEMA && owner.cluster === self.cluster;

/** One word for the name of a journal that is not ours. */
export function strangerWord(rows: readonly RowChange[], self: Self): string {
  const owner = journalOwner(rows);
  if (owner === undefined) return 'no-owner';
  if (owner.schema !== SCHEMA) return `schema-${owner.schema}`;
  return owner.cluster === self.cluster ? 'other-instance' : 'other-cluster';
}

function reasonOf({ kind, code, message }: CloudFailure): Reason {
  if (kind === 'denied') return { code: 'DENIED', action: 'describeNode', cloudCode: code };
  if (kind === 'misconfigured')
    return { code: 'CLOUD_MISCONFIGURED', action: 'describeNode', cloudCode: code, detail: message };
  if (/metadata/i.test(code)) return { code: 'METADATA_UNREACHABLE', detail: message };
  return { code: 'CLOUD_UNREACHABLE', action: 'describeNode', detail: `${code}: ${message}` };
}
