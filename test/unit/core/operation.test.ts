/** Every row of the resume table (design section 5): a lost answer, a crash, and a refusal of the repeated call. */
import type { CloudCall, CloudFailure } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { Core, eniFacts, primaryFacts, type Setup } from './harness.ts';

const LOST: CloudFailure = { kind: 'ambiguous', code: 'timeout', message: 'no answer' };
const THROTTLED: CloudFailure = { kind: 'throttled', code: 'RequestLimitExceeded', message: '' };
const DENIED: CloudFailure = { kind: 'denied', code: 'UnauthorizedOperation', message: '' };

const count = (core: Core, action: CloudCall['action']): number =>
  core.calls.filter(({ call }) => call.action === action).length;

/** Lets time pass until the action is called, at most two minutes. */
function until(core: Core, action: CloudCall['action']) {
  for (let waitedMs = 0; core.callOf(action) === undefined && waitedMs < 120_000; waitedMs += 100) core.advance(100);
  const found = core.callOf(action);
  if (found === undefined) throw new Error(`${action} was never called again`);
  return found;
}

/** One secondary ENI with the addresses of `names`, serving; DeleteOnTermination is set. */
function withEni(setup: Setup, names: readonly string[]): Core {
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, ...setup }).serving();
  for (const name of names) core.add(name);
  return core;
}

describe('create', () => {
  test('a lost answer: the same call with the same token, and one ENI', () => {
    const core = withEni({}, ['a']);
    const first = core.callOf('create');
    core.fail('create', LOST);
    expect(until(core, 'create')).toEqual(first);
    core.bringUpEni(1);
    expect([core.replyOf('add-a'), count(core, 'create')]).toEqual(['added', 0]);
  });

  test.each([
    ['throttled', THROTTLED],
    ['transient', { ...LOST, kind: 'transient' } as CloudFailure],
  ])('a repeat that is %s says nothing of the first attempt: the token is kept', (_, refusal) => {
    const core = withEni({}, ['a']);
    const first = core.callOf('create');
    core.fail('create', LOST);
    until(core, 'create');
    core.fail('create', refusal);
    expect(until(core, 'create')).toEqual(first);
  });

  test('a repeat that is refused for good: found by its intent tag, never made anew before two reads agree', () => {
    const core = withEni({}, ['a']);
    const { call } = core.callOf('create') ?? {};
    core.fail('create', LOST);
    until(core, 'create');
    core.fail('create', DENIED);
    expect(count(core, 'create')).toBe(0);
    const facts = eniFacts(1, ['10.0.1.21/32' as Cidr], call?.action === 'create' ? call.tags : {});
    until(core, 'listEnis');
    core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts, facts] });
    expect(core.callOf('attach')?.call).toMatchObject({ eni: facts.id });
    expect(count(core, 'create')).toBe(0);
  });

  test('parameters that the cloud does not recognise: searched for, not repeated', () => {
    const core = withEni({}, ['a']);
    core.fail('create', { kind: 'parameterMismatch', code: 'IdempotentParameterMismatch', message: '' });
    core.advance(5_000);
    expect(count(core, 'create')).toBe(0);
    until(core, 'listEnis');
  });
});

describe('attach', () => {
  test('a device index that is refused is left to whoever has it; any other refusal asks for the same one again', () => {
    const core = withEni({}, ['a']);
    const { call } = until(core, 'create');
    const facts = eniFacts(1, ['10.0.1.21/32' as Cidr], call.action === 'create' ? call.tags : {});
    core.answer('create', { action: 'create', eni: facts });
    const asked = (['transient', 'transient', 'conflict', 'transient', 'conflict', 'transient'] as const).map(
      (kind) => {
        const { call: attach } = until(core, 'attach');
        core.fail('attach', { kind, code: 'No', message: '' });
        return attach.action === 'attach' ? attach.deviceIndex : undefined;
      },
    );
    expect(asked).toEqual([1, 1, 1, 2, 2, 3]);
  });
});

describe('assign', () => {
  /** An ENI that is asked for one more address. */
  const asked = (setup: Setup = {}): Core => {
    const core = withEni(setup, ['a']);
    core.bringUpEni(1);
    core.answer('modify', { action: 'modify' });
    return core.add('b');
  };

  test('without a token a lost answer is read, adopted, and never repeated', () => {
    const core = asked();
    const held = [core.addressOf('a') ?? '', '10.0.1.31'].map((ip) => `${ip}/32` as Cidr);
    core.fail('assign', LOST);
    const facts = {
      ...eniFacts(1, held, {}),
      attachment: { instance: 'i-1' as never, deviceIndex: 1, state: 'attached' as const },
    };
    for (let reads = 0; reads < 2; reads++) {
      until(core, 'listEnis');
      expect(count(core, 'assign')).toBe(0);
      core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts, facts] });
    }
    expect([core.replyOf('add-b'), core.addressOf('b'), count(core, 'assign')]).toEqual(['added', '10.0.1.31', 0]);
  });

  test('with a token it is repeated, also after the repeat was throttled', () => {
    const core = asked({ capabilities: { token: { create: true, assign: true } } });
    const first = core.callOf('assign');
    core.fail('assign', LOST);
    expect(until(core, 'assign')).toEqual(first);
    core.fail('assign', THROTTLED);
    expect(until(core, 'assign')).toEqual(first);
  });

  test('fewer blocks than asked for are used, and the rest is asked for', () => {
    const core = asked();
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.31/32' as Cidr] });
    core.add('c').add('d').add('e');
    const wanted = (): number => {
      const call = core.callOf('assign')?.call;
      return call?.action === 'assign' ? call.wish.count : 0;
    };
    core.answer('assign', { action: 'assign', blocks: ['10.0.1.32/32' as Cidr] });
    expect(core.replyOf('add-c')).toBe('added');
    expect(wanted()).toBe(2);
  });

  test('an answer without a single block is a full subnet, not a reason to ask again at once', () => {
    const core = asked();
    core.answer('assign', { action: 'assign', blocks: [] });
    expect(count(core, 'assign')).toBe(0);
    core.advance(20_000);
    expect(count(core, 'assign')).toBe(0);
  });
});

