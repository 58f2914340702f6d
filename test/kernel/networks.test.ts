/**
 * What the lab builds a cloud's network from: namespaces, links between them, nf_tables with counters, sockets inside;
 * and what the kernel's refusals read like.
 */
import { execFile } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { KernelObject, NftElementObject, NftSetObject, Step } from '../../src/datapath/kernel-state.ts';
import type { NftSet } from '../../src/datapath/nft.ts';
import { drop, is, meta, notIn, rule } from '../../src/datapath/nft-rule.ts';
import { flushOneByOne } from '../../src/kernel/conntrack.ts';
import { Session } from '../../src/kernel/session.ts';
import type { KernelEvent } from '../../src/ports/kernel.ts';
import { cidr, ip, mac, TestNetworks, tool } from './namespaces.ts';

const nets = new TestNetworks();
afterAll(() => nets.close());

const TABLE = { family: 'inet', table: 'underway-lab' } as const;
const ALLOWED: NftSet = { name: 'allowed', key: ['ifname', 'ipv4_addr'], interval: true, verdictMap: false };
const element = (...key: NftElementObject['element']['key']): NftElementObject => ({
  kind: 'nft-element',
  ...TABLE,
  set: ALLOWED,
  element: { key },
});
const set: NftSetObject = { kind: 'nft-set', ...TABLE, set: ALLOWED };
const address = (link: string, text: `${ReturnType<typeof ip>}/${number}`): KernelObject => ({
  kind: 'address',
  link,
  address: text,
  scope: 'global',
  noPrefixRoute: false,
  noDad: true,
  deprecated: false,
});

/** A namespace `a` with `left`, joined to `b` with `right`, both up, 10.9.0.1 and 10.9.0.2. */
async function pair(): Promise<{ a: string; b: string }> {
  const [a, b] = [await nets.make(), await nets.make()];
  await nets.networks.createVeth(
    { netns: a, name: 'left', mac: mac('02:00:00:00:00:01'), mtu: 9001 },
    { netns: b, name: 'right', mac: mac('02:00:00:00:00:02'), mtu: 9001 },
  );
  for (const [netns, link, text] of [
    [a, 'left', '10.9.0.1/24'],
    [b, 'right', '10.9.0.2/24'],
  ] as const) {
    await nets.networks.apply([{ do: 'set-link', at: 'host', link: { name: link, up: true } }], { netns });
    await nets.networks.put(netns, [address(link, text as `${ReturnType<typeof ip>}/${number}`)]);
  }
  return { a, b };
}

test('a set of interface and prefix decides, and a named counter says how often', async () => {
  const { a, b } = await pair();
  const loads = { op: 'payload', base: 'network', offset: 12, length: 4, to: 4 } as const;
  await nets.networks.put(b, [
    { kind: 'nft-table', ...TABLE, owned: false, counters: ['srcdrop4'] },
    set,
    element('right', cidr('10.9.0.4/30')),
    {
      kind: 'nft-chain',
      ...TABLE,
      chain: {
        name: 'check',
        hook: { hook: 'prerouting', type: 'filter', priority: -300 },
        rules: [
          rule(
            meta('nfproto'),
            is(Uint8Array.of(2)),
            meta('iifname'),
            [loads],
            notIn('allowed'),
            [{ op: 'counter', name: 'srcdrop4' }],
            drop,
          ),
        ],
      },
    },
  ]);
  expect(tool(b, 'nft', 'list', 'table', 'inet', 'underway-lab')).toContain(
    'iifname . ip saddr != @allowed counter name "srcdrop4" drop',
  );
  expect(() => tool(a, 'ping', '-c1', '-W1', '10.9.0.2')).toThrow();
  const where = { netns: b, ...TABLE };
  expect(await nets.networks.counters({ ...where, reset: true })).toEqual([
    { name: 'srcdrop4', packets: 1, bytes: 84 },
  ]);
  expect(await nets.networks.counters(where)).toEqual([{ name: 'srcdrop4', packets: 0, bytes: 0 }]);

  await nets.networks.put(b, [element('right', cidr('10.9.0.1/32'))]);
  expect(tool(a, 'ping', '-c1', '-W1', '10.9.0.2')).toContain('1 received');
  const found = (await nets.networks.read(b, { nftTables: ['underway-lab'] }))?.objects;
  expect(found?.filter(({ kind }) => kind === 'nft-set')).toEqual([set]);
  expect(found?.filter(({ kind }) => kind === 'nft-element')).toEqual([
    element('right', '10.9.0.1/32'),
    element('right', '10.9.0.4/30'),
  ]);
});

