/** Which link is an ENI's: the NIC, also where something made upon it has the same MAC. */
import { attachmentKey, type Mac } from '../../../src/core/brand.ts';
import type { EniFacts } from '../../../src/core/cloud.ts';
import { linkName } from '../../../src/core/link-name.ts';
import type { EniPlan } from '../../../src/core/plan.ts';
import { Core, eniFacts, INSTANCE, nic, pod, primaryFacts, type Setup } from './harness.ts';

const TARGETS = { floor: 0, headroom: 2, ceiling: 100 };

/** What the kernel was last asked for, as `number:link`. */
function planned(core: Core): string[] {
  const sync = core.effects.findLast((effect) => effect.kind === 'sync');
  return (sync?.plan.enis ?? []).map(({ number, link }: EniPlan) => `${number}:${link}`);
}

function twoEnis(): Core {
  const core = new Core({ targets: TARGETS }).serving();
  core.bringUpEni(1);
  core.answer('modify', { action: 'modify' });
  return core;
}

const stateOfEni1 = (core: Core) => [...core.state.all('eni')].find(({ kind }) => kind === 'secondary')?.state;
const { mac } = eniFacts(1, [], {});

test('a link that comes with the MAC of an ENI takes nothing from it, nor does its end', () => {
  const core = twoEnis();
  const vlan = { mac, name: 'eth1.100', index: 77, mtu: 9_001 };
  core.send({ kind: 'link-seen', ...vlan }).advance(200);
  core.send({ kind: 'kernel-changed' }).advance(200);
  expect(planned(core)).toEqual(['1:eth0', '2:eth1']);
  core
    .send({ kind: 'link-gone', ...vlan })
    .send({ kind: 'kernel-changed' })
    .advance(200);
  expect(planned(core)).toEqual(['1:eth0', '2:eth1']);
  core.send({ kind: 'link-gone', ...nic(mac, 1) }).advance(200);
  expect(planned(core)).toEqual(['1:eth0']);
});

test('whatever is told of an ENI’s link, what hangs on it is read again; of a link that is none, nothing is', () => {
  const core = twoEnis();
  const syncs = () => core.effects.filter(({ kind }) => kind === 'sync').length;
  const before = syncs();
  core.send({ kind: 'link-seen', ...nic(mac, 1) });
  expect(syncs()).toBe(before + 1);
  core.send({ kind: 'link-seen', mac: '02:00:00:00:00:99' as Mac, name: 'docker0', index: 50, mtu: 1_500 });
  core.send({ kind: 'link-seen', mac, name: 'eth1.100', index: 77, mtu: 9_001 }).advance(10_000);
  expect(syncs()).toBe(before + 1);
});

test('of two links with one MAC at the start the older is the NIC', () => {
  const eniLinks = [{ mac: primaryFacts.mac, name: 'eth0.100', index: 77, mtu: 9_001 }];
  const core = new Core({ targets: { floor: 0, headroom: 0, ceiling: 10 }, eniLinks }).serving();
  expect(planned(core)).toEqual(['1:eth0']);
});

test('a NIC that is renamed keeps its place, also while its ENI comes up', () => {
  const core = twoEnis();
  core.send({ kind: 'link-seen', mac, name: 'ens6', index: 3, mtu: 9_001 });
  expect(planned(core)).toEqual(['1:eth0', '2:ens6']);

  const early = new Core({ targets: TARGETS }).serving();
  early.held.add('sync');
  const finishSync = () => {
    const sync = early.effects.findLast((effect) => effect.kind === 'sync');
    if (sync !== undefined) early.finish(sync);
    return planned(early);
  };
  early.bringUpEni(1);
  // The first brought its blocks' fences.
  expect(finishSync()).toEqual(['1:eth0', '2:eth1']);
  early.send({ kind: 'link-seen', mac, name: 'ens6', index: 3, mtu: 9_001 });
  // What is under way names a link that is no more.
  expect([finishSync(), stateOfEni1(early)]).toEqual([['1:eth0', '2:ens6'], 'linking']);
  expect([finishSync(), stateOfEni1(early)]).toEqual([['1:eth0', '2:ens6'], 'ready']);
});

