/** Two nodes in one small subnet: what idles on one is what the other's pods wait for. */
import { AWS_2026 } from '../../providers/memory/figures.ts';
import { Streams } from '../../providers/memory/random.ts';
import type { Cidr } from '../../src/core/ip.ts';
import type { PoolRow } from '../../src/core/rows.ts';
import { Kubelet } from '../../src/sim/bars/kubelet.ts';
import { RecordedCloud } from '../../src/sim/bars/recorded-cloud.ts';
import { underway } from '../../src/sim/bars/underway.ts';
import { VirtualClock } from '../../src/sim/clock.ts';

const MINUTE_MS = 60_000;
const SEED = 1;

/** A subnet of 59 addresses, and nodes in it that run real cores and drivers. */
class Crowd {
  readonly clock = new VirtualClock();
  readonly cloud = new RecordedCloud({ clock: this.clock, seed: SEED, figures: AWS_2026 });
  readonly failed: string[] = [];
  running = 0;
  private readonly subnet;
  private nodeCount = 0;

  constructor() {
    const vpc = this.cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr], cidrs6: [] });
    this.subnet = this.cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.0.0/26' as Cidr }).id;
  }

  node(targets: PoolRow['targets']): Kubelet {
    const { clock, cloud, subnet } = this;
    const { id: instance, limits } = cloud.launch({ instanceType: 'm5.4xlarge', subnet });
    const name = `n${++this.nodeCount}`;
    const streams = new Streams(SEED);
    const pendingCount = (): number => kubelet.pendingCount;
    const pool = underway({ targets })({ clock, cloud })({
      name,
      clock,
      cloud,
      instance,
      limits,
      subnet,
      streams,
      pendingCount,
    });
    const kubelet = new Kubelet({
      name,
      clock,
      streams,
      pool,
      zeroMs: 0,
      onRunning: () => this.running++,
      onStopped: () => this.running--,
      onFailed: (why) => this.failed.push(why),
    });
    pool.start();
    return kubelet;
  }

  pods(kubelet: Kubelet, count: number): void {
    for (let n = 0; n < count; n++) kubelet.bind({ atMs: 0, lifeMs: Number.POSITIVE_INFINITY });
  }

  async pass(ms: number): Promise<void> {
    await this.clock.run(this.clock.nowMs() + ms);
  }

  get free(): number {
    const [subnet] = this.cloud.truth.subnets.values();
    return subnet === undefined ? 0 : this.cloud.truth.freeCount(subnet.id);
  }

  mutations(): number {
    return this.cloud.calls.filter(({ action }) => !action.startsWith('describe-')).length;
  }
}

test('a node whose subnet ran out gives half of its headroom to the pods that wait on another', async () => {
  const crowd = new Crowd();
  const first = crowd.node({ floor: 0, headroom: 40, ceiling: 200 });
  crowd.pods(first, 5);
  await crowd.pass(10 * MINUTE_MS);
  // 45 addresses, and the two ENIs of its own: 12 are left of 59, and the second node’s two take theirs.
  expect(crowd.free).toBe(59 - 2 - 45);
  const second = crowd.node({ floor: 0, headroom: 0, ceiling: 200 });
  await crowd.pass(MINUTE_MS);
  crowd.pods(second, 30);
  await crowd.pass(5_000);
  // All that the subnet had, and the others are told why.
  expect(crowd.running).toBe(5 + 10);
  expect(new Set(crowd.failed.map((why) => why.split(':')[0]))).toEqual(new Set(['SUBNET_EXHAUSTED']));
  await crowd.pass(4 * MINUTE_MS);
  expect(crowd.running).toBe(5 + 30);
});

test('and then both are at rest: nothing is taken and given back in turn', async () => {
  const crowd = new Crowd();
  const nodes = [
    crowd.node({ floor: 0, headroom: 20, ceiling: 200 }),
    crowd.node({ floor: 0, headroom: 20, ceiling: 200 }),
  ];
  for (const node of nodes) crowd.pods(node, 14);
  await crowd.pass(20 * MINUTE_MS);
  expect(crowd.running).toBe(28);
  const before = crowd.mutations();
  await crowd.pass(60 * MINUTE_MS);
  expect(crowd.mutations() - before).toBe(0);
});