test('an arp table, and everything that stands in a table, reads back as it was put', async () => {
  const netns = await nets.make();
  const arp = { family: 'arp', table: 'underway-arp' } as const;
  const senders: NftSet = { name: 'senders', key: ['ifname', 'ether_addr'], interval: false, verdictMap: true };
  const wide: NftSet = { name: 'wide', key: ['ipv6_addr'], interval: true, verdictMap: false };
  const objects: KernelObject[] = [
    { kind: 'nft-table', ...arp, owned: false, counters: ['arpdrop', 'passed'] },
    { kind: 'nft-set', ...arp, set: senders },
    { kind: 'nft-set', ...arp, set: wide },
    {
      kind: 'nft-chain',
      ...arp,
      chain: {
        name: 'check',
        hook: { hook: 'input', type: 'filter', priority: 0 },
        rules: [
          [
            { op: 'payload', base: 'network', offset: 8, length: 6, to: 0 },
            { op: 'cmp', from: 0, how: 'gt', value: Uint8Array.of(2, 0, 0, 0, 0, 0) },
            { op: 'immediate', to: 8, value: Uint8Array.of(1, 2, 3, 4) },
            { op: 'meta', key: 'iifname', to: 0 },
            { op: 'payload', base: 'network', offset: 8, length: 6, to: 4 },
            { op: 'lookup', set: 'senders', from: 0, verdictMap: true },
          ],
          [
            { op: 'counter', name: 'arpdrop' },
            { op: 'verdict', verdict: 'return' },
          ],
        ],
      },
    },
    {
      kind: 'nft-element',
      ...arp,
      set: senders,
      element: { key: ['eth1', '02:00:00:00:00:09'], verdict: { verdict: 'accept' } },
    },
    { kind: 'nft-element', ...arp, set: wide, element: { key: ['::/1'] } },
    { kind: 'nft-element', ...arp, set: wide, element: { key: ['fe80::1-fe80::5'] } },
    { kind: 'nft-element', ...arp, set: wide, element: { key: ['ff00::/8'] } },
  ];
  await nets.networks.put(netns, objects);
  const read = async () =>
    (await nets.networks.read(netns, { nftTables: ['underway-arp'] }))?.objects.filter(({ kind }) =>
      kind.startsWith('nft'),
    );
  expect(await read()).toEqual(objects);
  expect(tool(netns, 'nft', 'list', 'table', 'arp', 'underway-arp')).toContain(
    'elements = { ::/1,\n\t\t\t     fe80::1-fe80::5,\n\t\t\t     ff00::/8 }',
  );
  await nets.networks.remove(netns, objects.slice(4));
  expect(await read()).toEqual(objects.slice(0, 4));
  await nets.networks.remove(netns, objects.slice(0, 1));
  await nets.networks.remove(netns, objects);
  expect(await read()).toEqual([]);
});

test('one step that the kernel refuses undoes the whole transaction, and each step says so', async () => {
  const netns = await nets.make();
  const kernel = nets.networks.kernel({ netns, nftTables: ['underway-lab'] });
  const puts = [{ kind: 'nft-table', ...TABLE, owned: false, counters: [] } as const, set].map(
    (object) => ({ do: 'put', at: 'host', object }) as const,
  );
  const lost = {
    do: 'put',
    at: 'host',
    object: { ...element('x', '10.0.0.0/8'), set: { ...ALLOWED, name: 'none' } },
  } as const;
  const failures = await kernel.apply([...puts, lost]);
  expect(failures.map(({ errno }) => errno)).toEqual(['ECANCELED', 'ECANCELED', 'ENOENT']);
  expect((await kernel.read())?.objects.filter(({ kind }) => kind.startsWith('nft'))).toEqual([]);
});

test("a refusal carries the kernel's own sentence", async () => {
  const netns = await nets.make();
  const kernel = nets.networks.kernel({ netns });
  const route: KernelObject = {
    kind: 'route',
    family: 4,
    table: 7702,
    type: 'unicast',
    destination: cidr('0.0.0.0/0'),
    gateway: ip('10.1.2.3'),
    metric: 0,
    scope: 'global',
    protocol: 117,
  };
  expect(await kernel.apply([{ do: 'put', at: 'host', object: route }])).toMatchObject([
    { errno: 'ENETUNREACH', message: 'Nexthop has invalid gateway' },
  ]);
  expect(await kernel.apply([{ do: 'remove', at: 'host', object: route }])).toEqual([]);
  const sysctl = (path: string, value: string) => ({ kind: 'sysctl', path, value }) as const;
  expect(
    await kernel.apply([
      { do: 'put', at: 'host', object: sysctl('net/ipv4/ip_forward', '1') },
      { do: 'put', at: 'host', object: sysctl('net/ipv4/conf/nosuch/rp_filter', '1') },
    ]),
  ).toMatchObject([{ errno: 'ENOENT', step: { object: { path: 'net/ipv4/conf/nosuch/rp_filter' } } }]);
  expect(tool(netns, 'cat', '/proc/sys/net/ipv4/ip_forward')).toBe('1\n');
  expect((await kernel.read())?.objects).toContainEqual(sysctl('net/ipv4/ip_forward', '1'));
});

test('what is no namespace is said to be none', async () => {
  const netns = await nets.make();
  const gone = await nets.make();
  const kernel = nets.networks.kernel({ netns });
  expect(await kernel.identify(gone)).toMatch(/^\d+:\d+$/);
  expect(await kernel.identify(gone)).not.toBe(await kernel.identify(netns));
  await nets.networks.deleteNamespace(gone);
  await nets.networks.deleteNamespace(gone);
  expect(existsSync(gone)).toBe(false);
  for (const path of [gone, '/etc/passwd', '/proc/self/ns/uts']) {
    expect(await kernel.read(path)).toBeUndefined();
    expect(
      await kernel.apply([{ do: 'set-link', at: 'pod', link: { name: 'lo', up: true } }], { netns: path }),
    ).toMatchObject([{ errno: 'ENONET' }]);
  }
  expect(await kernel.identify('/etc/passwd')).toBeUndefined();
});

