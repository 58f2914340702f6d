/** Looks into pods' own namespaces: when, how often, and what waits for them. */
import { type Effect, NO_REPAIR } from '../../../src/core/events.ts';
import { Core } from './harness.ts';

const MINUTE_MS = 60_000;
type Look = Extract<Effect, { kind: 'look' }>;

function withPods(...names: string[]): Core {
  const core = new Core({ targets: { floor: 45, headroom: 0, ceiling: 100 }, slots: 60 }).serving();
  core.bringUpEni(1);
  for (const name of names) core.add(name);
  core.held.add('look');
  return core;
}

const looks = (core: Core): Look[] => core.effects.filter((effect): effect is Look => effect.kind === 'look');
const lookedAt = (core: Core): string[][] =>
  looks(core).map(({ pods }) => pods.map(({ attachment }) => attachment.containerId));

function indexOf(core: Core, name: string): number {
  const lease = [...core.state.all('lease')].find(({ attachment }) => attachment.containerId === name);
  if (lease === undefined) throw new Error(`${name} has no lease`);
  return lease.linkIndex;
}
const change = (core: Core, name: string): Core => core.send({ kind: 'pod-changed', index: indexOf(core, name) });

/** The last look found so much missing, and put it back or could not. */
function answer(core: Core, count: number, failure?: { readonly step: string; readonly errno: string }): Core {
  const last = looks(core).at(-1);
  if (last === undefined) throw new Error('no look');
  const pods = last.pods.map(({ lease }) => ({ ...NO_REPAIR, count, lease, ...(failure && { failure }) }));
  return core.send({ kind: 'looked', pods });
}

/** After how many ms it is looked at again, to the second. */
function nextLookMs(core: Core, withinMs: number): number | undefined {
  const before = looks(core).length;
  for (let ms = 0; ms <= withinMs; ms += 1_000) {
    if (looks(core).length > before) return ms;
    core.advance(1_000);
  }
  return undefined;
}

test('a pod that somebody changed is looked at within a second, once for a burst, and it alone', () => {
  const core = withPods('a', 'b');
  change(change(core, 'b'), 'b').advance(900);
  expect(lookedAt(core)).toEqual([['b']]);
  answer(core, 0).advance(10_000);
  expect(lookedAt(core)).toEqual([['b']]);
  expect(core.state.count('look')).toBe(0);
});

test('what changes while it is looked at is looked at next; a pod that is no more is not', () => {
  const core = withPods('a', 'b');
  change(core, 'a').advance(900);
  change(change(core, 'a'), 'b').del('b').advance(900);
  expect(lookedAt(core)).toEqual([['a']]);
  answer(core, 2).advance(900);
  expect(lookedAt(core)).toEqual([['a'], ['a']]);
  answer(core, 0).advance(10_000);
  expect(lookedAt(core)).toHaveLength(2);
});

test('where notifications were lost every pod is looked at, 32 at a time, and the rest when those are done', () => {
  const names = Array.from({ length: 40 }, (_, n) => `p${n}`);
  const core = withPods(...names);
  core.send({ kind: 'kernel-changed', lost: true }).advance(900);
  expect(lookedAt(core).map((pods) => pods.length)).toEqual([32]);
  answer(core, 0);
  expect(lookedAt(core).map((pods) => pods.length)).toEqual([32, 8]);
  expect(new Set(lookedAt(core).flat())).toEqual(new Set(names));
});

test('so is every pod that a new process finds, since nobody heard what happened before', () => {
  const core = withPods('a', 'b');
  const links = [...core.state.all('lease')].map(({ id, attachment, linkIndex, addresses }) => {
    const plan = core.effects.find((effect) => effect.kind === 'wire' && effect.plan.lease === id);
    if (plan?.kind !== 'wire') throw new Error('not wired');
    const lease = { id, attachment };
    return { name: plan.plan.link, index: linkIndex, fenced: false, lease, addresses, mtu: 9_001 };
  });
  const next = new Core({ rows: [...core.journal.values()], epoch: 'e2', links, nowMs: core.nowMs });
  next.start([...core.state.all('lease')].map(({ id }) => id)).advance(900);
  expect(lookedAt(next)).toEqual([['a', 'b']]);
});

test('what undoes it again and again finds it put back three times at once, then after 1, 2, 4 minutes, at most an hour', () => {
  const core = withPods('a');
  const waits: (number | undefined)[] = [];
  for (let n = 0; n < 11; n++) {
    change(core, 'a');
    waits.push(nextLookMs(core, 61 * MINUTE_MS));
    answer(core, 1);
  }
  expect(waits.map((ms) => Math.round((ms ?? -1) / MINUTE_MS))).toEqual([0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]);
  // Left alone for an hour it begins anew.
  core.advance(61 * MINUTE_MS);
  change(core, 'a');
  expect(nextLookMs(core, MINUTE_MS)).toBe(1_000);
});

test('a repeated ADD, which looks at all of the pod, begins a new row', () => {
  const core = withPods('a');
  for (let n = 0; n < 3; n++) {
    change(core, 'a').advance(900);
    answer(core, 1);
  }
  core.add('a');
  change(core, 'a').advance(900);
  expect(looks(core)).toHaveLength(4);
});

test('what the kernel refuses to put back is tried again, ever more seldom', () => {
  const core = withPods('a');
  const failure = { step: 'put address', errno: 'EBUSY' };
  change(core, 'a').advance(900);
  answer(core, 1, failure).advance(2_000);
  answer(core, 1, failure).advance(2_000);
  answer(core, 1, failure).advance(2_000);
  expect(looks(core)).toHaveLength(3);
  core.advance(MINUTE_MS);
  expect(looks(core)).toHaveLength(4);
  answer(core, 1).advance(10 * MINUTE_MS);
  expect(looks(core)).toHaveLength(4);
});

describe('while a pod is looked at', () => {
  const looking = (): Core => change(withPods('a', 'b'), 'a').advance(900);
  const kinds = (core: Core, from: number) => core.effects.slice(from).map(({ kind }) => kind);

  test('its DEL waits for that', () => {
    const core = looking();
    const before = core.effects.length;
    core.del('a');
    expect([kinds(core, before), core.replyOf('del-a')]).toEqual([[], 'waits']);
    answer(core, 1);
    expect(kinds(core, before)).toContain('unwire');
    expect([core.replyOf('del-a'), core.state.count('lease'), core.state.count('look')]).toEqual(['done', 1, 0]);
  });

  test('a repeated ADD and a CHECK wait for that, and another pod does not', () => {
    const core = looking();
    core.replies.clear();
    core.add('a').check('a');
    core.add('c').del('b');
    expect(['add-a', 'check-a', 'add-c', 'del-b'].map((request) => core.replyOf(request))).toEqual([
      'waits',
      'waits',
      'added',
      'done',
    ]);
    answer(core, 0);
    expect([core.replyOf('add-a'), core.replyOf('check-a')]).toEqual(['added', 'done']);
  });

  test('a sync puts the others’ host side back at once and its own when the look is over', () => {
    const core = looking();
    core.send({ kind: 'kernel-changed' }).advance(150);
    const mended = () =>
      core.effects.flatMap((effect) =>
        effect.kind === 'sync' ? [effect.pods.map(({ attachment }) => attachment.containerId)] : [],
      );
    const first = mended().length;
    expect(mended().at(-1)).toEqual(['b']);
    answer(core, 0).advance(300);
    expect(mended().slice(first).flat()).toContain('a');
    core.advance(1_000);
    const count = mended().length;
    core.advance(10_000);
    expect(mended()).toHaveLength(count);
  });
});
