/**
 * The verdict table of design section 6 (journal lease / on the ENI / link), a row each, and what a reboot, a lost
 * journal and a dead process's calls mean.
 */
import type { LeaseId, RequestId } from '../../../src/core/brand.ts';
import { attachmentKey } from '../../../src/core/brand.ts';
import type { CloudCall, EniFacts } from '../../../src/core/cloud.ts';
import type { FoundLink } from '../../../src/core/events.ts';
import { type Cidr, cidrBase, compareIp, type Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { CAPABILITIES, Core, eniFacts, INSTANCE, nic, pod, primaryFacts, type Setup } from './harness.ts';

const TARGETS = { floor: 0, headroom: 2, ceiling: 100 };

/** A node with one ENI of three addresses on which pod `a` runs; its journal is what the next process finds. */
function firstLife(): Core {
  const core = new Core({ targets: TARGETS }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  return core.add('a');
}

const leaseOf = (core: Core) => {
  const lease = core.state.leaseOf(attachmentKey(pod('a')));
  if (lease === undefined) throw new Error('a has no lease');
  return lease;
};

function link(core: Core, change: Partial<FoundLink> = {}): FoundLink {
  const { id, attachment, addresses, linkIndex } = leaseOf(core);
  return {
    name: linkName(attachmentKey(attachment)),
    index: linkIndex,
    fenced: false,
    lease: { id, attachment },
    addresses,
    mtu: 9_001,
    ...change,
  };
}

/** The process after it: same boot unless told otherwise. */
function restarted(
  core: Core,
  setup: Setup & { readonly alive?: readonly LeaseId[]; readonly lost?: boolean } = {},
): Core {
  const rows = setup.lost === true ? [] : [...core.journal.values()];
  const next = new Core({ targets: TARGETS, rows, epoch: 'e2', nowMs: core.nowMs, ...setup });
  next.start(setup.alive ?? []);
  return next.send({ kind: 'link-seen', ...nic(eniFacts(1, [], {}).mac, 1) });
}

test('yes-yes-yes: the pod is live, the daemon serves at once and asks the cloud nothing on its way', () => {
  const first = firstLife();
  const core = restarted(first, { links: [link(first)] });
  expect(leaseOf(core).state).toBe('ready');
  expect(core.state.runtime.phase).toBe('serving');
  core.add('b');
  expect(core.replyOf('add-b')).toBe('added');
  expect(core.addressOf('b')).not.toBe(core.addressOf('a'));
});

test('after a restart pods get the lowest free addresses, as before it', () => {
  const first = new Core({ targets: { floor: 9, headroom: 0, ceiling: 100 } }).serving();
  const { blocks } = first.bringUpEni(1);
  first.answer('modify', { action: 'modify' });
  const core = restarted(first, { targets: { floor: 9, headroom: 0, ceiling: 100 } });
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  for (const name of names) core.add(name);
  const free = blocks.map(cidrBase).sort(compareIp);
  expect(names.map((name) => core.addressOf(name))).toEqual(free.slice(0, names.length));
});

test('yes-yes-no, namespace gone: the address cools', () => {
  const first = firstLife();
  const ip = leaseOf(first).addresses[0] as Ip;
  const core = restarted(first);
  expect(core.state.count('lease')).toBe(0);
  expect(core.state.get('address', ip)?.state).toBe('cooling');
});

test('yes-yes-no, namespace there: the unwire is finished before the address cools', () => {
  const first = firstLife();
  const { id } = leaseOf(first);
  const core = restarted(first, { alive: [id] });
  expect(core.effects).toContainEqual(expect.objectContaining({ kind: 'unwire', lease: id }));
  expect(core.state.count('lease')).toBe(0);
});

test('a half-done DEL: a fenced link is unwired, not adopted', () => {
  const first = firstLife();
  const core = restarted(first, { links: [link(first, { fenced: true })], alive: [leaseOf(first).id] });
  expect(core.effects).toContainEqual(expect.objectContaining({ kind: 'unwire', link: link(first).name }));
});

test('yes-no-yes: the cloud took the address, two reads agree: the pod is lost and kept, the address asked for again', () => {
  const first = firstLife();
  const { addresses } = leaseOf(first);
  const core = restarted(first, { links: [link(first)] });
  const eni = eniFacts(
    1,
    ['10.0.1.22/32', '10.0.1.23/32'].map((text) => text as Cidr),
    intentTags(first),
  );
  const listed = [primaryFacts, attached(eni)];
  core.answer('listEnis', { action: 'listEnis', enis: listed });
  expect(leaseOf(core).state).toBe('ready');
  // Calls of the dead process may still land: nothing is believed before the list lag has passed, and then twice.
  for (let reads = 0; reads < 12 && leaseOf(core).state === 'ready'; reads++) {
    core.advance(2_000);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: listed });
  }
  expect(leaseOf(core).state).toBe('lost');
  expect(core.nowMs - first.nowMs).toBeGreaterThan(2 * 2_000);
  expect(core.callOf('assign')?.call).toMatchObject({ blocks: [`${addresses[0]}/32`] });
  core.answer('assign', { action: 'assign', blocks: [`${addresses[0]}/32` as Cidr] });
  expect(leaseOf(core).state).toBe('ready');
});

