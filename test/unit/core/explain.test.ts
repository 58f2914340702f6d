/**
 * Each reason as the core gives it to a pod: its code, its numbers, and that what it says of the future comes true.
 * The sentences in docs/errors.md are these.
 */

import { readFileSync } from 'node:fs';
import type { RequestId } from '../../../src/core/brand.ts';
import type { CloudFailure } from '../../../src/core/cloud.ts';
import { NO_REPAIR } from '../../../src/core/events.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import { type Prospect, prospect } from '../../../src/core/prospect.ts';
import { REASON_CODES, type Reason, type ReasonCode, reasonText } from '../../../src/core/reasons.ts';
import { Tx } from '../../../src/core/state.ts';
import { Turn } from '../../../src/core/turn.ts';
import { CAPABILITIES, Core, configured, eniFacts, pod, primaryFacts, type Setup } from './harness.ts';

const TIGHT = { floor: 0, headroom: 0, ceiling: 1_000 };

/** What the pod was refused with. */
function heard(core: Core, name: string): Reason {
  const reply = core.replies.get(`add-${name}`);
  if (reply?.kind !== 'refused') throw new Error(`${name}: ${core.replyOf(`add-${name}`)}`);
  return reply.reason;
}

function expected(core: Core): Prospect | undefined {
  const [row] = core.state.all('pool');
  if (row === undefined) throw new Error('no pool');
  return prospect(new Turn(new Tx(core.state), { nowMs: core.nowMs, wallMs: 0, capabilities: CAPABILITIES }), row);
}

/** A node that keeps nothing warm; its next pod needs a new ENI, whose create is in flight. */
const asking = (setup: Setup = {}): Core => new Core({ targets: TIGHT, ...setup }).serving().add('a', 10_000);

/** A node with one ENI of `slots` on which as many pods as fit run; no other ENI can be had. */
function full(setup: Setup = {}): Core {
  const core = new Core({ targets: TIGHT, enis: 2, slots: 3, ...setup }).serving();
  core.add('p1').add('p2');
  core.bringUpEni(1);
  if (core.callOf('assign') !== undefined)
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.22/32' as Cidr] });
  core.answer('modify', { action: 'modify' });
  expect([core.replyOf('add-p1'), core.replyOf('add-p2')]).toEqual(['added', 'added']);
  return core;
}

describe('a refusal that waiting does not end is said at once, with when it is tried again', () => {
  const refusals: readonly (readonly [CloudFailure, Partial<Reason>])[] = [
    [
      { kind: 'denied', code: 'Un', message: '' },
      { code: 'DENIED', action: 'create', cloudCode: 'Un', retryMs: 30_000 },
    ],
    [
      { kind: 'exhausted', scope: 'account', code: 'Quota', message: '' },
      { code: 'ACCOUNT_QUOTA', cloudCode: 'Quota', retryMs: 30_000 },
    ],
    [
      { kind: 'exhausted', scope: 'subnet', code: 'Full', message: '' },
      { code: 'SUBNET_EXHAUSTED', subnets: ['subnet-a' as never], waiting: 1, retryMs: 30_000 },
    ],
    [
      { kind: 'misconfigured', code: 'Gone', message: 'no such subnet' },
      { code: 'CLOUD_MISCONFIGURED', action: 'create', cloudCode: 'Gone', detail: 'no such subnet', retryMs: 30_000 },
    ],
  ];
  test.each(refusals)('%j', (failure, reason) => {
    const core = asking().fail('create', failure);
    // Fewer may be left than were asked for: that is read first.
    if (core.callOf('listSubnets') !== undefined) core.answerSubnets();
    expect(heard(core, 'a')).toMatchObject(reason);
    expect(expected(core)).toMatchObject({ by: 'create', inMs: expect.any(Number) });
    // And so it is.
    core.advance(29_000).add('b');
    expect(core.callOf('create')).toBeUndefined();
    core.advance(2_000).add('c');
    expect(core.callOf('create')).toBeDefined();
  });
});

