/** Pools of both families, and of IPv6 alone: a pod has an address of each or none, and what one lacks is named. */
import type { SubnetId } from '../../../src/core/brand.ts';
import type { CloudFailure } from '../../../src/core/cloud.ts';
import type { Cidr, Family, Ip } from '../../../src/core/ip.ts';
import { familyOf } from '../../../src/core/ip.ts';
import { reasonText } from '../../../src/core/reasons.ts';
import { Core, SUBNET } from './harness.ts';
import { FRAGMENTED, names, PeerNode, subnetFacts, THROTTLED } from './peers/node.ts';

const DUAL = { families: [4, 6], primaryEni: 'skip' } as const;
const NONE = { floor: 0, headroom: 0, ceiling: 100 };
const DENIED: CloudFailure = { kind: 'denied', code: 'UnauthorizedOperation', message: '' };
const FULL: CloudFailure = {
  kind: 'exhausted',
  scope: 'subnet',
  code: 'InsufficientFreeAddressesInSubnet',
  message: '',
};

const ENI_FULL: CloudFailure = { kind: 'exhausted', scope: 'eni', code: 'PrivateIpAddressLimitExceeded', message: '' };

const withoutIpv6 = (id: SubnetId = SUBNET) => {
  const { cidr6: _, ...rest } = subnetFacts(id, 200);
  return rest;
};

const reasonOf = (core: Core, name: string) => {
  const reply = core.replies.get(`add-${name}`);
  return reply?.kind === 'refused' ? reply.reason : reply?.kind;
};
const lengths = (node: PeerNode): string[] => node.blocks.map((block) => block.slice(block.indexOf('/'))).sort();
/** Somebody else's IPv6 addresses take slots of the primary. */
function crowd(node: PeerNode, count: number): PeerNode {
  const [primary] = node.truth.values();
  const blocks = node.fresh({ family: 6, prefixLength: 128, count });
  if (primary !== undefined) node.truth.set(primary.id, { ...primary, blocks: [...primary.blocks, ...blocks] });
  return node;
}

const heldRows = ({ state }: Core) => [...state.all('address')].filter((row) => row.state === 'held');

