/**
 * What a DEL leaves behind and when it goes: the link, with its namespace or in one of a few group deletes; connections,
 * in batches, before the address is anybody else's.
 */
import type { Mac } from '../../../src/core/brand.ts';
import { attachmentKey } from '../../../src/core/brand.ts';
import type { Effect } from '../../../src/core/events.ts';
import { linkName } from '../../../src/core/link-name.ts';
import { HOST_MAC } from '../../../src/core/plan.ts';
import { Core, pod } from './harness.ts';

const COUNT = 100;
const names = (count: number): string[] => Array.from({ length: count }, (_, n) => `p${n}`);
const linkOf = (name: string): string => linkName(attachmentKey(pod(name)));
const all = <K extends Effect['kind']>(core: Core, kind: K) =>
  core.effects.filter((effect): effect is Extract<Effect, { kind: K }> => effect.kind === kind);

/** So many addresses free, and as many pods as are named. */
function node(addresses: number, pods: readonly string[]): Core {
  const targets = { floor: addresses, headroom: 0, ceiling: addresses };
  const core = new Core({ targets, slots: 140, capabilities: { maxBlocksPerCall: 140 } }).serving();
  core.bringUpEni(1);
  for (const name of pods) core.add(name);
  return core;
}

describe('a link whose pod was deleted', () => {
  test('is fenced before DEL is answered, and is no matter of ours where its namespace takes it along within 2 s', () => {
    const core = node(3, ['a']);
    const index = [...core.state.all('lease')][0]?.linkIndex ?? 0;
    const before = core.effects.length;
    core.del('a');
    expect(core.effects.slice(before).map(({ kind }) => kind)).toEqual(['unwire', 'reply']);
    core.send({ kind: 'link-gone', mac: HOST_MAC as Mac, name: linkOf('a'), index }).advance(60_000);
    expect(all(core, 'reap')).toEqual([]);
  });

  test('goes after 2 s where its namespace stays, at most 16 in one pass, one pass at a time', () => {
    const core = node(COUNT, names(COUNT));
    for (const name of names(COUNT)) core.del(name);
    core.held.add('reap');
    core.advance(1_999);
    expect(all(core, 'reap')).toEqual([]);
    core.advance(1).advance(10_000);
    expect(all(core, 'reap').map(({ links }) => links.length)).toEqual([16]);
    core.held.delete('reap');
    for (const effect of all(core, 'reap')) core.finish(effect);
    expect(all(core, 'reap').map(({ links }) => links.length)).toEqual([16, 16, 16, 16, 16, 16, 4]);
    expect(new Set(all(core, 'reap').flatMap(({ links }) => links))).toEqual(new Set(names(COUNT).map(linkOf)));
    expect(core.state.count('deadLink')).toBe(0);
  });

  test('waits while an ADD is being wired, and goes when that is done', () => {
    const core = node(3, ['a', 'b']);
    core.del('a').del('b');
    core.held.add('wire');
    core.add('c').advance(10_000);
    expect(all(core, 'reap')).toEqual([]);
    core.held.delete('wire');
    core.finish(all(core, 'wire').at(-1) as Effect);
    expect(all(core, 'reap').map(({ links }) => links)).toEqual([[linkOf('a'), linkOf('b')]]);
  });

  test('that the kernel does not let go is tried again after 2 s', () => {
    const core = node(3, ['a']);
    core.held.add('reap');
    core.del('a').advance(2_000);
    const [first] = all(core, 'reap');
    core.send({ kind: 'reaped', links: first?.links ?? [], failure: { step: 'delete-links', errno: 'EBUSY' } });
    expect(all(core, 'reap')).toHaveLength(1);
    core.advance(2_000);
    expect(all(core, 'reap')).toHaveLength(2);
  });
});

describe('an ADD', () => {
  const addIn = (core: Core, name: string, netns: { readonly path: string; readonly id: string }): Core =>
    core
      .send({
        kind: 'add',
        request: `add-${name}` as never,
        attachment: pod(name),
        netns,
        deadlineMs: core.nowMs + 60_000,
      })
      .advance(1);

  test('in the namespace of a pod just deleted, by whatever path, takes the dead link away first and waits for nothing', () => {
    const core = node(4, ['a', 'b']);
    const beganMs = core.nowMs;
    core.del('a').del('b');
    addIn(core, 'c', { path: '/other/path', id: '4:a' });
    expect(core.replyOf('add-c')).toBe('added');
    expect(core.nowMs - beganMs).toBeLessThan(10);
    expect(all(core, 'wire').at(-1)?.deadLinks).toEqual([linkOf('a')]);
    core.advance(10_000);
    expect(all(core, 'reap').map(({ links }) => links)).toEqual([[linkOf('b')]]);
  });

  test('of the very attachment just deleted is not undone by the group delete that was due for its link', () => {
    const core = node(4, ['a']);
    core.held.add('reap');
    core.del('a').advance(2_000);
    expect(all(core, 'reap')).toHaveLength(1);
    core.replies.clear();
    core.add('a');
    expect(core.replyOf('add-a')).toBe('added');
    expect(all(core, 'wire').at(-1)?.deadLinks).toEqual([linkOf('a')]);
    core.finish(all(core, 'reap')[0] as Effect).advance(10_000);
    expect(all(core, 'reap')).toHaveLength(1);
  });
});

describe('connections of released addresses', () => {
  test('are flushed within a second or two, many addresses in one pass of at most 256, one pass at a time', () => {
    const core = node(130, names(130));
    core.held.add('flush');
    for (const name of names(130)) core.del(name);
    expect(all(core, 'flush')).toEqual([]);
    core.advance(1_000);
    expect(all(core, 'flush').map(({ addresses }) => addresses.length)).toEqual([130]);
    core.advance(5_000);
    expect(all(core, 'flush')).toHaveLength(1);
  });

  test('are gone before the address is anybody’s: not flushed, it rests for as long as a SYN lives', () => {
    const core = node(1, ['a']);
    const ip = core.addressOf('a');
    core.held.add('flush');
    core.del('a').advance(110_000).add('b').advance(5_000);
    expect(core.replyOf('add-b')).toBe('waits');
    core.finish(all(core, 'flush')[0] as Effect).advance(1);
    expect([core.replyOf('add-b'), core.addressOf('b')]).toEqual(['added', ip]);
  });
});
