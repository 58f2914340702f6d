/** ENIs that go: a drain waits for what cools, and ends when demand returns. */
import type { EniId, EniKey } from '../../../src/core/brand.ts';
import { nic } from './harness.ts';
import { names, PeerNode, REFUSED } from './peers/node.ts';

interface Draining {
  readonly node: PeerNode;
  readonly eni: EniKey;
}

/** Three addresses an ENI, three ENIs, four pods; then the second ENI's only pod ends, after a minute of surplus. */
function draining(): Draining {
  const node = new PeerNode({
    enis: 4,
    slots: 4,
    settings: { cooldownMs: 100_000 },
    targets: { floor: 9, headroom: 0, ceiling: 100 },
  }).up();
  node.adds(...names(4)).settle();
  const eni = node.eniOf('p3');
  if (eni === undefined || eni === node.eniOf('p0')) throw new Error('p3 is not alone on its ENI');
  node.retarget({ floor: 0, headroom: 0, ceiling: 100 });
  node.pass(50_000).del('p3').pass(20_000);
  expect(stateOf(node, eni)).toBe('draining');
  return { node, eni };
}

const stateOf = (node: PeerNode, eni: EniKey) => node.state.get('eni', eni)?.state;
const idOf = (node: PeerNode, key: EniKey): string => {
  const eni = node.state.get('eni', key);
  return eni !== undefined && eni.state !== 'creating' ? eni.id : '';
};

test('an ENI whose last pod ended is drained while its address cools, and detached only then', () => {
  const { node, eni } = draining();
  const id = idOf(node, eni);
  const detached = () => node.madeOf('detach').map((call) => call.eni);
  node.pass(75_000);
  expect(detached()).not.toContain(id);
  node.pass(10_000);
  expect(detached()).toContain(id);
});

test('demand that returns while it drains takes it back before anything is asked of the cloud', () => {
  const { node, eni } = draining();
  const made = node.made.length;
  node.adds('q', 'r').settle();
  expect(stateOf(node, eni)).toBe('ready');
  expect([node.eniOf('q'), node.eniOf('r')]).toEqual([eni, eni]);
  expect(node.made.slice(made)).toEqual([]);
});

test('an ENI that somebody deletes while its detach is refused again and again is gone, without another call', () => {
  const { node, eni } = draining();
  const id = idOf(node, eni) as EniId;
  for (let n = 0; n < 200; n++) node.refuseNext('detach', REFUSED);
  node.pass(85_000);
  expect(stateOf(node, eni)).toBe('detaching');
  const mac = node.truth.get(id)?.mac;
  node.truth.delete(id);
  if (mac !== undefined) node.send({ kind: 'link-gone', ...nic(mac, 2) });
  node.pass(700_000);
  expect(stateOf(node, eni)).toBeUndefined();
  expect(node.madeOf('delete').map((call) => call.eni)).not.toContain(id);
});

test('an ENI that somebody deletes while it drains is gone when what cooled on it has', () => {
  const { node, eni } = draining();
  const id = idOf(node, eni) as EniId;
  const mac = node.truth.get(id)?.mac;
  node.truth.delete(id);
  if (mac !== undefined) node.send({ kind: 'link-gone', ...nic(mac, 2) });
  node.pass(10_000);
  // The cloud may give the address to another ENI of ours: it rests as long as any.
  expect(stateOf(node, eni)).toBe('gone');
  node.pass(120_000);
  expect(stateOf(node, eni)).toBeUndefined();
  expect(node.madeOf('detach').map((call) => call.eni)).not.toContain(id);
});
