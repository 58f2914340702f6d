import { Streams } from '../../../providers/memory/random.ts';
import { TokenBucket } from '../../../providers/memory/token-bucket.ts';
import type { Priority } from '../../../src/core/budget.ts';
import { type BudgetAsk, type BudgetLease, BudgetLedger, type Delivery } from '../../../src/core/budget-lease.ts';
import type { CloudAction } from '../../../src/core/cloud.ts';
import { explain } from '../../../src/core/explain.ts';
import { prospect } from '../../../src/core/prospect.ts';
import { Tx } from '../../../src/core/state.ts';
import { Turn } from '../../../src/core/turn.ts';
import { CAPABILITIES, Core } from './harness.ts';

const RATE = { burst: 100, perSecond: 5 };
const RATES = { assign: RATE, create: RATE };
/** A minute after its start a ledger's bucket is full. */
const FULL_MS = 60_000;

const ask = (count: number, priority: Priority = 'top-up', action: CloudAction = 'assign'): BudgetAsk[] => [
  { action, priority, count },
];
const granted = (deliveries: readonly Delivery[]): string[] =>
  deliveries.flatMap(({ node, lease }) => lease.grants.map(({ count }) => `${node} ${count}`));

describe('the ledger', () => {
  test('grants at once what half the burst holds, and the rest as the bucket fills', () => {
    const ledger = new BudgetLedger(RATES, 0);
    for (let n = 0; n < 100; n++) ledger.ask(`n${n}`, ask(1, 'blocked-pod'));
    expect(granted(ledger.deliver(FULL_MS))).toHaveLength(50);
    expect(ledger.nextMs(FULL_MS)).toBe(FULL_MS + 200);
    expect(granted(ledger.deliver(FULL_MS + 1_000))).toHaveLength(5);
  });

  test('the first come is served first among equals; a pod that waits overtakes, and what it needs is kept back', () => {
    const ledger = new BudgetLedger(RATES, 0);
    for (let n = 0; n < 60; n++) ledger.ask(`top-up-${n}`, ask(1));
    const first = granted(ledger.deliver(FULL_MS));
    // A tenth stays for pods that wait.
    expect(first).toHaveLength(45);
    expect(first[0]).toBe('top-up-0 1');
    ledger.ask('late', ask(3, 'blocked-pod'));
    expect(granted(ledger.deliver(FULL_MS))).toEqual(['late 3']);
  });

  test('a second ask keeps its place; one whose pod came to wait moves up', () => {
    const ledger = new BudgetLedger(RATES, 0);
    ledger.ask('a', ask(1));
    ledger.ask('b', ask(1));
    ledger.ask('c', ask(1));
    ledger.ask('a', ask(2));
    ledger.ask('c', ask(1, 'blocked-pod'));
    expect(granted(ledger.deliver(FULL_MS))).toEqual(['c 1', 'a 2', 'b 1']);
  });

  test('who waits is told when once, and again when others overtook it', () => {
    const ledger = new BudgetLedger(RATES, 0);
    ledger.ask('a', ask(1, 'top-up'));
    const told = (nowMs: number) => ledger.deliver(nowMs).map(({ lease }) => lease.expected[0]?.inMs);
    expect(told(0)[0]).toBeCloseTo((1 + 0.1 * 49) * 200, -1);
    expect(told(100)).toEqual([]);
    for (let n = 0; n < 20; n++) ledger.ask(`blocked-${n}`, ask(1, 'blocked-pod'));
    const later = ledger.deliver(3_100).filter(({ node }) => node === 'a');
    expect(later[0]?.lease.expected[0]?.inMs).toBeGreaterThan(2_000);
  });

  test('actions have buckets of their own, and one that has no rate is not leased', () => {
    const ledger = new BudgetLedger(RATES, 0);
    for (let n = 0; n < 60; n++) ledger.ask(`n${n}`, ask(1, 'blocked-pod', 'create'));
    ledger.ask('a', [...ask(1, 'blocked-pod'), ...ask(1, 'blocked-pod', 'tag')]);
    const toA = ledger.deliver(FULL_MS).filter(({ node }) => node === 'a');
    expect(toA.flatMap(({ lease }) => lease.grants.map(({ action }) => action))).toEqual(['assign']);
  });

  test.each([1, 2, 3, 4, 5])(
    'the account never refuses a granted call, however late it is made, also over restarts of the broker (seed %i)',
    (seed) => {
      const streams = new Streams(seed);
      const account = new TokenBucket(RATE, 0);
      const calls: number[] = [];
      let ledger = new BudgetLedger(RATES, 0);
      for (let nowMs = 0; nowMs < 600_000; nowMs += 50) {
        if (streams.uniform('restart') < 0.001) ledger = new BudgetLedger(RATES, nowMs);
        if (streams.uniform('ask') < 0.2)
          ledger.ask(
            `n${streams.pick('node', 40)}`,
            ask(1 + streams.pick('count', 9), streams.pick('p', 2) ? 'top-up' : 'blocked-pod'),
          );
        // Quiet spells let the bucket fill, so that bursts follow.
        if (Math.floor(nowMs / 60_000) % 3 === 2) continue;
        for (const { lease } of ledger.deliver(nowMs))
          for (const { count, forMs } of lease.grants)
            for (let n = 0; n < count; n++) calls.push(nowMs + (streams.pick('late', 2) ? forMs : 0));
      }
      const refused = calls.toSorted((a, b) => a - b).filter((atMs) => account.take(atMs) > 0).length;
      expect(calls.length).toBeGreaterThan(1_500);
      expect(refused).toBe(0);
    },
  );
});

