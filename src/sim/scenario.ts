/**
 * What one seed draws: the instance's shape, the pool's settings, the pods' lives, and which faults are on. Each draw
 * has a stream of its own, so switching one fault class off leaves the rest of the run as it was.
 */
import { Streams } from '../../providers/memory/random.ts';
import type { Family } from '../core/ip.ts';
import type { Targets } from '../core/rows.ts';

export const FAULT_CLASSES = [
  'crash',
  'power-loss',
  'lost-reply',
  'lost-request',
  'throttle',
  'subnet-full',
  'no-prefix',
  'attach-stuck',
  'link-late',
  'link-never',
  'api-down',
  'deny',
  'eni-limit',
  'latency',
  'address-taken',
  'eni-taken',
  'disk-full',
  'journal-lost',
  'reboot',
  'netns-gone',
  'hang-up',
  'sabotage',
  'no-flush',
] as const;

export type FaultClass = (typeof FAULT_CLASSES)[number];

export interface Scenario {
  readonly seed: number;
  readonly cloud: 'ec2' | 'ecs';
  readonly instanceType: string;
  readonly families: readonly Family[];
  readonly prefixes: 'never' | 'prefer';
  readonly primaryEni: 'use' | 'skip';
  readonly targets: Targets;
  readonly faults: ReadonlySet<FaultClass>;
  /** Mean time between misfortunes while the world is unwell, in ms. */
  readonly misfortuneMs: number;
  /** Chance that a fault strikes a call while it is armed. */
  readonly strikeRate: number;
  readonly podsAtOnceMax: number;
  readonly podLifeMs: number;
  readonly arrivalMs: number;
  readonly unwellMs: number;
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
  return {
    seed,
    cloud: one('cloud', ['ec2', 'ec2', 'ecs']),
    instanceType: one('type', ['t3.medium', 'm5.large', 'm5.xlarge', 'm5.4xlarge']),
    families: one('families', [[4], [4], [4, 6]] as const),
    prefixes: one('prefixes', ['never', 'never', 'prefer']),
    primaryEni: one('primary', ['use', 'skip']),
    targets: {
      floor: one('floor', [0, 3, 8]),
      headroom: one('headroom', [0, 1, 4, 10]),
      ceiling: one('ceiling', [12, 60, 1_000]),
    },
    faults: new Set(on.filter((fault) => overrides.without?.includes(fault) !== true)),
    misfortuneMs: one('misfortune', [15_000, 60_000, 180_000]),
    strikeRate: one('rate', [0.05, 0.2, 0.5]),
    podsAtOnceMax: overrides.podsAtOnceMax ?? one('pods', [4, 12, 30]),
    podLifeMs: one('life', [5_000, 60_000, 240_000]),
    arrivalMs: one('arrival', [300, 2_000, 8_000]),
    unwellMs: overrides.unwellMs ?? one('unwell', [300_000, 600_000, 1_200_000]),
  };
}
