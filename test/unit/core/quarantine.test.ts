/**
 * Addresses in doubt: set apart by `doubted`, neither handed out nor given back, and free again after the next boot.
 */
import { attachmentKey } from '../../../src/core/brand.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { holding } from '../../../src/core/pool.ts';
import { Core, eniFacts, nic, pod, type Setup } from './harness.ts';

const TARGETS = { floor: 0, headroom: 2, ceiling: 100 };
const [A, B, C] = ['10.0.1.21', '10.0.1.22', '10.0.1.23'] as Ip[] as [Ip, Ip, Ip];

/** A node with one ENI of three addresses, of which pod `a` has the first. */
function firstLife(): Core {
  const core = new Core({ targets: { ...TARGETS, headroom: 3 } }).serving();
  core.bringUpEni(1);
  return core.answer('modify', { action: 'modify' }).add('a');
}

/** The process after its third breach, which named these. */
function doubting(first: Core, addresses: readonly Ip[], setup: Setup = {}): Core {
  const core = new Core({
    targets: TARGETS,
    rows: [...first.journal.values()],
    epoch: 'e2',
    nowMs: first.nowMs,
    ...setup,
  });
  core.send({ kind: 'doubted', addresses });
  core.start();
  return core.send({ kind: 'link-seen', ...nic(eniFacts(1, [], {}).mac, 1) });
}

const wiredLinks = (core: Core): NonNullable<Setup['links']> =>
  [...core.state.all('lease')].map(({ id, attachment, addresses, linkIndex }) => ({
    name: linkName(attachmentKey(attachment)),
    index: linkIndex,
    fenced: false,
    lease: { id, attachment },
    addresses,
    mtu: 9_001,
  }));

const stateOf = (core: Core, ip: Ip): string => core.state.get('address', ip)?.state ?? 'free';

const held = (core: Core) => {
  const [pool] = core.state.all('pool');
  if (pool === undefined) throw new Error('no pool');
  return holding(core.state, pool, 4);
};

test('a free address that is quarantined is never handed out: the next pod gets another', () => {
  const first = firstLife();
  const core = doubting(first, [B], { links: wiredLinks(first) });
  expect([stateOf(core, A), stateOf(core, B)]).toEqual(['held', 'quarantined']);
  core.add('b');
  expect(core.addressOf('b')).toBe(C);
  core.add('c');
  expect(core.replyOf('add-c')).toBe('waits');
});

test('it is counted apart: neither free nor in use, and another is fetched in its place', () => {
  const first = firstLife();
  const core = doubting(first, [B, C], { links: wiredLinks(first) });
  expect(held(core)).toMatchObject({ total: 3, leased: 1, free: 0, quarantined: 2 });
  expect(core.calls.map(({ call }) => call.action)).toContain('create');
});

test('it is never given back, whatever the surplus, and neither is its ENI', () => {
  const first = firstLife();
  first.del('a').advance(40_000);
  const core = doubting(first, [B], { targets: { floor: 0, headroom: 0, ceiling: 100 } });
  const gone: Cidr[] = [];
  for (let minutes = 0; minutes < 30; minutes++) {
    core.advance(60_000);
    const call = core.callOf('unassign')?.call;
    if (call?.action !== 'unassign') continue;
    gone.push(...call.blocks);
    core.answer('unassign', { action: 'unassign' });
  }
  expect(gone).toContain(`${C}/32`);
  expect(gone).not.toContain(`${B}/32`);
  expect(core.callOf('detach')).toBeUndefined();
  expect(stateOf(core, B)).toBe('quarantined');
});

test('a pod on it runs on, gets nothing new, and its DEL works; the address stays set apart', () => {
  const first = firstLife();
  const core = doubting(first, [A], { links: wiredLinks(first) });
  expect(core.state.leaseOf(attachmentKey(pod('a')))?.state).toBe('ready');
  core.add('a');
  expect(core.replyOf('add-a')).toBe('INTERNAL');
  core.check('a');
  expect(core.replyOf('check-a')).toBe('done');
  core.del('a');
  expect(core.replyOf('del-a')).toBe('done');
  expect(core.state.count('lease')).toBe(0);
  core.advance(600_000);
  expect(stateOf(core, A)).toBe('quarantined');
});

test('a restart keeps it; the next boot, on which nobody can be using it, lets it cool', () => {
  const first = firstLife();
  const second = doubting(first, [B]);
  const third = doubting(second, []);
  expect(stateOf(third, B)).toBe('quarantined');
  const booted = doubting(third, [], { bootId: 'boot-2', nowMs: 5_000 });
  expect(booted.state.get('address', B)).toMatchObject({ state: 'cooling', sinceMs: 5_000 });
  booted.advance(200_000);
  expect(stateOf(booted, B)).toBe('free');
});

test('two leases of one address, which broke every start: both are deleted in peace, and the node serves', () => {
  const first = firstLife();
  const twin = [...first.journal.values()].find(({ table }) => table === 'lease');
  if (twin === undefined) throw new Error('no lease');
  const attachment = pod('twin');
  const row = { ...(twin.row as object), id: 'e1-999', key: attachmentKey(attachment), attachment };
  first.journal.set('lease e1-999', { table: 'lease', key: 'e1-999', row });
  const rows = [...first.journal.values()];
  const alive = ['e1-999', twin.key];
  const setup = { targets: TARGETS, rows, epoch: 'e2', nowMs: first.nowMs };
  expect(() => new Core(setup).start(alive)).toThrow('one live lease an address');
  const core = new Core(setup);
  core.send({ kind: 'doubted', addresses: [A] }).start(alive);
  expect(core.state.count('lease')).toBe(0);
  core.send({ kind: 'link-seen', ...nic(eniFacts(1, [], {}).mac, 1) }).add('b');
  expect(core.replyOf('add-b')).toBe('added');
  expect(core.addressOf('b')).not.toBe(A);
});

test('an address that is none of ours is nobody to set apart', () => {
  const first = firstLife();
  const core = doubting(first, ['192.0.2.1' as Ip]);
  expect(core.state.get('address', '192.0.2.1')).toBeUndefined();
});

test('one that is on its way back to the cloud goes there', () => {
  const first = firstLife();
  const rows = [...first.journal.values()].map((row) =>
    row.table === 'block' && row.key === `${B}/32`
      ? { ...row, row: { ...(row.row as object), state: 'releasing' } }
      : row,
  );
  const core = doubting(first, [B, C], { rows, links: wiredLinks(first) });
  expect([stateOf(core, B), stateOf(core, C)]).toEqual(['free', 'quarantined']);
});
