import type { Mac } from '../../../src/core/brand.ts';
import type { Ip } from '../../../src/core/ip.ts';
import type { PrevResult } from '../../../src/protocol/network-config.ts';
import { misbeliefs, toldBy } from '../../../src/protocol/told.ts';

const LEASED = { addresses: ['10.0.1.21', '2001:db8::21'] as Ip[], mac: '02:aa:00:00:00:01' as Mac, mtu: 9001 };

const result = (change: Partial<PrevResult> = {}): PrevResult => ({
  interfaces: [
    { name: 'uw0', mac: '02:75:77:00:00:01', mtu: 9001, sandbox: undefined },
    { name: 'eth0', mac: '02:AA:00:00:00:01', mtu: 9001, sandbox: '/var/run/netns/cni-1' },
  ],
  ips: [
    { address: '10.0.1.21/32', interface: 1 },
    { address: '2001:DB8::21/128', interface: 1 },
  ],
  routes: [],
  dns: undefined,
  ...change,
});

function said(change: Partial<PrevResult>, leased = LEASED, ifname = 'eth0'): readonly string[] {
  const told = toldBy(result(change), ifname);
  if ('error' in told) throw new Error(told.error.msg);
  return misbeliefs(told.value, leased);
}

const eth0 = (change: object) => ({
  interfaces: [{ name: 'eth0', mac: undefined, mtu: undefined, sandbox: '/ns', ...change }],
  ips: result().ips.map((ip) => ({ ...ip, interface: 0 })),
});

test.each<[string, Partial<PrevResult>, readonly string[]]>([
  ['what was said', {}, []],
  ['an older version, without MTU and MAC', eth0({}), []],
  [
    'what a plugin behind us added',
    {
      interfaces: [...result().interfaces, { name: 'net1', mac: undefined, mtu: undefined, sandbox: '/ns' }],
      ips: [
        ...result().ips,
        { address: '192.168.7.7/24', interface: 2 },
        { address: '10.9.9.9/32', interface: undefined },
      ],
    },
    [],
  ],
  [
    'another address',
    { ips: [{ address: '10.0.1.22/32', interface: 1 }, ...result().ips.slice(1)] },
    [
      'the runtime was told 10.0.1.22, which is not leased to it',
      'the runtime was not told 10.0.1.21, which is leased to it',
    ],
  ],
  [
    'one family alone',
    { ips: result().ips.slice(0, 1) },
    ['the runtime was not told 2001:db8::21, which is leased to it'],
  ],
  [
    'another MAC',
    eth0({ mac: '02:aa:00:00:00:02' }),
    ['the runtime was told MAC 02:aa:00:00:00:02 for eth0, which has 02:aa:00:00:00:01'],
  ],
  ['another MTU', eth0({ mtu: 1500 }), ['the runtime was told an MTU of 1500 for eth0, which has 9001']],
  ['an interface on the host', eth0({ sandbox: undefined }), ['the runtime was told of no interface eth0 in the pod']],
  ['another interface', eth0({ name: 'net1' }), ['the runtime was told of no interface eth0 in the pod']],
])('a runtime that believes %s', (_, change, sentences) => {
  expect(said(change)).toEqual(sentences);
});

test('an MTU that is not known again yet is not compared', () => {
  expect(said(eth0({ mtu: 1500 }), { ...LEASED, mtu: 0 })).toEqual([]);
});

test('an address that is none is the configuration’s fault', () => {
  expect(toldBy(result({ ips: [{ address: 'none', interface: 1 }] }), 'eth0')).toMatchObject({ error: { code: 7 } });
});
