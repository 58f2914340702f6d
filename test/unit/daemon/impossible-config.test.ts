/** What a configuration comes to on this instance, in this subnet, and what it cannot come to: said, and lived with. */
import type { WhyAnswer } from '../../../src/protocol/why.ts';
import { TestNode } from './harness.ts';

const LIMIT_MS = 30_000;

let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

test('targets that the instance cannot meet are refused at a reload, and the old ones stay', async () => {
  const daemon = await node.serve({ pool: { targets: { floor: 1, headroom: 0, ceiling: 2 } } });
  await node.until(() => node.log.some(({ msg }) => msg === 'targets'));
  expect(node.log.find(({ msg }) => msg === 'targets')).toMatchObject({
    effect: expect.stringMatching(/^m5.4xlarge: 1 ENI/),
  });
  expect(daemon.reload(node.config({ pool: { targets: { floor: 300, headroom: 0, ceiling: 400 } } }))).toMatch(
    /^floor 300 cannot be had: m5.4xlarge holds at most 232 addresses \(8 ENIs of 29\)/,
  );
  expect(await node.rows('pool')).toMatchObject([{ targets: { floor: 1 } }]);
  expect(daemon.reload(node.config({ pool: { targets: { floor: 3, headroom: 0, ceiling: 9 } } }))).toBeUndefined();
  await node.until(() =>
    node.log.some(({ msg, effect }) => msg === 'targets' && String(effect).includes('3 addresses')),
  );
});

test('targets that the instance cannot meet do not keep the daemon from starting: it says so, and holds what it can', async () => {
  await node.serve({ pool: { targets: { floor: 300, headroom: 0, ceiling: 400 } } });
  await node.until(() => node.log.some(({ msg }) => msg === 'targets cannot be met'));
  expect((await node.get('/v1/why')).text).toMatch(/targets cannot be met: floor 300 cannot be had/);
  expect(await node.add('c1')).toMatch(/^10\./);
});

test('a subnet of the configuration that the cloud does not list keeps nothing from serving, and is named', async () => {
  await node.serve({
    pool: { subnets: [node.subnet, 'subnet-0fffffff'], targets: { floor: 1, headroom: 0, ceiling: 2 } },
  });
  await node.add('c1');
  const { lines }: WhyAnswer = JSON.parse((await node.get('/v1/why')).text);
  expect(lines).toContain('subnet subnet-0fffffff: the cloud does not list it; correct pool.subnets');
});

test.each([
  { families: [4, 6], hasIpv6: false },
  { families: [4, 6], hasIpv6: true },
  { families: [4], hasIpv6: false },
] as const)(
  'a node without an address of a family that its pods are to have is told so: %j',
  async ({ families, hasIpv6 }) => {
    await node.close();
    node = new TestNode({ hasIpv6 });
    await node.start({ pool: { families } });
    await node.until(() => node.daemon?.isServing === true);
    const isLacking = families.length === 2 && !hasIpv6;
    const warning = expect.stringMatching(
      /^(warning: )?the primary ENI eni-\w+ has no IPv6 address, and its subnet subnet-\w+ no IPv6 range: .*: give the subnet a range and the ENI an address, or take 6 out of pool.families$/,
    );
    const { lines } = JSON.parse((await node.get('/v1/why')).text) as WhyAnswer;
    expect(lines.filter((line) => line.includes('the primary ENI'))).toEqual(isLacking ? [warning] : []);
    const logged = node.log.filter(({ why }) => String(why).includes('the primary ENI')).map(({ why }) => why);
    expect(logged).toEqual(isLacking ? [warning] : []);
  },
  LIMIT_MS,
);
