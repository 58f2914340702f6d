/**
 * The states of a small world, breadth first: each once, each move from it, everything checked after each; all of them
 * where the world is small enough for the limits, else the nearest to its start. From one in so many the world heals
 * (nothing fails any more) and must come to rest with every pod answered and nothing leaked.
 */
import { OWNER_TAGS } from '../../core/cloud.ts';
import { isPresent } from '../../core/pool.ts';
import { canonical, hashOf } from './canonical.ts';
import { movesOf } from './moves.ts';
import { type SmallWorld, Stepper } from './small-world.ts';
import { type Bounds, freshSurroundings } from './surroundings.ts';

/** How long a healed world may take: a background read each 10 minutes, and two that agree. */
const HEAL_MS = 1_500_000;
const HEAL_MOVES_MAX = 1_000;

export interface Explored {
  readonly states: number;
  readonly moves: number;
  readonly depth: number;
  /** How many states were found at each depth. */
  readonly widths: readonly number[];
  readonly healed: number;
  /** No state is left that was not moved from: these are all that the world's bounds allow. */
  readonly isWhole: boolean;
  readonly breaches: readonly string[];
}

export interface Limits extends Bounds {
  readonly depth: number;
  readonly statesMax: number;
  /** One state in so many is healed. */
  readonly healEach: number;
}

/** The way to a state, for people. */
interface Way {
  readonly label: string;
  readonly from: Way | undefined;
}

interface Found {
  readonly world: SmallWorld;
  readonly way: Way | undefined;
}

export function explore(limits: Limits): Explored {
  const first = new Stepper({ rows: [], around: freshSurroundings(limits) });
  first.boot();
  untilServing(first);
  const seen = new Set<number>();
  const breaches: string[] = first.broken.map((what) => `at the start: ${what}`);
  const widths: number[] = [];
  let frontier: Found[] = [{ world: first.snapshot(), way: undefined }];
  let moveCount = 0;
  let depth = 0;
  let healed = 0;
  while (depth < limits.depth && frontier.length > 0 && seen.size < limits.statesMax && breaches.length === 0) {
    const next: Found[] = [];
    for (const { world, way } of frontier) {
      const stepper = new Stepper(world);
      for (const { label, make } of movesOf(world.around)) {
        moveCount++;
        make(stepper);
        const here: Way = { label, from: way };
        for (const what of stepper.broken) breaches.push(`${what}\n${told(here)}`);
        const there = stepper.snapshot();
        stepper.rewind(world.around);
        const hash = hashOf(canonical(there));
        if (seen.has(hash)) continue;
        seen.add(hash);
        next.push({ world: there, way: here });
        if (seen.size % limits.healEach !== 0) continue;
        healed++;
        const what = heal(there);
        if (what !== undefined) breaches.push(`healing: ${what}\n${told(here)}`);
      }
      if (breaches.length > 0 || seen.size >= limits.statesMax) break;
    }
    widths.push(next.length);
    frontier = next;
    depth++;
  }
  const isWhole = frontier.length === 0 && seen.size < limits.statesMax;
  return { states: seen.size, moves: moveCount, depth, widths, healed, isWhole, breaches };
}

/** The start has one way: what can happen in it happens to a restart too, and there it is explored. */
function untilServing(stepper: Stepper): void {
  while (stepper.core.runtime.phase !== 'serving' || stepper.around.work.length + stepper.around.calls.length > 0) {
    const move = movesOf(stepper.around).find(({ label }) => label.endsWith(': done'));
    if (move === undefined) throw new Error('the small world does not start');
    move.make(stepper);
  }
}

function told(way: Way | undefined): string {
  const labels: string[] = [];
  for (let at = way; at !== undefined; at = at.from) labels.unshift(`  ${at.label}`);
  return labels.join('\n');
}

/** What is wrong with the world when nothing fails any more; undefined when it comes to rest. */
function heal(world: SmallWorld): string | undefined {
  const stepper = new Stepper({
    ...world,
    around: { ...world.around, crashesLeft: 0, failuresLeft: 0, hangUpsLeft: 0 },
  });
  const untilMs = world.around.nowMs + HEAL_MS;
  for (let n = 0; n < HEAL_MOVES_MAX && stepper.around.nowMs < untilMs; n++) {
    const { around } = stepper;
    const moves = movesOf(around).filter(({ label }) => !label.includes('older'));
    const move = moves.find(({ label }) => isNext(label, stepper)) ?? moves.find(({ label }) => label === 'wake');
    if (move === undefined) break;
    move.make(stepper);
    if (stepper.broken[0] !== undefined) return `${move.label}: ${stepper.broken[0]}`;
  }
  return restless(stepper);
}

/** What happens by itself and at once; new pods and the ends of running ones do not. */
function isNext(label: string, { around }: Stepper): boolean {
  const verb = /^(ADD|DEL) (\d)$/.exec(label);
  if (verb === null) return label !== 'wake';
  const pod = around.pods[Number(verb[2])];
  return verb[1] === 'ADD' ? pod?.state === 'adding' : pod?.state === 'refused' || pod?.state === 'deleting';
}

function restless({ around, core }: Stepper): string | undefined {
  const busy = around.pods.find(({ state }) => state === 'adding' || state === 'deleting' || state === 'refused');
  if (busy !== undefined) return `pod ${busy.n} is still ${busy.state}`;
  const running = around.pods.filter(({ state }) => state === 'running').length;
  if (core.count('lease') !== running) return `${core.count('lease')} leases for ${running} pods`;
  const left = around.podLinks.find((link) => !link.fenced && core.get('lease', link.lease) === undefined);
  if (left !== undefined) return `the link of pod ${left.pod} is left`;
  const known = new Map([...core.all('eni')].filter(isPresent).map((eni) => [eni.id, eni]));
  for (const eni of around.cloud.enis) {
    const row = known.get(eni.id);
    if (row === undefined) {
      if (eni.tags[OWNER_TAGS.instance] !== undefined) return `${eni.id} is leaked`;
      continue;
    }
    const held = new Set([...core.blocksOf(row.key).map((block) => block.id), ...row.foreignBlocks]);
    for (const block of eni.blocks) if (!held.has(block)) return `${block} on ${eni.id} is leaked`;
    if (held.size !== eni.blocks.length) return `${eni.id} has ${eni.blocks.length} blocks, and ${held.size} here`;
  }
  return undefined;
}
