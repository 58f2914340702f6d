import { readyAtMs, tokensAt } from '../../../src/core/budget.ts';
import type { BudgetRow } from '../../../src/core/rows.ts';

const rate = { burst: 100, perSecond: 5 };
const bucket = (change: Partial<BudgetRow> = {}): BudgetRow => ({
  action: 'assign',
  tokens: 0,
  atMs: 0,
  share: 1,
  notBeforeMs: 0,
  ...change,
});

test('tokens grow with time up to the burst', () => {
  expect(tokensAt(bucket(), rate, 1_000)).toBe(5);
  expect(tokensAt(bucket(), rate, 60_000)).toBe(100);
  expect(tokensAt(bucket({ share: 0.5 }), rate, 1_000)).toBe(2.5);
});

test('a blocked pod waits for one token, a release for the reserve too', () => {
  expect(readyAtMs(bucket(), rate, 'blocked-pod', 0)).toBe(200);
  expect(readyAtMs(bucket({ tokens: 20 }), rate, 'blocked-pod', 0)).toBe(0);
  expect(readyAtMs(bucket({ tokens: 20 }), rate, 'release', 0)).toBe(Math.ceil(((1 + 0.3 * 99 - 20) / 5) * 1000));
});

test('a throttled action waits as long as the cloud said', () => {
  expect(readyAtMs(bucket({ tokens: 50, notBeforeMs: 3_000 }), rate, 'blocked-pod', 0)).toBe(3_000);
});