describe('what passes is waited for, and said at the deadline', () => {
  test('THROTTLED: until the budget lets the call go', () => {
    const core = asking();
    core.fail('create', { kind: 'throttled', code: 'Rate', message: '', retryAfterMs: 20_000 });
    core.advance(10_000);
    const reason = heard(core, 'a');
    expect(reason).toMatchObject({ code: 'THROTTLED', action: 'create' });
    const { retryAfterMs } = reason as Extract<Reason, { code: 'THROTTLED' }>;
    expect(retryAfterMs).toBeGreaterThanOrEqual(10_000);
    core.add('b').advance(retryAfterMs - 500);
    expect(core.callOf('create')).toBeUndefined();
    core.advance(1_000);
    expect(core.callOf('create')).toBeDefined();
  });

  test('CLOUD_UNREACHABLE: a create is sent again with its token; an assign not before it is clear what was done', () => {
    const core = full({ slots: 10 });
    core.add('a', 1_000);
    core.fail('assign', { kind: 'ambiguous', code: 'ETIMEDOUT', message: 'connect ETIMEDOUT' }).advance(1_000);
    expect(heard(core, 'a')).toEqual({
      code: 'CLOUD_UNREACHABLE',
      action: 'assign',
      detail: 'connect ETIMEDOUT',
      retryMs: CAPABILITIES.callDeadlineMs - 999,
    });
    expect(expected(core)).toMatchObject({ by: 'listEnis' });
  });

  test('ASSIGNING: an answer that is slow is no reason to blame the subnet', () => {
    const core = full({ slots: 10 });
    core.add('a', 1_400).advance(1_400);
    expect(heard(core, 'a')).toEqual({ code: 'ASSIGNING', forMs: 1_399, etaMs: 0 });
  });

  test('ATTACHING: the ENI’s way in milliseconds, and what it waits for', () => {
    const core = asking();
    expect(expected(core)).toEqual({ by: 'create', inMs: 2_570 });
    core.answer('create', { action: 'create', eni: eniFacts(1, ['10.0.1.21/32' as Cidr], tagsOf(core)) });
    expect(expected(core)).toEqual({ by: 'attach', inMs: 2_440 });
    core.answer('attach', { action: 'attach' });
    expect(expected(core)).toEqual({ by: 'link', inMs: 2_000 });
    core.advance(1_500);
    expect(expected(core)).toEqual({ by: 'link', inMs: 500 });
    core.advance(8_500);
    expect(heard(core, 'a')).toEqual({ code: 'ATTACHING', forMs: 9_999, etaMs: 0 });
    expect(expected(core)).toEqual({ by: 'link', inMs: 0, lateMs: 8_000 });
  });

  test('ATTACH_STUCK, while its link may yet come: how long it has been waited for, and until when it is', () => {
    const core = asking();
    core.answer('create', { action: 'create', eni: eniFacts(1, ['10.0.1.21/32' as Cidr], tagsOf(core)) });
    core.answer('attach', { action: 'attach' }).advance(10_000).add('b', 10_000).advance(10_000);
    const etaMs = expect.any(Number);
    expect(heard(core, 'b')).toEqual({ code: 'ATTACH_STUCK', eni: 'eni-1', waitedMs: 20_000, leftMs: 25_000, etaMs });
    expect(reasonText(heard(core, 'b'))).toContain('was attached 20 s ago and its link has not appeared');
    // And so it is: for one that has the whole of an ADD's time another one is made.
    core.add('c').advance(25_000);
    expect(core.callOf('detach')?.call).toMatchObject({ eni: 'eni-1', force: true });
    core.answer('detach', { action: 'detach' });
    expect(core.callOf('create')).toBeDefined();
    expect(core.replyOf('add-c')).toBe('waits');
  });

  test('ATTACH_STUCK: which ENI, how long it was waited for, and when another one should serve', () => {
    const core = asking();
    core.answer('create', { action: 'create', eni: eniFacts(1, ['10.0.1.21/32' as Cidr], tagsOf(core)) });
    core.answer('attach', { action: 'attach' });
    core.advance(45_500).add('b', 1_000).advance(1_000);
    expect(heard(core, 'b')).toMatchObject({ code: 'ATTACH_STUCK', eni: 'eni-1', waitedMs: 45_000 });
    expect((heard(core, 'b') as Extract<Reason, { code: 'ATTACH_STUCK' }>).etaMs).toBeLessThan(3_000);
  });

  test('COOLING: how many rest and until when the first does, and then it is handed out', () => {
    const core = full();
    core.del('p1').del('p2').add('a', 1_000).advance(1_000);
    expect(heard(core, 'a')).toEqual({ code: 'COOLING', cooling: 2, nextMs: 4_000 });
    expect(expected(core)).toEqual({ by: 'cooldown', inMs: 3_999 });
    core.add('b').advance(3_900);
    expect(core.replyOf('add-b')).toBe('waits');
    core.advance(100);
    expect(core.replyOf('add-b')).toBe('added');
  });

  test('COOLING, unflushed: the longer rest is said', () => {
    const core = full();
    core.held.add('flush');
    core.del('p1').advance(2_000);
    core.send({ kind: 'flushed', addresses: ['10.0.1.21' as Ip], marks: [], done: false });
    core.add('a', 1_000).advance(1_000);
    expect(heard(core, 'a')).toEqual({ code: 'COOLING', cooling: 1, nextMs: 117_000 });
  });

  test('NO_PREFIX: the deadline comes while single addresses are asked for instead', () => {
    const core = asking({ pool: { prefixes: 'prefer', primaryEni: 'use' } });
    core.fail('assign', { kind: 'exhausted', scope: 'prefix', code: 'Fragmented', message: '' });
    core.advance(10_000);
    expect(heard(core, 'a')).toEqual({ code: 'NO_PREFIX', subnet: 'subnet-a', prefixLength: 28, retryMs: 50_001 });
  });
});

