import type { FaultTerms } from '../../../providers/memory/faults.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { Account, wish } from './harness.ts';

const assigned = (account: Account, caller = account.node) =>
  account.call('assign', { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 1)] }, caller)?.kind;

test('by count: the next calls of that action, then no more', () => {
  const account = new Account();
  account.cloud.faults.arm({ kind: 'throttle' }, { calls: 2, actions: ['assign'] });
  expect(account.call('describe-enis', {})?.kind).toBe('done');
  expect([assigned(account), assigned(account), assigned(account)]).toEqual(['refused', 'refused', 'done']);
  expect(account.cloud.faults.fired.get('throttle')).toBe(2);
});

test('until lifted: every call, of one instance only where so asked', () => {
  const account = new Account();
  const other = account.cloud.launch({ instanceType: 'm5.large', subnet: account.subnet }).id;
  const lift = account.cloud.faults.arm({ kind: 'deny' }, { caller: account.node });
  expect([assigned(account), assigned(account), assigned(account, other)]).toEqual(['refused', 'refused', 'done']);
  lift();
  expect(assigned(account)).toBe('done');
  account.cloud.faults.arm({ kind: 'api-down' });
  expect(assigned(account)).toBe('unreachable');
  account.cloud.faults.clear();
  expect(assigned(account)).toBe('done');
});

test('by chance: as often as the rate says, and leaving one out changes no other draw', () => {
  const run = (rates: readonly [kind: 'throttle' | 'deny', terms: FaultTerms][]) => {
    const account = new Account();
    for (const [kind, terms] of rates) account.cloud.faults.arm({ kind }, terms);
    return Array.from({ length: 300 }, () => {
      account.clock.advance(1000);
      const answer = account.call('describe-enis', {}, account.node);
      return answer?.kind === 'refused' ? answer.refusal.kind : account.clock.nowMs();
    });
  };
  const both = run([
    ['throttle', { rate: 0.2 }],
    ['deny', { rate: 0.1 }],
  ]);
  const one = run([['deny', { rate: 0.1 }]]);
  const denied = (answers: readonly unknown[]) => answers.map((answer) => answer === 'denied');
  const throttled = both.filter((answer) => answer === 'throttled').length;
  expect(throttled).toBeGreaterThan(35);
  expect(throttled).toBeLessThan(85);
  // Where both strike, the throttle is met first; everywhere else the same calls are denied at the same times.
  for (const [at, answer] of both.entries()) if (answer !== 'throttled') expect(answer).toBe(one[at]);
  expect(denied(one).filter(Boolean).length).toBeGreaterThan(15);
});

test('an empty subnet, a fragmented one and an account at its limit', () => {
  const account = new Account();
  const eni = account.primary.id;
  account.cloud.faults.arm({ kind: 'subnet-full', subnet: account.elsewhere }, { calls: 1 });
  account.cloud.faults.arm({ kind: 'no-prefix' }, { calls: 2 });
  expect(account.call('assign', { eni, family: 4, wishes: [wish(4, 32, 1)] })?.kind).toBe('done');
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 28, 1)] }).kind).toBe('no-prefix');
  account.cloud.faults.arm({ kind: 'subnet-full' }, { calls: 1 });
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 32, 1)] })).toMatchObject({
    kind: 'subnet-full',
    free: 0,
  });
  account.cloud.faults.arm({ kind: 'subnet-full' }, { calls: 2 });
  expect(account.refusal('assign', { eni, family: 4, wishes: [wish(4, 28, 1)] }).kind).toBe('no-prefix');
  account.value('assign', { eni, family: 6, wishes: [wish(6, 80, 1)] });
  account.cloud.faults.arm({ kind: 'eni-limit' }, { calls: 1 });
  const create = { subnet: account.subnet, groups: [], tags: {}, wishes: [] };
  expect(account.refusal('create-eni', create).kind).toBe('eni-limit');
  expect(account.cloud.invariants()).toEqual([]);
});