describe('unassign', () => {
  /** A pod and three free addresses that the pool no longer wants: they are given back one minute later. */
  const releasing = (): Core => {
    const core = withEni({ targets: { floor: 4, headroom: 0, ceiling: 100 } }, []);
    core.bringUpEni(1);
    core.answer('modify', { action: 'modify' }).add('a');
    const pools = [...core.state.all('pool')].map((pool) => ({ ...pool, targets: { ...pool.targets, floor: 0 } }));
    core.send({ kind: 'configured', pools, settings: core.state.runtime.settings });
    until(core, 'unassign');
    return core;
  };
  const releasingBlocks = (core: Core) => [...core.state.all('block')].filter(({ state }) => state === 'releasing');

  test('a repeat that is throttled does not undo what may be done: the address is never handed out', () => {
    const core = releasing();
    const blocks = releasingBlocks(core).length;
    expect(blocks).toBeGreaterThan(0);
    core.fail('unassign', LOST);
    until(core, 'unassign');
    core.fail('unassign', THROTTLED);
    expect(releasingBlocks(core)).toHaveLength(blocks);
    until(core, 'unassign');
    core.answer('unassign', { action: 'unassign' });
    expect(releasingBlocks(core)).toHaveLength(0);
  });

  test('one that was surely not done gives the addresses back to the pool', () => {
    const core = releasing();
    core.fail('unassign', THROTTLED);
    expect(releasingBlocks(core)).toHaveLength(0);
  });
});

describe('a guard on new ENIs', () => {
  const three = (n: number): Cidr[] => [1, 2, 3].map((at) => `10.0.1.${n * 20 + at}/32` as Cidr);

  /** An ENI that is made, attached, and whose link never comes. */
  function inVain(core: Core, n: number): void {
    const create = core.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create');
    core.answer('create', { action: 'create', eni: eniFacts(n, three(n), create.tags) });
    core.answer('attach', { action: 'attach' });
    until(core, 'detach');
    core.answer('detach', { action: 'detach' });
    until(core, 'delete');
    core.answer('delete', { action: 'delete' });
  }

  test('ENIs that never serve are made ever more rarely', () => {
    const core = new Core({ targets: { floor: 3, headroom: 0, ceiling: 100 } }).serving();
    const madeMs: number[] = [];
    for (let n = 1; n <= 7; n++) {
      for (let waited = 0; core.callOf('create') === undefined && waited < 6_000; waited++) core.advance(100);
      madeMs.push(core.nowMs);
      inVain(core, n);
    }
    core.add('a');
    expect(core.replies.get('add-a')).toMatchObject({ kind: 'refused', reason: { code: 'ENIS_IN_VAIN', made: 7 } });
    const gaps = madeMs.slice(1).map((at, n) => at - (madeMs[n] ?? 0));
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(240_000);
    expect(gaps).toEqual(gaps.toSorted((a, b) => a - b));
  });

  test('one that serves ends the count', () => {
    const core = new Core({ targets: { floor: 3, headroom: 0, ceiling: 100 } }).serving();
    inVain(core, 1);
    until(core, 'create');
    inVain(core, 2);
    until(core, 'create');
    core.bringUpEni(3);
    expect(core.state.get('budget', 'create')?.inVain).toBeUndefined();
  });

  test('never more ENIs at once than the instance takes, those being deleted among them', () => {
    const core = new Core({ enis: 2, targets: { floor: 3, headroom: 0, ceiling: 100 } }).serving();
    const create = core.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create');
    core.answer('create', { action: 'create', eni: eniFacts(1, three(1), create.tags) });
    core.answer('attach', { action: 'attach' });
    until(core, 'detach');
    core.answer('detach', { action: 'detach' });
    until(core, 'delete');
    core.fail('delete', DENIED);
    core.advance(300_000);
    expect(count(core, 'create')).toBe(0);
  });
});

test('the cloud is down for half an hour: pods that come and go inside the pool notice nothing', () => {
  const core = new Core({
    targets: { floor: 12, headroom: 4, ceiling: 12 },
    slots: 20,
    settings: { cooldownMs: 30_000 },
  }).serving();
  core.bringUpEni(1);
  const down: CloudFailure = { kind: 'transient', code: 'ECONNREFUSED', message: '' };
  const refused: string[] = [];
  const fromMs = core.nowMs;
  for (let n = 0; core.nowMs - fromMs < 1_800_000; n++) {
    core.add(`p${n}`);
    if (core.replyOf(`add-p${n}`) !== 'added') refused.push(core.replyOf(`add-p${n}`));
    if (n >= 4) core.del(`p${n - 4}`);
    core.advance(5_000);
    for (const { call } of [...core.calls]) core.fail(call.action, down);
  }
  expect(refused).toEqual([]);
});

test('reads are coalesced: however many wishes for a list there are, one is in flight', () => {
  const core = withEni({}, ['a', 'b', 'c']);
  while (core.callOf('create') !== undefined) core.fail('create', { ...LOST, kind: 'notFound' });
  expect(count(core, 'listEnis')).toBeLessThanOrEqual(1);
});
