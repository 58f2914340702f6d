/** Users' pains 1-7, 9, 12 and 19 (docs/peers-defects.md), each by the story that its users tell. */
import type { EniId, RequestId } from '../../../../src/core/brand.ts';
import { type CloudCall, type CloudFailure, isRead } from '../../../../src/core/cloud.ts';
import type { Cidr } from '../../../../src/core/ip.ts';
import { reasonText } from '../../../../src/core/reasons.ts';
import { judgeTargets } from '../../../../src/core/targets.ts';
import { CAPABILITIES, pod } from '../harness.ts';
import { DENIED, FRAGMENTED, FULL, LOST, names, PeerNode, REFUSED, THROTTLED } from './node.ts';

const RELAXED = { floor: 0, headroom: 0, ceiling: 1_000 };

const isWrite = ({ action }: CloudCall): boolean => !isRead(action);

describe('1: nodes hoard addresses that they do not use', () => {
  test('a large node with few pods holds what its targets say, not an ENI’s worth', () => {
    const node = new PeerNode({ enis: 8, slots: 30, targets: { floor: 2, headroom: 3, ceiling: 1_000 } }).up();
    node.adds('a', 'b').settle();
    expect(node.blocks.length).toBeLessThanOrEqual(2 + 3);
  });

  test('what a burst left behind goes back to the subnet within minutes', () => {
    const node = new PeerNode({ enis: 8, slots: 30, settings: { cooldownMs: 1_000 } })
      .up()
      .adds(...names(60))
      .settle();
    for (const name of names(58)) node.del(name);
    node.pass(400_000);
    expect(node.blocks.length).toBeLessThanOrEqual(3);
  });

  test('no flapping: a pod that ends and starts again every half minute costs no call', () => {
    const node = new PeerNode({ slots: 20, targets: { floor: 0, headroom: 4, ceiling: 100 } }).up().add('a').settle();
    node.pass(300_000);
    const before = node.made.filter(isWrite).length;
    for (let n = 0; n < 20; n++) {
      node.del(n === 0 ? 'a' : `a${n}`).pass(15_000);
      node.add(`a${n + 1}`).pass(15_000);
    }
    expect(node.made.filter(isWrite).length - before).toBeLessThanOrEqual(2);
  });
});

describe('2: “why is my pod not getting an IP?”', () => {
  const faults: readonly (readonly [string, CloudFailure])[] = [
    ['SUBNET_EXHAUSTED', FULL],
    ['DENIED', DENIED],
    ['ACCOUNT_QUOTA', { kind: 'exhausted', scope: 'account', code: 'NetworkInterfaceLimitExceeded', message: '' }],
    ['THROTTLED', { ...THROTTLED, retryAfterMs: 60_000 } as CloudFailure],
    ['CLOUD_UNREACHABLE', LOST],
  ];
  test.each(faults)('%s: the pod hears it, with numbers', (code, failure) => {
    const node = new PeerNode().up();
    for (let n = 0; n < 40; n++) node.refuseNext('create', failure);
    node.add('a', 5_000).settle().pass(5_000);
    const reply = node.replies.get('add-a');
    if (reply?.kind !== 'refused') throw new Error(node.replyOf('add-a'));
    expect(reply.reason.code).toBe(code);
    expect(reasonText(reply.reason)).toMatch(/\d s|tried again now/);
  });
});