describe('one family cannot be had', () => {
  test('a subnet without IPv6: the pod is told at once, nothing is asked for, and it is served once there is a range', () => {
    const node = new PeerNode({ pool: DUAL, targets: { floor: 2, headroom: 2, ceiling: 100 } });
    node.subnets = [withoutIpv6()];
    node.up().add('a').settle();
    expect(reasonOf(node, 'a')).toMatchObject({
      code: 'CLOUD_MISCONFIGURED',
      cloudCode: 'NO_RANGE',
      detail: 'subnet-a has no IPv6 range',
    });
    expect([node.madeOf('create'), node.madeOf('assign')]).toEqual([[], []]);
    node.subnets = [subnetFacts(SUBNET, 200)];
    node.pass(130_000).add('b').settle();
    expect(reasonOf(node, 'b')).toBe('added');
  });

  test('of several subnets an ENI goes where there is a range of each family', () => {
    const other = 'subnet-b' as SubnetId;
    const node = new PeerNode({ pool: { ...DUAL, subnets: [SUBNET, other] }, targets: NONE });
    node.subnets = [withoutIpv6(), subnetFacts(other, 20)];
    node.up().add('a').settle();
    expect(reasonOf(node, 'a')).toBe('added');
    expect(node.madeOf('create').map(({ subnet }) => subnet)).toEqual([other]);
  });

  test('denied: the reason names the family, no address is held, and the pod has both when it is allowed', () => {
    const core = new Core({ pool: { ...DUAL, primaryEni: 'use' }, targets: NONE }).serving().add('a');
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.21/32' as Cidr] });
    core.fail('assign', DENIED);
    expect(reasonOf(core, 'a')).toMatchObject({ code: 'DENIED', action: 'assign', missing: 6 });
    expect(heldRows(core)).toEqual([]);
    core.advance(31_000).add('b');
    core.answer('assign', { action: 'assign', blocks: ['2001:db8::21/128' as Cidr] });
    expect([...core.state.all('lease')].map(({ addresses }) => addresses)).toEqual([['10.0.1.21', '2001:db8::21']]);
  });

  test('the sentence says which one is missing', () => {
    const denied = { code: 'DENIED', action: 'assign', cloudCode: 'UnauthorizedOperation', retryMs: 0 } as const;
    expect(reasonText({ ...denied, missing: 6 })).toBe(`${reasonText(denied)} (only the IPv6 address is missing)`);
  });

  test('an ENI takes no more of IPv6: the pod is told so, and holds no IPv4 address', () => {
    const node = new PeerNode({ pool: { ...DUAL, primaryEni: 'use' }, targets: NONE, enis: 1, slots: 6 });
    node.up();
    crowd(node, 6);
    node.pass(700_000).add('a').settle();
    expect(reasonOf(node, 'a')).toMatchObject({ code: 'ADDRESS_LIMIT', missing: 6 });
    expect(heldRows(node)).toEqual([]);
  });

  test('the kernel refuses one of the two: neither stays held, and both go to the next pod', () => {
    const core = new Core({ pool: { ...DUAL, primaryEni: 'use' }, targets: NONE }).serving();
    core.held.add('wire');
    core.add('a');
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.21/32' as Cidr] });
    core.answer('assign', { action: 'assign', blocks: ['2001:db8::21/128' as Cidr] });
    const wire = core.effects.find((effect) => effect.kind === 'wire');
    if (wire?.kind !== 'wire') throw new Error('nothing is wired');
    expect(wire.plan.addresses).toEqual(['10.0.1.21', '2001:db8::21']);
    const failure = { step: 'put address 2001:db8::21/128', errno: 'EACCES' };
    core.send({ kind: 'wired', lease: wire.plan.lease, failure });
    expect(reasonOf(core, 'a')).toMatchObject({ code: 'KERNEL', ...failure });
    expect(heldRows(core)).toEqual([]);
    core.held.delete('wire');
    core.advance(40_000).add('b');
    expect([...core.state.all('lease')].map(({ addresses }) => addresses)).toEqual([['10.0.1.21', '2001:db8::21']]);
  });
});