describe('nothing can be asked for: what has to end first', () => {
  test('ADDRESS_LIMIT', () => {
    const core = full().add('a');
    expect(heard(core, 'a')).toEqual({ code: 'ADDRESS_LIMIT', addresses: 2, limit: 2, leased: 2, restMs: 5_000 });
    expect(expected(core)).toBeUndefined();
  });

  test('CEILING', () => {
    const core = full({ targets: { ...TIGHT, ceiling: 2 }, slots: 10 }).add('a');
    expect(heard(core, 'a')).toEqual({ code: 'CEILING', ceiling: 2, leased: 2, restMs: 5_000 });
  });

  test('CEILING, also where the last new ENI was refused: another would not have helped', () => {
    const core = full({ enis: 3 }).add('a');
    core.fail('create', { kind: 'exhausted', scope: 'instance', code: 'AttachmentLimitExceeded', message: '' });
    expect(heard(core, 'a').code).toBe('ADDRESS_LIMIT');
    core.send(configured({ targets: { ...TIGHT, ceiling: 2 } })).add('b');
    expect(heard(core, 'b')).toEqual({ code: 'CEILING', ceiling: 2, leased: 2, restMs: 5_000 });
  });

  test('a pod with an address of each family is one pod', () => {
    const dual = { families: [4, 6] as const, primaryEni: 'use' } as const;
    const core = new Core({ targets: { ...TIGHT, ceiling: 1 }, pool: dual }).serving().add('p1');
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.21/32' as Cidr] });
    core.answer('assign', { action: 'assign', blocks: ['2001:db8::21/128' as Cidr] });
    expect(core.replyOf('add-p1')).toBe('added');
    core.add('a');
    expect(heard(core, 'a')).toEqual({ code: 'CEILING', ceiling: 1, leased: 1, restMs: 5_000 });
    core.del('p1').add('b', 1_000).advance(1_000);
    expect(heard(core, 'b')).toMatchObject({ code: 'COOLING', cooling: 1 });
  });

  test('ADDRESS_LIMIT counts the addresses of one family, as pods do', () => {
    const dual = { families: [4, 6] as const, primaryEni: 'use' } as const;
    const core = new Core({ targets: TIGHT, pool: dual, slots: 2, enis: 1 }).serving().add('p1');
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.21/32' as Cidr] });
    core.answer('assign', { action: 'assign', blocks: ['2001:db8::21/128' as Cidr] });
    core.add('a');
    core.answer('assign', { action: 'assign', blocks: ['2001:db8::22/128' as Cidr] });
    expect(heard(core, 'a')).toEqual({
      code: 'ADDRESS_LIMIT',
      addresses: 1,
      limit: 1,
      leased: 1,
      restMs: 5_000,
      missing: 4,
    });
  });

  test('ENI_LIMIT: the ENIs that are not ours', () => {
    const core = new Core({ enis: 2, targets: TIGHT }).start().answerDescribe();
    const foreign = { ...eniFacts(5, [], {}), attachment: { ...primaryFacts.attachment, deviceIndex: 1 } };
    const enis = [primaryFacts, foreign as never];
    core.answer('listEnis', { action: 'listEnis', enis }).answerSubnets();
    for (let reads = 0; reads < 8 && core.state.runtime.phase !== 'serving'; reads++) {
      core.advance(2_000);
      if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis });
    }
    core.add('a');
    expect(heard(core, 'a')).toEqual({
      code: 'ENI_LIMIT',
      instanceType: 'test.large',
      attached: 2,
      limit: 2,
      foreign: 1,
      leased: 0,
      restMs: 5_000,
    });
  });

  test('a failure of a minute ago does not hide that the node is full now', () => {
    const core = full({ slots: 4 });
    core.add('a', 60_000);
    core.fail('assign', { kind: 'throttled', code: 'Rate', message: '' }).advance(30_000);
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.40/32' as Cidr] });
    expect(core.replyOf('add-a')).toBe('added');
    core.add('b');
    expect(heard(core, 'b').code).toBe('ADDRESS_LIMIT');
  });

  test('QUEUE_FULL', () => {
    const core = asking({ settings: { waiterCountMax: 1 } }).add('b');
    expect(heard(core, 'b')).toEqual({ code: 'QUEUE_FULL', waiting: 1, limit: 1 });
  });
});

