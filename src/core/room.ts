/**
 * Whether a pool may yet be given what a pod waits for: slots and subnets that can be asked, within its ceiling.
 *
 * A pod takes an address of each family, and mostly it is one of them that is short. Of the other one is free already
 * (of a /80 there always is), and that needs neither a slot nor a place under the ceiling.
 */
import { freeSlots } from './eni.ts';
import { isHeldUp, roomForEnis } from './grow.ts';
import type { Family } from './ip.ts';
import { enisOf, holding, isBeingSetUp, isPresent, serves } from './pool.ts';
import type { EniRow, PoolRow } from './rows.ts';
import { closedUntilMs, subnetFor } from './subnet.ts';
import type { Turn } from './turn.ts';

/** Families of which no address is free; all of the pool's where none is short. */
export function shortOf(turn: Turn, pool: PoolRow): readonly Family[] {
  const short = pool.families.filter((family) => holding(turn.state, pool, family).free === 0);
  return short.length > 0 ? short : pool.families;
}

/** The next plan, when tokens and back-offs allow it, would ask the cloud for more. */
export function canGrow(turn: Turn, pool: PoolRow): boolean {
  if (isAtCeiling(turn, pool)) return false;
  return isFillable(turn, pool) || (roomForEnis(turn) > 0 && subnetFor(turn, pool) !== undefined);
}

/** The pool has, and has asked for, all that it may have of what is short. */
export const isAtCeiling = (turn: Turn, pool: PoolRow): boolean =>
  shortOf(turn, pool).some((family) => {
    const { total, coming } = holding(turn.state, pool, family);
    return total + coming >= pool.targets.ceiling;
  });

/** It has that already: a call that was refused would not have helped. */
export const isCapped = (turn: Turn, pool: PoolRow): boolean =>
  shortOf(turn, pool).some((family) => holding(turn.state, pool, family).total >= pool.targets.ceiling);

/** ENIs that are there can be asked for all that is short. */
export const isFillable = (turn: Turn, pool: PoolRow): boolean =>
  shortOf(turn, pool).every((family) => {
    const isOpen = (eni: EniRow): boolean => hasRoom(turn, pool, eni, family) && isInOpenSubnet(turn, eni, family);
    return enisOf(turn.state, pool).some(isOpen);
  });

/** They have slots for it, whether they can be asked now or not. */
export const isRoomy = (turn: Turn, pool: PoolRow): boolean =>
  shortOf(turn, pool).every((family) => enisOf(turn.state, pool).some((eni) => hasSlot(turn, pool, eni, family)));

/** An ENI that can be filled as soon as it is clear what became of its last call. */
export const heldUp = (turn: Turn, pool: PoolRow): EniRow | undefined =>
  enisOf(turn.state, pool).find(
    (eni) =>
      isHeldUp(turn, eni) &&
      shortOf(turn, pool).some((family) => hasSlot(turn, pool, eni, family) && isInOpenSubnet(turn, eni, family)),
  );

function isInOpenSubnet(turn: Turn, eni: EniRow, family: Family): boolean {
  const subnet = turn.state.get('subnet', eni.subnet);
  return subnet === undefined || closedUntilMs(turn, subnet, family) === 0;
}

/** An ENI that serves, or may again, with a free slot of the family that can be asked for. */
export const hasRoom = (turn: Turn, pool: PoolRow, eni: EniRow, family: Family): boolean =>
  hasSlot(turn, pool, eni, family) && !isHeldUp(turn, eni);

const hasSlot = (turn: Turn, pool: PoolRow, eni: EniRow, family: Family): boolean =>
  isPresent(eni) &&
  (eni.state === 'draining' || isBeingSetUp(eni, pool) || serves(turn.state, eni, pool)) &&
  freeSlots(turn, eni, family) > 0;
