/**
 * What a pool's targets come to on this instance, before anything is asked of the cloud: a sentence of their effect,
 * or why they cannot be met. Pure arithmetic on the same rules as grow.ts (a test holds the two together).
 */
import type { Capabilities, InstanceLimits } from './cloud.ts';
import type { Family } from './ip.ts';
import type { PoolRow } from './rows.ts';
import { wishSize } from './tally.ts';

export interface TargetsQuestion {
  readonly pool: Pick<PoolRow, 'families' | 'prefixes' | 'primaryEni'> & {
    readonly targets: {
      readonly floor: number;
      /** `auto` is learned from the node's arrivals; what is said of it holds for `learned` (0 while nothing is). */
      readonly headroom: number | 'auto';
      readonly ceiling: number;
    };
  };
  readonly learned?: number;
  readonly limits: InstanceLimits;
  readonly capabilities: Pick<Capabilities, 'prefixLengths' | 'ipv6'>;
}

export type TargetsVerdict =
  | {
      readonly accepted: true;
      readonly sentence: string;
      readonly warnings: readonly string[];
      readonly effect: Effect;
    }
  | { readonly accepted: false; readonly sentence: string };

/** All figures are addresses of one family, or pods, which take one of each. */
interface Effect {
  /** ENIs that hold addresses while no pod runs. */
  readonly eniCount: number;
  readonly addressCount: number;
  /** Pods at once, on a node without any, that cause no cloud call; and those of which none waits for one. */
  readonly silentBurst: number;
  readonly burst: number;
  /** What the pool may grow to. */
  readonly eniCountMax: number;
  readonly addressCountMax: number;
}

/** What one family can have of the instance. */
interface Room {
  readonly family: Family;
  /** Addresses a block brings. */
  readonly unit: number;
  readonly perEni: number;
  readonly eniCount: number;
}

export function judgeTargets(question: TargetsQuestion): TargetsVerdict {
  const { pool, limits } = question;
  const { floor, ceiling } = pool.targets;
  const rooms = pool.families.map((family) => roomFor(question, family));
  const scarce = rooms.reduce((least, room) => (capacity(room) < capacity(least) ? room : least));
  const most = capacity(scarce);
  if (floor > ceiling)
    return refused(
      `floor ${floor} is above ceiling ${ceiling}: the node cannot hold at least the one and at most the other`,
    );
  if (most === 0) return refused(noRoomSentence(question, scarce.family));
  if (floor > most)
    return refused(
      `floor ${floor} cannot be had: ${limits.instanceType} holds at most ${addresses(most)} (${enis(scarce.eniCount)} of ${scarce.perEni}): lower it to ${most}, or ${unitAdvice(question, scarce)}`,
    );
  const effect = effectOf(question, scarce);
  return { accepted: true, sentence: sentenceOf(question, effect, most), warnings: warningsOf(question, most), effect };
}

const refused = (sentence: string): TargetsVerdict => ({ accepted: false, sentence });

function roomFor({ pool, limits, capabilities }: TargetsQuestion, family: Family): Room {
  const single = family === 4 ? 32 : 128;
  const prefix = capabilities.prefixLengths[family].find((length) => length !== single);
  const isPrefixed = pool.prefixes === 'prefer' && limits.prefixes && prefix !== undefined;
  const unit = isPrefixed ? wishSize(family, prefix) : 1;
  const isGiven = family === 4 || capabilities.ipv6;
  // One slot of each family is the ENI's own.
  const slots = isGiven ? Math.max(0, limits.slotsPerEni[family] - 1) : 0;
  const eniCount = Math.max(0, limits.eniCountMax - (pool.primaryEni === 'skip' ? 1 : 0));
  return { family, unit, perEni: slots * unit, eniCount };
}

const capacity = ({ perEni, eniCount }: Room): number => perEni * eniCount;

const headroomOf = ({ pool, learned }: TargetsQuestion): number =>
  pool.targets.headroom === 'auto' ? (learned ?? 0) : pool.targets.headroom;

