import type { LeaseId, Mac } from '../../../src/core/brand.ts';
import type { Ip } from '../../../src/core/ip.ts';
import type { PodPlan } from '../../../src/core/plan.ts';
import type { Reason } from '../../../src/core/reasons.ts';
import { answerTo, errorAnswer } from '../../../src/protocol/answer.ts';
import { errorOf, REASON_CODE } from '../../../src/protocol/error.ts';
import { parseRequest } from '../../../src/protocol/request.ts';

const PLAN: PodPlan = {
  lease: '0123456789abcdef-1' as LeaseId,
  attachment: { network: 'underway', containerId: 'c1', ifname: 'eth0' },
  link: 'uw0123456789abc',
  linkIndex: 1001,
  netns: '/var/run/netns/cni-1',
  addresses: ['10.0.1.21', '2001:db8:1::21'] as Ip[],
  podMac: '02:75:77:00:00:02' as Mac,
  mtu: 9001,
  nodeAddresses: ['10.0.1.5'] as Ip[],
};
const added = { kind: 'added', plan: PLAN, pool: 'default', enis: ['eni-1'] } as const;

function asked(command: string, config: object = {}) {
  const parsed = parseRequest(
    JSON.stringify({
      command,
      containerId: 'c1',
      netns: '/var/run/netns/cni-1',
      ifname: 'eth0',
      config: { cniVersion: '1.1.0', name: 'underway', type: 'underway', ...config },
    }),
  );
  if ('error' in parsed) throw new Error(parsed.error.msg);
  return parsed.request;
}

const ROUTES = [
  { dst: '0.0.0.0/0', gw: '169.254.1.1' },
  { dst: '::/0', gw: 'fe80::1' },
];
const HOST = { name: 'uw0123456789abc', mac: '02:75:77:00:00:01' };
const POD = { name: 'eth0', mac: '02:75:77:00:00:02', sandbox: '/var/run/netns/cni-1' };
const IPS = [
  { address: '10.0.1.21/32', gateway: '169.254.1.1', interface: 1 },
  { address: '2001:db8:1::21/128', gateway: 'fe80::1', interface: 1 },
];
const OLD_IPS = [
  { version: '4', ...IPS[0] },
  { version: '6', ...IPS[1] },
];

test.each([
  ['0.3.0', [HOST, POD], OLD_IPS],
  ['0.3.1', [HOST, POD], OLD_IPS],
  ['0.4.0', [HOST, POD], OLD_IPS],
  ['1.0.0', [HOST, POD], IPS],
  [
    '1.1.0',
    [
      { ...HOST, mtu: 9001 },
      { ...POD, mtu: 9001 },
    ],
    IPS,
  ],
])('ADD in %s', (cniVersion, interfaces, ips) => {
  const { status, body } = answerTo(asked('ADD', { cniVersion }), added);
  expect(status).toBe(200);
  expect(JSON.parse(body)).toEqual({ cniVersion, interfaces, ips, routes: ROUTES });
});

test('the same facts give the same bytes', () => {
  expect(answerTo(asked('ADD'), added).body).toBe(
    '{"cniVersion":"1.1.0","interfaces":[' +
      '{"name":"uw0123456789abc","mac":"02:75:77:00:00:01","mtu":9001},' +
      '{"name":"eth0","mac":"02:75:77:00:00:02","mtu":9001,"sandbox":"/var/run/netns/cni-1"}],' +
      '"ips":[{"address":"10.0.1.21/32","gateway":"169.254.1.1","interface":1},' +
      '{"address":"2001:db8:1::21/128","gateway":"fe80::1","interface":1}],' +
      '"routes":[{"dst":"0.0.0.0/0","gw":"169.254.1.1"},{"dst":"::/0","gw":"fe80::1"}]}',
  );
});

test('the configuration’s dns is passed on, an empty one is not', () => {
  const dns = { nameservers: ['10.0.0.2'], search: ['svc.cluster.local'] };
  expect(JSON.parse(answerTo(asked('ADD', { dns }), added).body)).toHaveProperty('dns', dns);
  expect(JSON.parse(answerTo(asked('ADD', { dns: {} }), added).body)).not.toHaveProperty('dns');
});

