import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { Account, wish } from './harness.ts';

const blocksSeen = (account: Account, reads: number): number[] => {
  const seen: number[] = [];
  for (let n = 0; n < reads; n++) {
    const [eni] = account.value('describe-enis', { ids: [account.primary.id] });
    seen.push(eni?.blocks.length ?? -1);
  }
  return seen;
};

const quick = { ...AWS_2026, latencyMs: { ...AWS_2026.latencyMs, describe: 20, assign: 20 }, listLagMs: 2000 };

test('by default reads lag: some show the old, a later one may be older, and after the worst lag all are new', () => {
  const account = new Account({ figures: quick });
  account.value('assign', { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 1)] });
  const seen = blocksSeen(account, 60);
  expect(new Set(seen)).toEqual(new Set([0, 1]));
  expect(seen.some((count, at) => count < (seen[at - 1] ?? 0))).toBe(true);
  account.clock.advance(2000);
  expect(blocksSeen(account, 20)).toEqual(new Array(20).fill(1));
});

test('without lag every read is the truth', () => {
  const account = new Account({ figures: { ...quick, listLagMs: 0 } });
  account.value('assign', { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 1)] });
  expect(blocksSeen(account, 20)).toEqual(new Array(20).fill(1));
});

test('a new ENI is not found by some reads and a deleted one still by others', () => {
  const account = new Account({ figures: { ...quick, listLagMs: 60_000 } });
  const eni = account.create();
  const minuteOfReads = () => {
    const answers = Array.from({ length: 60 }, () => {
      account.clock.advance(1000);
      return account.call('describe-enis', { ids: [eni.id] })?.kind;
    });
    return [...new Set(answers)].sort();
  };
  expect(minuteOfReads()).toEqual(['done', 'refused']);
  expect(minuteOfReads()).toEqual(['done']);
  account.value('delete-eni', { eni: eni.id });
  expect(minuteOfReads()).toEqual(['done', 'refused']);
  expect(minuteOfReads()).toEqual(['refused']);
});

test('a call that names a new ENI may not find it yet, for as long as the lag at most', () => {
  const account = new Account({ figures: { ...quick, freshNotFoundRate: 1, listLagMs: 30_000 } });
  const eni = account.create();
  const attach = { eni: eni.id, instance: account.node, deviceIndex: 1 };
  expect(account.refusal('attach-eni', attach)).toEqual({ kind: 'not-found', what: 'eni', id: eni.id });
  account.clock.advance(30_000);
  account.value('attach-eni', attach);
});

test('the fault makes what is written lag longer than promised', () => {
  const account = new Account({ figures: quick });
  account.cloud.faults.arm({ kind: 'stale-reads', lagMs: 600_000 }, { calls: 1 });
  account.value('assign', { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 1)] });
  account.clock.advance(2000);
  expect(new Set(blocksSeen(account, 20))).toContain(0);
});

test('an ENI is pending after create, then available', () => {
  const account = new Account();
  const eni = account.create();
  expect(eni.state).toBe('pending');
  account.clock.advance(AWS_2026.availableMs);
  expect(account.cloud.truth.eni(eni.id)?.state).toBe('available');
});
