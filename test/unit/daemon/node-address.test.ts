/** The node's own address is its operating system's to give: what is said while it is gone. */
import type { WhyAnswer } from '../../../src/protocol/why.ts';
import { TestNode } from './harness.ts';

const LIMIT_MS = 20_000;
let node: TestNode;
beforeEach(() => {
  node = new TestNode();
});
afterEach(() => node.close());

const lines = async () => (JSON.parse((await node.get('/v1/why')).text) as WhyAnswer).lines.join('\n');

test(
  "the node's own address that its operating system lost is told, with who has to put it back, and that it is there again",
  async () => {
    await node.serve();
    const [own] = [...node.kernel.host.objects.values()].filter(
      (object) => object.kind === 'address' && object.link === 'eth0',
    );
    if (own?.kind !== 'address') throw new Error('the node has no address');
    const sentence = expect.stringMatching(
      new RegExp(
        `the node's own address ${own.address.split('/')[0]} is not on eth0, .*network manager has to put it back`,
      ),
    );
    const check = async () =>
      /\[(.)\]node-address ?(.*)/.exec((await node.get('/readyz?verbose')).text)?.slice(1) ?? [];
    expect(await check()).toEqual(['+', '']);
    node.kernel.sabotage(() => own);
    await node.until(async () => (await check())[0] === '~');
    expect(await check()).toEqual(['~', sentence]);
    expect((await node.get('/readyz')).status).toBe(200);
    expect(await lines()).toEqual(sentence);
    expect((await node.get('/metrics')).text).toContain('underway_ready{check="node-address"} 0');
    const told = () => node.log.filter(({ msg }) => msg.startsWith("the node's own address"));
    expect(told()).toEqual([expect.objectContaining({ level: 'warn', why: sentence })]);
    node.kernel.restore(own);
    await node.until(async () => (await check())[0] === '+');
    expect(told().slice(1)).toEqual([expect.objectContaining({ level: 'info' })]);
    expect(await lines()).not.toEqual(sentence);
  },
  LIMIT_MS,
);
