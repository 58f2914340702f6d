/**
 * Addresses on our ENIs that no row knows: taken in as idle where the ENI is ours, left alone where they may be an
 * operator's; and nothing in use is given back because a read is old.
 */
import type { EniFacts } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { Core, INSTANCE, primaryFacts } from './harness.ts';

const MINUTE_MS = 60_000;
const UNKNOWN = '10.0.1.199/32' as Cidr;

/** Every list and every give-back is answered; what was given back. */
function givenBack(core: Core, ms: number, enis: () => readonly EniFacts[]): Cidr[] {
  const gone: Cidr[] = [];
  for (const untilMs = core.nowMs + ms; core.nowMs < untilMs; core.advance(1_000)) {
    if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis: enis() });
    const call = core.callOf('unassign')?.call;
    if (call?.action !== 'unassign') continue;
    gone.push(...call.blocks);
    core.answer('unassign', { action: 'unassign' });
  }
  return gone;
}

/** A node with pod `a` on an ENI of three addresses, and that ENI as the cloud lists it. */
function withPod(): { readonly core: Core; readonly eni: EniFacts } {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  const facts = core.bringUpEni(1);
  core.answer('modify', { action: 'modify' }).add('a');
  return { core, eni: { ...facts, attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' } } };
}

test('sweep: an address on an ENI of ours that no row knows is taken in, and goes by the usual rules', () => {
  const { core, eni } = withPod();
  const extra = ['10.0.1.190/32', '10.0.1.191/32', '10.0.1.192/32', UNKNOWN].map((block) => block as Cidr);
  const gone = new Set<Cidr>();
  const listed = (): readonly EniFacts[] => [
    primaryFacts,
    { ...eni, blocks: [...eni.blocks, ...extra].filter((block) => !gone.has(block)) },
  ];
  for (const block of givenBack(core, 11 * MINUTE_MS, listed)) gone.add(block);
  for (const block of givenBack(core, 11 * MINUTE_MS, listed)) gone.add(block);
  expect(gone.size).toBeGreaterThan(0);
  expect([...gone]).not.toContain(`${core.addressOf('a')}/32`);
});

test('sweep: never an address on the primary that we did not assign', () => {
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, pool: { primaryEni: 'use' } }).serving();
  const primary = { ...primaryFacts, blocks: [UNKNOWN, '10.0.1.208/28' as Cidr] };
  expect(givenBack(core, 60 * MINUTE_MS, () => [primary])).toEqual([]);
  expect(core.state.count('block')).toBe(0);
  core.add('a');
  expect(core.callOf('assign')?.call).toMatchObject({ eni: primaryFacts.id });
});

test("an address that the cloud took from the primary and lists again is the pod's again", () => {
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, pool: { primaryEni: 'use' } }).serving();
  const block = '10.0.1.30/32' as Cidr;
  core.add('a').answer('assign', { action: 'assign', blocks: [block] });
  const stateOf = () => [...core.state.all('lease')].map(({ state }) => state);
  givenBack(core, 11 * MINUTE_MS, () => [primaryFacts]);
  expect(stateOf()).toEqual(['lost']);
  // It was asked for by name, and the answer was lost; the list says what became of it.
  core.fail('assign', { kind: 'ambiguous', code: 'reset', message: 'no answer' });
  givenBack(core, 11 * MINUTE_MS, () => [{ ...primaryFacts, blocks: [block] }]);
  expect(stateOf()).toEqual(['ready']);
});

test('sweep: nothing in use is given back on a stale read, whatever the reads show in turn', () => {
  const { core, eni } = withPod();
  const used = `${core.addressOf('a')}/32`;
  const views: readonly EniFacts[][] = [
    [primaryFacts, eni],
    [primaryFacts, { ...eni, blocks: [] }],
    [primaryFacts],
    [primaryFacts, { ...eni, blocks: [...eni.blocks, UNKNOWN] }],
  ];
  let at = 0;
  const gone = givenBack(core, 60 * MINUTE_MS, () => views[at++ % views.length] ?? []);
  expect(gone).not.toContain(used);
  expect(core.callOf('detach') ?? core.callOf('delete')).toBeUndefined();
  expect(core.addressOf('a')).toBe(used.replace('/32', ''));
});
