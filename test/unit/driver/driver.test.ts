/**
 * Journal before kernel, kernel before reply; and what a full disk does to a burst.
 */
import { DEFAULT_SETTINGS } from '../../../src/core/boot.ts';
import type { RequestId } from '../../../src/core/brand.ts';
import { type Effect, type Event, NO_REPAIR } from '../../../src/core/events.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import type { EniRow } from '../../../src/core/rows.ts';
import { Driver, type Failpoint } from '../../../src/driver/driver.ts';
import type { RowChange } from '../../../src/ports/journal.ts';
import { VirtualClock } from '../../../src/sim/clock.ts';
import { MemoryJournal } from '../../../src/sim/journal.ts';
import { CAPABILITIES, Core, configured, nic, OWN, pod } from '../core/harness.ts';

const TARGETS = { floor: 0, headroom: 4, ceiling: 100 };

/** The journal of a node that serves and has four free addresses. */
function servingRows(): readonly RowChange[] {
  const core = new Core({ targets: TARGETS }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  return [...core.journal.values()];
}

class Journal extends MemoryJournal {
  readonly log: string[];

  constructor(log: string[]) {
    super();
    this.log = log;
  }

  override commit(changes: readonly RowChange[]): void {
    super.commit(changes);
    this.log.push(
      `commit ${changes
        .map((change) => change.table)
        .sort()
        .join(' ')}`,
    );
  }

  override checkpoint(): void {
    super.checkpoint();
    this.log.push('fsync');
  }
}

/** A driver over a kernel that does everything at once; what happens is written down in order. */
async function start(options: { readonly failpoint?: (at: Failpoint) => void } = {}) {
  const clock = new VirtualClock();
  const log: string[] = [];
  const journal = new Journal(log);
  const run = (effect: Effect): void => {
    log.push(
      effect.kind === 'cloud'
        ? `cloud ${effect.call.action}`
        : effect.kind === 'reply'
          ? `reply ${effect.request} ${said(effect)}`
          : effect.kind,
    );
    if (effect.kind === 'wire')
      driver.enqueue({ kind: 'wired', lease: effect.plan.lease, linkIndex: effect.plan.linkIndex });
    if (effect.kind === 'unwire') driver.enqueue({ kind: 'unwired', lease: effect.lease });
    if (effect.kind === 'sync') driver.enqueue({ kind: 'synced', sync: effect.sync, changed: NO_REPAIR, damaged: [] });
    if (effect.kind === 'flush')
      driver.enqueue({ kind: 'flushed', addresses: effect.addresses, marks: effect.marks, done: true });
  };
  const identity = { ...OWN, epoch: 'e9' };
  const driver = Driver.open({
    clock,
    journal,
    provider: { capabilities: CAPABILITIES },
    identity,
    rows: servingRows(),
    run,
    checkAllEvery: 1,
    ...options,
  });
  driver.enqueue(configured({ targets: TARGETS }));
  const macs = [...driver.state.all('eni')].flatMap((eni) => (eni.state === 'creating' ? [] : [eni.mac]));
  driver.enqueue({
    kind: 'started',
    links: [],
    aliveLeases: [],
    eniLinks: macs.map((mac, at) => nic(mac, at)),
    fenced: [],
  });
  log.length = 0;
  return { clock, journal, driver, log };
}

const said = (effect: Extract<Effect, { kind: 'reply' }>): string =>
  effect.reply.kind === 'refused' ? effect.reply.reason.code : effect.reply.kind;

const add = (name: string): Event => ({
  kind: 'add',
  request: `add-${name}` as RequestId,
  attachment: pod(name),
  netns: { path: `/ns/${name}`, id: `4:${name}` },
  deadlineMs: 1e12,
});
const del = (name: string): Event => ({ kind: 'del', request: `del-${name}` as RequestId, attachment: pod(name) });

test('an ADD: its rows are committed, then the kernel is told, then the runtime', async () => {
  const { driver, log } = await start();
  driver.enqueue(add('a'));
  expect(log.filter((line) => !line.startsWith('cloud'))).toEqual([
    'commit address lease',
    'wire',
    'reply add-a added',
  ]);
});

test('a DEL: the intent is committed, the fence stands, its end is committed, then the runtime hears', async () => {
  const { driver, log } = await start();
  driver.enqueue(add('a'));
  log.length = 0;
  driver.enqueue(del('a'));
  expect(log.filter((line) => !line.startsWith('cloud'))).toEqual([
    'commit lease',
    'unwire',
    'commit address lease',
    'reply del-a done',
  ]);
});

test('a full disk: ADDs are refused and told why, DELs are fenced and succeed, nothing half done stays; space heals it', async () => {
  const { clock, driver, journal, log } = await start();
  driver.enqueue(add('a'));
  const before = [...driver.state.all('lease')].length;
  journal.full = true;
  log.length = 0;
  driver.enqueue(add('b'));
  driver.enqueue(add('c'));
  driver.enqueue(del('a'));
  expect(log).toEqual([
    'reply add-b JOURNAL_UNWRITABLE',
    'reply add-c JOURNAL_UNWRITABLE',
    'unwire',
    'reply del-a done',
  ]);
  expect([before, driver.state.count('lease'), driver.state.count('waiter'), driver.journalIsUp]).toEqual([
    1,
    0,
    0,
    false,
  ]);
  expect(journal.load().rows.filter((row) => row.table === 'lease')).toHaveLength(1);
  journal.full = false;
  await clock.run(clock.nowMs() + 1_500);
  expect(driver.journalIsUp).toBe(true);
  expect(journal.load().rows.filter((row) => row.table === 'lease')).toEqual([]);
  driver.enqueue(add('d'));
  expect(log.at(-1)).toBe('reply add-d added');
});

test('what gives something back is fsynced before it is sent', async () => {
  const { clock, driver, log } = await start();
  driver.enqueue({
    kind: 'configured',
    pools: [...driver.state.all('pool')].map((pool) => ({ ...pool, targets: { floor: 0, headroom: 0, ceiling: 100 } })),
    settings: DEFAULT_SETTINGS,
  });
  await clock.run(clock.nowMs() + 61_000);
  const detach = log.indexOf('cloud detach');
  expect(log.slice(detach - 2, detach + 1)).toEqual([expect.stringContaining('operation'), 'fsync', 'cloud detach']);
});

test('an assign on the primary is fsynced before it is sent, and what it brought; one on an ENI with our tags is not', async () => {
  const { clock, driver, log } = await start();
  const ask = async (primaryEni: 'use' | 'skip', headroom: number): Promise<readonly string[]> => {
    log.length = 0;
    const targets = { floor: 0, headroom, ceiling: 100 };
    const pools = [...driver.state.all('pool')].map((pool) => ({ ...pool, primaryEni, targets }));
    driver.enqueue({ kind: 'configured', pools, settings: DEFAULT_SETTINGS });
    await clock.run(clock.nowMs() + 100);
    return log.filter((line) => line === 'fsync' || line === 'cloud assign');
  };
  const answerAssign = (kind: EniRow['kind'], blocks: readonly Cidr[]): void => {
    const operation = [...driver.state.all('operation')].find(
      ({ call, eni }) => call.action === 'assign' && driver.state.get('eni', eni ?? '')?.kind === kind,
    )?.id;
    log.length = 0;
    if (operation === undefined) throw new Error('no assign is in flight');
    const value = { action: 'assign', blocks } as const;
    driver.enqueue({ kind: 'cloud-answered', operation, answer: { ok: true, value } });
  };
  expect(await ask('skip', 10)).toEqual(['cloud assign']);
  expect(await ask('use', 24)).toEqual(['fsync', 'cloud assign']);
  answerAssign('secondary', ['10.0.1.80/32' as Cidr]);
  expect(log).not.toContain('fsync');
  answerAssign('primary', ['10.0.1.90/32' as Cidr]);
  expect(log.slice(0, 2)).toEqual([expect.stringContaining('block'), 'fsync']);
});

test('a death between commit and effect: the rows are there, the effect never ran', async () => {
  const { driver, journal, log } = await start({
    failpoint: (at) => {
      if (at === 'before-wire') throw new Error('killed');
    },
  });
  expect(() => driver.enqueue(add('a'))).toThrow('killed');
  expect(log).toEqual(['commit address lease']);
  expect(journal.load().rows.filter((row) => row.table === 'lease')).toHaveLength(1);
});

test('a journal that cannot be opened for writing ends the start with a sentence', () => {
  const journal = new MemoryJournal();
  journal.full = true;
  expect(() =>
    Driver.open({
      clock: new VirtualClock(),
      journal,
      provider: { capabilities: CAPABILITIES },
      identity: { ...OWN, epoch: 'e1' },
      rows: [],
      run: () => {},
    }),
  ).toThrow('the journal cannot be written (ENOSPC');
});