describe('3: throttling, often self-inflicted', () => {
  test('a pod that waits is served before anything is topped up or given back', () => {
    // Five tokens, one more each 100 s: what is spent on anything else is missed at once.
    const rates = Object.fromEntries(
      Object.keys(CAPABILITIES.rates).map((action) => [action, { burst: 5, perSecond: 0.01 }]),
    ) as typeof CAPABILITIES.rates;
    const node = new PeerNode({
      slots: 50,
      capabilities: { rates },
      targets: { floor: 0, headroom: 1, ceiling: 1_000 },
    }).up();
    for (const name of names(12)) node.add(name).pass(100);
    const asked = node.madeOf('assign').length;
    expect(asked).toBeLessThanOrEqual(5);
    expect(node.replyOf('add-p0')).toBe('added');
    node.pass(59_000);
    const served = node.served(...names(12)).filter(Boolean).length;
    expect(served).toBeGreaterThanOrEqual(5);
  });

  test('describe calls of a node’s start: each fact is asked for at most twice', () => {
    const node = new PeerNode().up().add('a').settle();
    const count = (action: CloudCall['action']) => node.made.filter((call) => call.action === action).length;
    expect([count('describeNode'), count('listSubnets')]).toEqual([1, 1]);
    expect(count('listEnis')).toBeLessThanOrEqual(2);
  });

  test('a restart with its journal costs no call before it serves', () => {
    const next = new PeerNode({ targets: { ...RELAXED, floor: 4 } }).up().add('a').settle().restarted();
    expect(next.state.runtime.phase).toBe('serving');
    next.withheld.add('listEnis');
    expect(next.add('b').served('b')).toEqual([true]);
    expect(next.madeOf('describeNode')).toEqual([]);
  });
});

describe('4: warm-pool tuning', () => {
  test('#2896: everything cools and nothing is refilled: with those very numbers it is', () => {
    // MINIMUM 23, WARM 2: 19 pods run, 4 addresses cool.
    const node = new PeerNode({ enis: 4, slots: 15, targets: { floor: 23, headroom: 2, ceiling: 1_000 } }).up();
    node.adds(...names(23)).settle();
    for (const name of names(4)) node.del(name);
    node.adds('x', 'y').settle();
    expect(node.served('x', 'y')).toEqual([true, true]);
  });

  test('#1451: targets that would allocate and free for ever come to rest', () => {
    for (const prefixes of ['never', 'prefer'] as const)
      for (const [floor, headroom] of [
        [0, 1],
        [1, 0],
        [16, 1],
        [17, 0],
        [5, 30],
      ] as const) {
        const node = new PeerNode({ slots: 20, pool: { prefixes }, targets: { floor, headroom, ceiling: 1_000 } }).up();
        node
          .adds(...names(3))
          .settle()
          .pass(200_000);
        const before = node.made.filter(isWrite).length;
        node.pass(600_000);
        expect(node.made.filter(isWrite).length).toBe(before);
      }
  });

  test('a mistake is said when it is made, in words of its effect', () => {
    const verdict = judgeTargets({
      pool: { families: [4], prefixes: 'never', primaryEni: 'use', targets: { floor: 60, headroom: 0, ceiling: 100 } },
      limits: { instanceType: 't3.2xlarge', eniCountMax: 4, slotsPerEni: { 4: 15, 6: 15 }, prefixes: false },
      capabilities: CAPABILITIES,
    });
    expect(verdict.sentence).toMatch(/^floor 60 cannot be had: t3.2xlarge holds at most 56 addresses/);
  });
});

describe('5: slow starts on bursts and on new nodes', () => {
  test('#1956: the first pods of a node that is still starting wait, and are served with its first ENI', () => {
    const node = new PeerNode().start().adds('a', 'b');
    node.settle().pass(10_000);
    expect(node.served('a', 'b')).toEqual([true, true]);
  });

  test('50 pods at once on an ENI with room: one call', () => {
    const node = new PeerNode({ slots: 60 }).up().add('first').settle();
    node.withheld.add('assign');
    node.adds(...names(50)).release('assign');
    node.withheld.clear();
    node.settle();
    expect(node.served(...names(50))).toEqual(Array(50).fill(true));
    expect(node.madeOf('assign').length).toBeLessThanOrEqual(2);
  });
});

