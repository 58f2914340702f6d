/** What is too little, and what too much, of a pool that was left alone. */
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026, withoutLatency } from '../../../providers/memory/figures.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { Targets } from '../../../src/core/rows.ts';
import { imbalances } from '../../../src/sim/balance.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';

/** A t3.medium (3 ENIs of 5 addresses) with so many addresses on its primary, the first of which are used. */
async function weigh(total: number, used: number, targets: Partial<Targets>, lost: Cidr[] = []): Promise<string[]> {
  const clock = new VirtualClock();
  const cloud = new MemoryCloud({ clock, seed: 1, figures: withoutLatency(AWS_2026) });
  const vpc = cloud.addVpc({ cidrs4: ['10.0.0.0/16' as Cidr] });
  const subnet = cloud.addSubnet({ vpc: vpc.id, zone: 'a', cidr4: '10.0.1.0/24' as Cidr });
  const { id: instance, primaryEni: eni } = cloud.launch({ instanceType: 't3.medium', subnet: subnet.id });
  if (total > 0)
    cloud.call(
      'assign',
      { eni, family: 4, wishes: [{ family: 4, prefixLength: 32, count: total }] },
      { respond: () => {} },
    );
  await clock.run(clock.nowMs() + 1_000);
  const held = cloud.truth.eni(eni)?.blocks.map((block) => block.split('/')[0] as Ip) ?? [];
  expect(held).toHaveLength(total);
  return imbalances({
    cloud,
    instance,
    pool: {
      families: [4],
      primaryEni: 'use',
      prefixes: 'never',
      targets: { floor: 0, headroom: 0, ceiling: 100, ...targets },
    },
    used: new Set(held.slice(0, used)),
    apart: new Set(),
    foreignBlocks: new Set(),
    lost: new Map([[eni, lost]]),
    isForeign: () => false,
    givesWay: false,
  });
}

test.each([
  ['nothing wanted, nothing held', 0, 0, {}, []],
  ['the floor is held', 4, 1, { floor: 4 }, []],
  ['below the floor', 3, 1, { floor: 4 }, ['IPv4: holds 3, floor 4, could hold 15']],
  ['below a floor that the ceiling forbids', 3, 1, { floor: 4, ceiling: 3 }, []],
  ['half of the headroom is enough', 4, 2, { headroom: 4 }, []],
  ['less than half of it is not', 3, 2, { headroom: 4 }, ['IPv4: 1 of 3 free, headroom 4, could hold 15']],
  ['hysteresis', 5, 2, { headroom: 2 }, []],
  ['surplus', 5, 1, { headroom: 2 }, ['IPv4: 4 of 5 free, headroom 2, floor 0: surplus kept']],
  ['what the floor wants is no surplus', 5, 1, { floor: 5 }, []],
] satisfies [string, number, number, Partial<Targets>, string[]][])('%s', async (_, total, used, targets, problems) => {
  expect(await weigh(total, used, targets)).toEqual(problems);
});

test('the slot of an address that a pod lost is kept for it', async () => {
  const lost = ['10.0.1.200/32' as Cidr];
  expect(await weigh(3, 1, { floor: 4 }, lost)).toEqual(['IPv4: holds 3, floor 4, could hold 14']);
});
