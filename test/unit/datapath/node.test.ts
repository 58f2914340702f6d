import { readFileSync } from 'node:fs';
import { linkLocal } from '../../../src/datapath/veth/node.ts';
import { veth } from '../../../src/datapath/veth.ts';
import { eth0, eth1, ip, mac, n1, p3 } from './n1.ts';
import { toolsText } from './tools-text.ts';

// The lines of golden/n1.txt were put into a namespace with iproute2 6.1 and nft 1.0.6 on Linux 6.18 and read back equal;
// its nft expressions are what `nft --debug=netlink` compiles from the text of the trial's tested state.
const golden = (name: string): string => readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8');
const text = (plan: typeof n1): string => toolsText(veth.wantedNode(plan));

test("the node's state reads as the tools print the tested state", () => {
  expect(text(n1)).toBe(golden('n1.txt'));
});

test("a pod's state reads as the tools print it, on the host and in the pod", () => {
  const { host, pod } = veth.wantedPod(p3);
  expect(toolsText(host)).toBe(golden('p3-host.txt'));
  expect(toolsText(pod)).toBe(golden('p3-pod.txt'));
});

test('the fences tell which blocks the node holds', () => {
  expect(veth.fenced({ links: [], objects: veth.wantedNode(n1) })).toEqual(n1.enis.flatMap(({ blocks }) => blocks));
});

test('an interface beside the first has a table of its own, and no say in main while the first is there', () => {
  const { pod } = veth.wantedPod({ ...p3, attachment: { ...p3.attachment, ifname: 'net1' } });
  expect(toolsText(pod)).toBe(golden('p3-pod-net1.txt'));
});

test('accept_ra is set before forwarding: else the default route goes', () => {
  const paths = veth.wantedNode(n1).flatMap((object) => (object.kind === 'sysctl' ? [object.path] : []));
  expect(paths.indexOf('net/ipv6/conf/eth0/accept_ra')).toBeLessThan(paths.indexOf('net/ipv6/conf/all/forwarding'));
});

test('masquerade off: no inside set, no snat, and outside traffic leaves by the ENI of its source', () => {
  const off = text({ ...n1, masquerade: false });
  expect(off).not.toMatch(/inside4|postrouting|nat snat/);
  expect(off).toContain('lookup reg 1 set from4 dreg 0');
});

test('a node without IPv6 is not made an IPv6 router', () => {
  const { primary6: _a, ...first } = eth0;
  const { primary6: _b, ...second } = eth1;
  const only4 = [first, second].map((eni) => ({ ...eni, blocks: eni.blocks.filter((block) => !block.includes(':')) }));
  const plan = text({ ...n1, enis: only4 });
  expect(plan).not.toMatch(/ipv6\/conf|inet6|ip -6/);
  expect(plan).toContain('710:\tfrom all fwmark 0x2/0x7f lookup 7702');
});

test('marks sit in the bits of the mask, and other bits are kept', () => {
  const shifted = text({ ...n1, markMask: 0x7f00 });
  expect(shifted).toContain('fwmark 0x200/0x7f00 lookup 7702');
  expect(shifted).toContain('bitwise reg 1 = ( reg 1 & 0xffff80ff ) ^ 0x00000200');
  expect(shifted).toContain('0x00000200 : goto eni2');
});

test.each([
  // RFC 4291 appendix A's own example.
  ['34:56:78:9a:bc:de', 'fe80::3656:78ff:fe9a:bcde'],
  ['02:00:00:00:00:20', 'fe80::ff:fe00:20'],
])('the link-local address of %s is %s', (from, to) => {
  expect(linkLocal(mac(from))).toBe(ip(to));
});

test('the kernel tells which number an ENI has, by either family', () => {
  const numbers = (plan: typeof n1) => [...veth.eniNumbers({ links: [], objects: veth.wantedNode(plan) })];
  expect(numbers(n1)).toEqual([
    ['eth1', 2],
    ['eth2', 3],
  ]);
  const { primary4: _, ...only6 } = eth1;
  expect(numbers({ ...n1, enis: [eth0, { ...only6, number: 9 }] })).toEqual([['eth1', 9]]);
});
