import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { Streams } from '../../../providers/memory/random.ts';
import { Account, wish } from './harness.ts';

/** A few hundred calls of every kind with every fault on, chosen by `seed`; the world after it and what was told. */
function churn(seed: number, placement: 'lowest' | 'scattered' = 'scattered') {
  const account = new Account({ seed, placement });
  const { faults, truth } = account.cloud;
  for (const kind of [
    'throttle',
    'deny',
    'no-prefix',
    'eni-limit',
    'attach-stuck',
    'attach-undone',
    'link-never',
  ] as const)
    faults.arm({ kind }, { rate: 0.05 });
  for (const kind of ['address-taken', 'eni-taken', 'api-down'] as const) faults.arm({ kind }, { rate: 0.02 });
  faults.arm({ kind: 'lost-reply', silent: false }, { rate: 0.05 });
  const dice = new Streams(seed);
  const trace: unknown[] = [];
  const someEni = () => {
    const enis = truth.enis();
    return (enis[dice.pick('eni', enis.length)] ?? account.primary).id;
  };
  const caller = account.node;
  const respond = (answer: unknown) => trace.push(account.clock.nowMs(), answer);
  for (let n = 0; n < 400; n++) {
    const eni = someEni();
    const family = dice.uniform('family') < 0.7 ? 4 : 6;
    const single = dice.uniform('single') < 0.5;
    const length = family === 4 ? (single ? 32 : 28) : single ? 128 : 80;
    const wishes = [wish(family, length, 1 + dice.pick('count', 4))];
    const blocks = truth.eni(eni)?.blocks.filter((cidr) => cidr.includes(':') === (family === 6)) ?? [];
    const call = account.cloud.call.bind(account.cloud);
    switch (dice.pick('action', 7)) {
      case 0:
        call(
          'create-eni',
          { subnet: account.subnet, groups: [], tags: {}, wishes, primary6: !single },
          { caller, respond },
        );
        break;
      case 1:
        call('attach-eni', { eni, instance: account.node }, { caller, respond });
        break;
      case 2:
        call('detach-eni', { eni, force: single }, { caller, respond });
        break;
      case 3:
        call('delete-eni', { eni }, { caller, respond });
        break;
      case 4:
        call('assign', { eni, family, wishes }, { caller, respond });
        break;
      case 5:
        call('unassign', { eni, family, blocks: blocks.slice(0, 2) }, { caller, respond });
        break;
      default:
        call('describe-enis', {}, { caller, respond });
    }
    account.clock.advance(dice.pick('pause', 900));
    expect(account.cloud.invariants()).toEqual([]);
  }
  return { account, text: account.cloud.snapshot(), trace: JSON.stringify([trace, account.facts]) };
}

test('one seed is one run, to the last byte; another seed is another', () => {
  const first = churn(11);
  const again = churn(11);
  expect(again.trace).toBe(first.trace);
  expect(again.text).toBe(first.text);
  expect(churn(12).trace).not.toBe(first.trace);
});

test.each([1, 2, 3, 4, 5])('churn with every fault on keeps the model sound (seed %i)', (seed) => {
  const { account, text } = churn(seed, seed % 2 === 0 ? 'lowest' : 'scattered');
  expect(account.cloud.faults.fired.size).toBeGreaterThan(5);
  expect(text).toContain(`instance ${account.node} m5.large running`);
});

test('with everything deleted the world reads as it did before', () => {
  const account = new Account();
  const before = account.cloud.snapshot();
  const eni = account.attached(1, { wishes: [wish(4, 28, 2), wish(6, 80, 1)], primary6: true });
  account.value('assign', { eni: account.primary.id, family: 4, wishes: [wish(4, 32, 5)] });
  expect(account.cloud.snapshot()).not.toBe(before);
  account.value('unassign', { eni: account.primary.id, family: 4, blocks: account.primary.blocks });
  account.value('detach-eni', { eni: eni.id, force: false });
  account.clock.advance(10_000);
  account.value('delete-eni', { eni: eni.id });
  expect(account.cloud.snapshot()).toBe(before);
});

test('the figures are those the project agreed on', () => {
  expect(AWS_2026.latencyMs).toMatchObject({ create: 133, attach: 438, assign: 294, unassign: 200, describe: 118 });
  expect(AWS_2026.latencyMs).toMatchObject({ detach: 203, delete: 263 });
  expect(AWS_2026.linkSeenMs).toBe(2000);
  const { create, attach, tag, describe } = AWS_2026.buckets;
  expect([create, attach, tag, describe]).toEqual([
    { burst: 100, perSecond: 5 },
    { burst: 50, perSecond: 5 },
    { burst: 100, perSecond: 10 },
    { burst: 100, perSecond: 20 },
  ]);
  expect(AWS_2026.instanceTypes.get('m5.4xlarge')).toMatchObject({ eniCountMax: 8, slotsPerEni: { 4: 30, 6: 30 } });
});