/** As grow.ts: nothing is asked for until `need` is not met, then up to floor and headroom, in whole blocks. */
function effectOf(question: TargetsQuestion, room: Room): Effect {
  const { floor, ceiling } = question.pool.targets;
  const headroom = headroomOf(question);
  const whole = (count: number): number => Math.min(Math.ceil(count / room.unit) * room.unit, capacity(room));
  const addressCount = whole(Math.min(Math.max(floor, headroom), ceiling));
  const addressCountMax = whole(ceiling);
  // At the ceiling there is nothing to call for, however many pods come.
  const isFull = addressCount === addressCountMax;
  return {
    eniCount: Math.ceil(addressCount / room.perEni),
    addressCount,
    silentBurst: isFull ? addressCount : Math.max(0, addressCount - Math.ceil(headroom / 2)),
    burst: addressCount,
    eniCountMax: Math.ceil(addressCountMax / room.perEni),
    addressCountMax,
  };
}

function sentenceOf(question: TargetsQuestion, effect: Effect, most: number): string {
  const { pool, limits } = question;
  const each = pool.families.length > 1 ? ' of each family' : '';
  const idle = `${limits.instanceType}: ${enis(effect.eniCount)}, ${addresses(effect.addressCount)}${each}`;
  const calm =
    effect.silentBurst === 0
      ? 'every pod causes a cloud call'
      : `absorbs a burst of ${pods(effect.silentBurst)} without a cloud call`;
  const wait = effect.burst > effect.silentBurst ? ` (${effect.burst} without a wait)` : '';
  const why = effect.addressCountMax === most ? "the instance's limit" : 'the ceiling';
  const growth = `grows to ${enis(effect.eniCountMax)}, ${addresses(effect.addressCountMax)} (${why})`;
  const auto =
    pool.targets.headroom === 'auto'
      ? [`headroom is learned from the node's own arrivals, ${headroomOf(question)} now`]
      : [];
  return [idle, `${calm}${wait}`, growth, ...auto].join('; ');
}

function warningsOf(question: TargetsQuestion, most: number): string[] {
  const { pool, limits } = question;
  const { floor, ceiling } = pool.targets;
  const headroom = headroomOf(question);
  const highest = Math.min(most, ceiling);
  const warnings: string[] = [];
  if (pool.targets.headroom !== 'auto' && Math.max(floor, headroom) === 0)
    warnings.push('floor and headroom are 0: every pod waits for the cloud');
  if (headroom > highest)
    warnings.push(
      `headroom ${headroom} is never reached: the pool holds at most ${addresses(highest)}, so all of them are taken from the start`,
    );
  if (pool.prefixes === 'prefer' && !limits.prefixes)
    warnings.push(`${limits.instanceType} takes no prefixes: single addresses are used`);
  return warnings;
}

function noRoomSentence({ pool, limits, capabilities }: TargetsQuestion, family: Family): string {
  const { instanceType, eniCountMax } = limits;
  if (family === 6 && (!capabilities.ipv6 || limits.slotsPerEni[6] === 0))
    return `${instanceType} has no IPv6 addresses to give: take 6 out of pool.families`;
  if (pool.primaryEni === 'skip' && eniCountMax <= 1)
    return `${instanceType} has one ENI only, its primary, and pool.primaryEni is skip: no pod could have an address; use it`;
  return `${instanceType} has no secondary IPv${family} addresses to give: use a larger instance type`;
}

function unitAdvice({ pool, limits }: TargetsQuestion, room: Room): string {
  if (room.unit === 1 && limits.prefixes && pool.prefixes === 'never') return 'set pool.prefixes to prefer';
  if (pool.primaryEni === 'skip') return 'set pool.primaryEni to use';
  return 'use a larger instance type';
}

const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;
const enis = (count: number): string => plural(count, 'ENI', 'ENIs');
const addresses = (count: number): string => plural(count, 'address', 'addresses');
const pods = (count: number): string => plural(count, 'pod', 'pods');
