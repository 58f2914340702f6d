/**
 * What `/readyz?verbose` lists. Ready means "can this daemon work", never "has it capacity": a full node is a normal
 * node, and a cloud that is away is served without. Those two are said and do not fail the whole.
 */
import { startingDetail } from '../core/explain.ts';
import { lostNodeAddresses } from '../core/node-address.ts';
import { holding } from '../core/pool.ts';
import { type Reason, reasonText } from '../core/reasons.ts';
import type { FailureRow } from '../core/rows.ts';
import type { State } from '../core/state.ts';
import { unmended } from '../core/sync.ts';
import type { Turn } from '../core/turn.ts';
import type { Page } from './server.ts';

export interface Check {
  readonly name: 'socket' | 'cni' | 'journal' | 'kernel' | 'cloud' | 'facts' | 'addresses' | 'node-address';
  readonly ok: boolean;
  readonly detail: string;
  /** Not ready while this one fails. */
  readonly required: boolean;
}

/** `starting` is why there is no core yet: said once, by the check that it keeps from being made. */
export function checksOf(turn: Turn | undefined, starting: Reason): readonly Check[] {
  if (turn === undefined)
    return (['journal', 'kernel', 'cloud', 'facts', 'addresses', 'node-address'] as const).map((name) => ({
      name,
      ok: false,
      detail: name === (starting.code === 'JOURNAL_UNWRITABLE' ? 'journal' : 'facts') ? reasonText(starting) : '',
      required: !['cloud', 'addresses', 'node-address'].includes(name),
    }));
  const { state, runtime } = turn;
  return [
    { name: 'journal', ok: runtime.journal === 'up', detail: runtime.journalDetail, required: true },
    kernelCheck(turn),
    cloudCheck(state),
    {
      name: 'facts',
      ok: runtime.phase === 'serving',
      detail: runtime.phase === 'serving' ? '' : `${runtime.phase}: ${startingDetail(turn)}`,
      required: true,
    },
    addressCheck(state),
    nodeAddressCheck(state),
  ];
}

/** The node's own state was brought into the kernel once, and what others changed since could be put back. */
function kernelCheck(turn: Turn): Check {
  const detail = kernelDetail(turn);
  return { name: 'kernel', ok: detail === '', detail, required: true };
}

function kernelDetail(turn: Turn): string {
  const { phase, sync } = turn.runtime;
  if (phase === 'opening') return 'not read yet';
  if (sync.done === 0) return 'the node’s routes and rules are not in the kernel yet';
  const broken = unmended(turn);
  return broken === undefined ? '' : `what others changed cannot be put back: ${broken.step} (${broken.errno})`;
}

function cloudCheck(state: State): Check {
  const failures: FailureRow[] = [...state.all('failure')];
  const detail = failures.map(({ action, failure }) => `${action}: ${failure.code}, ${failure.message}`).join('; ');
  return { name: 'cloud', ok: failures.length === 0, detail, required: false };
}

/** Not required: a node that is NotReady has its pods moved for what may be back in a moment. */
function nodeAddressCheck(state: State): Check {
  const lost = lostNodeAddresses(state);
  return { name: 'node-address', ok: lost.length === 0, detail: lost.join('; '), required: false };
}

function addressCheck(state: State): Check {
  const parts: string[] = [];
  let ok = true;
  for (const pool of state.all('pool')) {
    for (const family of pool.families) {
      const { total, free, cooling, coming } = holding(state, pool, family);
      ok = ok && free > 0;
      parts.push(`${pool.id} IPv${family}: ${free} of ${total} free, ${cooling} cooling, ${coming} coming`);
    }
  }
  const lost = state.leasesIn('lost').length;
  if (lost > 0) parts.push(`${lost} ${lost === 1 ? 'pod has' : 'pods have'} lost an address (ADDRESS_LOST)`);
  return { name: 'addresses', ok: ok && lost === 0, detail: parts.join('; '), required: false };
}

/** As Kubernetes' own components write it; `[~]` is said and does not count. */
export function readyPage(checks: readonly Check[], verbose: boolean): Page {
  const ready = checks.every(({ ok, required }) => ok || !required);
  const mark = ({ ok, required }: Check) => (ok ? '+' : required ? '-' : '~');
  const lines = checks.map((check) => `[${mark(check)}]${check.name}${check.detail === '' ? '' : ` ${check.detail}`}`);
  const body = verbose || !ready ? `${lines.join('\n')}\n${ready ? 'ready' : 'not ready'}\n` : 'ok\n';
  return { status: ready ? 200 : 503, type: 'text/plain; charset=utf-8', body };
}
