import type { Cidr } from '../../../src/core/ip.ts';
import { Core, nic, primaryFacts } from './harness.ts';

test('an ADD that misses parks, wakes the planner at once, and is served when the address lands', () => {
  const core = new Core({ targets: { floor: 0, headroom: 4, ceiling: 100 }, slots: 20 }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) core.add(name);
  expect(['a', 'b', 'c', 'd'].map((name) => core.replyOf(`add-${name}`))).toEqual(['added', 'added', 'added', 'added']);
  expect([core.replyOf('add-e'), core.replyOf('add-f')]).toEqual(['waits', 'waits']);
  // Asked for when the pool ran low, before anybody waited; nothing else is in flight.
  expect(core.calls.map(({ call }) => (call.action === 'assign' ? call.wish.count : call.action))).toEqual([3]);
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.50/32', '10.0.1.51/32', '10.0.1.52/32'] as Cidr[] });
  expect([core.replyOf('add-e'), core.addressOf('e'), core.replyOf('add-f'), core.addressOf('f')]).toEqual([
    'added',
    '10.0.1.50',
    'added',
    '10.0.1.51',
  ]);
});

test('a pod is told why at once when nothing under way can serve it', () => {
  const core = new Core({ enis: 1 }).serving();
  core.add('a');
  expect(core.replyOf('add-a')).toBe('ADDRESS_LIMIT');
});

test('a full subnet is named, and is tried again later', () => {
  const core = new Core().serving();
  core.add('a');
  core.fail('create', {
    kind: 'exhausted',
    scope: 'subnet',
    code: 'InsufficientFreeAddressesInSubnet',
    message: 'full',
  });
  core.answerSubnets();
  expect(core.replies.get('add-a')).toMatchObject({
    kind: 'refused',
    reason: { code: 'SUBNET_EXHAUSTED', subnets: ['subnet-a'], waiting: 1 },
  });
  core.advance(31_000);
  expect(core.callOf('create')).toBeDefined();
});

test('a throttled assign waits for its token and never makes an ENI instead', () => {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  for (const name of ['a', 'b', 'c']) core.add(name);
  core.fail('assign', { kind: 'throttled', code: 'RequestLimitExceeded', message: '', retryAfterMs: 5_000 });
  expect(core.calls.filter(({ call }) => call.action !== 'listEnis').map(({ call }) => call.action)).toEqual([]);
  expect(core.replyOf('add-c')).toBe('waits');
  core.advance(6_000);
  expect(core.callOf('assign')).toBeDefined();
});

test('what one call cannot carry is left to the next one, and makes no ENI where there are slots', () => {
  const capabilities = { maxBlocksPerCall: 3 };
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 }, slots: 20, capabilities }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']) core.add(name);
  core.advance(1);
  const sent: unknown[] = [];
  for (let used = 50; core.calls.length > 0; core.advance(1)) {
    for (const { call } of core.calls) sent.push(call.action === 'assign' ? call.wish.count : call.action);
    const count = Number(sent.at(-1));
    const blocks = Array.from({ length: count }, () => `10.0.1.${used++}/32`) as Cidr[];
    core.answer('assign', { action: 'assign', blocks });
  }
  expect(sent).toEqual([2, 3, 3]);
});

test('DEL: the address cools, is not handed out, and is free again when the flush was confirmed and the time is up', () => {
  const core = new Core({ targets: { floor: 0, headroom: 1, ceiling: 1 } }).serving();
  core.bringUpEni(1);
  core.add('a').del('a');
  expect(core.replyOf('del-a')).toBe('done');
  core.add('b');
  expect(core.replyOf('add-b')).toBe('waits');
  // Nothing else is left to ask for (ceiling 1), so the flushed address is handed out after 5 s instead of 30.
  core.advance(4_000);
  expect(core.replyOf('add-b')).toBe('waits');
  core.advance(2_000);
  expect([core.replyOf('add-b'), core.addressOf('b')]).toEqual(['added', '10.0.1.21']);
});

