import { AWS_2026, withoutLatency } from '../../../providers/memory/figures.ts';
import type { EniId } from '../../../src/core/brand.ts';
import { Account, cidr, wish } from './harness.ts';

test('a call takes effect within it, and its answer comes after', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0 } });
  let answeredMs = 0;
  const request = { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 2)] } as const;
  account.cloud.call('assign', request, {
    respond: () => {
      answeredMs = account.clock.nowMs();
    },
  });
  expect(account.primary.blocks).toEqual([]);
  account.clock.advance(293);
  expect(account.primary.blocks).toHaveLength(2);
  expect(answeredMs).toBe(0);
  account.clock.advance(1);
  expect(answeredMs).toBe(294);
});

test('each action has a bucket of the account: burst, then a steady rate', () => {
  const account = new Account({ figures: withoutLatency(AWS_2026) });
  const attempts = (count: number) =>
    Array.from(
      { length: count },
      () =>
        account.call('create-eni', {
          subnet: account.subnet,
          groups: [],
          tags: {},
          wishes: [],
        })?.kind,
    ).filter((kind) => kind === 'done').length;
  expect(attempts(120)).toBe(100);
  expect(account.refusal('create-eni', { subnet: account.subnet, groups: [], tags: {}, wishes: [] })).toEqual({
    kind: 'throttled',
    action: 'create-eni',
    retryAfterMs: 200,
  });
  account.clock.advance(1000);
  expect(attempts(10)).toBe(5);
  account.clock.advance(1_000_000);
  expect(attempts(120)).toBe(100);
  expect(account.call('describe-enis', {})?.kind).toBe('done');
});

test('IPv4 and IPv6 assigns have buckets of their own', () => {
  const figures = withoutLatency(AWS_2026);
  const account = new Account({
    figures: { ...figures, buckets: { ...figures.buckets, assign: { burst: 1, perSecond: 1 } } },
  });
  const eni = account.primary.id;
  account.value('assign', { eni, family: 4, wishes: [wish(4, 32, 1)] });
  account.value('assign', { eni, family: 6, wishes: [wish(6, 80, 1)] });
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 32, 1)] }).kind).toBe('throttled');
});

test('an ENI in a subnet without IPv4 has no IPv4 address, and one of IPv6 unasked where it is asked for none', () => {
  const account = new Account();
  const subnet = account.cloud.addSubnet({ vpc: account.vpc, zone: 'a', cidr6: cidr('2001:db8:7:6::/64') }).id;
  const made = [[], [wish(6, 128, 2)], [wish(6, 80, 1)]].map((wishes) => account.create({ subnet, wishes }));
  expect(made.map(({ blocks }) => blocks.map((block) => block.slice(block.indexOf('/'))))).toEqual([
    ['/128'],
    ['/128', '/128'],
    ['/80'],
  ]);
  expect(made.flatMap(({ primary4, primary6 }) => [primary4, primary6])).toEqual(Array(6).fill(undefined));
  expect(account.create({ subnet, primary6: true }).primary6).toMatch(/^2001:db8:7:6::/);
  const [eni] = made;
  expect(account.refusal('assign', { eni: eni?.id as EniId, family: 4, wishes: [wish(4, 32, 1)] }).kind).toBe(
    'invalid',
  );
  const { id } = account.cloud.launch({ instanceType: 'm5.large', subnet });
  expect(account.cloud.truth.enisOf(id)).toMatchObject([{ primary6: expect.stringMatching(/^2001:db8:7:6::/) }]);
  expect(account.value('describe-subnets', { ids: [subnet] })).toMatchObject([{ freeCount4: 0 }]);
  expect(account.cloud.invariants()).toEqual([]);
});

test('a refused create gives back every address it took on the way', () => {
  const account = new Account();
  const free = account.cloud.truth.freeCount(account.subnet);
  const refusal = account.refusal('create-eni', {
    subnet: account.subnet,
    groups: [],
    tags: {},
    wishes: [wish(4, 32, 40)],
    blocks: [cidr('10.0.1.200/32'), cidr('10.0.1.4/32')],
  });
  expect(refusal).toEqual({ kind: 'address-in-use', address: '10.0.1.4/32' });
  expect(account.cloud.truth.freeCount(account.subnet)).toBe(free);
  expect(account.cloud.invariants()).toEqual([]);
});

test('a client token makes one ENI; other parameters with it are refused', () => {
  const account = new Account();
  const first = account.create({ token: 't-1', tags: { a: '1', b: '2' } });
  expect(account.create({ token: 't-1', tags: { b: '2', a: '1' } })).toEqual(first);
  expect(account.create({ token: 't-2' }).id).not.toBe(first.id);
  const other = { subnet: account.subnet, groups: [], tags: {}, wishes: [wish(4, 32, 1)], token: 't-1' };
  expect(account.refusal('create-eni', other)).toEqual({ kind: 'token-mismatch', token: 't-1' });
});

