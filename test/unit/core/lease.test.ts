/** Leases whose link, block or fence goes another way than asked. */
import { attachmentKey, type LeaseId, type Mac, type RequestId } from '../../../src/core/brand.ts';
import type { CloudFailure } from '../../../src/core/cloud.ts';
import type { Effect } from '../../../src/core/events.ts';
import { type Cidr, hostCidr, type Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { isPresent } from '../../../src/core/pool.ts';
import type { LeaseRow } from '../../../src/core/rows.ts';
import { Core, eniFacts, INSTANCE, pod, primaryFacts } from './harness.ts';

const POD_MAC = '02:75:77:00:00:01' as Mac;
const nameOf = (name: string): string => linkName(attachmentKey(pod(name)));

/** A node with two addresses on its primary. */
function withTwo(): Core {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: { floor: 0, headroom: 2, ceiling: 2 } }).serving();
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32', '10.0.1.21/32'] as Cidr[] });
  return core.advance(5_000);
}

const onlyLease = (core: Core): LeaseRow => [...core.state.all('lease')][0] as LeaseRow;

const lastOf = <K extends Effect['kind']>(core: Core, kind: K) =>
  core.effects.filter((effect): effect is Extract<Effect, { kind: K }> => effect.kind === kind).at(-1);

/** A pod whose link goes while its repeated ADD is being wired. */
function lostWhileWired(): { readonly core: Core; readonly id: LeaseRow['id']; readonly linkIndex: number } {
  const core = withTwo().add('a');
  const { id, linkIndex } = onlyLease(core);
  core.held.add('wire');
  core.add('a');
  core.send({ kind: 'link-gone', mac: POD_MAC, name: nameOf('a'), index: linkIndex });
  return { core, id, linkIndex };
}

test('a pod that ends while it is looked at for its repeated ADD is released', () => {
  const { core, id, linkIndex } = lostWhileWired();
  core.send({ kind: 'wired', lease: id, linkIndex, failure: { step: 'put address', errno: 'ENONET' } });
  expect(core.state.count('lease')).toBe(0);
  expect(core.state.get('address', '10.0.1.20')?.state).toBe('cooling');
});

test('a link that was made anew by the wiring itself is no end of the pod', () => {
  const { core, id, linkIndex } = lostWhileWired();
  core.send({ kind: 'wired', lease: id, linkIndex: linkIndex + 1 });
  expect(onlyLease(core)).toMatchObject({ state: 'ready', linkIndex: linkIndex + 1 });
});

test('an ADD of what runs in one namespace into another is refused, and nothing is touched; by another path it is not', () => {
  const core = withTwo().add('a');
  const { netns } = onlyLease(core);
  const wired = core.effects.length;
  const addIn = (path: string, id: string): string => {
    core.replies.clear();
    const attachment = pod('a');
    core.send({ kind: 'add', request: 'add-a' as RequestId, attachment, netns: { path, id }, deadlineMs: 2_000_000 });
    return core.replyOf('add-a');
  };
  expect(addIn('/ns/other', '4:other')).toBe('BAD_REQUEST');
  expect(core.effects.slice(wired).map(({ kind }) => kind)).toEqual(['reply']);
  expect(onlyLease(core)).toMatchObject({ state: 'ready', netns });
  expect(addIn('/ns/bound-again', netns.id)).toBe('added');
});

test('the address of a link whose name somebody changed cools, for want of a lease that could', () => {
  const before = withTwo();
  const core = new Core({
    pool: { primaryEni: 'use' },
    targets: { floor: 0, headroom: 2, ceiling: 2 },
    rows: [...before.journal.values()],
    epoch: 'e2',
    nowMs: before.nowMs,
    links: [{ name: nameOf('old'), index: 0x100001, fenced: false, addresses: ['10.0.1.20' as Ip], mtu: 9_001 }],
  });
  core.start();
  expect(core.state.get('address', '10.0.1.20')?.state).toBe('cooling');
});

test('an ENI that goes before it was attached is remembered while an address of its blocks cools, and no longer', () => {
  const targets = { floor: 1, headroom: 0, ceiling: 1 };
  const before = new Core({ targets }).serving();
  const create = before.callOf('create')?.call;
  if (create?.action !== 'create') throw new Error('no create is in flight');
  before.answer('create', { action: 'create', eni: eniFacts(1, ['10.0.1.21/32' as Cidr], create.tags) });
  const eniIn = (core: Core) => [...core.state.all('eni')].find((eni) => isPresent(eni) && eni.id === 'eni-1')?.state;
  expect(eniIn(before)).toBe('attaching');

  // The block was another ENI's before, and a link of a pod that nobody knows still has the address.
  const core = new Core({
    targets,
    rows: [...before.journal.values()],
    epoch: 'e2',
    nowMs: before.nowMs,
    links: [{ name: nameOf('old'), index: 0x100001, fenced: false, addresses: ['10.0.1.21' as Ip], mtu: 9_001 }],
  });
  core.start();
  const seen: (string | undefined)[] = [];
  for (let n = 0; n < 300; n++) {
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts] });
    if (seen.at(-1) !== eniIn(core)) seen.push(eniIn(core));
    core.advance(1_000);
  }
  expect(seen).toEqual(['attaching', 'gone', undefined]);
  expect(core.state.get('address', '10.0.1.21')).toBeUndefined();
});

