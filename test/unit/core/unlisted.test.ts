/** Subnets that are not there or not near: asked for seldom, told to pods, and no hindrance to what the node has. */
import type { CloudCall } from '../../../src/core/cloud.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { Core, configured, primaryFacts, type Setup, SUBNET } from './harness.ts';

const ALONE = { floor: 0, headroom: 0, ceiling: 50 };
const misnamed = (...subnets: readonly string[]): Setup => ({
  targets: ALONE,
  pool: { primaryEni: 'use', subnets: subnets as never },
});

/** Time passes; the cloud lists these ENIs, and of the subnets only the node's own. Answers the reads that were made. */
function reads(
  core: Core,
  ms: number,
  enis = [primaryFacts],
): Extract<CloudCall, { readonly action: `list${string}` }>[] {
  const made: ReturnType<typeof reads> = [];
  for (let left = ms; left > 0; left -= 50) {
    for (const { call } of [...core.calls]) {
      if (call.action === 'listEnis') core.answer('listEnis', { action: 'listEnis', enis });
      else if (call.action === 'listSubnets') core.answerSubnets();
      else continue;
      made.push(call);
    }
    core.advance(50);
  }
  return made;
}

const subnetReads = (core: Core, ms: number): number =>
  reads(core, ms).filter(({ action }) => action === 'listSubnets').length;

describe('a subnet of the configuration that the cloud does not list', () => {
  test('at the start: the node serves, the subnet is asked for now and then, and pods hear why', () => {
    const core = new Core({ ...misnamed('subnet-typo'), pool: { subnets: ['subnet-typo'] as never } });
    core.start().answerDescribe();
    expect(subnetReads(core, 60_000)).toBeLessThanOrEqual(2);
    expect(core.state.runtime.phase).toBe('serving');
    core.add('a');
    reads(core, 100);
    expect(core.replies.get('add-a')).toMatchObject({
      reason: { code: 'CLOUD_MISCONFIGURED', action: 'listSubnets', retryMs: expect.any(Number) },
    });
  });

  test('pods that keep coming have it asked for each 30 s', () => {
    const core = new Core({ ...misnamed('subnet-typo'), pool: { subnets: ['subnet-typo'] as never } });
    core.start().answerDescribe();
    reads(core, 10_000);
    let count = 0;
    for (let n = 0; n < 60; n++) {
      core.add(`p${n}`);
      count += subnetReads(core, 2_000);
    }
    expect(count).toBeGreaterThanOrEqual(3);
    expect(count).toBeLessThanOrEqual(4);
  });

  test('by a reload: a pod that comes at once waits for the read', () => {
    const core = new Core({ targets: ALONE }).serving();
    core.send(configured({ targets: ALONE, pool: { subnets: ['subnet-typo'] as never } })).add('a');
    expect(core.replyOf('add-a')).toBe('waits');
    core.answerSubnets();
    expect(core.replyOf('add-a')).toBe('CLOUD_MISCONFIGURED');
    // Corrected, it is read at once.
    core.send(configured({ targets: ALONE, pool: { subnets: [SUBNET, 'subnet-b'] as never } }));
    expect(core.callOf('listSubnets')?.call).toMatchObject({ ids: ['subnet-b'] });
  });

  test('beside a good one, after a restart: what the node has serves before any read, and new ENIs come', () => {
    const one = new Core(misnamed(SUBNET)).serving().add('a');
    one
      .answer('assign', { action: 'assign', blocks: ['10.0.1.20/32'] as Cidr[] })
      .del('a')
      .advance(40_000);
    const rows = [...one.journal.values()];
    const two = new Core({ ...misnamed(SUBNET, 'subnet-typo'), rows, epoch: 'e2', nowMs: one.nowMs + 1_000 }).start();
    expect(two.add('b').replyOf('add-b')).toBe('added');
    expect(subnetReads(two, 300_000)).toBeLessThanOrEqual(4);
    const skip = { ...misnamed(SUBNET, 'subnet-typo'), pool: { subnets: [SUBNET, 'subnet-typo'] as never } };
    two.send(configured(skip)).add('c');
    two.answerSubnets().advance(1);
    expect(two.callOf('create')?.call).toMatchObject({ subnet: SUBNET });
  });
});

test('a subnet that was there and is not any more is read seldom too', () => {
  const core = new Core({ targets: ALONE }).serving();
  core.send(configured({ targets: ALONE, pool: { subnets: [SUBNET, 'subnet-b'] as never } }));
  const [row] = core.state.all('subnet');
  if (row === undefined) throw new Error('no subnet');
  core.answer('listSubnets', { action: 'listSubnets', subnets: [row, { ...row, id: 'subnet-b' as typeof SUBNET }] });
  expect(subnetReads(core, 1_800_000)).toBeLessThanOrEqual(18);
});

test('the subnet of an ENI of ours: the node cannot serve without it, and says why', () => {
  const core = new Core({ targets: ALONE }).start().answerDescribe();
  core.answer('listEnis', { action: 'listEnis', enis: [primaryFacts] });
  for (let n = 0; n < 4; n++) {
    core.answer('listSubnets', { action: 'listSubnets', subnets: [] });
    core.add(`p${n}`, 1_000).advance(30_000);
    expect(core.replies.get(`add-p${n}`)).toMatchObject({ reason: { code: 'CLOUD_MISCONFIGURED' } });
  }
});

test('a list without the primary is asked for again after a second', () => {
  const core = new Core({ targets: ALONE }).start().answerDescribe();
  const count = reads(core, 30_000, []).length;
  expect(count).toBeGreaterThan(25);
  expect(count).toBeLessThan(35);
});

test('subnets of other zones alone: said as that, not as full', () => {
  const core = new Core({ targets: ALONE }).serving();
  core.send(configured({ targets: ALONE, pool: { subnets: ['subnet-b'] as never } }));
  const [row] = core.state.all('subnet');
  if (row === undefined) throw new Error('no subnet');
  const other = { ...row, id: 'subnet-b' as typeof SUBNET, zone: 'b' };
  core.answer('listSubnets', { action: 'listSubnets', subnets: [other] }).add('a');
  expect(core.replies.get('add-a')).toMatchObject({
    reason: { code: 'CLOUD_MISCONFIGURED', action: 'create', detail: 'subnet-b is in b, and the node in a' },
  });
});