test('metadata that does not answer are told from a cloud that does not', () => {
  const failures: readonly CloudFailure[] = [
    { kind: 'transient', source: 'metadata', code: 'X', message: 'no answer' },
    { kind: 'transient', code: 'MetadataUnreachable', message: 'no answer' },
  ];
  const codes = failures.map((failure) => {
    const core = new Core().start().add('a', 1_000).fail('describeNode', failure).advance(1_000);
    return heard(core, 'a').code;
  });
  expect(codes).toEqual(['METADATA_UNREACHABLE', 'CLOUD_UNREACHABLE']);
});

test('a pod that is deleted while it waits is told so, and is asked for no more', () => {
  const core = asking().del('a');
  expect(heard(core, 'a')).toEqual({ code: 'DELETED_MEANWHILE' });
  expect(core.state.leaseOf(`underway/${pod('a').containerId}/eth0` as never)).toBeUndefined();
});

test('until it serves, STATUS says what it is at, or what a read of the cloud failed by', () => {
  const core = new Core();
  core.held.add('sync');
  const said = (): Reason | undefined => {
    core.send({ kind: 'status', request: 'status' as RequestId });
    const reply = core.replies.get('status');
    return reply?.kind === 'refused' ? reply.reason : undefined;
  };
  const at = (detail: string): Reason => ({ code: 'DAEMON_STARTING', detail });
  expect(said()).toEqual(at('reading the kernel'));
  core.start();
  expect(said()).toEqual(at('reading node from the cloud'));
  core.fail('describeNode', { kind: 'denied', code: 'UnauthorizedOperation', message: '' });
  expect(said()).toMatchObject({ code: 'DENIED', action: 'describeNode' });
  core.advance(60_000).answerDescribe();
  expect(said()).toEqual(at('reading enis from the cloud'));
  core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts] });
  expect(said()).toEqual(at('reading subnets from the cloud'));
  core.answerSubnets();
  expect(said()).toEqual(at('writing routes and rules into the kernel'));
  for (const effect of core.effects.filter(({ kind }) => kind === 'sync')) core.finish(effect);
  expect(said()).toBeUndefined();
});

const tagsOf = (core: Core) => {
  const create = core.callOf('create')?.call;
  if (create?.action !== 'create') throw new Error('no create is in flight');
  return create.tags;
};