describe('what is short of one family is no matter of the other', () => {
  test('a /80 is more than any ceiling: IPv4 grows all the same, in one request for a burst', () => {
    const pool = { ...DUAL, prefixes: 'prefer' } as const;
    const node = new PeerNode({ pool, targets: { floor: 0, headroom: 0, ceiling: 40 } }).up();
    node.adds(...names(16)).settle();
    expect(lengths(node)).toEqual(['/28', '/80']);
    node.refuseNext('assign', THROTTLED).add('x').settle();
    expect(node.replyOf('add-x')).toBe('waits');
    node.pass(6_000);
    expect(reasonOf(node, 'x')).toBe('added');
    expect(lengths(node)).toEqual(['/28', '/28', '/80']);
    const before = node.madeOf('assign').length;
    for (const name of names(16, 100)) node.send(addOf(name, node));
    node.pass(1_000);
    expect(node.madeOf('assign').length - before).toBe(1);
  });

  test.each([4, 6] as const)('an ENI that takes no more of IPv%s is asked for the other family', (full) => {
    const pool = { ...DUAL, prefixes: 'prefer', primaryEni: 'use' } as const;
    const core = new Core({ pool, targets: { floor: 1, headroom: 0, ceiling: 100 }, enis: 1 }).serving();
    const asked = (): Family | undefined => {
      const call = core.callOf('assign')?.call;
      return call?.action === 'assign' ? call.wish.family : undefined;
    };
    if (asked() !== full) core.answer('assign', { action: 'assign', blocks: ['10.0.1.32/28' as Cidr] });
    expect(asked()).toBe(full);
    core.fail('assign', ENI_FULL);
    for (const name of names(20)) core.send({ kind: 'pod-bound', pod: { namespace: 'default', name, uid: name } });
    expect(asked()).toBe(full === 4 ? 6 : 4);
    core.advance(29_000);
    core.answer('assign', {
      action: 'assign',
      blocks: [(full === 4 ? '2001:db8:0:0:1::/80' : '10.0.1.48/28') as Cidr],
    });
    expect(asked()).toBe(undefined);
    core.advance(2_000);
    expect(asked()).toBe(full);
  });

  test('full slots of IPv6 are no limit as long as one of its addresses is free', () => {
    const node = new PeerNode({ pool: { ...DUAL, primaryEni: 'use' }, targets: NONE, enis: 1, slots: 4 }).up();
    crowd(node, 1).pass(700_000);
    node.adds(...names(3)).settle();
    expect(node.served(...names(3))).toEqual([true, true, true]);
    const lost = node.leased.p0?.find((ip) => familyOf(ip) === 4);
    node
      .del('p0')
      .steal(`${lost}/32` as Cidr)
      .pass(700_000);
    node.refuseNext('assign', THROTTLED).add('x').settle();
    expect(node.replyOf('add-x')).toBe('waits');
    node.pass(10_000);
    expect(reasonOf(node, 'x')).toBe('added');
  });

  test('no whole /28 is left: single IPv4 addresses, and the /80 as before', () => {
    const pool = { ...DUAL, prefixes: 'prefer' } as const;
    const node = new PeerNode({ pool, targets: NONE }).up().refuseNext('create', FRAGMENTED).add('a').settle();
    expect(lengths(node)).toEqual(['/32', '/80']);
    expect(node.leased.a).toHaveLength(2);
  });

  test('a subnet without IPv4 addresses: pods that need none are served by the ENIs that are there', () => {
    const node = new PeerNode({ pool: { families: [6], primaryEni: 'skip' }, targets: NONE, slots: 4, enis: 3 }).up();
    node.add('a').settle();
    node.refuseNext('create', FULL).adds('b', 'c', 'd').settle();
    expect(node.served('a', 'b', 'c')).toEqual([true, true, true]);
    node.add('e').settle();
    expect(reasonOf(node, 'e')).toMatchObject({ code: 'SUBNET_EXHAUSTED', subnets: [SUBNET] });
    node.del('a').pass(40_000).add('f').settle();
    expect(reasonOf(node, 'f')).toBe('added');
  });
});

describe('a /80', () => {
  test('costs a row for each address that is held, and nothing else; its first address is nobody’s', () => {
    const pool = { families: [6], prefixes: 'prefer', primaryEni: 'skip' } as const;
    const node = new PeerNode({ pool, targets: { floor: 0, headroom: 0, ceiling: 5_000 } }).up();
    node.adds(...names(60)).settle();
    expect(node.madeOf('create')).toHaveLength(1);
    expect([node.madeOf('assign'), lengths(node)]).toEqual([[], ['/80']]);
    const base = node.blocks[0]?.split('/')[0] as Ip;
    const given = names(60).map((name) => node.leased[name]?.[0]);
    expect(new Set(given).size).toBe(60);
    expect(given).not.toContain(base);
    expect([node.state.count('block'), node.state.count('address')]).toEqual([1, 60]);
    for (const name of names(60)) node.del(name);
    node.pass(40_000);
    expect(node.state.count('address')).toBe(0);
  });

  test('beside IPv4 each ENI keeps its own, so that a pod has both from one', () => {
    const pool = { ...DUAL, prefixes: 'prefer' } as const;
    const node = new PeerNode({ pool, targets: { floor: 40, headroom: 0, ceiling: 500 }, slots: 3 }).up();
    node.pass(180_000);
    expect([node.madeOf('create').length, node.madeOf('unassign')]).toEqual([2, []]);
    node.adds(...names(40)).settle();
    for (const lease of node.state.all('lease')) {
      const enis = lease.addresses.map(
        (ip) => node.state.get('block', node.state.get('address', ip)?.block ?? '')?.eni,
      );
      expect(new Set(enis).size).toBe(1);
    }
  });
});

const addOf = (name: string, { nowMs }: PeerNode) =>
  ({
    kind: 'add',
    request: `add-${name}`,
    attachment: { network: 'underway', containerId: name, ifname: 'eth0' },
    netns: { path: `/ns/${name}`, id: `4:${name}` },
    pod: { namespace: 'default', name, uid: name },
    deadlineMs: nowMs + 60_000,
  }) as never;