/** A node that serves with an empty pool, and learns of a broker and of its floor. */
function node(floor = 0, epoch = 'e1'): Core {
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, slots: 4, enis: 8, epoch }).serving();
  const pools = [...core.state.all('pool')].map((pool) => ({ ...pool, targets: { ...pool.targets, floor } }));
  return core.send({ kind: 'configured', pools, settings: { ...core.state.runtime.settings, brokered: true } });
}

const leased = (core: Core, lease: Partial<BudgetLease>): Core =>
  core.send({ kind: 'budget-leased', lease: { grants: [], expected: [], ...lease } });
const grant = (core: Core, count: number, forMs = 8_000): Core =>
  leased(core, { grants: [{ action: 'create', count, forMs }] });
const asks = (core: Core): BudgetAsk[] =>
  core.effects.flatMap((effect) => (effect.kind === 'ask-budget' ? effect.asks : []));
const creates = (core: Core): number => core.calls.filter(({ call }) => call.action === 'create').length;
/** How long until there are so many creates, in steps of 100 ms. */
function waitForCreates(core: Core, count: number, atMostMs: number): number {
  const fromMs = core.nowMs;
  while (creates(core) < count && core.nowMs - fromMs < atMostMs) core.advance(100);
  return core.nowMs - fromMs;
}

describe('a node with a broker', () => {
  test('asks once, calls when it is granted, and not before', () => {
    const core = node().add('a');
    expect(asks(core)).toEqual([{ action: 'create', priority: 'blocked-pod', count: 1 }]);
    core.advance(1_000);
    expect([creates(core), asks(core).length]).toEqual([0, 1]);
    grant(core, 1);
    expect(creates(core)).toBe(1);
  });

  test('why a pod waits: the time that the broker told, and who does not hear of it when its call goes alone', () => {
    const core = node().add('a');
    const [pool] = core.state.all('pool');
    if (pool === undefined) throw new Error('no pool');
    const turn = (): Turn => new Turn(new Tx(core.state), { nowMs: core.nowMs, wallMs: 0, capabilities: CAPABILITIES });
    // Nothing was heard yet: after 2 s the pod's call goes without a grant.
    expect(explain(turn(), pool)).toEqual({ code: 'THROTTLED', action: 'create', retryAfterMs: 2_000 });
    leased(core, { expected: [{ action: 'create', inMs: 20_000 }] });
    expect(explain(turn(), pool)).toEqual({ code: 'THROTTLED', action: 'create', retryAfterMs: 20_000 });
    expect(prospect(turn(), pool)).toEqual({ inMs: 22_570, by: 'create' });
    core.advance(5_000);
    expect(explain(turn(), pool)).toMatchObject({ retryAfterMs: 15_000 });
    grant(core, 1);
    expect(explain(turn(), pool)).toMatchObject({ code: 'ATTACHING' });
  });

  test('a top-up that a pod comes to wait for is asked for anew, with that priority', () => {
    const core = node(3);
    core.add('a');
    expect(asks(core).map(({ priority }) => priority)).toEqual(['top-up', 'blocked-pod']);
  });

  test('what is left of a grant is spent until it expires, then it is asked for again', () => {
    const core = node().add('a');
    grant(core, 2, 8_000);
    for (const name of ['b', 'c', 'd']) core.add(name);
    expect(creates(core)).toBe(2);
    const late = node().add('a');
    grant(late, 2, 8_000).advance(8_001);
    const before = asks(late).length;
    for (const name of ['b', 'c', 'd']) late.add(name);
    expect([creates(late), asks(late).length]).toEqual([1, before + 1]);
  });

  test('a pod waits two seconds for a broker that is silent, and the next one not at all', () => {
    const core = node().add('a');
    expect(waitForCreates(core, 1, 60_000)).toBe(2_000);
    for (const name of ['b', 'c', 'd']) core.add(name);
    expect(waitForCreates(core, 2, 60_000)).toBe(0);
  });

  test('a broker that falls silent is obeyed to its last word: the call goes at the time it was promised, and some', () => {
    const core = node(3);
    leased(core, { expected: [{ action: 'create', inMs: 70_000 }] });
    expect(waitForCreates(core, 1, 200_000)).toBe(80_000);
  });

  test('a promise that is put off is waited for', () => {
    const core = node(3);
    leased(core, { expected: [{ action: 'create', inMs: 20_000 }] }).advance(15_000);
    leased(core, { expected: [{ action: 'create', inMs: 20_000 }] });
    expect(waitForCreates(core, 1, 200_000)).toBe(30_000);
  });

  test('who never hears of the broker calls at the floor rate: once in the window of a crowd', () => {
    const firsts = Array.from({ length: 40 }, (_, n) => waitForCreates(node(60, `n${n}`), 1, 300_000));
    expect(Math.min(...firsts)).toBeGreaterThanOrEqual(15_000);
    expect(Math.max(...firsts)).toBeLessThanOrEqual(195_000);
    expect(new Set(firsts).size).toBeGreaterThan(30);
    const core = node(60);
    core.advance(1_800_000);
    // 7 creates of 3 addresses and the attaches between them are wanted; each waits for its place again.
    expect(creates(core)).toBeGreaterThan(3);
    expect(creates(core)).toBeLessThanOrEqual(1_800_000 / 15_000);
  });

  test('without a broker nobody is asked', () => {
    const core = new Core().serving().add('a');
    expect([creates(core), asks(core)]).toEqual([1, []]);
  });
});