const attached = (eni: EniFacts): EniFacts => ({
  ...eni,
  attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' },
});

const intentTags = (core: Core) => {
  const row = [...core.state.all('eni')].find((eni) => eni.kind === 'secondary');
  return {
    'underway.dev/cluster': 'test',
    'underway.dev/node': 'n1',
    'underway.dev/instance': 'i-1',
    'underway.dev/intent': row?.key ?? '',
  };
};

test('no-yes-yes, journal intact: the link is fenced and its address cools', () => {
  const first = firstLife();
  const name = linkName(attachmentKey(pod('ghost')));
  const found = link(first, {
    name,
    addresses: ['10.0.1.22' as Ip],
    lease: { id: 'e0-9' as LeaseId, attachment: pod('ghost') },
  });
  const core = restarted(first, { links: [link(first), found] });
  expect(core.effects).toContainEqual(expect.objectContaining({ kind: 'unwire', link: name }));
  expect(core.state.get('address', '10.0.1.22')?.state).toBe('cooling');
});

/** Reads of the cloud until they agree and the node serves; `once` is called after the first. */
function rebuild(core: Core, first: Core, once = (): void => undefined): void {
  const eni = eniFacts(
    1,
    ['10.0.1.21/32', '10.0.1.22/32'].map((text) => text as Cidr),
    intentTags(first),
  );
  const listed = [primaryFacts, attached(eni)];
  core.answerDescribe().answer('listEnis', { action: 'listEnis', enis: listed }).answerSubnets();
  once();
  for (let reads = 0; reads < 8 && core.state.runtime.phase !== 'serving'; reads++) {
    core.advance(2_500);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: listed });
  }
}

test('no-yes-yes, journal lost: the pod is adopted; nothing is handed out until two reads agree', () => {
  const first = firstLife();
  const ip = leaseOf(first).addresses[0] as Ip;
  const core = restarted(first, { lost: true, links: [link(first)] });
  expect(leaseOf(core).state).toBe('lost');
  core.add('b');
  rebuild(core, first, () => expect(core.replyOf('add-b')).toBe('waits'));
  expect([core.state.runtime.phase, leaseOf(core).state, leaseOf(core).addresses]).toEqual(['serving', 'ready', [ip]]);
  expect(core.addressOf('b')).not.toBe(ip);
});

test('journal lost: a DEL that was written down before the start ends the pod that was adopted, but none added again', () => {
  const first = firstLife();
  const askedMs = first.advance(1_000).nowMs;
  const lost = { lost: true, links: [link(first)], nowMs: askedMs + 5_000 };
  const del = { kind: 'del', request: 'del-a' as RequestId, attachment: pod('a'), askedMs } as const;
  const core = restarted(first, lost).send(del);
  expect([core.replyOf('del-a'), core.state.count('lease')]).toEqual(['done', 0]);
  const again = restarted(first, lost);
  rebuild(again, first);
  again.add('a').send(del);
  expect([again.replyOf('add-a'), again.replyOf('del-a'), leaseOf(again).state]).toEqual(['added', 'done', 'ready']);
});

test("journal lost: of the primary's blocks those that our fences name are ours, the others are not", () => {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: TARGETS, fenced: ['10.0.1.20/32' as Cidr] }).start();
  const listed = [{ ...primaryFacts, blocks: ['10.0.1.20/32', '10.0.1.77/32'] as Cidr[] }];
  core.answerDescribe().answer('listEnis', { action: 'listEnis', enis: listed }).answerSubnets();
  for (let reads = 0; reads < 8 && core.state.runtime.phase !== 'serving'; reads++) {
    core.advance(2_500);
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: listed });
  }
  expect([...core.state.all('block')].map(({ id, state }) => [id, state])).toEqual([['10.0.1.20/32', 'ready']]);
  core.add('a');
  expect(core.addressOf('a')).toBe('10.0.1.20');
});

