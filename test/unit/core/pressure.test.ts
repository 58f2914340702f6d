/** Subnets that run out: what nodes give back, how little they ask for, and where they look instead. */
import type { SubnetId } from '../../../src/core/brand.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { PoolRow } from '../../../src/core/rows.ts';
import { SUBNET } from './harness.ts';
import { FULL, names, PeerNode, subnetFacts } from './peers/node.ts';

const OTHER = 'subnet-b' as SubnetId;
const SCARCE_MS = 125_000;

/** A node with 20 idle addresses, 8 of them headroom, in a /24. */
function idle(targets: PoolRow['targets'] = { floor: 0, headroom: 8, ceiling: 100 }): PeerNode {
  const node = new PeerNode({ enis: 4, slots: 30, settings: { cooldownMs: 1_000 }, targets }).up();
  return node.adds(...names(12)).settle();
}

const held = (node: PeerNode): number => node.blocks.length;

function dropPods(node: PeerNode, count: number): PeerNode {
  for (const name of names(count)) node.del(name);
  return node;
}

describe('what is idle goes back', () => {
  test('normal: what is beyond headroom and hysteresis goes after a minute of it', () => {
    const node = dropPods(idle(), 12).pass(50_000);
    expect(held(node)).toBe(20);
    node.pass(60_000);
    expect(held(node)).toBeLessThanOrEqual(12);
  });

  test('tight: what is beyond headroom goes at once, of what was idle for half a minute', () => {
    const node = idle();
    node.subnets = [subnetFacts(SUBNET, 20)];
    node.pass(700_000);
    expect(node.state.get('subnet', SUBNET)?.tight).toBe(true);
    const kept = names(3).map((name) => `${node.leased[name]?.[0]}/32`);
    dropPods(node, 3).pass(5_000);
    expect(held(node)).toBe(9 + 8);
    expect(node.blocks).toEqual(expect.arrayContaining(kept));
  });

  test('exhausted: half of the headroom goes too, and is not asked for again', () => {
    const node = idle();
    node.subnets = [subnetFacts(SUBNET, 0)];
    node.pass(700_000);
    expect(held(node)).toBe(12 + 4);
    const made = node.madeOf('assign').length;
    node.pass(300_000);
    expect(node.madeOf('assign')).toHaveLength(made);
  });

  test('a subnet with nothing left is read for more while no pod waits, and not asked for what it has not', () => {
    const node = idle();
    node.subnets = [subnetFacts(SUBNET, 0)];
    for (let n = 0; n < 100; n++) node.refuseNext('assign', FULL).refuseNext('create', FULL);
    // All that is held is used: headroom is missing, and nobody waits for it.
    node.adds(...names(20).slice(12)).pass(200_000);
    const before = node.made.length;
    node.pass(600_000);
    const calls = node.made.slice(before).map(({ action }) => action);
    expect(calls.filter((action) => action === 'assign' || action === 'create')).toEqual([]);
    expect(calls).toContain('listSubnets');
    expect(calls.length).toBeLessThanOrEqual(10);

    node.subnets = [subnetFacts(SUBNET, 100)];
    node.refusals.length = 0;
    node.pass(125_000);
    expect(held(node)).toBe(28);
  });

  test('the longest idle goes first', () => {
    const node = idle({ floor: 0, headroom: 0, ceiling: 100 });
    const [first, second] = [node.leased.p0?.[0], node.leased.p1?.[0]];
    node.subnets = [subnetFacts(SUBNET, 20)];
    node.pass(700_000);
    node.del('p0').pass(20_000).del('p1').pass(20_000);
    expect(node.blocks).not.toContain(`${first}/32`);
    expect(node.blocks).toContain(`${second}/32`);
    node.pass(15_000);
    expect(node.blocks).not.toContain(`${second}/32`);
  });

  test('hysteresis: tight below 10 %, normal again above 15 %', () => {
    const node = idle();
    const tightAt = (free: number): boolean | undefined => {
      node.subnets = [subnetFacts(SUBNET, free)];
      node.pass(700_000);
      return node.state.get('subnet', SUBNET)?.tight;
    };
    expect([30, 25, 30, 37, 39, 30].map(tightAt)).toEqual([false, true, true, true, false, false]);
  });

  test('a pod that is replaced finds its address still there', () => {
    const node = idle({ floor: 0, headroom: 0, ceiling: 100 });
    node.subnets = [subnetFacts(SUBNET, 0)];
    node.pass(700_000).del('p0').pass(5_000).add('q').settle();
    expect(node.served('q')).toEqual([true]);
  });
});

