/** What a pod may ask for beside an address, in whatever way it is said: docs/parameters.md. */
import { answerTo, errorAnswer } from '../../../src/protocol/answer.ts';
import { parseQuantity } from '../../../src/protocol/quantity.ts';
import { type CniRequest, parseRequest } from '../../../src/protocol/request.ts';

const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';
const INGRESS = 'kubernetes.io/ingress-bandwidth';
const EGRESS = 'kubernetes.io/egress-bandwidth';

function parse(config: object, command = 'ADD') {
  const prevResult = command === 'CHECK' ? { prevResult: { interfaces: [{ name: 'eth0', sandbox: '/x' }] } } : {};
  return parseRequest(
    JSON.stringify({
      command,
      containerId: 'c1',
      netns: '/var/run/netns/cni-1',
      ifname: 'eth0',
      config: { cniVersion: '1.1.0', name: 'underway', type: 'underway', ...prevResult, ...config },
    }),
  );
}

function added(config: object): CniRequest & { verb: 'ADD' } {
  const parsed = parse(config);
  if ('error' in parsed || parsed.request.verb !== 'ADD') throw new Error(JSON.stringify(parsed));
  return parsed.request;
}
const bandwidth = (runtimeConfig: object) => added({ runtimeConfig }).bandwidth;
const annotated = (annotations: object) => bandwidth({ [ANNOTATIONS]: annotations });

test.each([
  ['10M', 10e6],
  ['1Gi', 2 ** 30],
  ['1.5k', 1_500],
  ['1.1k', 1_100],
  ['.5M', 500_000],
  ['1.', 1],
  ['+3', 3],
  ['-3k', -3_000],
  ['2e6', 2e6],
  ['2E6', 2e6],
  ['1E', 1e18],
  ['1e-3', 1],
  ['1500m', 2],
  ['1n', 1],
  ['0', 0],
])('the quantity %s is %d', (text, value) => {
  expect(parseQuantity(text)).toBe(value);
});

test.each([
  '',
  ' ',
  'M',
  '10 M',
  '10MB',
  '10mi',
  '1e',
  '1e1.5',
  '1_000',
  '0x10',
  '10Mbit',
  'Infinity',
  '١',
  '.',
  '1..',
])('no quantity: "%s"', (text) => {
  expect(parseQuantity(text)).toBeUndefined();
});

test('a text is read up to 64 characters, whatever it says: no work grows with what a pod’s owner writes', () => {
  expect(parseQuantity('1'.padStart(64, '0'))).toBe(1);
  expect(parseQuantity('1'.padStart(65, '0'))).toBeUndefined();
  expect(parseQuantity(`${'9'.repeat(256 * 1024)}x`)).toBeUndefined();
});

test('a limit by the capability, in either spelling; 0 is none', () => {
  const goStyle = { IngressRate: 10_000_000, IngressBurst: 4_294_967_295, EgressRate: 0, EgressBurst: 0 };
  expect(bandwidth({ bandwidth: goStyle })).toEqual({ ingress: { bitsPerSecond: 10e6, burstBits: 4_294_967_295 } });
  expect(bandwidth({ bandwidth: { egressRate: 1_000 } })).toEqual({ egress: { bitsPerSecond: 1_000 } });
  expect(bandwidth({ bandwidth: {} })).toBeUndefined();
  expect(added({})).not.toHaveProperty('bandwidth');
});

test('a limit by annotations, where the runtime makes no capability of them', () => {
  expect(annotated({ [INGRESS]: '10M', [EGRESS]: '1Gi', other: 'x' })).toEqual({
    ingress: { bitsPerSecond: 10e6 },
    egress: { bitsPerSecond: 2 ** 30 },
  });
  expect(annotated({ [EGRESS]: '1k' })).toEqual({ egress: { bitsPerSecond: 1_000 } });
  expect(annotated({ [EGRESS]: '1P' })).toEqual({ egress: { bitsPerSecond: 1e15 } });
  expect(annotated({})).toBeUndefined();
});

test('where there is the capability the annotations are not looked at, not even wrong ones', () => {
  const annotations = { [INGRESS]: 'much', [EGRESS]: '5M' };
  expect(bandwidth({ bandwidth: { ingressRate: 2e6 }, [ANNOTATIONS]: annotations })).toEqual({
    ingress: { bitsPerSecond: 2e6 },
  });
});