test('a new boot id: every lease is dead without exception, its addresses cool again from now', () => {
  const first = firstLife();
  const ip = leaseOf(first).addresses[0] as Ip;
  const core = restarted(first, { bootId: 'boot-2', nowMs: 5_000, links: [link(first)], alive: [leaseOf(first).id] });
  expect(core.state.count('lease')).toBe(0);
  expect(core.state.get('address', ip)).toMatchObject({ state: 'cooling', sinceMs: 5_000 });
});

test("another instance's journal is not ours", async () => {
  const { isOurs } = await import('../../../src/core/boot.ts');
  const rows = [...firstLife().journal.values()];
  const identity = { cluster: 'test', nodeName: 'n1', instanceId: 'i-2' as never, bootId: '', epoch: '' };
  expect([
    isOurs(rows, identity),
    isOurs(rows, { ...identity, instanceId: 'i-1' as never }),
    isOurs([], identity),
  ]).toEqual([false, true, false]);
});

/** What a successor does with a call that its predecessor had in flight. */
describe('resume after a crash', () => {
  const inFlight = (core: Core): CloudCall['action'][] =>
    core.calls.map(({ call }) => call.action).filter((action) => action !== 'listEnis');

  test('create: the same token and the same parameters', () => {
    const first = new Core({ targets: TARGETS }).serving();
    const made = first.callOf('create');
    const core = restarted(first);
    expect(core.callOf('create')).toEqual(made);
  });

  test('attach: the list decides, and the link is proof', () => {
    const first = new Core({ targets: TARGETS }).serving();
    const create = first.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create');
    const facts = eniFacts(1, ['10.0.1.21/32' as Cidr], create.tags);
    first.answer('create', { action: 'create', eni: facts });
    expect(inFlight(first)).toEqual(['attach']);
    const core = new Core({
      targets: TARGETS,
      rows: [...first.journal.values()],
      epoch: 'e2',
      nowMs: first.nowMs,
    }).start();
    expect(inFlight(core)).toEqual([]);
    core.send({ kind: 'link-seen', ...nic(facts.mac, 1) });
    expect([...core.state.all('eni')].map((eni) => eni.state)).toEqual(['ready', 'ready']);
  });

  test('assign on a cloud without its token: never repeated; two reads after its deadline decide, and what is new is adopted', () => {
    const first = firstLife();
    for (const name of ['b', 'c']) first.add(name);
    expect(inFlight(first)).toContain('assign');
    const links = [link(first)];
    const core = restarted(first, { links });
    expect(inFlight(core)).not.toContain('assign');
    const held = [...first.state.all('block')].map((block) => block.id);
    const eni = eniFacts(1, [...held, '10.0.1.99/32' as Cidr], intentTags(first));
    const listed = [primaryFacts, attached(eni)];
    let assigned = 0;
    for (let reads = 0; reads < 8; reads++) {
      core.advance(3_000);
      if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: listed });
      if (core.nowMs < first.nowMs + 10_000) assigned += inFlight(core).filter((action) => action === 'assign').length;
    }
    expect(assigned).toBe(0);
    expect(core.state.get('block', '10.0.1.99/32')?.state).toBe('ready');
  });
});

test('a start that was throttled before its second read does not wait for a pod to ask: none comes to such a node', () => {
  const rates = { ...CAPABILITIES.rates, listEnis: { burst: 100, perSecond: 0.05 } };
  const fenced = ['10.0.1.20/32' as Cidr];
  const core = new Core({ pool: { primaryEni: 'use' }, fenced, capabilities: { rates } }).start();
  const enis = [{ ...primaryFacts, blocks: fenced }];
  core.answerDescribe().answer('listEnis', { action: 'listEnis', enis }).answerSubnets().advance(2_500);
  core.fail('listEnis', { kind: 'throttled', code: 'RequestLimitExceeded', message: '' });
  for (let reads = 0; reads < 3 && core.state.runtime.phase !== 'serving'; reads++) {
    core.advance(150_000);
    core.answer('listEnis', { action: 'listEnis', enis });
  }
  expect(core.state.runtime.phase).toBe('serving');
});