test('a node that is full cuts no cooldown short while it has a free address', () => {
  const core = new Core({ enis: 2, slots: 4, targets: { floor: 3, headroom: 0, ceiling: 3 } }).serving();
  core.bringUpEni(1);
  core.add('a').add('b');
  const ip = core.addressOf('a');
  if (ip === undefined) throw new Error('a has no address');
  core.del('a').advance(6_000).add('c');
  expect(core.replyOf('add-c')).toBe('added');
  expect(core.state.get('address', ip)?.state).toBe('cooling');
  core.add('d');
  expect(core.replyOf('add-d')).toBe('added');
  expect(core.addressOf('d')).toBe(ip);
});

test('a full node cuts as many cooldowns short as pods wait, the oldest first', () => {
  const core = new Core({ targets: { floor: 0, headroom: 4, ceiling: 4 } }).serving();
  core.bringUpEni(1);
  const names = ['a', 'b', 'c', 'd'];
  for (const name of names) core.add(name);
  const [oldest] = names.map((name) => core.addressOf(name));
  for (const name of names) core.del(name).advance(10);
  core.advance(6_000).add('e');
  expect([core.replyOf('add-e'), core.addressOf('e')]).toEqual(['added', oldest]);
  const states = [...core.state.all('address')].map(({ state }) => state);
  expect(states.sort()).toEqual(['cooling', 'cooling', 'cooling', 'held']);
});

test('without the flush the address cools for 120 s', () => {
  const core = new Core({ targets: { floor: 0, headroom: 1, ceiling: 1 } }).serving();
  core.bringUpEni(1);
  core.held.add('flush');
  core.add('a').del('a');
  core.advance(2_000);
  const flush = core.effects.find((effect) => effect.kind === 'flush');
  expect(flush).toMatchObject({ addresses: ['10.0.1.21'] });
  core.send({ kind: 'flushed', addresses: ['10.0.1.21' as never], marks: [], done: false });
  core.advance(115_000).add('b');
  expect(core.replyOf('add-b')).toBe('waits');
  core.advance(10_000);
  expect(core.replyOf('add-b')).toBe('added');
});

test('waiters are first come, first served, and each is told why at its deadline', () => {
  const core = new Core().serving();
  core.add('a', 10_000).add('b', 60_000);
  core.advance(11_000);
  expect(core.replyOf('add-a')).toBe('ATTACHING');
  expect(core.replyOf('add-b')).toBe('waits');
});

test.each([60_000, 10_000])('what is free beyond headroom for %i ms is given back, a whole ENI first', (surplusMs) => {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  const eni = core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  core.send({
    kind: 'configured',
    pools: [...core.state.all('pool')].map((pool) => ({ ...pool, targets: { floor: 0, headroom: 0, ceiling: 100 } })),
    settings: { ...core.state.runtime.settings, surplusMs },
  });
  core.advance(surplusMs - 1_000);
  expect(core.callOf('detach')).toBeUndefined();
  core.advance(2_000);
  expect(core.callOf('detach')?.call).toEqual({ action: 'detach', eni: eni.id, force: false });
  core.answer('detach', { action: 'detach' });
  core.send({ kind: 'link-gone', ...nic(eni.mac, 1) });
  expect(core.callOf('delete')?.call).toEqual({ action: 'delete', eni: eni.id });
  core.answer('delete', { action: 'delete' });
  expect([...core.state.all('eni')].map((row) => row.kind)).toEqual(['primary']);
  expect(core.state.count('block')).toBe(0);
});

test('a pod that uses the primary gets only blocks that the daemon assigned itself', () => {
  const core = new Core({
    enis: 1,
    pool: { primaryEni: 'use' },
    targets: { floor: 0, headroom: 1, ceiling: 10 },
  }).serving();
  core.add('a');
  expect(core.callOf('assign')?.call).toMatchObject({ eni: primaryFacts.id });
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.77/32' as Cidr] });
  expect(core.addressOf('a')).toBe('10.0.1.77');
});
