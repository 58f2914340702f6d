/** EC2 does not mark the own IPv6 address of a primary ENI: its adapter takes the first that is listed, which may be ours. */
import type { EniFacts } from '../../../src/core/cloud.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import { isPresent, primaryOf } from '../../../src/core/pool.ts';
import { Core, primaryFacts } from './harness.ts';

const OURS = '2001:db8::21' as Ip;
const THEIRS = '2001:db8::99' as Ip;

/** Pod `a` waits for the address that was asked for on a primary ENI without one of its own. */
const waiting = (): Core =>
  new Core({
    pool: { families: [6], primaryEni: 'use' },
    targets: { floor: 0, headroom: 0, ceiling: 100 },
  })
    .serving()
    .add('a');
const assigned = (): Core => waiting().answer('assign', { action: 'assign', blocks: [`${OURS}/128` as Cidr] });

const own = ({ state }: Core): Ip | undefined => {
  const primary = primaryOf(state);
  return primary !== undefined && isPresent(primary) ? primary.primary6 : undefined;
};
const states = ({ state }: Core) => [...state.all('lease')].map((lease) => lease.state);

function listing(core: Core, facts: Partial<EniFacts>): Core {
  for (const untilMs = core.nowMs + 660_000; core.nowMs < untilMs; core.advance(1_000)) {
    if (core.callOf('listSubnets') !== undefined) core.answerSubnets();
    if (core.callOf('listEnis') !== undefined)
      core.answer('listEnis', { action: 'listEnis', enis: [{ ...primaryFacts, ...facts }] });
  }
  return core;
}

test("a pod's address that is listed first is not taken for the node's", () => {
  const core = listing(assigned(), { primary6: OURS });
  expect([states(core), own(core)]).toEqual([['ready'], undefined]);
});

test('one that the node is given is its own, wherever it is listed, until it is taken away', () => {
  const core = listing(assigned(), { primary6: OURS, blocks: [`${THEIRS}/128` as Cidr] });
  expect([states(core), own(core)]).toEqual([['ready'], THEIRS]);
  listing(core, { primary6: THEIRS, blocks: [`${OURS}/128` as Cidr] });
  expect([states(core), own(core)]).toEqual([['ready'], THEIRS]);
  listing(core, { primary6: OURS });
  expect([states(core), own(core)]).toEqual([['ready'], undefined]);
});

test('one that came while the answer to an assign was lost may be an operator’s: no pod gets it', () => {
  const core = waiting().fail('assign', { kind: 'ambiguous', code: 'reset', message: 'no answer' });
  listing(core, { primary6: THEIRS });
  expect([own(core), [...core.state.all('block')]]).toEqual([THEIRS, []]);
  expect(core.callOf('assign')).toBeDefined();
});

test('after a lost journal the kernel’s fence tells it', () => {
  const core = new Core({
    pool: { families: [6], primaryEni: 'use' },
    targets: { floor: 0, headroom: 0, ceiling: 100 },
    fenced: [`${OURS}/128` as Cidr],
  }).start();
  core.answerDescribe();
  listing(core, { primary6: OURS });
  expect(own(core)).toBeUndefined();
  expect([...core.state.all('block')].map(({ id }) => id)).toEqual([`${OURS}/128`]);
});
