/**
 * Messages compared with those of iproute2 6.1 for the same object (golden/iproute2.txt, captured with strace):
 * the same type, family header and attributes, in whatever order. Flags differ by design: put is replace.
 */
import type { Mac } from '../../../src/core/brand.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { AddressObject, NeighbourObject, RouteObject, RuleObject } from '../../../src/datapath/kernel-state.ts';
import { type Message, parseAttributes, parseMessages } from '../../../src/kernel/netlink.ts';
import { decodeAddress, putAddress, removeAddress } from '../../../src/kernel/rtnetlink/address.ts';
import { createVeth, setLink } from '../../../src/kernel/rtnetlink/link.ts';
import { decodeNeighbour, putNeighbour } from '../../../src/kernel/rtnetlink/neighbour.ts';
import { decodeRoute, putRoute, removeRoute } from '../../../src/kernel/rtnetlink/route.ts';
import { decodeRule, putRule } from '../../../src/kernel/rtnetlink/rule.ts';
import { goldens } from './golden.ts';

const iproute2 = goldens('iproute2.txt');
const HEADER_BYTES = { link: 16, address: 8, neighbour: 12, route: 12, rule: 12 } as const;
const INDEX = 7;
const linkName = (index: number) => (index === INDEX ? 'eth1' : undefined);

function parsed(bytes: Buffer): Message {
  const [message, ...more] = parseMessages(bytes);
  if (message === undefined || more.length > 0) throw new Error('not one message');
  return message;
}

/** What the message says, apart from the order in which it says it. */
function content(bytes: Buffer, header: number): string[] {
  const { type, payload } = parsed(bytes);
  const attributes = parseAttributes(payload, header).map((a) => `${a.type}=${a.value.toString('hex')}`);
  return [`type ${type}`, payload.subarray(0, header).toString('hex'), ...attributes.sort()];
}

function expectAsIproute2(command: string, message: Buffer, noun: keyof typeof HEADER_BYTES): void {
  const golden = iproute2.get(command);
  if (golden === undefined) throw new Error(`no golden of ${command}`);
  expect(content(message, HEADER_BYTES[noun])).toEqual(content(golden, HEADER_BYTES[noun]));
}

const eni4: AddressObject = {
  kind: 'address',
  link: 'eth1',
  address: '10.0.1.20/32' as `${Ip}/32`,
  scope: 'global',
  noPrefixRoute: true,
  noDad: false,
  deprecated: false,
};
const eni6: AddressObject = { ...eni4, address: '2001:db8:1::20/128' as `${Ip}/128`, noDad: true, deprecated: true };

test('addresses', () => {
  expectAsIproute2('ip addr add 10.0.1.20/32 dev eth1 noprefixroute', putAddress(eni4, INDEX), 'address');
  expectAsIproute2(
    'ip addr add 2001:db8:1::20/128 dev eth1 nodad noprefixroute preferred_lft 0',
    putAddress(eni6, INDEX),
    'address',
  );
  expectAsIproute2('ip addr del 10.0.1.20/32 dev eth1', removeAddress(eni4, INDEX), 'address');
  expect(decodeAddress(parsed(putAddress(eni4, INDEX)), linkName)).toEqual(eni4);
  expect(decodeAddress(parsed(putAddress(eni4, 8)), linkName)).toBeUndefined();
});

test('neighbours', () => {
  const mac = '02:75:77:01:00:03' as Mac;
  const four: NeighbourObject = { kind: 'neighbour', link: 'eth1', address: '10.0.1.21' as Ip, mac };
  const six: NeighbourObject = { ...four, address: '2001:db8:1::21' as Ip };
  const tail = 'lladdr 02:75:77:01:00:03 dev eth1 nud permanent';
  expectAsIproute2(`ip neigh replace 10.0.1.21 ${tail}`, putNeighbour(four, INDEX), 'neighbour');
  expectAsIproute2(`ip -6 neigh replace 2001:db8:1::21 ${tail}`, putNeighbour(six, INDEX), 'neighbour');
  expect([four, six].map((n) => decodeNeighbour(parsed(putNeighbour(n, INDEX)), linkName))).toEqual([four, six]);
});

const pod: RouteObject = {
  kind: 'route',
  family: 4,
  table: 7700,
  type: 'unicast',
  destination: '10.0.1.21/32' as Cidr,
  link: 'eth1',
  source: '10.0.1.20' as Ip,
  metric: 0,
  scope: 'link',
  protocol: 117,
};
const { link: _link, source: _source, ...bare } = pod;
const fence: RouteObject = {
  ...bare,
  type: 'unreachable',
  destination: '10.0.1.16/28' as Cidr,
  metric: 4_000_000_000,
  scope: 'global',
};
const way: RouteObject = { ...bare, table: 7702, link: 'eth1', scope: 'global', destination: '0.0.0.0/0' as Cidr };
const way4: RouteObject = { ...way, gateway: '10.0.1.1' as Ip, onLink: true };
const way6: RouteObject = { ...way, family: 6, destination: '::/0' as Cidr, gateway: 'fe80:ec2::1' as Ip };