test('a block that is taken away while its pod is wired is told to the pod', () => {
  const core = withTwo();
  core.held.add('wire');
  core.add('a');
  const left = { ...primaryFacts, blocks: ['10.0.1.21/32' as Cidr] };
  for (let n = 0; n < 700 && core.state.get('block', '10.0.1.20/32')?.state !== 'missing'; n++) {
    core.advance(1_000);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: [left] });
  }
  core.finish(lastOf(core, 'wire') as Effect);
  expect(core.replyOf('add-a')).toBe('ADDRESS_LOST');
  expect(onlyLease(core).state).toBe('lost');
});

test('a link that no lease knows keeps its address until the fence stands', () => {
  const before = withTwo();
  const link = {
    name: nameOf('old'),
    index: 0x100001,
    fenced: false,
    lease: { id: 'e0-1' as LeaseId, attachment: pod('old') },
    addresses: ['10.0.1.20' as Ip],
    mtu: 9_001,
  };
  const core = new Core({
    pool: { primaryEni: 'use' },
    targets: { floor: 0, headroom: 2, ceiling: 2 },
    rows: [...before.journal.values()],
    epoch: 'e2',
    nowMs: before.nowMs,
    links: [link],
  });
  core.held.add('unwire');
  core.start();
  core.send({ kind: 'unwired', lease: link.lease.id, failure: { step: 'set-link', errno: 'EBUSY' } });
  core.advance(60_000);
  expect(core.state.get('address', '10.0.1.20')?.state).toBe('held');
  expect(core.effects.filter(({ kind }) => kind === 'unwire').length).toBeGreaterThan(1);
  core.finish(lastOf(core, 'unwire') as Effect);
  expect(core.state.get('address', '10.0.1.20')?.state).toBe('cooling');
});

test.each<[string, CloudFailure]>([
  ['that somebody has now', { kind: 'conflict', code: 'PrivateIpAddressInUse', message: '' }],
  [
    'whose place on the ENI is taken',
    { kind: 'exhausted', scope: 'eni', code: 'PrivateIpAddressLimitExceeded', message: '' },
  ],
])('an address %s is asked for once in ten minutes, not every minute', (_, failure) => {
  const core = withTwo().add('a');
  const left = { ...primaryFacts, blocks: ['10.0.1.21/32', '10.0.1.22/32'] as Cidr[] };
  let asked = 0;
  for (let n = 0; n < 1_800; n++) {
    core.advance(1_000);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: [left] });
    const call = core.callOf('assign')?.call;
    if (call?.action !== 'assign') continue;
    if (call.again !== true) core.answer('assign', { action: 'assign', blocks: ['10.0.1.22/32' as Cidr] });
    else core.fail('assign', failure);
    if (call.again === true) asked++;
  }
  expect(onlyLease(core).state).toBe('lost');
  expect(asked).toBeGreaterThanOrEqual(2);
  expect(asked).toBeLessThanOrEqual(3);
});

test('where others came into the place of a lost address, an idle one is given back for it', () => {
  const core = new Core({ slots: 4, targets: { floor: 3, headroom: 0, ceiling: 3 } }).serving();
  const facts = core.bringUpEni(1);
  core.answer('modify', { action: 'modify' }).add('a');
  const lost = hostCidr(core.addressOf('a') as Ip);
  const found = { ...facts, blocks: [...facts.blocks.filter((block) => block !== lost), '10.0.1.99/32' as Cidr] };
  const attachment = { instance: INSTANCE, deviceIndex: 1, state: 'attached' } as const;
  const enis = [primaryFacts, { ...found, attachment }];
  for (let n = 0; n < 700 && core.callOf('unassign') === undefined; n++) {
    core.advance(1_000);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis });
    expect(core.callOf('assign')).toBeUndefined();
  }
  expect(core.callOf('unassign')?.call).toMatchObject({ eni: facts.id });
  core.answer('unassign', { action: 'unassign' });
  expect(core.callOf('assign')?.call).toMatchObject({ eni: facts.id, blocks: [lost], again: true });
  core.answer('assign', { action: 'assign', blocks: [lost] });
  expect(onlyLease(core).state).toBe('ready');
});

test('an ADD waits for the fence of its own DEL where another address is free, though the pool can grow no more', () => {
  const core = withTwo().add('a');
  core.held.add('unwire');
  core.del('a');
  core.replies.clear();
  core.add('a');
  expect(core.replyOf('add-a')).toBe('waits');
  const unwire = lastOf(core, 'unwire');
  if (unwire !== undefined) core.finish(unwire);
  expect([core.replyOf('add-a'), core.replyOf('del-a')]).toEqual(['added', 'done']);
});

describe('a DEL of some time ago', () => {
  function del(core: Core, askedMs: number): void {
    core.replies.delete('del-a');
    core.send({ kind: 'del', request: 'del-a' as RequestId, attachment: pod('a'), askedMs });
  }

  test('ends what its attachment had then', () => {
    const core = withTwo().add('a').advance(1_000);
    del(core, core.nowMs - 500);
    expect([core.replyOf('del-a'), core.state.count('lease')]).toEqual(['done', 0]);
  });

  test('leaves a lease that is younger, or asked for again since, and an ADD that waits', () => {
    const core = withTwo();
    const askedMs = core.nowMs;
    core.advance(1).add('a');
    del(core, askedMs);
    expect([core.replyOf('del-a'), onlyLease(core).state]).toEqual(['done', 'ready']);
    const later = core.advance(1_000).nowMs;
    core.advance(1).add('a');
    del(core, later);
    expect([core.replyOf('del-a'), onlyLease(core).state]).toEqual(['done', 'ready']);

    const waiting = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
    const before = waiting.nowMs;
    waiting.advance(1).add('a');
    del(waiting, before);
    expect([waiting.replyOf('del-a'), waiting.replyOf('add-a')]).toEqual(['done', 'waits']);
  });
});
