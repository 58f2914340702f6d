/**
 * What reads showed of an ENI, kept until a later read shows the same. Reads come from replicas that lag differently, so
 * one alone proves neither presence nor absence.
 */
import type { EniFacts } from './cloud.ts';
import type { Turn } from './turn.ts';

/** What a read is said to show that does not list the ENI. */
export const ABSENT = 'absent';

/** Remembers what this read showed of an ENI; true when an earlier read, late enough, showed the same. */
export function agrees(turn: Turn, id: EniFacts['id'], seen: string, readMs: number, notBeforeMs: number): boolean {
  const before = turn.state.get('sighting', id);
  if (readMs < notBeforeMs) return false;
  if (before?.seen === seen && before.atMs >= notBeforeMs && before.atMs < readMs) return true;
  if (before?.seen !== seen || before.atMs < notBeforeMs) turn.tx.put('sighting', { eni: id, atMs: readMs, seen });
  return false;
}

/** How long before this read the ENI was first seen as it is: the only age that can be had, EC2 tells none. */
export const seenForMs = (turn: Turn, id: EniFacts['id'], readMs: number): number =>
  readMs - (turn.state.get('sighting', id)?.atMs ?? readMs);

/** Contents that two reads must agree on. */
export const contents = (facts: EniFacts): string =>
  `${facts.attachment?.instance ?? ''} ${facts.attachment?.state ?? ''} ${facts.primary6 ?? ''} ${[...facts.blocks].sort().join(' ')}`;

/** ENIs that no row knows are remembered for as long as every read lists them. */
export function forgetUnlisted(
  turn: Turn,
  known: { has(id: string): boolean },
  listed: { has(id: string): boolean },
): void {
  for (const { eni, seen } of turn.state.all('sighting'))
    if (seen !== ABSENT && !known.has(eni) && !listed.has(eni)) turn.tx.remove('sighting', eni);
}
