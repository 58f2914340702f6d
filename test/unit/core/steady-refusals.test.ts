/** One call is refused in the same way for minutes, and a pod comes each 30 s: what that costs, and what pods hear. */
import type { CloudCall, CloudFailure } from '../../../src/core/cloud.ts';
import { holding } from '../../../src/core/pool.ts';
import type { PoolRow } from '../../../src/core/rows.ts';
import type { Setup } from './harness.ts';
import { DENIED, LOST, PeerNode, REFUSED, THROTTLED } from './peers/node.ts';

type Action = CloudCall['action'];

const TEN_MINUTES = 600_000;
const MISCONFIGURED: CloudFailure = { kind: 'misconfigured', code: 'InvalidGroup.NotFound', message: '' };

class Refused extends PeerNode {
  private readonly action: Action;
  private readonly failure: CloudFailure;
  private pods = 0;

  constructor(action: Action, failure: CloudFailure, setup: Setup = {}) {
    super(setup);
    this.action = action;
    this.failure = failure;
    this.up();
    this.made.length = 0;
    this.withheld.add(action);
  }

  /** How often each call was made. */
  during(ms: number): Partial<Record<Action, number>> {
    for (let passedMs = 0; passedMs < ms; passedMs += 100) {
      if (passedMs % 30_000 === 0) this.add(`p${this.pods++}`, 25_000);
      this.advance(100).settle();
      for (const { call } of [...this.calls]) {
        this.made.push(call);
        this.fail(this.action, this.failure);
      }
    }
    return Object.fromEntries(
      [...Map.groupBy(this.made, ({ action }) => action)].map(([key, all]) => [key, all.length]),
    );
  }

  heard(): string[] {
    return [...new Set([...this.replies.keys()].map((request) => this.replyOf(request)))];
  }
}

test.each([
  ['THROTTLED', THROTTLED],
  ['DENIED', DENIED],
  ['CLOUD_MISCONFIGURED', MISCONFIGURED],
  ['CLOUD_UNREACHABLE', REFUSED],
] as const)('an attach that hears %s keeps its ENI, and serves with it in the end', (code, failure) => {
  const node = new Refused('attach', failure);
  const calls = node.during(TEN_MINUTES);
  expect(calls).toMatchObject({ create: 1 });
  expect([calls.detach, calls.delete, node.heard()]).toEqual([undefined, undefined, [code]]);
  node.withheld.clear();
  node.pass(60_000).add('last').pass(5_000);
  expect(node.served('last')).toEqual([true]);
  expect(node.madeOf('create')).toHaveLength(1);
});

test('creates in doubt that the lists never show were not made: no ENI was in vain', () => {
  const node = new Refused('create', { kind: 'parameterMismatch', code: 'X', message: '' });
  expect(node.during(TEN_MINUTES).create).toBeGreaterThan(10);
  expect(node.heard()).not.toContain('ENIS_IN_VAIN');
});

describe('DeleteOnTermination that cannot be set', () => {
  const kinds = ['ambiguous', 'conflict', 'notFound', 'denied'] as const;
  test.each(kinds)('%s: neither an ENI more, nor a pod less', (kind) => {
    const node = new Refused('modify', { kind, code: 'X', message: '' }, { enis: 2, slots: 21 });
    const calls = node.during(TEN_MINUTES);
    expect(node.heard()).toEqual(['added']);
    expect(calls).toMatchObject({ create: 1 });
    expect(calls.modify).toBeLessThan(60);
    expect(calls.listEnis).toBeLessThan(120);
  });

  test('and is in doubt when the process ends: the next one fills the ENI at once', () => {
    const node = new Refused('modify', LOST, { enis: 2, slots: 21 });
    node.during(1_000);
    node.withheld.clear();
    node.withheld.add('modify');
    const next = node.pass(60_000).restarted();
    next.withheld.add('modify');
    next.add('x').settle();
    expect(next.served('x')).toEqual([true]);
  });
});

test('an unassign in doubt: the pod waits for the slot and is not told that there is none', () => {
  const node = new PeerNode({ enis: 2, slots: 6 }).up().adds('a', 'b', 'c').settle().del('b').del('c');
  node.withheld.add('unassign');
  node.pass(120_000);
  const { free } = holding(node.state, [...node.state.all('pool')][0] as PoolRow, 4);
  node.fail('unassign', LOST);
  for (let n = 0; n < free; n++) node.add(`taken-${n}`);
  node.add('e', 3_000);
  expect(node.replyOf('add-e')).toBe('waits');
  node.pass(4_000);
  expect(node.replyOf('add-e')).toBe('SETTLING');
});

const silent: readonly (readonly [Action, CloudFailure])[] = [
  ['create', { kind: 'notFound', code: 'X', message: '' }],
  ['create', { kind: 'conflict', code: 'X', message: '' }],
  ['create', { kind: 'exhausted', scope: 'eni', code: 'X', message: '' }],
  ['create', { kind: 'exhausted', scope: 'prefix', code: 'X', message: '' }],
  ['assign', { kind: 'exhausted', scope: 'prefix', code: 'X', message: '' }],
  ['listEnis', { kind: 'notFound', code: 'X', message: '' }],
  ['listEnis', { kind: 'conflict', code: 'X', message: '' }],
  ['listEnis', { kind: 'exhausted', scope: 'subnet', code: 'X', message: '' }],
];
test.each(silent)('%s that hears %j is called ever more seldom', (action, failure) => {
  const node = new Refused(action, failure, action === 'assign' ? { pool: { primaryEni: 'use' } } : {});
  if (action === 'listEnis') node.advance(400_000);
  const calls = node.during(TEN_MINUTES);
  expect(calls[action]).toBeGreaterThan(5);
  expect(calls[action]).toBeLessThan(80);
  expect(calls.listEnis ?? 0).toBeLessThan(160);
});