describe('6: leaked ENIs', () => {
  const steps: readonly CloudCall['action'][] = ['create', 'attach', 'modify', 'detach', 'delete'];
  test.each(steps)('a process that dies while its %s is in flight leaves no ENI behind', (step) => {
    const node = new PeerNode({ settings: { cooldownMs: 1_000 } }).up();
    node.withheld.add(step);
    node.adds('a', 'b').settle().pass(2_000).del('a').del('b').pass(80_000);
    const next = node.restarted().pass(30_000);
    for (const name of ['a', 'b'])
      next.send({ kind: 'del', request: `late-${name}` as RequestId, attachment: pod(name) });
    next.adds('c', 'd').pass(10_000).del('c').del('d').pass(400_000);
    const known = [...next.state.all('eni')].flatMap((eni) => (eni.state === 'creating' ? [] : [eni.id]));
    expect([...next.truth.keys()].sort()).toEqual(known.sort());
    // Hysteresis keeps one free address, and the ENI under it.
    expect(next.blocks.length).toBeLessThanOrEqual(1);
    expect(next.truth.size).toBe(1 + next.blocks.length);
  });

  test('an ENI that the cloud made and nobody heard of is found by its tags', () => {
    const node = new PeerNode().up();
    node.withheld.add('create');
    node.add('a');
    const create = node.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create');
    // The very create is sent again with its token, and answers the ENI that is there.
    const next = node.restarted();
    expect(next.madeOf('create')).toEqual([create]);
    expect(next.truth.size).toBe(2);
  });
});

describe('7: state lost or corrupted by restarts, reboots and CNI calls out of order', () => {
  test('azure-cns #4829: DEL crosses ADD: the ADD is answered, the pod unwired, the address cools', () => {
    const node = new PeerNode({ targets: { ...RELAXED, floor: 2 } }).up();
    node.held.add('wire').add('unwire');
    node.add('a').del('a');
    const wire = node.effects.findLast((effect) => effect.kind === 'wire');
    if (wire === undefined) throw new Error('no wire');
    node.finish(wire);
    node.held.clear();
    const unwire = node.effects.findLast((effect) => effect.kind === 'unwire');
    if (unwire !== undefined) node.finish(unwire);
    expect([node.replyOf('add-a'), node.replyOf('del-a'), node.state.count('lease')]).toEqual([
      'DELETED_MEANWHILE',
      'done',
      0,
    ]);
    expect([...node.state.all('address')].map(({ state }) => state)).toEqual(['cooling']);
  });

  test('azure-cns #4829: DEL, then ADD of the same attachment before the DEL is done: one live lease, a new address', () => {
    const node = new PeerNode({ targets: { ...RELAXED, floor: 3 } }).up().add('a');
    const first = node.addressOf('a');
    node.held.add('unwire');
    node.del('a').add('a');
    const unwire = node.effects.findLast((effect) => effect.kind === 'unwire');
    if (unwire === undefined) throw new Error('no unwire');
    node.held.clear();
    node.finish(unwire).settle();
    expect(node.state.count('lease')).toBe(1);
    expect(node.addressOf('a')).not.toBe(first);
  });

  test('azure-cns #4497: a sandbox that is made again and again leaks no address', () => {
    const node = new PeerNode({ settings: { cooldownMs: 1_000 }, slots: 20 }).up();
    for (let n = 0; n < 60; n++) {
      node.addAgain('a', `c${n}`).settle();
      node.send({ kind: 'del', request: `del-${n}` as RequestId, attachment: pod(`c${n}`) }).pass(2_000);
    }
    expect(node.state.count('lease')).toBe(0);
    expect(node.blocks.length).toBeLessThanOrEqual(6);
  });

  test('#1091: on a new boot every lease is dead, and its address rests before it is used', () => {
    const node = new PeerNode({ targets: { ...RELAXED, floor: 3 } }).up().add('a');
    const ip = node.addressOf('a');
    const next = new PeerNode({ rows: [...node.journal.values()], epoch: 'e2', bootId: 'boot-2', nowMs: 5_000 });
    for (const [id, facts] of node.truth) next.truth.set(id, facts);
    next.start().settle();
    expect(next.state.count('lease')).toBe(0);
    expect(next.state.get('address', ip ?? '')?.state).toBe('cooling');
  });
});

describe('9: prefix mode on fragmented subnets', () => {
  test('no ADD fails while single addresses are free, and both kinds live on one ENI', () => {
    const node = new PeerNode({ pool: { prefixes: 'prefer' }, slots: 30 })
      .up()
      .adds(...names(10))
      .settle();
    node.refuseNext('assign', FRAGMENTED);
    node.adds(...names(20, 10)).pass(3_000);
    expect(node.served(...names(30))).toEqual(Array(30).fill(true));
    const kinds = [...node.truth.values()].map(
      ({ blocks }) => new Set(blocks.map((block) => block.split('/')[1])).size,
    );
    expect(Math.max(...kinds)).toBe(2);
  });
});

