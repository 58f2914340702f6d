import type { NftElement, NftExpr, NftSet } from '../../../src/datapath/nft.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { attributeMap, encodeMessage, type Message, parseMessages } from '../../../src/kernel/netlink.ts';
import { putChain, removeChain } from '../../../src/kernel/nftables/chain.ts';
import { decodeElements, joinElements, putElement, removeElement } from '../../../src/kernel/nftables/element.ts';
import { readExpressions, writeExpressions } from '../../../src/kernel/nftables/expression.ts';
import { batchBegin, batchEnd } from '../../../src/kernel/nftables/message.ts';
import { decodeSet, putSet } from '../../../src/kernel/nftables/set.ts';
import { putCounter, putTable } from '../../../src/kernel/nftables/table.ts';
import { n1 } from '../datapath/n1.ts';
import { goldens, goldenText } from './golden.ts';

const table = { family: 'inet', table: 'underway' } as const;
const from4: NftSet = { name: 'from4', key: ['ipv4_addr'], interval: true, verdictMap: true };
const allowed: NftSet = { name: 'allowed', key: ['ifname', 'ipv4_addr'], interval: true, verdictMap: false };
const senders: NftSet = { name: 'senders', key: ['mark', 'ether_addr'], interval: false, verdictMap: false };

const one = (bytes: Buffer): Message => {
  const [message] = parseMessages(bytes);
  if (message === undefined) throw new Error('no message');
  return message;
};

// Bytes that Linux 6.18 took; test/kernel compares what nft 1.0.6 prints for them.
test('messages are the bytes of golden/nftables.txt', () => {
  const messages = new Map<string, Buffer>([
    ['begin', batchBegin()],
    ['table, owner and persist', putTable({ ...table, owned: true })],
    ['counter', putCounter(table, 'srcdrop4')],
    ['set: interval map', putSet(table, from4, 1)],
    ['set: interval concatenation', putSet(table, allowed, 2)],
    ['element of an interval map', putElement(table, from4, element('10.0.2.32/28', 'new3'))],
    ['element that ends with the last address', putElement(table, from4, element('255.0.0.0/8', 'new3'))],
    ['element of a concatenation', putElement(table, allowed, { key: ['eth1', '10.0.0.0/8'] })],
    ['no element', removeElement(table, senders, { key: [2, '02:00:00:00:00:09'] })],
    ...someChains().flatMap(({ chain }) =>
      putChain(table, chain).map((bytes, at): [string, Buffer] => [`chain ${chain.name}, message ${at}`, bytes]),
    ),
    ['no chain', removeChain(table, 'new3')],
    ['end', batchEnd()],
  ]);
  expect(goldenText(messages)).toBe(goldenText(goldens('nftables.txt')));
});

const element = (key: string, chain: string): NftElement => ({ key: [key], verdict: { verdict: 'goto', chain } });

const someChains = () => wholeRuleset().filter(({ chain }) => /2$|routing$/.test(chain.name));
const wholeRuleset = () => veth.wantedNode(n1).filter((object) => object.kind === 'nft-chain');

const readBack = (expressions: readonly NftExpr[]): NftExpr[] => {
  const message = encodeMessage({ type: 1 }, (writer) => writer.nest(4, () => writeExpressions(writer, expressions)));
  return readExpressions(attributeMap(one(message).payload).get(4) ?? Buffer.alloc(0));
};

test('every rule of veth mode reads back as itself', () => {
  for (const { chain } of wholeRuleset()) expect(chain.rules.map(readBack)).toEqual(chain.rules);
});

test('so does every other expression', () => {
  const rest: NftExpr[] = [
    { op: 'lookup', set: 'data', from: 4, to: 8 },
    { op: 'lookup', set: 'x', from: 15, not: true },
    { op: 'immediate', to: 1, value: Uint8Array.of(1) },
    { op: 'snat', family: 6, from: 0, fullyRandom: false },
    { op: 'payload', base: 'link', offset: 6, length: 6, to: 2 },
    { op: 'payload', base: 'transport', offset: 2, length: 2, to: 3 },
    { op: 'verdict', verdict: 'jump', chain: 'c' },
    { op: 'verdict', verdict: 'return' },
    { op: 'counter', name: 'n' },
    { op: 'masquerade' },
    { op: 'limit', bytesPerSecond: 5_000_000_000, burstBytes: 125_000 },
  ];
  expect(readBack(rest)).toEqual(rest);
});

test('a rule with an expression that is none of ours reads as an empty one', () => {
  const log = encodeMessage({ type: 1 }, (writer) => {
    writer.nest(4, () => {
      writeExpressions(writer, [{ op: 'verdict', verdict: 'accept' }]);
      writer.nest(1, () => writer.attributeText(1, 'log'));
    });
  });
  expect(readExpressions(attributeMap(one(log).payload).get(4) ?? Buffer.alloc(0))).toEqual([]);
});

test.each([from4, allowed, senders])('the set $name reads back as itself', (set) => {
  expect(decodeSet(one(putSet(table, set, 1)))).toEqual(set);
});

/** What a dump of the set would show, in an order that the kernel might choose. */
function stored(set: NftSet, elements: readonly NftElement[]): NftElement[] {
  const raw = elements.flatMap((each) => decodeElements(one(putElement(table, set, each))));
  return joinElements(set, raw.reverse());
}

test('intervals come back as blocks where they are one, side by side and to the very end', () => {
  const keys = ['0.0.0.0/8', '10.0.1.21/32', '10.0.1.22/32', '10.0.2.0-10.0.2.2', '255.255.255.255/32'];
  const elements = keys.map((key) => element(key, 'new2'));
  expect(stored(from4, elements)).toEqual(elements);
  expect(stored(from4, [element('0.0.0.0/0', 'new2')])).toEqual([element('0.0.0.0/0', 'new2')]);
});

test('a concatenation comes back part by part', () => {
  const elements: NftElement[] = [{ key: ['eth1', '10.0.0.0/8'] }, { key: ['eth10', '0.0.0.0/0'] }];
  expect(stored(allowed, elements)).toEqual(elements);
  const exact: NftElement[] = [{ key: [2, '02:00:00:00:00:09'] }];
  expect(stored(senders, exact)).toEqual(exact);
});

test('a key that does not fit its set is refused', () => {
  expect(() => putElement(table, from4, { key: ['2001:db8::/32'] })).toThrow('not an ipv4_addr: 2001:db8::/32');
  expect(() => putElement(table, allowed, { key: ['eth1'] })).toThrow('allowed takes 2 key parts');
  expect(() => putElement(table, senders, { key: [1, 'nonsense'] })).toThrow('not a MAC address: nonsense');
});