test.each([
  ['no quantity', { [ANNOTATIONS]: { [INGRESS]: 'much' } }, `${INGRESS} is "much"`],
  ['empty', { [ANNOTATIONS]: { [INGRESS]: '' } }, `${INGRESS} is ""`],
  ['too little', { [ANNOTATIONS]: { [EGRESS]: '999' } }, `${EGRESS} is "999"`],
  ['negative', { [ANNOTATIONS]: { [EGRESS]: '-10M' } }, `${EGRESS} is "-10M"`],
  ['too much', { [ANNOTATIONS]: { [EGRESS]: '1.1P' } }, `${EGRESS} is "1.1P"`],
  ['more than there is', { [ANNOTATIONS]: { [EGRESS]: '1e999' } }, `${EGRESS} is "1e999"`],
  ['long', { [ANNOTATIONS]: { [EGRESS]: '9'.repeat(5_000) } }, `${EGRESS} is "99`],
  ['too little by the capability', { bandwidth: { ingressRate: 1 } }, 'runtimeConfig.bandwidth.ingressRate is 1'],
])('a rate that is %s is the configuration’s fault, and named', (_, runtimeConfig, named) => {
  const parsed = parse({ runtimeConfig });
  expect(parsed).toMatchObject({ error: { code: 7, msg: expect.stringContaining(`${named}`) } });
  if (!('error' in parsed)) return;
  expect(parsed.error.msg).toMatch(/: it must be a rate from 1k to 1P bits a second, such as "10M"$/);
  expect(parsed.error.msg.length).toBeLessThan(250);
});

test.each([
  ['runtimeConfig.ips', { runtimeConfig: { ips: ['10.0.0.9/24'] } }, '["10.0.0.9/24"]'],
  ['runtimeConfig.ipRanges', { runtimeConfig: { ipRanges: [[{ subnet: '10.0.0.0/24' }]] } }, '10.0.0.0/24'],
  ['runtimeConfig.mac', { runtimeConfig: { Mac: '02:00:00:00:00:01' } }, '"02:00:00:00:00:01"'],
  ['runtimeConfig.infinibandGUID', { runtimeConfig: { infinibandGUID: 'c2:11' } }, '"c2:11"'],
  ['runtimeConfig.deviceID', { runtimeConfig: { deviceID: '0000:00:05.0' } }, '"0000:00:05.0"'],
  ['args.cni.ips', { args: { cni: { ips: ['10.0.0.9'] } } }, '["10.0.0.9"]'],
  ['args.cni.mac', { args: { cni: { mac: '02:00:00:00:00:01' } } }, '"02:00:00:00:00:01"'],
])('%s is refused with code 2, its key and its value, on ADD alone', (key, config, value) => {
  const parsed = parse(config);
  expect(parsed).toMatchObject({
    error: { code: 2, msg: expect.stringContaining(`${key} is `), details: 'docs/parameters.md says why' },
  });
  if (!('error' in parsed)) return;
  expect(parsed.error.msg).toContain(value);
  const { status, body } = errorAnswer(parsed.error, parsed.cniVersion);
  const details = 'CONFIG_INVALID, see docs/errors.md#config_invalid: docs/parameters.md says why';
  expect([status, JSON.parse(body)]).toMatchObject([400, { details }]);
  expect(parse(config, 'CHECK')).toHaveProperty('request.verb', 'CHECK');
  expect(parse(config, 'DEL')).toHaveProperty('request.verb', 'DEL');
});

test('what a runtime writes where nothing is asked for is not refused, nor what others see to', () => {
  const nothing = {
    ips: [],
    ipRanges: null,
    mac: '',
    infinibandGUID: '',
    deviceID: '',
    aliases: ['web'],
    cgroupPath: '/x',
  };
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
  const args = { cni: { labels: [{ key: 'a', value: 'b' }], ips: [] } };
  expect(added({ runtimeConfig: { ...nothing, portMappings }, args })).toHaveProperty('verb', 'ADD');
  expect(added({ args: { cni: 'x' } })).toHaveProperty('verb', 'ADD');
});

test('the capability dns goes into the result, before the configuration’s own and after an earlier plugin’s', () => {
  const plan = {
    lease: '1-1',
    attachment: { network: 'underway', containerId: 'c1', ifname: 'eth0' },
    link: 'uw0123456789abc',
    linkIndex: 1,
    netns: '/x',
    addresses: ['10.0.1.21'],
    podMac: '02:75:77:00:00:02',
    mtu: 9001,
    nodeAddresses: [],
  };
  const dnsOf = (config: object): unknown =>
    JSON.parse(answerTo(added(config), { kind: 'added', plan: plan as never, pool: 'default', enis: [] }).body).dns;
  const dns = { nameservers: ['10.0.0.2'], search: ['own.example'] };
  const runtimeConfig = { dns: { Servers: ['10.0.0.53'], Searches: ['svc.example'], Options: ['ndots:5'] } };
  expect(dnsOf({ dns, runtimeConfig })).toEqual({
    nameservers: ['10.0.0.53'],
    search: ['svc.example'],
    options: ['ndots:5'],
  });
  expect(dnsOf({ dns, runtimeConfig: { dns: { Servers: null, Searches: null, Options: null } } })).toEqual(dns);
  const prevResult = { dns: { domain: 'a.example' } };
  expect(dnsOf({ dns, runtimeConfig, prevResult })).toEqual(prevResult.dns);
});
