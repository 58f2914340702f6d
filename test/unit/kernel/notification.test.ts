import type { Mac } from '../../../src/core/brand.ts';
import type { Cidr, Ip } from '../../../src/core/ip.ts';
import type { RouteObject } from '../../../src/datapath/kernel-state.ts';
import { encodeMessage, HEADER_BYTES, type Message, parseMessages } from '../../../src/kernel/netlink.ts';
import { putTable } from '../../../src/kernel/nftables/table.ts';
import { routeEvents as heard, type Interest, type Notified, nftEvents } from '../../../src/kernel/notification.ts';
import { nextPort } from '../../../src/kernel/own-port.ts';
import { removeAddress } from '../../../src/kernel/rtnetlink/address.ts';
import { createVeth, RTM_LINK } from '../../../src/kernel/rtnetlink/link.ts';
import { putNeighbour, removeNeighbour } from '../../../src/kernel/rtnetlink/neighbour.ts';
import { putRoute, removeRoute } from '../../../src/kernel/rtnetlink/route.ts';

const OURS = nextPort();
const OTHERS = 4711;
const KERNEL = 0;
const interest: Interest = { protocol: 117, nftTables: ['underway'], podMtus: new Set([1500]) };

const mac = '02:00:00:00:00:20' as Mac;
const route: RouteObject = {
  kind: 'route',
  family: 6,
  table: 7700,
  type: 'unicast',
  destination: '2001:db8::/64' as Cidr,
  link: 'uw0',
  metric: 1024,
  scope: 'global',
  protocol: 117,
};

/** A notification is laid out as the request that would have made it. */
function told(bytes: Buffer, port: number, namespace?: number): { message: Message } & Notified {
  const [message] = parseMessages(bytes);
  if (message === undefined) throw new Error('no message');
  return { message: { ...message, port }, ...(namespace !== undefined && { namespace }) };
}
/** Two links of the host lead into namespace 5, none into any other. */
const routeEvents = (notified: readonly Notified[], of: Interest) =>
  heard(notified, of, {
    podLinks: (namespace) => (namespace === 5 ? [100, 101] : []),
    hasLink: (index) => index === 9,
  });
const podChanged = [100, 101].map((index) => ({ kind: 'pod-changed', index }));
const linkMessage = (type: number): Buffer => {
  const bytes = createVeth({ name: 'uw0', index: 9, mac, mtu: 1500 }, { name: 'p', mac, mtu: 1500 }, 3);
  bytes.writeUInt16LE(type, 4);
  return bytes;
};
const changed = (what: string) => [{ kind: 'changed', what }];

test('a route of ours that somebody removed is reported once, however many went', () => {
  const burst = [told(removeRoute(route, 9), OTHERS), told(removeRoute(route, 9), OTHERS)];
  expect(routeEvents(burst, interest)).toEqual(changed('route'));
});

test('what our own sockets changed is not reported, nor a route that is none of ours', () => {
  const burst = [told(putRoute(route, 9), OURS), told(putRoute({ ...route, protocol: 3 }, 9), OTHERS)];
  expect(routeEvents(burst, interest)).toEqual([]);
});

test('what the kernel removes by itself is reported on the host, unless it went with its link', () => {
  const removal = told(removeRoute(route, 9), KERNEL);
  expect(routeEvents([removal], interest)).toEqual(changed('route'));
  expect(routeEvents([removal, told(linkMessage(RTM_LINK.DELETE), KERNEL)], interest)).toEqual([
    { kind: 'link-gone', name: 'uw0', index: 9, mac },
  ]);
  expect(routeEvents([told(putRoute(route, 9), KERNEL)], interest)).toEqual([]);
});

test('of a pod only that somebody changed it is told, once, and which of our links lead there', () => {
  const address = {
    kind: 'address',
    link: 'eth0',
    address: '10.0.0.1/32' as `${Ip}/32`,
    scope: 'global',
    noPrefixRoute: false,
    noDad: false,
    deprecated: false,
  } as const;
  const removal = removeAddress(address, 2);
  expect(routeEvents([told(removal, OTHERS, 5), told(removeRoute(route, 2), OTHERS, 5)], interest)).toEqual(podChanged);
  // What an ioctl asked for has no port.
  expect(routeEvents([told(removal, KERNEL, 5)], interest)).toEqual(podChanged);
  expect(routeEvents([told(removal, OURS, 5), told(removal, OTHERS, 6)], interest)).toEqual([]);
  expect(routeEvents([told(linkMessage(RTM_LINK.DELETE), KERNEL, 5)], interest)).toEqual([]);
});

test('a link is told once a burst, as it was last', () => {
  const burst = [told(linkMessage(RTM_LINK.NEW), OTHERS), told(linkMessage(RTM_LINK.DELETE), KERNEL)];
  expect(routeEvents(burst, interest)).toEqual([{ kind: 'link-gone', name: 'uw0', index: 9, mac }]);
});