describe('12: recycled addresses', () => {
  test('#3634: an address whose connections could not be flushed rests for 120 s, also with pods waiting', () => {
    const node = new PeerNode({ targets: { ...RELAXED, ceiling: 1 } }).up().add('a').settle();
    node.held.add('flush');
    node.del('a').pass(2_000);
    const flush = node.effects.findLast((effect) => effect.kind === 'flush');
    if (flush?.kind !== 'flush') throw new Error('no flush');
    node.send({ kind: 'flushed', addresses: flush.addresses, marks: flush.marks, done: false });
    node.pass(60_000).add('b').pass(50_000);
    expect(node.replyOf('add-b')).toBe('waits');
    node.pass(9_000);
    expect(node.replyOf('add-b')).toBe('added');
  });

  test('#2378: with pods waiting and nothing else to be had the rest is 5 s, and never less', () => {
    const node = new PeerNode({ targets: { ...RELAXED, ceiling: 1 } }).up().add('a').settle().del('a').add('b');
    node.pass(4_500);
    expect(node.replyOf('add-b')).toBe('waits');
    node.pass(1_500);
    expect(node.replyOf('add-b')).toBe('added');
  });
});

describe('19: the cloud’s view and the daemon’s disagree', () => {
  test('#2834: an address that the cloud took is seen, said to its pod, kept from others, and asked for again', () => {
    const node = new PeerNode().up().adds('a', 'b').settle();
    const ip = node.addressOf('a');
    node.steal(`${ip}/32` as Cidr);
    for (let n = 0; n < 5; n++) node.refuseNext('assign', { kind: 'conflict', code: 'AddressInUse', message: '' });
    node.pass(1_300_000);
    expect([...node.state.all('lease')].find((lease) => lease.addresses[0] === ip)?.state).toMatch(/lost|ready/);
    expect(node.madeOf('assign').some(({ blocks }) => blocks?.includes(`${ip}/32` as Cidr))).toBe(true);
    node.adds(...names(5)).settle();
    expect(names(5).map((name) => node.addressOf(name))).not.toContain(ip);
  });

  test('titus #145: an assign that answers nothing may have been done: it is not repeated before reads agree', () => {
    const node = new PeerNode({ slots: 20 }).up().add('a').settle();
    node.refuseNext('assign', LOST).add('b').settle().pass(9_000);
    expect(node.madeOf('assign')).toHaveLength(1);
    node.pass(20_000);
    expect(node.served('b')).toEqual([true]);
    expect(node.blocks).toHaveLength(2);
  });

  test('half of what was asked for is taken as half, and the rest asked for', () => {
    const node = new PeerNode({ slots: 20 }).up().add('a').settle();
    node.withheld.add('assign');
    node.adds('b', 'c');
    const call = node.callOf('assign')?.call;
    if (call?.action !== 'assign') throw new Error('no assign');
    const eni = node.truth.get('eni-1' as EniId);
    const [block] = node.fresh({ family: 4, prefixLength: 32, count: 1 });
    if (eni === undefined || block === undefined) throw new Error('no ENI');
    node.truth.set(eni.id, { ...eni, blocks: [...eni.blocks, block] });
    node.answer('assign', { action: 'assign', blocks: [block] });
    node.withheld.clear();
    node.settle();
    expect(node.served('b', 'c')).toEqual([true, true]);
  });

  test('a transient refusal of anything leaves daemon and cloud with the same list', () => {
    const node = new PeerNode({ slots: 20, settings: { cooldownMs: 1_000 } }).up();
    for (const action of ['create', 'attach', 'assign', 'unassign', 'modify'] as const)
      node.refuseNext(action, REFUSED);
    node.adds('a', 'b').pass(10_000).adds('c', 'd').pass(10_000).del('a').del('b').pass(200_000);
    expect([...node.state.all('block')].map(({ id }) => id).sort()).toEqual(node.blocks.sort());
  });
});
