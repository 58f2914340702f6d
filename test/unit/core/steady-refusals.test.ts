/** One call is refused in the same way for minutes, and a pod comes each 30 s: what that costs, and what pods hear. */
import type { CloudCall, CloudFailure } from '../../../src/core/cloud.ts';
import type { Setup } from './harness.ts';
import { DENIED, PeerNode, REFUSED, THROTTLED } from './peers/node.ts';

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