test('a link that somebody set down is a change, not one that came down, goes, or belongs to a fenced pod', () => {
  const IFI = { flags: 24, change: 28 } as const;
  const down = (group: number, change: number): Buffer => {
    const bytes = createVeth({ name: 'uw0', index: 9, mac, mtu: 1500, group }, { name: 'p', mac, mtu: 1500 }, 3);
    bytes.writeUInt32LE(change, IFI.change);
    return bytes;
  };
  const what = (bytes: Buffer, port: number, namespace?: number) =>
    routeEvents([told(bytes, port, namespace)], interest).filter(({ kind }) => kind.endsWith('changed'));
  for (const port of [KERNEL, OTHERS])
    for (const group of [0, 0x5557_0000]) expect(what(down(group, 1), port)).toEqual(changed('link'));
  const up = down(0, 1);
  up.writeUInt32LE(1, IFI.flags);
  expect(what(up, OTHERS)).toEqual([]);
  expect(what(down(0, 0xffff_ffff), KERNEL)).toEqual([]);
  expect(what(down(0x5557_0001, 1), KERNEL)).toEqual([]);
  expect(what(down(0x5557_0000, 1), OTHERS, 5)).toEqual(podChanged);
  const gone = [told(down(0, 1), KERNEL), told(linkMessage(RTM_LINK.DELETE), KERNEL)];
  expect(routeEvents(gone, interest).map(({ kind }) => kind)).toEqual(['link-gone']);
});

test('a notification that cannot be understood is lost, the others of its burst are not', () => {
  const link = told(linkMessage(RTM_LINK.NEW), OTHERS);
  const cut = { ...link, message: { ...link.message, payload: link.message.payload.subarray(0, 3) } };
  const seen = { kind: 'link-seen', name: 'uw0', index: 9, mac, mtu: 1500, type: 'veth' };
  expect(routeEvents([cut, link, cut], interest)).toEqual([seen, ...changed('lost')]);
});

test("the kernel's own neighbour upkeep is no change", () => {
  const neighbour = { kind: 'neighbour', link: 'eth1', address: '10.0.0.1' as Ip, mac } as const;
  expect(routeEvents([told(putNeighbour(neighbour, 3), KERNEL)], interest)).toEqual([]);
  expect(routeEvents([told(putNeighbour(neighbour, 3), OTHERS)], interest)).toEqual(changed('neighbour'));
});

test('a permanent neighbour goes with the MAC of its link, on the host and in a pod', () => {
  const neighbour = { kind: 'neighbour', link: 'uw0', address: '10.0.0.1' as Ip, mac } as const;
  const gone = removeNeighbour(neighbour, 9);
  const learnt = Buffer.from(gone);
  learnt.writeUInt16LE(4, HEADER_BYTES + 8);
  expect(routeEvents([told(gone, KERNEL)], interest)).toEqual(changed('neighbour'));
  expect(routeEvents([told(gone, KERNEL, 5)], interest)).toEqual(podChanged);
  expect(routeEvents([told(learnt, KERNEL), told(gone, OURS)], interest)).toEqual([]);
  const withLink = [told(gone, KERNEL), told(linkMessage(RTM_LINK.DELETE), KERNEL)];
  expect(routeEvents(withLink, interest).map(({ kind }) => kind)).toEqual(['link-gone']);
});

test("a pod's link has an MTU with which none was made: a change, but not of a fenced one", () => {
  const resized = (mtu: number, group: number) => {
    const bytes = createVeth({ name: 'uw0', index: 9, mac, mtu, group }, { name: 'p', mac, mtu }, 3);
    return routeEvents([told(bytes, KERNEL)], interest).filter(({ kind }) => kind === 'changed');
  };
  expect(resized(1400, 0x5557_0000)).toEqual(changed('link'));
  for (const [mtu, group] of [
    [1500, 0x5557_0000],
    [1400, 0x5557_0001],
    [1400, 0],
  ] as const)
    expect(resized(mtu, group)).toEqual([]);
});

test("a link's NETCONF goes with its name, or with the link", () => {
  const netconfOf = (index: number) =>
    encodeMessage({ type: 81 }, (writer) => {
      writer.u32(2);
      writer.attributeU32(1, index);
    });
  const netconf = netconfOf(9);
  expect(routeEvents([told(netconf, KERNEL)], interest)).toEqual(changed('link'));
  // The link itself is told of a moment later.
  expect(routeEvents([told(netconfOf(10), KERNEL)], interest)).toEqual([]);
  expect(routeEvents([told(netconf, KERNEL, 5)], interest)).toEqual([]);
  const withLink = [told(netconf, KERNEL), told(linkMessage(RTM_LINK.DELETE), KERNEL)];
  expect(routeEvents(withLink, interest).map(({ kind }) => kind)).toEqual(['link-gone']);
});

test('one sysctl that changed is reported; all of them at once are a link that came', () => {
  const netconf = (...types: number[]) =>
    encodeMessage({ type: 80 }, (writer) => {
      writer.u32(2);
      for (const type of types) writer.attributeU32(type, 1);
    });
  expect(routeEvents([told(netconf(1, 3), KERNEL)], interest)).toEqual(changed('sysctl'));
  expect(routeEvents([told(netconf(1, 2, 3, 4, 5), KERNEL)], interest)).toEqual([]);
});

test('nf_tables: our tables, by others', () => {
  const ours = putTable({ family: 'inet', table: 'underway', owned: false });
  const theirs = putTable({ family: 'inet', table: 'filter', owned: false });
  expect(nftEvents([told(ours, OURS), told(theirs, OTHERS)], interest)).toEqual([]);
  expect(nftEvents([told(ours, OTHERS), told(ours, OTHERS)], interest)).toEqual(changed('nft'));
});