test('attach is refused for zone, index, limits and a terminated instance', () => {
  const account = new Account();
  const instance = account.node;
  const far = account.create({ subnet: account.elsewhere });
  const near = account.create();
  const full = account.create({ wishes: [wish(4, 32, 12)] });
  account.clock.advance(3000);
  expect(account.refusal('attach-eni', { eni: far.id, instance, deviceIndex: 1 }).kind).toBe('zone-mismatch');
  expect(account.refusal('attach-eni', { eni: full.id, instance, deviceIndex: 1 }).kind).toBe('address-limit');
  expect(account.refusal('attach-eni', { eni: near.id, instance, deviceIndex: 0 }).kind).toBe('device-index-in-use');
  account.value('attach-eni', { eni: near.id, instance, deviceIndex: 1 });
  account.attached(2);
  const third = account.create();
  account.clock.advance(3000);
  expect(account.refusal('attach-eni', { eni: third.id, instance, deviceIndex: 3 })).toEqual({
    kind: 'attachment-limit',
    instance,
    max: 3,
  });
  account.cloud.terminate(instance);
  expect(account.refusal('attach-eni', { eni: third.id, instance, deviceIndex: 3 }).kind).toBe('instance-state');
});

test('the cloud picks the lowest free device index when nobody does', () => {
  const account = new Account();
  account.attached(1);
  const eni = account.create();
  account.clock.advance(3000);
  expect(account.value('attach-eni', { eni: eni.id, instance: account.node }).deviceIndex).toBe(2);
});

test('delete waits for the detach; the primary is never detached', () => {
  const account = new Account();
  const eni = account.attached(1);
  expect(account.refusal('delete-eni', { eni: eni.id })).toMatchObject({ kind: 'eni-in-use', state: 'attached' });
  account.value('detach-eni', { eni: eni.id, force: false });
  expect(account.refusal('delete-eni', { eni: eni.id })).toMatchObject({ kind: 'eni-in-use', state: 'detaching' });
  expect(account.refusal('detach-eni', { eni: eni.id, force: false }).kind).toBe('attachment-state');
  account.clock.advance(10_000);
  account.value('delete-eni', { eni: eni.id });
  expect(account.refusal('detach-eni', { eni: account.primary.id, force: true }).kind).toBe('primary-eni');
});

test('a link does not appear on an ENI that is being detached', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0, detachedMs: 60_000 } });
  const eni = account.create();
  account.clock.advance(3000);
  account.value('attach-eni', { eni: eni.id, instance: account.node, deviceIndex: 1 });
  account.value('detach-eni', { eni: eni.id, force: true });
  account.clock.advance(30_000);
  expect(account.cloud.truth.eni(eni.id)?.attachment?.state).toBe('detaching');
  expect(account.heard('link-seen')).toEqual([]);
});

test('detach takes the attachment by its id, too', () => {
  const account = new Account();
  const eni = account.attached(1);
  const attachment = account.cloud.truth.eni(eni.id)?.attachment?.id ?? '';
  account.value('detach-eni', { attachment, force: false });
  expect(account.refusal('detach-eni', { attachment: 'eni-attach-0', force: false })).toMatchObject({
    kind: 'not-found',
    what: 'attachment',
  });
});

test('unassign of something absent leaves the others where they are', () => {
  const account = new Account();
  const eni = account.primary.id;
  const blocks = account.value('assign', { eni, family: 4, wishes: [wish(4, 32, 2)] });
  const absent = cidr('10.0.1.99/32');
  expect(account.refusal('unassign', { eni, family: 4, blocks: [...blocks, absent] })).toEqual({
    kind: 'address-not-on-eni',
    eni,
    missing: [absent],
  });
  expect(account.primary.blocks).toEqual(blocks);
  const own = cidr(`${account.primary.primary4}/32`);
  expect(account.refusal('unassign', { eni, family: 4, blocks: [own] }).kind).toBe('primary-address');
});

test('AllowReassignment steals a live secondary address, but never a primary one', () => {
  const account = new Account();
  const victim = account.attached(1, { wishes: [wish(4, 32, 2)] });
  const [stolen, kept] = victim.blocks;
  if (stolen === undefined || kept === undefined) throw new Error('no blocks');
  const eni = account.primary.id;
  const ask = (block: typeof stolen) => ({ eni, family: 4, wishes: [], blocks: [block], reassign: true }) as const;
  expect(account.value('assign', ask(stolen))).toEqual([stolen]);
  expect(account.cloud.truth.eni(victim.id)?.blocks).toEqual([kept]);
  expect(account.refusal('assign', ask(cidr(`${victim.primary4}/32`))).kind).toBe('address-in-use');
  expect(account.refusal('assign', { ...ask(kept), reassign: false }).kind).toBe('address-in-use');
  expect(account.cloud.invariants()).toEqual([]);
});