describe('a lost journal', () => {
  const there = (facts: EniFacts, deviceIndex: number): EniFacts => ({
    ...facts,
    attachment: { instance: INSTANCE, deviceIndex, state: 'attached' },
  });

  /** Two ENIs with pods, the second listed first; `numbers` are what the kernel holds of them. */
  function rebuilt(
    numbers: { readonly first?: number; readonly second?: number },
    meanwhile: (core: Core) => void = () => {},
  ): Core {
    const first = new Core({ targets: { floor: 0, headroom: 0, ceiling: 100 }, slots: 3 }).serving();
    first.add('a').add('b');
    const eni1 = first.bringUpEni(1);
    first.advance(10).add('c').add('d').advance(10);
    const eni2 = first.bringUpEni(2);
    first.advance(10);
    expect([...first.state.all('eni')].map((eni) => 'number' in eni && eni.number)).toEqual([1, 2, 3]);
    const links = [...first.state.all('lease')].map(({ id, key, attachment, addresses, linkIndex }) => ({
      name: linkName(key),
      index: linkIndex,
      fenced: false,
      lease: { id, attachment },
      addresses,
      mtu: 9_001,
    }));
    const numbered = (number: number | undefined) => (number === undefined ? {} : { number });
    const eniLinks = [
      { ...nic(eni2.mac, 2), ...numbered(numbers.second) },
      { ...nic(eni1.mac, 1), ...numbered(numbers.first) },
    ];
    const core = new Core({ links, eniLinks, slots: 3, epoch: 'e2', nowMs: first.nowMs + 10_000 }).start();
    core.answerDescribe();
    meanwhile(core);
    for (let reads = 0; reads < 20 && core.state.runtime.phase !== 'serving'; reads++) {
      const enis = [primaryFacts, there(eni2, 2), there(eni1, 1)];
      if (core.callOf('listEnis') !== undefined) core.answer('listEnis', { action: 'listEnis', enis });
      if (core.callOf('listSubnets') !== undefined) core.answerSubnets();
      core.advance(1_000);
    }
    expect(core.state.runtime.phase).toBe('serving');
    return core;
  }

  test('each ENI keeps the number that its connections carry, in whatever order the cloud lists them', () => {
    expect(planned(rebuilt({ first: 2, second: 3 }))).toEqual(['1:eth0', '2:eth1', '3:eth2']);
    expect(planned(rebuilt({ first: 5, second: 2 }))).toEqual(['1:eth0', '2:eth2', '5:eth1']);
  });

  test('also when its link goes and comes before the cloud has listed it', () => {
    const core = rebuilt({ first: 5, second: 2 }, (early) => {
      const eth1 = [...early.state.all('link')].find(({ name }) => name === 'eth1');
      if (eth1 === undefined) throw new Error('no eth1');
      early.send({ kind: 'link-gone', ...eth1 });
      early.send({ kind: 'link-seen', ...eth1, index: 9 });
    });
    expect(planned(core)).toEqual(['1:eth0', '2:eth2', '5:eth1']);
  });

  test('one that had none gets none that the kernel knows', () => {
    expect(planned(rebuilt({ first: 2 }))).toEqual(['1:eth0', '2:eth1', '3:eth2']);
  });
});

