/**
 * What must survive a power loss too; the rest of the journal needs to survive no more than the process.
 * - The intent of what gives something back, before its call: a journal that forgot an unassign would hand out an address
 *   that is somebody else's by now.
 * - The intent of an assign on the primary ENI, and then what it brought: of what the primary carries nothing but the
 *   journal tells our own from an operator's (EC2 cannot tag an address), so what is forgotten would be nobody's for good.
 */
import type { CloudCall } from './cloud.ts';
import { isPresent, primaryOf } from './pool.ts';
import type { JournalRow, State } from './state.ts';

export function needsDisk(state: State, call: CloudCall): boolean {
  if (call.action === 'unassign' || call.action === 'detach' || call.action === 'delete') return true;
  if (call.action !== 'assign') return false;
  for (const eni of state.all('eni')) if (isPresent(eni) && eni.id === call.eni) return eni.kind === 'primary';
  return false;
}

/** Blocks that came to the primary ENI, or were looked at again there. */
export function bringsToPrimary(state: State, rows: readonly JournalRow[]): boolean {
  const primary = primaryOf(state)?.key;
  return (
    primary !== undefined &&
    rows.some(({ table, key }) => table === 'block' && state.get('block', key)?.eni === primary)
  );
}