/** One of each, as docs/errors.md shows it. */
const SAMPLES: { readonly [C in ReasonCode]: Extract<Reason, { readonly code: C }> | Reason } = {
  SUBNET_EXHAUSTED: {
    code: 'SUBNET_EXHAUSTED',
    subnets: ['subnet-0a1b' as never],
    waiting: 3,
    idleElsewhere: 0,
    retryMs: 24_000,
  },
  NO_PREFIX: { code: 'NO_PREFIX', subnet: 'subnet-0a1b' as never, prefixLength: 28, retryMs: 60_000 },
  ENI_LIMIT: {
    code: 'ENI_LIMIT',
    instanceType: 't3.micro',
    attached: 2,
    limit: 2,
    foreign: 1,
    leased: 1,
    restMs: 5_000,
  },
  ADDRESS_LIMIT: { code: 'ADDRESS_LIMIT', addresses: 27, limit: 27, leased: 27, restMs: 5_000 },
  CEILING: { code: 'CEILING', ceiling: 30, leased: 30, restMs: 5_000 },
  ACCOUNT_QUOTA: { code: 'ACCOUNT_QUOTA', cloudCode: 'NetworkInterfaceLimitExceeded', retryMs: 28_000 },
  THROTTLED: { code: 'THROTTLED', action: 'assign', retryAfterMs: 3_200 },
  DENIED: { code: 'DENIED', action: 'assign', cloudCode: 'UnauthorizedOperation', retryMs: 28_000 },
  ATTACHING: { code: 'ATTACHING', forMs: 970, etaMs: 1_600 },
  ASSIGNING: { code: 'ASSIGNING', forMs: 1_399, etaMs: 0 },
  ATTACH_STUCK: { code: 'ATTACH_STUCK', eni: 'eni-0c2d', waitedMs: 20_100, leftMs: 24_900, etaMs: 27_470 },
  ENIS_IN_VAIN: { code: 'ENIS_IN_VAIN', made: 3, retryMs: 24_000 },
  SETTLING: { code: 'SETTLING', action: 'assign', untilMs: 7_400 },
  COOLING: { code: 'COOLING', cooling: 4, nextMs: 2_500 },
  CLOUD_MISCONFIGURED: {
    code: 'CLOUD_MISCONFIGURED',
    action: 'create',
    cloudCode: 'InvalidSubnetID.NotFound',
    detail: "The subnet ID 'subnet-0a1b' does not exist",
    retryMs: 30_000,
  },
  CLOUD_UNREACHABLE: { code: 'CLOUD_UNREACHABLE', action: 'assign', detail: 'connect ETIMEDOUT', retryMs: 8_000 },
  METADATA_UNREACHABLE: { code: 'METADATA_UNREACHABLE', detail: 'no answer within 2 s', retryMs: 1_000 },
  DAEMON_STARTING: { code: 'DAEMON_STARTING', detail: 'reading enis from the cloud' },
  JOURNAL_UNWRITABLE: { code: 'JOURNAL_UNWRITABLE', detail: 'database or disk is full' },
  QUEUE_FULL: { code: 'QUEUE_FULL', waiting: 1_024, limit: 1_024 },
  DELETED_MEANWHILE: { code: 'DELETED_MEANWHILE' },
  KERNEL: { code: 'KERNEL', step: 'put address 10.0.1.23', errno: 'ENOMEM' },
  NETNS_GONE: { code: 'NETNS_GONE', netns: '/var/run/netns/cni-1' },
  IFNAME_TAKEN: { code: 'IFNAME_TAKEN', ifname: 'eth0', netns: '/var/run/netns/cni-1' },
  ADDRESS_LOST: { code: 'ADDRESS_LOST', address: '10.0.1.23' as Ip, eni: 'eni-1', again: true },
  DATAPATH_REPAIRED: {
    code: 'DATAPATH_REPAIRED',
    steps: 4,
    restored: ['rule 710 fwmark 0x2/0x7f lookup 7702', 'route unreachable 10.0.1.9/32 in table local'],
  },
  NOT_AS_WIRED: { code: 'NOT_AS_WIRED', problems: ['eth0 is down'] },
  CONFIG_INVALID: {
    code: 'CONFIG_INVALID',
    detail: 'pool.targets.floor must be a whole number from 0 to 65536; it is "many"',
  },
  BAD_REQUEST: {
    code: 'BAD_REQUEST',
    detail: "CNI_NETNS /proc/1/ns/net is the node's own network namespace: a pod needs one of its own",
  },
  INTERNAL: { code: 'INTERNAL', detail: 'the cloud answered NewCode to assign: what nobody knows' },
};

/** What is asked of the kernel is refused, each time. */
function refuseSyncs(core: Core, ms: number): void {
  for (let passed = 0; passed < ms; passed += 1_000) {
    const { inFlight } = core.state.runtime.sync;
    const failure = { step: 'put nft-table', errno: 'EOPNOTSUPP' };
    if (inFlight !== undefined) core.send({ kind: 'synced', sync: inFlight, changed: NO_REPAIR, damaged: [], failure });
    core.advance(1_000);
  }
}

test('a kernel that takes nothing is named, not the cloud that gave', () => {
  const core = new Core({ pool: { primaryEni: 'use' }, targets: { floor: 0, headroom: 0, ceiling: 9 } }).serving();
  core.held.add('sync');
  core.add('a');
  core.answer('assign', { action: 'assign', blocks: ['10.0.1.20/32' as Cidr] });
  refuseSyncs(core, 61_000);
  expect(core.replies.get('add-a')).toEqual({
    kind: 'refused',
    reason: { code: 'KERNEL', step: 'put nft-table', errno: 'EOPNOTSUPP' },
  });
});

test.each(REASON_CODES)('docs/errors.md shows the sentence of %s', (code) => {
  const page = readFileSync(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
  const section = (page.split(/^## /m).find((text) => text.startsWith(`${code}\n`)) ?? '').replace(/\s+/g, ' ');
  expect(section).toContain(`**Example**: \`${reasonText(SAMPLES[code])}\``);
  for (const part of ['**Means**', '**By itself**', '**To do**', '**Example**']) expect(section).toContain(part);
});