test("an ENI has the largest type's slots while it belongs to nobody, its instance's after that", () => {
  const account = new Account();
  const eni = account.create().id;
  account.clock.advance(3000);
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 32, 50)] })).toMatchObject({
    kind: 'address-limit',
    max: 50,
  });
  account.value('assign', { eni, family: 4, wishes: [wish(4, 32, 9)] });
  account.value('attach-eni', { eni, instance: account.node, deviceIndex: 1 });
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 32, 1)] })).toMatchObject({
    kind: 'address-limit',
    max: 10,
  });
});

test("routes: one a destination, an ENI as target, the VPC's own never replaced", () => {
  const account = new Account();
  const table = account.cloud.truth.routeTableOf(account.subnet)?.id ?? '';
  const destination = cidr('10.9.0.0/24');
  const target = { kind: 'eni', eni: account.primary.id } as const;
  account.value('create-route', { table, destination, target });
  expect(account.refusal('create-route', { table, destination, target }).kind).toBe('route-exists');
  expect(account.refusal('replace-route', { table, destination: cidr('10.0.0.0/16'), target }).kind).toBe('invalid');
  const nobody = { kind: 'eni', eni: 'eni-0' as EniId } as const;
  expect(account.refusal('replace-route', { table, destination, target: nobody }).kind).toBe('not-found');
  account.value('delete-route', { table, destination });
  expect(account.refusal('delete-route', { table, destination })).toMatchObject({ kind: 'not-found', what: 'route' });
  expect(account.heard('route-table')).toHaveLength(2);
});

test('a subnet is routed by its own table, or by the main one', () => {
  const account = new Account();
  const { cloud, vpc } = account;
  const main = cloud.truth.routeTableOf(account.subnet);
  const own = cloud.addRouteTable({
    vpc,
    subnets: [account.subnet],
    routes: [[cidr('0.0.0.0/0'), { kind: 'internet' }]],
  });
  expect(main?.main).toBe(true);
  expect(cloud.truth.routeTableOf(account.subnet)?.id).toBe(own.id);
  expect(cloud.truth.routeTableOf(account.elsewhere)?.id).toBe(main?.id);
  cloud.addRouteTable({ vpc, subnets: [account.subnet], routes: [] });
  expect(cloud.truth.routeTables().filter(({ subnets }) => subnets.includes(account.subnet))).toHaveLength(1);
});

test('an instance that ends takes its own ENIs along and leaves the others available', () => {
  const account = new Account();
  const kept = account.attached(1);
  const dying = account.attached(2);
  account.value('modify-eni', { eni: dying.id, deleteOnTermination: true });
  const primary = account.primary.id;
  account.cloud.terminate(account.node);
  expect(account.cloud.truth.enis().map(({ id }) => id)).toEqual([kept.id]);
  expect(account.cloud.truth.eni(kept.id)).toMatchObject({ state: 'available' });
  expect(account.heard('link-gone').map((fact) => 'instance' in fact && fact.instance)).toEqual(
    [primary, kept.id, dying.id].map(() => account.node),
  );
  expect(account.cloud.invariants()).toEqual([]);
});

test('the fabric hears of every address, link and check, in order', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0 } });
  const eni = account.attached(1, { wishes: [wish(4, 32, 1)] });
  account.value('modify-eni', { eni: eni.id, sourceDestCheck: false });
  account.value('unassign', { eni: eni.id, family: 4, blocks: eni.blocks });
  account.value('detach-eni', { eni: eni.id, force: false });
  account.clock.advance(10_000);
  account.value('delete-eni', { eni: eni.id });
  expect(account.facts.map(({ kind }) => kind)).toEqual([
    'eni-created',
    'address-added',
    'address-added',
    'link-seen',
    'source-dest-check',
    'address-removed',
    'link-gone',
    'address-removed',
    'eni-deleted',
  ]);
});

test('the link is seen two seconds after the attach answered', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0 } });
  const eni = account.create();
  account.clock.advance(3000);
  account.value('attach-eni', { eni: eni.id, instance: account.node, deviceIndex: 1 });
  account.clock.advance(1999);
  expect(account.cloud.truth.linked(eni.id)).toBe(false);
  account.clock.advance(1);
  expect(account.cloud.truth.linked(eni.id)).toBe(true);
});