test('routes', () => {
  const tail = 'proto 117 table 7700';
  expectAsIproute2(`ip route replace 10.0.1.21 dev eth1 ${tail} src 10.0.1.20`, putRoute(pod, INDEX), 'route');
  expectAsIproute2(
    `ip route replace unreachable 10.0.1.16/28 ${tail} metric 4000000000`,
    putRoute(fence, undefined),
    'route',
  );
  expectAsIproute2(
    'ip route replace default via 10.0.1.1 dev eth1 onlink proto 117 table 7702',
    putRoute(way4, INDEX),
    'route',
  );
  expect([pod, way4, way6].map((r) => decodeRoute(parsed(putRoute(r, INDEX)), linkName))).toEqual([pod, way4, way6]);
  expect(decodeRoute(parsed(putRoute(fence, undefined)), linkName)).toEqual(fence);
});

test('an IPv6 default route, for which iproute2 also sends a destination of zeros', () => {
  const golden = iproute2.get('ip -6 route replace default via fe80:ec2::1 dev eth1 proto 117 table 7702');
  const zeros = `1=${'00'.repeat(16)}`;
  expect([...content(putRoute(way6, INDEX), 12), zeros].sort()).toEqual(content(golden ?? Buffer.alloc(0), 12).sort());
});

test('a route is removed as the one it is: a removal names type, link and protocol', () => {
  expectAsIproute2('ip route del 10.0.1.21 dev eth1 proto 117 table 7700', removeTyped(), 'route');
  expect(parsed(removeRoute(pod, INDEX)).payload[7]).toBe(1);
});

/** iproute2 leaves the type out, so that any goes. */
function removeTyped(): Buffer {
  const message = Buffer.from(removeRoute(pod, INDEX));
  message[16 + 7] = 0;
  return message;
}

test('rules', () => {
  const marked: RuleObject = {
    kind: 'rule',
    family: 4,
    priority: 710,
    table: 7702,
    mark: { value: 2, mask: 0x7f },
    protocol: 117,
  };
  const { mark: _mark, ...plain } = marked;
  const from: RuleObject = { ...plain, priority: 720, from: '10.0.1.20/32' as Cidr };
  const iif: RuleObject = { ...plain, family: 6, priority: 700, table: 100, iif: 'eth1' };
  expectAsIproute2('ip rule add priority 710 fwmark 2/0x7f table 7702 protocol 117', putRule(marked), 'rule');
  expectAsIproute2('ip rule add priority 720 from 10.0.1.20 table 7702 protocol 117', putRule(from), 'rule');
  const golden = content(
    iproute2.get('ip -6 rule add priority 700 iif eth1 table 100 protocol 117') ?? Buffer.alloc(0),
    12,
  );
  // The table stands in the header too, but only where it fits one byte.
  expect(content(putRule(iif), 12).filter((line) => line !== '15=64000000')).toEqual(golden);
  expect([marked, from, iif].map((rule) => decodeRule(parsed(putRule(rule))))).toEqual([marked, from, iif]);
});

test('a veth pair is made with both ends named, numbered and placed', () => {
  expectAsIproute2(
    'ip link add uw0 index 1000 address 02:75:77:00:00:01 mtu 9001 numtxqueues 1 numrxqueues 1 type veth peer eth0 index 2 address 02:75:77:01:00:03 mtu 9001 numtxqueues 1 numrxqueues 1 netns uwk-g2',
    sortedPeer(
      createVeth(
        { name: 'uw0', index: 1000, mac: '02:75:77:00:00:01' as Mac, mtu: 9001 },
        { name: 'eth0', index: 2, mac: '02:75:77:01:00:03' as Mac, mtu: 9001 },
        4,
      ),
    ),
    'link',
  );
});

/** iproute2 writes the peer as address, MTU, namespace, name, and its final attributes without the nested flag. */
function sortedPeer(message: Buffer): Buffer {
  const golden = iproute2.get([...iproute2.keys()].at(-1) ?? '') ?? Buffer.alloc(0);
  const peer = (bytes: Buffer) => {
    const [, data] = parseAttributes(parseAttributes(parsed(bytes).payload, 16).at(-1)?.value ?? bytes);
    const [end] = parseAttributes(data?.value ?? bytes);
    const value = end?.value ?? bytes;
    const attributes = parseAttributes(value, 16).map((a) => `${a.type}=${a.value.toString('hex')}`);
    return [value.subarray(0, 16).toString('hex'), ...attributes.sort()];
  };
  expect(peer(message)).toEqual(peer(golden));
  const whole = (bytes: Buffer) => parseAttributes(parsed(bytes).payload, 16).at(-1)?.value ?? bytes;
  whole(golden).copy(whole(message));
  return message;
}

test('a link is changed by name, in one message with what iproute2 takes three for', () => {
  const message = setLink({
    name: 'eth1',
    up: true,
    mtu: 9001,
    group: 0x5557_0001,
    alias: 'lease underway p3 eth0',
    rpFilter: 1,
    noAddrGen: true,
  });
  const separate = ['group 1431764993', 'up mtu 9001', 'alias lease underway p3 eth0'].flatMap((change) =>
    content(iproute2.get(`ip link set dev eth1 ${change}`) ?? Buffer.alloc(0), 16).slice(2),
  );
  const ours = content(message, 16);
  expect(ours[1]).toBe('00000000000000000100000001000000');
  expect(ours).toEqual(expect.arrayContaining(separate));
  // IFLA_AF_SPEC: AF_INET { IFLA_INET_CONF { RP_FILTER: 1 } }, AF_INET6 { ADDR_GEN_MODE: none }.
  expect(ours).toContain('26=10000280' + '0c000180' + '0800080001000000' + '0c000a80' + '0500080001000000');
  expect(ours).toContain('3=6574683100');
});
