/**
 * A day of a fleet, as a list of pods for each node, drawn from a seed: quiet nodes, web nodes whose bursts follow the
 * daylight, and CI nodes whose pipelines start all their jobs together. Nodes do not know of each other.
 */
import { Streams } from '../../providers/memory/random.ts';

export const DAY_MS = 24 * 3_600_000;

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

export type NodeKind = 'quiet' | 'web' | 'ci';

/** One pod: when it is bound to the node, and how long it lives, in ms. */
export interface TracePod {
  readonly atMs: number;
  readonly lifeMs: number;
}

export interface NodeTrace {
  readonly name: string;
  readonly kind: NodeKind;
  /** In order of `atMs`, which counts from midnight. */
  readonly pods: readonly TracePod[];
}

/** How many nodes of each kind. */
export type Fleet = Readonly<Record<NodeKind, number>>;

export const DAY_FLEET: Fleet = { quiet: 20, web: 8, ci: 2 };

/** A pod each 2 h, at random, that lives 2 h. */
const QUIET = { everyMs: 2 * HOUR_MS, lifeMs: 2 * HOUR_MS };
/** Bursts of 1 to 12 pods within 3 s that live 90 min: at random, one in 10 min at noon and none by night. */
const WEB = {
  podCountMax: 12,
  withinMs: 3_000,
  lifeMs: 90 * MINUTE_MS,
  everyMs: 10 * MINUTE_MS,
  dawnMs: 6 * HOUR_MS,
  duskMs: 22 * HOUR_MS,
};
/** From 8 to 20, each 4 min, 2 to 50 jobs within 3 s that run 2 to 10 min. */
const CI = {
  podCountMin: 2,
  podCountMax: 50,
  withinMs: 3_000,
  lifeMinMs: 2 * MINUTE_MS,
  lifeMaxMs: 10 * MINUTE_MS,
  everyMs: 4 * MINUTE_MS,
  fromMs: 8 * HOUR_MS,
  toMs: 20 * HOUR_MS,
};

export function dayTrace(seed: number, fleet: Fleet = DAY_FLEET): NodeTrace[] {
  const streams = new Streams(seed);
  const kinds: readonly NodeKind[] = ['quiet', 'web', 'ci'];
  return kinds.flatMap((kind) =>
    Array.from({ length: fleet[kind] }, (_, n): NodeTrace => {
      const name = `${kind}-${n + 1}`;
      const pods = PODS[kind](streams, name).filter(({ atMs }) => atMs < DAY_MS);
      return { name, kind, pods: pods.sort((a, b) => a.atMs - b.atMs || a.lifeMs - b.lifeMs) };
    }),
  );
}

const PODS: Readonly<Record<NodeKind, (streams: Streams, name: string) => TracePod[]>> = { quiet, web, ci };

function quiet(streams: Streams, name: string): TracePod[] {
  const pods: TracePod[] = [];
  for (let atMs = gap(streams, name, QUIET.everyMs); atMs < DAY_MS; atMs += gap(streams, name, QUIET.everyMs))
    pods.push({ atMs, lifeMs: QUIET.lifeMs });
  return pods;
}

/** A Poisson process thinned by the height of the sun. */
function web(streams: Streams, name: string): TracePod[] {
  const { podCountMax, withinMs, lifeMs, everyMs, dawnMs, duskMs } = WEB;
  const pods: TracePod[] = [];
  for (let atMs = dawnMs; atMs < duskMs; atMs += gap(streams, name, everyMs)) {
    const height = Math.sin((Math.PI * (atMs - dawnMs)) / (duskMs - dawnMs));
    if (streams.uniform(`${name}/sun`) >= height) continue;
    const count = 1 + streams.pick(`${name}/count`, podCountMax);
    for (let n = 0; n < count; n++) pods.push({ atMs: atMs + streams.uniform(`${name}/within`) * withinMs, lifeMs });
  }
  return pods;
}

function ci(streams: Streams, name: string): TracePod[] {
  const { podCountMin, podCountMax, withinMs, lifeMinMs, lifeMaxMs, everyMs, fromMs, toMs } = CI;
  const pods: TracePod[] = [];
  for (let atMs = fromMs + streams.uniform(`${name}/phase`) * everyMs; atMs < toMs; atMs += everyMs) {
    const count = podCountMin + streams.pick(`${name}/count`, podCountMax - podCountMin + 1);
    for (let n = 0; n < count; n++)
      pods.push({
        atMs: atMs + streams.uniform(`${name}/within`) * withinMs,
        lifeMs: lifeMinMs + streams.uniform(`${name}/life`) * (lifeMaxMs - lifeMinMs),
      });
  }
  return pods;
}

/** Until the next of events that come at random, `meanMs` apart. */
const gap = (streams: Streams, name: string, meanMs: number): number =>
  -Math.log(1 - streams.uniform(`${name}/gap`)) * meanMs;