test('an earlier plugin’s result is passed on whole, and ours points at our own interface', () => {
  const prevResult = {
    cniVersion: '1.1.0',
    interfaces: [{ name: 'net1', mac: '02:00:00:00:00:09', sandbox: '/x', pciID: '0000:00:01.0' }],
    ips: [{ address: '192.0.2.9/24', interface: 0 }],
    routes: [{ dst: '192.0.2.0/24', priority: 10 }],
    dns: { domain: 'a.example' },
  };
  const { interfaces, ips, routes, dns } = JSON.parse(answerTo(asked('ADD', { prevResult }), added).body);
  expect(interfaces).toEqual([...prevResult.interfaces, { ...HOST, mtu: 9001 }, { ...POD, mtu: 9001 }]);
  expect(ips).toEqual([...prevResult.ips, ...IPS.map((ip) => ({ ...ip, interface: 2 }))]);
  expect(routes).toEqual([...prevResult.routes, ...ROUTES]);
  expect(dns).toEqual(prevResult.dns);
});

test.each(['DEL', 'GC', 'STATUS'])('%s has no result', (verb) => {
  expect(answerTo(asked(verb), { kind: 'done' })).toMatchObject({ status: 200, body: '' });
});

test('a refusal reaches the pod’s event with its numbers and where to read on', () => {
  const reason: Reason = { code: 'CEILING', ceiling: 30, leased: 30, restMs: 5_000 };
  const { status, body } = answerTo(asked('ADD', { cniVersion: '0.4.0' }), { kind: 'refused', reason });
  expect(status).toBe(503);
  expect(JSON.parse(body)).toEqual({
    cniVersion: '0.4.0',
    code: 114,
    msg: "the pool's ceiling of 30 addresses is reached; the next pod is served 5.0 s after one of the 30 that have an address ends: raise targets.ceiling",
    details: 'CEILING, see docs/errors.md#ceiling',
  });
});

test.each([
  [{ code: 1 }, 'BAD_REQUEST, see docs/errors.md#bad_request'],
  [{ code: 2 }, 'CONFIG_INVALID, see docs/errors.md#config_invalid'],
  [{ code: 4, details: 'it is "x"' }, 'BAD_REQUEST, see docs/errors.md#bad_request: it is "x"'],
  [{ code: 6 }, 'BAD_REQUEST, see docs/errors.md#bad_request'],
  [{ code: 7 }, 'CONFIG_INVALID, see docs/errors.md#config_invalid'],
])('the caller’s own mistakes are status 400, and have a reason as well: %j', (error, details) => {
  const { status, body } = errorAnswer({ msg: 'x', ...error }, '1.0.0');
  expect(status).toBe(400);
  expect(JSON.parse(body)).toEqual({ cniVersion: '1.0.0', code: error.code, msg: 'x', details });
});

const starting: Reason = { code: 'DAEMON_STARTING', detail: 'reading the journal' };

test.each([
  ['STATUS while starting', errorOf(starting, 'STATUS'), 50],
  ['STATUS while pods may be hurt', errorOf({ code: 'KERNEL', step: 'put rule', errno: 'EPERM' }, 'STATUS'), 51],
  ['ADD while starting', errorOf(starting, 'ADD'), 11],
  ['CHECK that failed', errorOf({ code: 'NOT_AS_WIRED', problems: ['eth0 is down'] }, 'CHECK'), 101],
  ['the kernel refused', errorOf({ code: 'KERNEL', step: 'create-veth', errno: 'EEXIST' }, 'ADD'), 102],
  ['a name that is taken', errorOf({ code: 'IFNAME_TAKEN', ifname: 'eth0', netns: '/x' }, 'ADD'), 104],
  ['a namespace that is gone', errorOf({ code: 'NETNS_GONE', netns: '/x' }, 'ADD'), 103],
  ['what the pod does not cure by waiting', errorOf({ code: 'ACCOUNT_QUOTA', cloudCode: 'x', retryMs: 1 }, 'ADD'), 115],
  ['a bug', errorOf({ code: 'INTERNAL', detail: 'x' }, 'DEL'), 199],
])('%s', (_, error, code) => {
  expect(error.code).toBe(code);
});

test('no reason is code 3, which would spare the runtime the DEL that frees the address', () => {
  expect(Object.values(REASON_CODE)).not.toContain(3);
});
