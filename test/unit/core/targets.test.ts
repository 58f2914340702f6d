/** What targets come to, in words; and the words against what the core really does. */
import type { RequestId } from '../../../src/core/brand.ts';
import type { InstanceLimits } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import type { PoolRow } from '../../../src/core/rows.ts';
import { judgeTargets, type TargetsQuestion } from '../../../src/core/targets.ts';
import { CAPABILITIES, Core, pod } from './harness.ts';

type Asked = Partial<PoolRow['targets']> & {
  readonly pool?: Partial<TargetsQuestion['pool']>;
  readonly limits?: Partial<InstanceLimits>;
};

function judge({ floor = 0, headroom = 0, ceiling = 1_024, pool = {}, limits = {} }: Asked) {
  return judgeTargets({
    pool: { families: [4], prefixes: 'never', primaryEni: 'use', targets: { floor, headroom, ceiling }, ...pool },
    limits: { instanceType: 'm5.large', eniCountMax: 3, slotsPerEni: { 4: 10, 6: 10 }, prefixes: true, ...limits },
    capabilities: CAPABILITIES,
  });
}

const say = (asked: Asked): string => judge(asked).sentence;
const warned = (asked: Asked): readonly string[] => {
  const verdict = judge(asked);
  return verdict.accepted ? verdict.warnings : [`refused: ${verdict.sentence}`];
};

test('the effect is one sentence, with the ENIs, the addresses and the burst', () => {
  expect(say({ floor: 9, headroom: 6 })).toBe(
    "m5.large: 1 ENI, 9 addresses; absorbs a burst of 6 pods without a cloud call (9 without a wait); grows to 3 ENIs, 27 addresses (the instance's limit)",
  );
  expect(say({ floor: 8, headroom: 8, ceiling: 20 })).toBe(
    'm5.large: 1 ENI, 8 addresses; absorbs a burst of 4 pods without a cloud call (8 without a wait); grows to 3 ENIs, 20 addresses (the ceiling)',
  );
  expect(say({ floor: 12, headroom: 2, pool: { primaryEni: 'skip' } })).toMatch(
    /^m5.large: 2 ENIs, 12 addresses; absorbs a burst of 11 pods .* grows to 2 ENIs, 18 addresses/,
  );
});

test('prefixes come whole: 16 addresses for the first, an IPv6 one for every pod a node can have', () => {
  expect(say({ floor: 9, headroom: 6, pool: { prefixes: 'prefer' } })).toBe(
    "m5.large: 1 ENI, 16 addresses; absorbs a burst of 13 pods without a cloud call (16 without a wait); grows to 3 ENIs, 432 addresses (the instance's limit)",
  );
  expect(say({ floor: 4, pool: { families: [4, 6] } })).toMatch(/1 ENI, 4 addresses of each family/);
});

test('headroom that is learned says what it is now', () => {
  const targets = { floor: 3, headroom: 'auto', ceiling: 20 } as const;
  const sentence = judgeTargets({
    pool: { families: [4], prefixes: 'never', primaryEni: 'use', targets },
    learned: 7,
    limits: { instanceType: 'm5.large', eniCountMax: 3, slotsPerEni: { 4: 10, 6: 10 }, prefixes: true },
    capabilities: CAPABILITIES,
  }).sentence;
  expect(sentence).toMatch(
    /1 ENI, 7 addresses; absorbs a burst of 3 pods .*learned from the node's own arrivals, 7 now$/,
  );
});

test.each<{ readonly asked: Asked; readonly says: RegExp }>([
  { asked: { floor: 20, ceiling: 10 }, says: /^floor 20 is above ceiling 10/ },
  {
    asked: { floor: 28 },
    says: /^floor 28 cannot be had: m5.large holds at most 27 addresses \(3 ENIs of 9\): lower it to 27, or set pool.prefixes to prefer$/,
  },
  {
    asked: { floor: 28, limits: { prefixes: false }, pool: { primaryEni: 'skip' } },
    says: /at most 18 addresses \(2 ENIs of 9\): lower it to 18, or set pool.primaryEni to use$/,
  },
  { asked: { pool: { primaryEni: 'skip' }, limits: { eniCountMax: 1 } }, says: /one ENI only.*primaryEni is skip/ },
  { asked: { pool: { families: [4, 6] }, limits: { slotsPerEni: { 4: 10, 6: 0 } } }, says: /no IPv6 addresses/ },
])('what cannot be is refused: $says', ({ asked, says }) => {
  const verdict = judge(asked);
  expect(verdict.accepted).toBe(false);
  expect(verdict.sentence).toMatch(says);
});

test('what can be and is hardly meant is warned of', () => {
  expect(warned({})).toEqual(['floor and headroom are 0: every pod waits for the cloud']);
  expect(warned({ headroom: 40 })).toEqual([expect.stringMatching(/headroom 40 is never reached.*at most 27/)]);
  expect(warned({ floor: 1, pool: { prefixes: 'prefer' }, limits: { prefixes: false } })).toEqual([
    'm5.large takes no prefixes: single addresses are used',
  ]);
  expect(warned({ floor: 8, headroom: 8 })).toEqual([]);
});