test('a server listens inside a namespace, on this event loop', async () => {
  const { a, b } = await pair();
  const fd = await nets.networks.openSocketIn(b, { kind: 'tcp', address: ip('10.9.0.2'), port: 8080 });
  const server = createServer((_, response) => response.end('from inside'));
  await new Promise<void>((resolve) => server.listen({ fd }, resolve));
  try {
    const kernel = nets.networks.kernel({ netns: a });
    expect((await kernel.read())?.links.map(({ name }) => name)).toEqual(['lo', 'left']);
    const get = 'exec 3<>/dev/tcp/10.9.0.2/8080; printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3; cat <&3';
    // Not waited for in this thread, which has to answer.
    const { stdout: answer } = await promisify(execFile)('nsenter', [`--net=${a}`, 'bash', '-c', get]);
    expect(answer).toContain('from inside');
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
  const udp = await nets.networks.openSocketIn(b, { kind: 'udp', address: ip('10.9.0.2'), port: 53 });
  expect(tool(b, 'ss', '-lun')).toContain('10.9.0.2:53');
  closeSync(udp);
});

test("a released address's connections are forgotten, whichever side of them it was, and others stay", async () => {
  const { a, b } = await pair();
  const kernel = nets.networks.kernel({ netns: b });
  const count = () => tool(b, 'conntrack', '-L').split('\n').filter(Boolean).length;
  // A rule on connection state turns tracking on.
  tool(
    b,
    'nft',
    'add table ip t; add chain ip t c { type filter hook prerouting priority 0; }; add rule ip t c ct state new accept',
  );
  tool(
    b,
    'nft',
    'add chain ip t o { type filter hook output priority 0; }; add rule ip t o ct state new ct mark set 0x102',
  );
  tool(a, 'ip', 'addr', 'add', '10.9.0.3/24', 'dev', 'left');
  for (const source of ['10.9.0.1', '10.9.0.3']) tool(a, 'ping', '-c1', '-W1', '-I', source, '10.9.0.2');
  tool(b, 'ping', '-c1', '-W1', '10.9.0.1');
  tool(b, 'ping', '-c1', '-W1', '10.9.0.3');
  expect(count()).toBe(4);
  expect(await kernel.flushConntrack({ addresses: [ip('10.9.0.1'), ip('2001:db8::1')] })).toBe(true);
  expect(count()).toBe(2);
  expect(await kernel.flushConntrack({ mark: 3, mask: 0x7f })).toBe(true);
  expect(count()).toBe(2);
  expect(await kernel.flushConntrack({ mark: 2, mask: 0x7f })).toBe(true);
  expect(count()).toBe(1);
  // As on a kernel that cannot delete by filter.
  const session = new Session(b);
  try {
    expect(flushOneByOne(session.netfilter, [ip('10.9.0.7')])).toBe(true);
    expect(count()).toBe(1);
    expect(flushOneByOne(session.netfilter, [ip('10.9.0.3')])).toBe(true);
    expect(count()).toBe(0);
  } finally {
    session.close();
  }
});

test('events that the socket could not hold are told as lost, and 30,000 steps of one apply all arrive', async () => {
  const { a: netns } = await pair();
  const kernel = nets.networks.kernel({ netns });
  const events: KernelEvent[] = [];
  const stop = kernel.listen((event) => events.push(event));
  const fences = Array.from({ length: 30_000 }, (_, n): KernelObject => {
    const destination = cidr(`10.9.${n >> 8}.${n & 255}/32`);
    const route = { kind: 'route', family: 4, table: 7700, type: 'unreachable', destination } as const;
    return { ...route, metric: 4_000_000_000, scope: 'global', protocol: 117 };
  });
  // Links are told also when we change them.
  const changes = Array.from({ length: 10_000 }, (_, n): Step => {
    return { do: 'set-link', at: 'host', link: { name: 'left', mtu: 1400 + (n % 2) } };
  });
  await Promise.all([nets.networks.apply(changes, { netns }), nets.networks.put(netns, fences)]);
  const isRoute = (object: KernelObject) => object.kind === 'route' && object.protocol === 117;
  expect((await kernel.read())?.objects.filter(isRoute)).toHaveLength(fences.length);
  // The worker was busy with the steps all the while, so their notifications overflowed.
  const isLost = (event: KernelEvent) => event.kind === 'changed' && event.what === 'lost';
  for (let tries = 0; tries < 40 && !events.some(isLost); tries++) await setTimeout(25);
  expect(events).toContainEqual({ kind: 'changed', what: 'lost' });
  stop();
  await nets.networks.remove(netns, fences);
  await nets.networks.remove(netns, fences);
  expect((await kernel.read())?.objects.filter(isRoute)).toEqual([]);
});