test('a subnet that is full for good says so, and one that refused a call does not', () => {
  const account = new Account();
  const counts = () => account.value('describe-subnets', {}).map(({ freeCount4 }) => freeCount4 > 0);
  account.cloud.faults.arm({ kind: 'subnet-full' }, { calls: 1 });
  expect(counts()).toEqual([true, true]);
  account.cloud.faults.clear();
  const lift = account.cloud.faults.arm({ kind: 'subnet-full', subnet: account.elsewhere });
  expect(counts()).toEqual([true, false]);
  account.cloud.faults.arm({ kind: 'subnet-full' });
  expect(counts()).toEqual([false, false]);
  lift();
  account.cloud.faults.clear();
  expect(counts()).toEqual([true, true]);
});

test('a lost reply is work done; a lost request is not', () => {
  const account = new Account();
  account.cloud.faults.arm({ kind: 'lost-reply', silent: false }, { calls: 1 });
  expect(assigned(account)).toBe('lost');
  expect(account.primary.blocks).toHaveLength(1);
  account.cloud.faults.arm({ kind: 'lost-request', silent: false }, { calls: 1 });
  expect(assigned(account)).toBe('lost');
  expect(account.primary.blocks).toHaveLength(1);
});

test('attach: stuck, undone, its link late or never', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0 } });
  const { faults, truth } = account.cloud;
  const stateAfter = (fault: Parameters<typeof faults.arm>[0], waitMs: number) => {
    faults.arm(fault, { calls: 1 });
    const eni = account.create();
    account.clock.advance(3000);
    account.value('attach-eni', { eni: eni.id, instance: account.node, deviceIndex: 1 });
    account.clock.advance(waitMs);
    const seen = [truth.eni(eni.id)?.attachment?.state ?? 'none', truth.linked(eni.id)];
    account.call('detach-eni', { eni: eni.id, force: true });
    account.clock.advance(10_000);
    expect(truth.eni(eni.id)?.state).toBe('available');
    return seen;
  };
  expect(stateAfter({ kind: 'attach-stuck' }, 600_000)).toEqual(['attaching', false]);
  expect(stateAfter({ kind: 'attach-undone' }, 5000)).toEqual(['none', false]);
  expect(stateAfter({ kind: 'link-never' }, 600_000)).toEqual(['attached', false]);
  expect(stateAfter({ kind: 'link-late', byMs: 30_000 }, 31_000)).toEqual(['attached', false]);
  expect(stateAfter({ kind: 'link-late', byMs: 30_000 }, 32_000)).toEqual(['attached', true]);
  expect(account.cloud.invariants()).toEqual([]);
});

test('somebody else takes an address, or a whole ENI, while the node calls', () => {
  const account = new Account();
  const eni = account.attached(1, { wishes: [wish(4, 32, 2)] });
  account.cloud.faults.arm({ kind: 'address-taken' }, { calls: 1, caller: account.node });
  account.value('describe-enis', {}, account.node);
  expect(account.cloud.truth.eni(eni.id)?.blocks).toHaveLength(1);
  account.cloud.faults.arm({ kind: 'eni-taken' }, { calls: 1, caller: account.node });
  account.value('describe-enis', {}, account.node);
  expect(account.cloud.truth.eni(eni.id)).toBeUndefined();
  expect(account.heard('link-gone')).toHaveLength(1);
  expect(account.cloud.invariants()).toEqual([]);
});

test('a slow cloud is slower, also one without latency of its own', () => {
  const account = new Account({ figures: { ...AWS_2026, spread: 0 } });
  const took = () => {
    const fromMs = account.clock.nowMs();
    account.value('describe-enis', {});
    return account.clock.nowMs() - fromMs;
  };
  expect(took()).toBe(118);
  account.cloud.faults.arm({ kind: 'latency', factor: 10, plusMs: 20 }, { calls: 1 });
  expect(took()).toBe(1200);
  expect(took()).toBe(118);
});