/** A node of 3 ENIs x 6 slots that skips its primary, its pool brought to rest; the cloud gives all it is asked for. */
class Resting {
  readonly core: Core;
  private next = 1;

  constructor(targets: PoolRow['targets']) {
    this.core = new Core({ targets, slots: 6, enis: 3 }).serving();
    this.feed();
  }

  /** Answers everything in flight until nothing is; answers how many calls for addresses there were. */
  feed(): number {
    let calls = 0;
    for (;;) {
      const [first] = this.core.calls;
      if (first === undefined) return calls;
      const { call } = first;
      if (call.action === 'create') {
        this.core.bringUpEni(this.next++);
        calls++;
      } else if (call.action === 'assign') {
        const at = this.next++ * 20;
        const blocks = Array.from({ length: call.wish.count }, (_, n) => `10.0.1.${at + n}/32` as Cidr);
        this.core.answer('assign', { action: 'assign', blocks });
        calls++;
      } else if (call.action === 'modify') this.core.answer('modify', { action: 'modify' });
      else throw new Error(`nobody expects ${call.action}`);
    }
  }

  get addressCount(): number {
    return this.core.state.count('block');
  }

  get eniCount(): number {
    return [...this.core.state.all('eni')].filter((eni) => eni.kind === 'secondary').length;
  }
}

const GRID = [0, 1, 3, 4, 7].flatMap((floor) =>
  [0, 1, 2, 5, 8].flatMap((headroom) => [7, 9, 50].map((ceiling) => ({ floor, headroom, ceiling }))),
);

test.each(GRID)('as said so done: floor $floor, headroom $headroom, ceiling $ceiling', (targets) => {
  const verdict = judge({ ...targets, pool: { primaryEni: 'skip' }, limits: { slotsPerEni: { 4: 6, 6: 6 } } });
  if (!verdict.accepted) throw new Error(verdict.sentence);
  const { effect } = verdict;
  const resting = new Resting(targets);
  expect([resting.eniCount, resting.addressCount]).toEqual([effect.eniCount, effect.addressCount]);
  for (let pod = 0; pod < effect.silentBurst; pod++) resting.core.add(`p${pod}`);
  expect(resting.core.calls).toEqual([]);
  for (let pod = effect.silentBurst; pod < effect.burst; pod++) resting.core.add(`p${pod}`);
  const replies = Array.from({ length: effect.burst }, (_, pod) => resting.core.replyOf(`add-p${pod}`));
  expect(replies).toEqual(replies.map(() => 'added'));
  if (effect.silentBurst < effect.burst) expect(resting.core.calls).not.toEqual([]);
});

test('the grid’s pools grow to what was said, and not further', () => {
  for (const targets of GRID) {
    const verdict = judge({ ...targets, pool: { primaryEni: 'skip' }, limits: { slotsPerEni: { 4: 6, 6: 6 } } });
    if (!verdict.accepted) throw new Error(verdict.sentence);
    const resting = new Resting(targets);
    for (let pod = 0; pod < 12; pod++) resting.core.add(`p${pod}`);
    resting.feed();
    expect(resting.addressCount).toBe(verdict.effect.addressCountMax);
  }
});

test('what headroom: auto learns is pods: one that is refused, and asks again with each new sandbox, is one', () => {
  const targets = { floor: 0, headroom: 'auto', ceiling: 5 } as const;
  const core = new Core({ pool: { primaryEni: 'use' }, targets, enis: 1 }).serving();
  const ask = (name: string, sandbox: number) =>
    core.send({
      kind: 'add',
      request: `${name}-${sandbox}` as RequestId,
      attachment: { ...pod(name), containerId: `${name}-${sandbox}` },
      netns: { path: `/ns/${name}-${sandbox}`, id: `4:${name}-${sandbox}` },
      pod: { namespace: 'default', name, uid: name },
      deadlineMs: core.nowMs + 60_000,
    });
  for (let sandbox = 0; sandbox < 20; sandbox++) {
    for (const name of ['a', 'b', 'c', 'd']) ask(name, sandbox);
    core.advance(2);
    if (core.callOf('assign')) core.fail('assign', { kind: 'denied', code: 'UnauthorizedOperation', message: 'no' });
    expect(core.replyOf(`a-${sandbox}`)).toBe('DENIED');
    core.advance(12_000);
  }
  const learnt = () => {
    const { count, sizes } = core.state.get('forecast', 'default') ?? { count: 0, sizes: [] };
    return [count, sizes.length];
  };
  expect(learnt()).toEqual([4, 0]);
  ask('e', 0);
  expect(learnt()).toEqual([1, 1]);
});