describe('what is asked for', () => {
  test('a refusal is followed by a count, and by a call for what there is', () => {
    const node = new PeerNode({ enis: 4, slots: 30 }).up().add('a').settle();
    node.subnets = [subnetFacts(SUBNET, 3)];
    node.refuseNext('assign', FULL).retarget({ floor: 6, headroom: 0, ceiling: 100 }).settle();
    expect(node.madeOf('assign').map(({ wish }) => wish.count)).toEqual([5, 3]);
    expect(held(node)).toBe(4);
  });

  test('two calls in flight share what a fresh count says: neither asks for what the other does', () => {
    const node = new PeerNode({ enis: 4, slots: 6, pool: { subnets: [SUBNET] } });
    node.subnets = [subnetFacts(SUBNET, 9)];
    node.up();
    node.withheld.add('create').add('assign');
    node.retarget({ floor: 15, headroom: 0, ceiling: 100 });
    const asked = node.calls.map(({ call }) =>
      call.action === 'create' ? 1 + call.blocks.reduce((sum, { count }) => sum + count, 0) : 0,
    );
    expect(asked).toEqual([6, 3]);
  });

  test('spill-over: the next ENI goes where more is left, what is in flight counted', () => {
    const node = new PeerNode({ enis: 4, slots: 6, pool: { subnets: [SUBNET, OTHER] } });
    node.subnets = [subnetFacts(SUBNET, 12), subnetFacts(OTHER, 11)];
    node.up();
    node.withheld.add('create');
    node.retarget({ floor: 10, headroom: 0, ceiling: 100 });
    const subnets = node.calls.map(({ call }) => (call.action === 'create' ? call.subnet : ''));
    expect(subnets).toEqual([SUBNET, OTHER]);
  });

  test('a count that is old limits nothing: others may have given back since', () => {
    const node = new PeerNode({ enis: 4, slots: 30 });
    node.subnets = [subnetFacts(SUBNET, 2)];
    node.up().pass(35_000);
    node.withheld.add('create');
    node.retarget({ floor: 5, headroom: 0, ceiling: 100 });
    expect(node.calls.map(({ call }) => (call.action === 'create' ? call.blocks[0]?.count : 0))).toEqual([5]);
  });

  test('the figure is read more often while it is low, and follows the node’s own calls in between', () => {
    const node = idle();
    const reads = node.madeOf('listSubnets').length;
    expect(node.state.get('subnet', SUBNET)?.freeCount4).toBe(200 - 20 - 1);
    node.pass(440_000);
    expect(node.madeOf('listSubnets')).toHaveLength(reads);
    node.subnets = [subnetFacts(SUBNET, 40)];
    node.pass(165_000).pass(4 * SCARCE_MS);
    expect(node.madeOf('listSubnets').length - reads).toBeGreaterThanOrEqual(4);
  });
});

test('the ceiling holds to the address, also where blocks are of sixteen', () => {
  for (const prefixes of ['never', 'prefer'] as const) {
    const node = new PeerNode({
      enis: 3,
      slots: 20,
      pool: { prefixes },
      targets: { floor: 0, headroom: 0, ceiling: 21 },
    });
    node
      .up()
      .adds(...names(25))
      .settle();
    expect(node.served(...names(25)).filter(Boolean)).toHaveLength(21);
    const addresses = node.blocks.reduce((sum, block) => sum + (block.endsWith('/28') ? 16 : 1), 0);
    expect(addresses).toBe(21);
  }
});

test('a subnet without IPv4 has no end: its count of none closes nothing', () => {
  const node = new PeerNode({ pool: { families: [6] } });
  node.subnets = [{ id: SUBNET, cidr6: 'fd00::/64' as Cidr, gateway6: 'fe80::1' as Ip, freeCount4: 0, zone: 'a' }];
  node.up().adds('a').settle();
  expect(node.served('a')).toEqual([true]);
});
