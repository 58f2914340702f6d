/**
 * What one seed draws: the instance's shape, the pool's settings, the subnets, the pods' lives, and which faults are on
 * (about half). Each draw has a stream of its own, so leaving one fault class out leaves the rest as it was.
 */
import { Streams } from '../../providers/memory/random.ts';
import type { Family } from '../core/ip.ts';
import type { Settings, Targets } from '../core/rows.ts';

export const FAULT_CLASSES = [
  // The process and its machine.
  'crash',
  'crash-start',
  'two-daemons',
  'suspend',
  'clock-jump',
  'reboot',
  'power-loss',
  'torn-journal',
  'journal-lost',
  'disk-full',
  // The cloud.
  'lost-reply',
  'lost-request',
  'throttle',
  'deny',
  'misconfigured',
  'api-down',
  'metadata-down',
  'latency',
  'subnet-full',
  'subnet-crowded',
  'no-prefix',
  'partial',
  'token-mismatch',
  'eni-limit',
  'attach-stuck',
  'attach-undone',
  'link-late',
  'link-never',
  'address-taken',
  'eni-taken',
  'foreign-eni',
  // The kernel.
  'kernel-refuses',
  'netns-gone',
  'sabotage',
  'unheard',
  'link-flap',
  'no-flush',
  // The runtime, and the one who configures.
  'hang-up',
  'crossing',
  'repeat-add',
  'add-elsewhere',
  'reload',
] as const;

export type FaultClass = (typeof FAULT_CLASSES)[number];

/** Armed, and nothing more until a call of the cloud's meets it. */
export const STRIKES_CALLS: readonly FaultClass[] = [
  'lost-reply',
  'lost-request',
  'throttle',
  'deny',
  'misconfigured',
  'api-down',
  'metadata-down',
  'latency',
  'subnet-full',
  'no-prefix',
  'partial',
  'token-mismatch',
  'eni-limit',
  'attach-stuck',
  'attach-undone',
  'link-late',
  'link-never',
];

export interface Scenario {
  readonly seed: number;
  readonly cloud: 'ec2' | 'ecs';
  readonly instanceType: string;
  readonly families: readonly Family[];
  readonly prefixes: 'never' | 'prefer';
  readonly primaryEni: 'use' | 'skip';
  readonly targets: Targets;
  readonly settings: Partial<Settings>;
  /** Whether the node is told which pods are bound to it, and how well. */
  readonly watch: 'off' | 'told' | 'misheard';
  /** Lengths of the IPv4 subnets of the pool, the primary's first. */
  readonly subnetLengths: readonly number[];
  /** Which families each of them has a range of; of all that pods want there is one at least. */
  readonly subnetFamilies: readonly (readonly Family[])[];
  readonly faults: ReadonlySet<FaultClass>;
  /** Mean time between two misfortunes of one class, in ms. */
  readonly misfortuneMs: number;
  /** Mean length of what lasts, in ms. */
  readonly lengthMs: number;
  /** Chance that a fault strikes a call while it is armed. */
  readonly strikeRate: number;
  readonly podsAtOnceMax: number;
  readonly podLifeMs: number;
  /** Mean time between two pods in busy times, in ms. */
  readonly arrivalMs: number;
  /** Misfortune lasts exactly so long; without it until the run is long enough to count. */
  readonly unwellMs?: number;
}

export interface Overrides {
  readonly without?: readonly FaultClass[];
  readonly unwellMs?: number;
  readonly podsAtOnceMax?: number;
}

export function drawScenario(seed: number, overrides: Overrides = {}): Scenario {
  const streams = new Streams(seed);
  const one = <T>(purpose: string, values: readonly T[]): T =>
    values[streams.pick(`scenario/${purpose}`, values.length)] as T;
  const on = FAULT_CLASSES.filter((fault) => streams.uniform(`scenario/on/${fault}`) < 0.5);
  const prefixes = one('prefixes', ['never', 'never', 'prefer'] as const);
  const { unwellMs } = overrides;
  const families = one('families', [[4], [4], [4, 6], [6]] as const);
  const subnetLengths = one('subnets', prefixes === 'prefer' ? [[24], [23], [24, 24]] : [[24], [25], [26, 25, 27]]);
  return {
    seed,
    cloud: one('cloud', ['ec2', 'ec2', 'ecs']),
    instanceType: one('type', ['t3.medium', 'm5.large', 'm5.xlarge', 'm5.4xlarge']),
    families,
    prefixes,
    primaryEni: one('primary', ['use', 'skip']),
    targets: drawTargets(streams, 'scenario'),
    settings: {
      waiterCountMax: one('queue', [1_024, 1_024, 1_024, 6]),
      addDeadlineMs: one('deadline', [60_000, 60_000, 2_000]),
    },
    subnetLengths,
    subnetFamilies: drawRanges(streams, families, subnetLengths.length),
    watch: one('watch', ['off', 'off', 'told', 'misheard']),
    faults: new Set(on.filter((fault) => overrides.without?.includes(fault) !== true)),
    // By all classes that were drawn, so that leaving one out does not bring the others closer together.
    misfortuneMs: one('misfortune', [20_000, 60_000, 180_000]) * Math.max(1, on.length),
    lengthMs: one('length', [5_000, 20_000, 60_000, 180_000]),
    strikeRate: one('rate', [0.05, 0.2, 0.5, 1]),
    podsAtOnceMax: overrides.podsAtOnceMax ?? one('pods', [4, 12, 30]),
    podLifeMs: one('life', [5_000, 60_000, 240_000]),
    arrivalMs: one('arrival', [2_000, 4_000, 8_000]),
    ...(unwellMs !== undefined && { unwellMs }),
  };
}

/** Where pods want IPv6: mostly both everywhere; else one of several subnets has no IPv6, or, for IPv6 alone, none has IPv4. */
function drawRanges(streams: Streams, families: readonly Family[], count: number): readonly (readonly Family[])[] {
  const kind = streams.pick('scenario/ranges', 4);
  const without6 = streams.pick('scenario/ranges/without', count);
  return Array.from({ length: count }, (_, at) => {
    if (kind === 0 && !families.includes(4)) return [6];
    return kind === 1 && count > 1 && families.includes(6) && at === without6 ? [4] : [4, 6];
  });
}

/** Drawn anew when the targets are reloaded in mid-run. */
export function drawTargets(streams: Streams, when: 'scenario' | 'reload'): Targets {
  const one = <T>(purpose: string, values: readonly T[]): T =>
    values[streams.pick(`${when}/${purpose}`, values.length)] as T;
  return {
    floor: one('floor', [0, 3, 8]),
    headroom: one('headroom', [0, 1, 4, 10, 'auto'] as const),
    ceiling: one('ceiling', [12, 60, 1_000]),
  };
}
