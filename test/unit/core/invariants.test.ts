/** What the invariants say of leases, on rows put there by hand: a check that cannot fail proves nothing. */
import { touchedBreaches } from '../../../src/core/invariants.ts';
import type { Ip } from '../../../src/core/ip.ts';
import type { LeaseRow } from '../../../src/core/rows.ts';
import { Tx } from '../../../src/core/state.ts';
import { Core } from './harness.ts';

/** A node of a pool of these families, with pod `a`. */
function withPod(families: readonly (4 | 6)[]): { readonly core: Core; readonly lease: LeaseRow } {
  const core = new Core({ targets: { floor: 0, headroom: 2, ceiling: 100 } }).serving();
  core.bringUpEni(1);
  core.add('a');
  const [lease] = core.state.all('lease');
  if (lease === undefined) throw new Error('a has no lease');
  for (const pool of core.state.all('pool')) new Tx(core.state).put('pool', { ...pool, families });
  return { core, lease };
}

/** What is found when the lease's row becomes this. */
function found(core: Core, before: LeaseRow, after: LeaseRow): string[] {
  const tx = new Tx(core.state);
  if (before.id !== after.id) tx.remove('lease', before.id);
  tx.put('lease', after);
  return touchedBreaches(core.state, tx.touched(), core.nowMs).map(({ invariant }) => invariant);
}

const granted = (lease: LeaseRow, addresses: readonly Ip[]): LeaseRow => ({
  ...lease,
  id: 'e1-999' as LeaseRow['id'],
  state: 'held',
  addresses,
});

test('a lease of a dual-stack pool is granted with both families', () => {
  const { core, lease } = withPod([4, 6]);
  expect(found(core, lease, granted(lease, lease.addresses))).toContain('all families or none');
});

test('a lease of a pool of one family is granted with that one', () => {
  const { core, lease } = withPod([4]);
  expect(found(core, lease, granted(lease, lease.addresses))).not.toContain('all families or none');
  const none = withPod([4]);
  expect(found(none.core, none.lease, granted(none.lease, []))).toContain('all families or none');
});

test('a lease has at most one address a family', () => {
  const { core, lease } = withPod([4]);
  const two = [...lease.addresses, '10.0.1.22' as Ip];
  expect(found(core, lease, granted(lease, two))).toContain('one address a family');
});

test('a live lease keeps its addresses, also where the families are configured anew', () => {
  const { core, lease } = withPod([4, 6]);
  expect(found(core, lease, { ...lease, state: 'ready' })).toEqual([]);
  const other = withPod([4]);
  expect(found(other.core, other.lease, { ...other.lease, addresses: ['10.0.1.22' as Ip] })).toContain(
    'a lease keeps its addresses',
  );
});
