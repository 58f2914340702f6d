/** A seed that fails is made smaller and still fails; reasons that cannot be true are breaches. */

import type { Pod } from '../../../src/sim/pods.ts';
import { Refusals } from '../../../src/sim/refusals.ts';
import { drawScenario } from '../../../src/sim/scenario.ts';
import { commandOf } from '../../../src/sim/shrink.ts';

test('a failure is told as one command', () => {
  expect(commandOf(7, {})).toBe('npm run sim -- --seed 7');
  expect(commandOf(7, { without: ['crash', 'deny'], unwellMs: 180_000, podsAtOnceMax: 2 })).toBe(
    'npm run sim -- --seed 7 --without crash,deny --minutes 3 --pods 2',
  );
});

const POD = { name: 'pod-1', startedMs: 0 } as Pod;

/** What is wrong with these reasons in a world that denies calls, has no other fault and holds three addresses. */
function judge(healedForMs: number | undefined, ...reasons: Parameters<Refusals['heard']>[2][]): string[] {
  const breaches: string[] = [];
  const scenario = { ...drawScenario(1), faults: new Set(['deny'] as const), settings: { waiterCountMax: 6 } };
  const refusals = new Refusals({
    scenario,
    freeCount: () => 0,
    belies: (code) => (code === 'ADDRESS_LIMIT' ? 'three are held' : undefined),
    nowMs: () => 0,
    breach: (text) => breaches.push(text),
  });
  if (healedForMs !== undefined) refusals.healed(() => healedForMs);
  for (const reason of reasons) refusals.heard(POD, 'add', reason);
  return breaches.map((text) => text.slice(text.lastIndexOf(', ') + 2));
}

test('a reason needs a fault or a limit that is there', () => {
  expect(judge(undefined, { code: 'DENIED', action: 'assign', cloudCode: 'x', retryMs: 0 })).toEqual([]);
  expect(judge(undefined, { code: 'ACCOUNT_QUOTA', cloudCode: 'x', retryMs: 0 })).toEqual(['and nothing was wrong']);
  expect(judge(undefined, { code: 'INTERNAL', detail: 'x' })).toEqual(['and nothing was wrong']);
  expect(judge(undefined, { code: 'QUEUE_FULL', waiting: 6, limit: 6 })).toEqual([]);
  expect(judge(undefined, { code: 'QUEUE_FULL', waiting: 5, limit: 6 })).toEqual(['and the queue was not full']);
});

test('a limit has to be reached', () => {
  expect(judge(undefined, { code: 'CEILING', ceiling: 3, leased: 3, restMs: 0 })).toEqual([]);
  const limit = { code: 'ADDRESS_LIMIT', addresses: 3, limit: 9, leased: 3, restMs: 0 } as const;
  expect(judge(undefined, limit)).toEqual(['and three are held']);
});

test('a healed world refuses nobody but for want of room', () => {
  const denied = { code: 'DENIED', action: 'assign', cloudCode: 'x', retryMs: 0 } as const;
  expect(judge(60_000, denied)).toEqual([]);
  expect(judge(600_000, denied)).toEqual(['in a healed world']);
  expect(judge(600_000, { code: 'CEILING', ceiling: 12, leased: 12, restMs: 5_000 })).toEqual([]);
});
