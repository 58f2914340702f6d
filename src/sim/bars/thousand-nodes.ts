/**
 * A thousand nodes started together, each to have ten addresses on its primary ENI: one assign a node from one bucket.
 * Without a coordinator, with the budget broker, and with a broker that dies half way.
 *
 * The bound is the bucket's: the last node's assign has its token when the burst and the refill since have served the
 * others. docs/design/004-budgets.md derives it and what nodes do that cannot see each other.
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { SimBroker } from '../broker.ts';
import { aws } from '../peers/aws.ts';
import { cilium } from '../peers/cilium.ts';
import { terway } from '../peers/terway.ts';
import type { Bar, BarReport, Verdict } from './bar.ts';
import { type FleetRun, runFleet } from './fleet.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

const NODE_COUNT = 1_000;
/** 4 ENIs x 15: ten addresses fit beside the primary's own. */
const INSTANCE_TYPE = 'm5.xlarge';
const FLOOR = 10;
const TARGETS = { floor: FLOOR, headroom: 0, ceiling: 40 };
const ALLOWED = 1.2;
/** The broker runs before the nodes come. */
const LEAD_MS = 60_000;
const BROKER_DELAY_MS = 25;

/** When the account's bucket has had a token for each node's assign, from a full bucket on. */
export function boundMs(nodeCount: number): number {
  const { burst, perSecond } = AWS_2026.buckets.assign;
  return Math.max(0, ((nodeCount - burst) / perSecond) * 1000);
}

/** Every node asks the one broker; it dies at that time of the fleet's start, if at all. */
const brokered =
  (diesAtMs?: number): Policy =>
  (world) => {
    const { clock } = world;
    const broker = new SimBroker({ clock, rates: ec2Capabilities(AWS_2026).rates, delayMs: BROKER_DELAY_MS });
    if (diesAtMs !== undefined) clock.after(LEAD_MS + diesAtMs, () => broker.die());
    return (host) => underway({ targets: TARGETS, broker: broker.port(host.name) })(world)(host);
  };

export const POLICIES = {
  underway: () => underway({ targets: TARGETS }),
  'underway, broker': () => brokered(),
  'underway, broker dies': (nodeCount: number) => brokered(boundMs(nodeCount) / 2),
} as const;

/** One policy's fleet; pods of the last node at its floor still have an ADD's deadline to be served. */
export const fleet = (policy: Policy, nodeCount: number, seed: number): Promise<FleetRun> =>
  runFleet({
    policy,
    nodeCount,
    instanceType: INSTANCE_TYPE,
    floor: FLOOR,
    seed,
    lengthMs: 2 * boundMs(nodeCount) + 60_000,
    leadMs: LEAD_MS,
  });

/** Each peer told to hold the same floor by its own settings (research/aws-vpc-cni.md, terway.md, cilium-and-other-clouds.md). */
async function peers(seed: number): Promise<Pick<BarReport['figures'], 'aws' | 'terway' | 'cilium'>> {
  const of = async (policy: Policy) => (await fleet(policy, NODE_COUNT, seed)).figures;
  return {
    aws: await of(aws({ warmEni: 0, minimumIp: FLOOR, warmIp: 1 })),
    terway: await of(terway({ minPool: FLOOR, maxPool: FLOOR })),
    cilium: await of(cilium({ minAllocate: FLOOR })),
  };
}

/** Our own three, without the peers. */
export async function own(seed: number): Promise<Own> {
  const alone = await fleet(POLICIES.underway(), NODE_COUNT, seed);
  const led = await fleet(POLICIES['underway, broker'](), NODE_COUNT, seed);
  const left = await fleet(POLICIES['underway, broker dies'](NODE_COUNT), NODE_COUNT, seed);
  const bound = boundMs(NODE_COUNT);
  const all = [
    verdictsOf('alone', alone, bound, 2),
    verdictsOf('broker', led, bound, 0),
    verdictsOf('broker dies', left, bound, 2),
  ];
  return { alone, led, left, verdicts: all.flat() };
}

export interface Own {
  readonly alone: FleetRun;
  readonly led: FleetRun;
  readonly left: FleetRun;
  readonly verdicts: readonly Verdict[];
}

export const thousandNodes: Bar = {
  name: 'thousand-nodes',
  title: `${NODE_COUNT} nodes started together under one account, floor ${FLOOR} on the primary (times: until a node holds it)`,
  run: async ({ seedFrom = 1 }) => {
    const { alone, led, left, verdicts } = await own(seedFrom);
    const report: BarReport = {
      scenario: 'thousand-nodes',
      figures: {
        underway: alone.figures,
        ...(await peers(seedFrom)),
        'underway, broker': led.figures,
        'underway, broker dies': left.figures,
      },
      bound: { boundMs: boundMs(NODE_COUNT) },
      verdicts,
      notes: [
        `throttle errors in all: alone ${alone.throttles}, broker ${led.throttles}, broker dies ${left.throttles}`,
        `times are from the start until a node holds ${FLOOR} addresses, or the scenario's length; ${alone.podCount} pods`,
      ],
    };
    return report;
  },
};

const verdictsOf = (who: string, run: FleetRun, bound: number, throttlesAtMost: number): Verdict[] => [
  { what: `${who}: nodes without their floor`, value: NODE_COUNT - run.atFloor, atMost: 0 },
  { what: `${who}: last node at its floor, ms`, value: run.figures.maxMs, atMost: bound * ALLOWED },
  { what: `${who}: failed ADDs`, value: run.figures.failed, atMost: 0 },
  { what: `${who}: throttle errors of a node`, value: run.throttlesMax, atMost: throttlesAtMost },
  { what: `${who}: Describe calls of a node that starts`, value: run.describesMax, atMost: 2 },
];