describe('a restart while an ENI is being attached', () => {
  /** Its process ended with the attach in flight; the next one finds what `setup` says. */
  function next(setup: Setup): Core {
    const first = new Core({ targets: TARGETS }).serving();
    const create = first.callOf('create')?.call;
    if (create?.action !== 'create') throw new Error('no create');
    first.answer('create', {
      action: 'create',
      eni: eniFacts(1, ['10.0.1.21/32', '10.0.1.22/32'] as never, create.tags),
    });
    expect(first.callOf('attach')).toBeDefined();
    return new Core({ targets: TARGETS, rows: [...first.journal.values()], epoch: 'e2', nowMs: first.nowMs, ...setup });
  }

  test('its link is there: the attach was done, and pods are served at once', () => {
    const core = next({ eniLinks: [nic(mac, 1)] }).start();
    expect(stateOfEni1(core)).toBe('ready');
    expect(planned(core)).toEqual(['1:eth0', '2:eth1']);
    core.add('a');
    expect(core.replyOf('add-a')).toBe('added');
  });

  test('its link is not there: the list decides', () => {
    const core = next({}).start();
    expect(stateOfEni1(core)).toBe('attaching');
    const eni = {
      ...eniFacts(1, [], {}),
      attachment: { instance: INSTANCE, deviceIndex: 1, state: 'attached' },
    } as const;
    core.add('a').answer('listEnis', { action: 'listEnis', enis: [primaryFacts, eni] });
    expect(core.replyOf('add-a')).toBe('waits');
  });
});

describe('a link that goes and comes back', () => {
  const ask = (core: Core) => core.effects.findLast((effect) => effect.kind === 'sync');
  const finish = (core: Core) => {
    const sync = ask(core);
    if (sync !== undefined) core.finish(sync);
  };

  test('while its ENI comes up: it serves when the sync is done that sets it up, and not before', () => {
    const core = new Core({ targets: TARGETS }).serving();
    core.held.add('sync');
    core.bringUpEni(1);
    core.send({ kind: 'link-gone', ...nic(mac, 1) });
    // Its blocks' fences, with it; then the node without it.
    for (let syncs = 0; syncs < 3; syncs++) finish(core);
    expect([stateOfEni1(core), planned(core)]).toEqual(['linking', ['1:eth0']]);
    core.send({ kind: 'link-seen', mac, name: 'eth1', index: 77, mtu: 9_001 }).add('a');
    expect([stateOfEni1(core), planned(core), core.replyOf('add-a')]).toEqual([
      'linking',
      ['1:eth0', '2:eth1'],
      'waits',
    ]);
    finish(core);
    expect([stateOfEni1(core), core.replyOf('add-a')]).toEqual(['ready', 'added']);
  });

  test('of an ENI that served, and under another name: pods wait for the kernel, and the cloud is not asked for more', () => {
    const core = twoEnis();
    core.held.add('sync');
    core.send({ kind: 'link-seen', mac, name: 'ens6', index: 3, mtu: 9_001 }).add('a').advance(300);
    expect([planned(core), core.replyOf('add-a'), core.calls]).toEqual([['1:eth0', '2:ens6'], 'waits', []]);
    finish(core);
    expect(core.replyOf('add-a')).toBe('added');

    core.send({ kind: 'link-gone', ...nic(mac, 1) });
    finish(core);
    core.send({ kind: 'link-seen', mac, name: 'eth1', index: 77, mtu: 9_001 }).add('b').advance(300);
    expect([planned(core), core.replyOf('add-b')]).toEqual([['1:eth0', '2:eth1'], 'waits']);
    finish(core);
    expect(core.replyOf('add-b')).toBe('added');
  });
});

test('a pod has the MTU of the link that its address’s ENI has, at most the configured one, as of its ADD', () => {
  const core = new Core({ targets: { floor: 4, headroom: 0, ceiling: 100 } }).serving();
  core.bringUpEni(1);
  const mtuOf = (name: string) => core.add(name).state.leaseOf(attachmentKey(pod(name)))?.mtu;
  const carries = (mtu: number) => core.send({ kind: 'link-seen', ...nic(mac, 1), mtu });
  expect(mtuOf('a')).toBe(9_001);
  carries(8_500);
  expect(mtuOf('b')).toBe(8_500);
  expect(core.state.leaseOf(attachmentKey(pod('a')))?.mtu).toBe(9_001);
  // Another link with the ENI's MAC says nothing of it.
  core.send({ kind: 'link-seen', mac, name: 'eth1.100', index: 77, mtu: 1_400 });
  expect(mtuOf('c')).toBe(8_500);
  carries(9_216);
  expect(mtuOf('d')).toBe(9_001);
});
