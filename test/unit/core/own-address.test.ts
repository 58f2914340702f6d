/** EC2 does not mark the own IPv6 address of a primary ENI: its adapter takes the first that is listed, which may be ours. */
import type { EniFacts } from '../../../src/core/cloud.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import { isPresent, primaryOf } from '../../../src/core/pool.ts';
import { Core, primaryFacts } from './harness.ts';

const OURS = '2001:db8::21' as Ip;
const THEIRS = '2001:db8::99/128' as Cidr;

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

test("nor where the node got one of its own, or another's, behind it", () => {
  const core = listing(assigned(), { primary6: OURS, blocks: [THEIRS] });
  expect(states(core)).toEqual(['ready']);
});

test('nor where the answer to the assign was lost', () => {
  const core = waiting().fail('assign', { kind: 'ambiguous', code: 'reset', message: 'no answer' });
  listing(core, { primary6: OURS });
  expect([states(core), core.addressOf('a'), own(core)]).toEqual([['ready'], OURS, undefined]);
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
