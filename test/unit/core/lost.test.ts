/** Which of a pod's addresses the cloud took, and on which ENI each is. */
import type { EniId } from '../../../src/core/brand.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { PeerNode } from './peers/node.ts';

const DUAL = { families: [4, 6], primaryEni: 'skip' } as const;

/** Two addresses of each family an ENI. */
const dualStack = (floor: number) =>
  new PeerNode({ pool: DUAL, slots: 3, targets: { floor, headroom: 0, ceiling: 8 } }).up().settle();

const repliesTo = (node: PeerNode, name: string) => node.replies.get(`add-${name}`);

test('a pod whose families are on two ENIs is answered with both', () => {
  const node = dualStack(4);
  const first = node.truth.get('eni-1' as EniId)?.blocks.filter((block) => block.includes(':')) ?? [];
  expect(first).toHaveLength(2);
  node.withheld.add('assign');
  for (const block of first) node.steal(block);
  node.pass(400_000).add('a').settle();
  expect(repliesTo(node, 'a')).toMatchObject({ kind: 'added', enis: ['eni-1', 'eni-2'] });
});

test('of a pod with two addresses the lost one is named, and its ENI', () => {
  const node = dualStack(1).add('a').settle();
  const v6 = node.leased.a?.find((ip) => ip.includes(':'));
  node.withheld.add('assign');
  node
    .steal(`${v6}/128` as Cidr)
    .pass(400_000)
    .add('a');
  expect(repliesTo(node, 'a')).toMatchObject({
    reason: { code: 'ADDRESS_LOST', address: v6, eni: 'eni-1', again: true },
  });
});
