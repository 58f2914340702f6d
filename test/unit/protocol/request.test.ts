import { type CniRequest, ENVELOPE_BYTES_MAX, parseRequest } from '../../../src/protocol/request.ts';

const CONFIG = { cniVersion: '1.1.0', name: 'underway', type: 'underway' };
const ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';
const INGRESS = 'kubernetes.io/ingress-bandwidth';
const ENVELOPE = {
  command: 'ADD',
  containerId: 'c1',
  netns: '/var/run/netns/cni-1',
  ifname: 'eth0',
  args: 'K8S_POD_UID=u-1;IgnoreUnknown=1;K8S_POD_NAME=web-0;K8S_POD_NAMESPACE=default',
  path: '/opt/cni/bin',
  deadlineMs: 65_000,
};
const PREV = {
  interfaces: [
    { name: 'uw0', mac: '02:00:00:00:00:01' },
    { name: 'eth0', sandbox: '/var/run/netns/cni-1' },
  ],
  ips: [
    { address: '10.0.1.21/32', interface: 1 },
    { address: '2001:DB8::21/128', interface: 1 },
    { address: '10.9.9.9/32' },
  ],
};

const sent = (envelope: object, config: object | string = CONFIG) =>
  JSON.stringify({ ...ENVELOPE, config: typeof config === 'string' ? config : JSON.stringify(config), ...envelope });

function request(body: string): CniRequest {
  const parsed = parseRequest(body);
  if ('error' in parsed) throw new Error(JSON.stringify(parsed.error));
  return parsed.request;
}

function refusal(body: string) {
  const parsed = parseRequest(body);
  if (!('error' in parsed)) throw new Error(`accepted: ${JSON.stringify(parsed.request)}`);
  return parsed;
}

test('an ADD names its attachment, namespace, pod and budget', () => {
  expect(request(sent({ traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' }))).toMatchObject({
    verb: 'ADD',
    cniVersion: '1.1.0',
    budgetMs: 64_000,
    traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    attachment: { network: 'underway', containerId: 'c1', ifname: 'eth0' },
    netns: '/var/run/netns/cni-1',
    pod: { namespace: 'default', name: 'web-0', uid: 'u-1' },
  });
});

test('a person with curl may send the configuration as an object, and no deadline', () => {
  const body = JSON.stringify({ ...ENVELOPE, deadlineMs: undefined, args: undefined, config: CONFIG });
  expect(request(body)).toMatchObject({ verb: 'ADD', budgetMs: 60_000 });
  expect(request(body)).not.toHaveProperty('pod');
});

test.each([
  ['K8S_POD_NAME=a', undefined],
  ['K8S_POD_NAME=;K8S_POD_NAMESPACE=', undefined],
  ['odd;=x;K8S_POD_NAMESPACE=n;;K8S_POD_NAME=a=b;IP=1.2.3.4', { namespace: 'n', name: 'a=b', uid: '' }],
])('CNI_ARGS %j', (args, pod) => {
  expect(request(sent({ args }))).toHaveProperty('verb', 'ADD');
  const parsed = request(sent({ args }));
  expect('pod' in parsed ? parsed.pod : undefined).toEqual(pod);
});

test('the verbs that are not about a pod', () => {
  expect(request(sent({ command: 'STATUS', containerId: undefined, ifname: undefined }))).toMatchObject({
    verb: 'STATUS',
    network: 'underway',
  });
  expect(
    request(
      sent({ command: 'GC' }, { ...CONFIG, 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] }),
    ),
  ).toMatchObject({
    verb: 'GC',
    network: 'underway',
    valid: [{ network: 'underway', containerId: 'c1', ifname: 'eth0' }],
  });
});

test.each([
  ['absent', {}, undefined],
  ['null, as Go writes a list that was never made', { 'cni.dev/valid-attachments': null }, undefined],
  ['empty', { 'cni.dev/valid-attachments': [] }, []],
  ['empty under the draft name', { 'cni.dev/attachments': [] }, []],
  [
    'both names',
    { 'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'b' }], 'cni.dev/attachments': [] },
    [{ network: 'underway', containerId: 'a', ifname: 'b' }],
  ],
  [
    'half under each name',
    { 'cni.dev/valid-attachments': [], 'cni.dev/attachments': [{ containerID: 'a', ifname: 'b' }] },
    [{ network: 'underway', containerId: 'a', ifname: 'b' }],
  ],
])('GC, list %s: absent is unknown, empty is none valid', (_, list, valid) => {
  const parsed = request(sent({ command: 'GC' }, { ...CONFIG, ...list }));
  expect('valid' in parsed ? parsed.valid : 'missing').toEqual(valid);
});

test('a GC list with one bad entry is refused whole: a skipped entry would be deleted', () => {
  const list = { 'cni.dev/valid-attachments': [{ containerID: 'a', ifname: 'b' }, { containerID: 'a' }] };
  expect(refusal(sent({ command: 'GC' }, { ...CONFIG, ...list })).error.code).toBe(7);
});

test('CHECK expects the addresses that the runtime was told for this interface', () => {
  expect(request(sent({ command: 'CHECK' }, { ...CONFIG, prevResult: PREV }))).toMatchObject({
    verb: 'CHECK',
    told: { ifname: 'eth0', isNamed: true, addresses: ['10.0.1.21', '2001:db8::21'] },
  });
});

describe('DEL needs only names', () => {
  test.each([
    ['no namespace', { netns: '' }, CONFIG],
    ['namespace not set', { netns: undefined }, CONFIG],
    ['no path, no args', { path: undefined, args: undefined }, CONFIG],
    ['a version of the future', {}, { ...CONFIG, cniVersion: '9.0.0' }],
    ['no version and no type', {}, { name: 'underway' }],
    ['fields of wrong types', {}, { ...CONFIG, dns: 'x', runtimeConfig: 7, prevResult: [], args: '' }],
  ])('%s', (_, envelope, config) => {
    expect(request(sent({ command: 'DEL', ...envelope }, config))).toMatchObject({
      verb: 'DEL',
      attachment: { network: 'underway', containerId: 'c1', ifname: 'eth0' },
    });
  });
});

test('a pod that was refused its interface name, or its path, can still be deleted', () => {
  expect(request(sent({ command: 'DEL', netns: 'run/netns/p1' }))).toMatchObject({ verb: 'DEL' });
  for (const ifname of ['lo', 'eth%d'])
    expect(request(sent({ command: 'DEL', ifname }))).toMatchObject({ verb: 'DEL', attachment: { ifname } });
});

test('runtimeConfig: containerd spells it as Go does, CRI-O as the convention; what nobody here reads is dropped', () => {
  const goStyle = {
    bandwidth: { IngressRate: 1e6, IngressBurst: 4_294_967_295, EgressRate: 0, EgressBurst: 0 },
    dns: { Servers: ['10.0.0.2'], Searches: null, Options: null },
    portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'TCP', HostIP: '' }],
    [ANNOTATIONS]: { [INGRESS]: '1M', 'example.com/a': 'x'.repeat(100_000) },
  };
  const convention = {
    bandwidth: { ingressRate: 1e6, ingressBurst: 4_294_967_295 },
    dns: { servers: ['10.0.0.2'] },
    portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }],
    [ANNOTATIONS]: { [INGRESS]: '1M', 'example.com/a': 'x'.repeat(100_000) },
  };
  const [go, cri] = [goStyle, convention].map((runtimeConfig) => {
    const parsed = request(sent({}, { ...CONFIG, runtimeConfig }));
    return 'config' in parsed ? parsed.config.runtimeConfig : undefined;
  });
  expect(go).toEqual(cri);
  expect(go).toEqual({
    bandwidth: { ingressRate: 1e6, ingressBurst: 4_294_967_295, egressRate: 0, egressBurst: 0 },
    dns: { servers: ['10.0.0.2'], searches: [], options: [] },
    ips: [],
    podAnnotations: { [INGRESS]: '1M' },
  });
});

test('nulls, which Go writes for what is not there, are absent', () => {
  const config = { ...CONFIG, dns: null, args: null, runtimeConfig: null, prevResult: null };
  expect(request(sent({}, config))).toHaveProperty('verb', 'ADD');
});

test('the longest names fit together into the 255 bytes of a link alias', () => {
  const names = { containerId: 'c'.repeat(128), ifname: 'i'.repeat(15) };
  const { attachment } = request(sent(names, { ...CONFIG, name: 'n'.repeat(80) })) as CniRequest & { verb: 'ADD' };
  const lease = `${'0'.repeat(16)}-${'9'.repeat(12)}`;
  expect([lease, attachment.network, attachment.containerId, attachment.ifname].join(' ')).toHaveLength(255);
});

const rated = (bandwidth: object) => ({ ...CONFIG, runtimeConfig: { bandwidth } });
const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;

describe('what cannot be served is refused with the specification’s code, in the version asked for', () => {
  test.each<[string, string, number, string?]>([
    ['nothing', '', 6],
    ['cut JSON', sent({}).slice(0, -20), 6],
    ['10 MB', `{"command":"${'x'.repeat(10_000_000)}"}`, 6],
    ['as large as may be, but nonsense', 'x'.repeat(ENVELOPE_BYTES_MAX), 6],
    ['a list', '[]', 6],
    ['null', 'null', 6],
    ['nested deeply', deep, 6],
    ['a verb of another type', sent({ command: 7 }), 6],
    ['an ifname of another type', sent({ ifname: ['eth0'] }), 6],
    ['a negative deadline', sent({ deadlineMs: -1 }), 6],
    ['a deadline of another type', sent({ deadlineMs: '65' }), 6],
    ['no configuration', JSON.stringify(ENVELOPE), 6],
    ['a configuration that is cut', sent({}, '{"cniVersion":"1.0.0","na'), 6],
    ['a configuration that is a list', sent({}, '[]'), 6],
    ['a configuration that is a number', sent({ config: 7 }), 6],
    ['an empty configuration', sent({}, ''), 6],
    ['a deep configuration', sent({}, `{"cniVersion":"1.1.0","name":"n","type":"t","runtimeConfig":${deep}}`), 7],
    ['an unknown verb', sent({ command: 'FLY' }), 4, 'FLY'],
    ['VERSION, which the shim answers', sent({ command: 'VERSION' }), 4],
    ['no container', sent({ containerId: undefined }), 4, 'CNI_CONTAINERID'],
    ['nothing at all', sent({ containerId: '', netns: '', ifname: '' }), 4, 'CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME'],
    ['no namespace on ADD', sent({ netns: '' }), 4, 'CNI_NETNS'],
    ['no namespace on CHECK', sent({ command: 'CHECK', netns: '' }), 4, 'CNI_NETNS'],
    ['no ifname on DEL', sent({ command: 'DEL', ifname: undefined }), 4, 'CNI_IFNAME'],
    ['a path as container', sent({ containerId: '../../etc' }), 4],
    ['a container with a space', sent({ containerId: 'a b' }), 4],
    ['a long container', sent({ containerId: 'c'.repeat(129) }), 4],
    ['a long ifname', sent({ ifname: 'i'.repeat(16) }), 4],
    ['ifname ..', sent({ ifname: '..' }), 4],
    ['ifname with a slash', sent({ ifname: 'a/b' }), 4],
    ['ifname with a colon', sent({ ifname: 'a:b' }), 4],
    ['ifname with a line end', sent({ ifname: 'eth0\n' }), 4],
    ['the loopback as ifname', sent({ ifname: 'lo' }), 4, 'CNI_IFNAME lo '],
    ['the sysctls of all links as ifname', sent({ ifname: 'all' }), 4, 'CNI_IFNAME all '],
    ['those of links to come', sent({ command: 'CHECK', ifname: 'default' }), 4, 'CNI_IFNAME default '],
    ['an ifname that the kernel numbers', sent({ ifname: 'eth%d' }), 4, 'CNI_IFNAME eth%d '],
    ['a relative path for the namespace', sent({ netns: 'run/netns/p1' }), 4, 'must be an absolute path'],
    ['ifname of other letters', sent({ ifname: 'ëth0' }), 4],
    ['no version', sent({}, { name: 'n', type: 't' }), 1, '0.1.0'],
    ['an old version', sent({}, { ...CONFIG, cniVersion: '0.2.0' }), 1, '0.2.0'],
    [
      'a version that is a number',
      sent({}, { ...CONFIG, cniVersion: 1.5 }),
      1,
      'cniVersion must be text, such as "1.0.0"; it is 1.5',
    ],
    ['CHECK before it was', sent({ command: 'CHECK' }, { ...CONFIG, cniVersion: '0.3.1' }), 1, '0.4.0'],
    ['GC before it was', sent({ command: 'GC' }, { ...CONFIG, cniVersion: '1.0.0' }), 1, '1.1.0'],
    ['STATUS before it was', sent({ command: 'STATUS' }, { ...CONFIG, cniVersion: '1.0.0' }), 1, '1.1.0'],
    ['no name', sent({}, { cniVersion: '1.1.0', type: 't' }), 7],
    ['no name on DEL', sent({ command: 'DEL' }, { cniVersion: '1.1.0', type: 't' }), 7],
    ['a name with a slash', sent({}, { ...CONFIG, name: 'a/b' }), 7],
    ['a long name', sent({}, { ...CONFIG, name: 'n'.repeat(81) }), 7],
    ['a name of another type', sent({}, { ...CONFIG, name: {} }), 7],
    ['no type', sent({}, { cniVersion: '1.1.0', name: 'n' }), 7, 'type'],
    ['dns of another type', sent({}, { ...CONFIG, dns: { nameservers: '10.0.0.2' } }), 7, 'dns.nameservers'],
    [
      'a limit of another type',
      sent({}, { ...CONFIG, runtimeConfig: { [ANNOTATIONS]: { [INGRESS]: 7 } } }),
      7,
      `runtimeConfig.${ANNOTATIONS}.${INGRESS}`,
    ],
    ['a rate as Go writes it', sent({}, rated({ IngressRate: 'x' })), 7, 'runtimeConfig.bandwidth.IngressRate'],
    ['a rate as others do', sent({}, rated({ ingressRate: 'x' })), 7, 'runtimeConfig.bandwidth.ingressRate'],
    ['a rate that is less than none', sent({}, rated({ INGRESSRATE: -1 })), 7, 'runtimeConfig.bandwidth.INGRESSRATE'],
    ['CHECK without prevResult', sent({ command: 'CHECK' }), 7, 'prevResult'],
    [
      'CHECK with no address in an address',
      sent({ command: 'CHECK' }, { ...CONFIG, prevResult: { ...PREV, ips: [{ address: 'x', interface: 1 }] } }),
      7,
    ],
  ])('%s', (_, body, code, words = '') => {
    const { error } = refusal(body);
    expect(error.code).toBe(code);
    expect(error.msg).toContain(words);
    expect(error.msg.length + (error.details ?? '').length).toBeLessThan(600);
  });

  test('the version asked for, where it is one of ours', () => {
    expect(refusal(sent({ ifname: '' }, { ...CONFIG, cniVersion: '0.4.0' })).cniVersion).toBe('0.4.0');
    expect(refusal(sent({}, { ...CONFIG, cniVersion: '0.2.0' })).cniVersion).toBe('1.1.0');
  });
});

test('cut at any byte it is refused as undecodable, and nothing is thrown', () => {
  const whole = sent({ command: 'CHECK' }, { ...CONFIG, prevResult: PREV });
  for (let length = 0; length < whole.length; length++) expect(refusal(whole.slice(0, length)).error.code).toBe(6);
});

test('with any one value replaced by one of another type, it is read or refused, never thrown at', () => {
  const odd = [null, true, -1, 1e300, '', [], {}, [[]], [null], { name: {} }];
  const fields = ['cniVersion', 'name', 'type', 'args', 'dns', 'runtimeConfig', 'prevResult', 'cni.dev/attachments'];
  for (const command of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS']) {
    for (const value of odd) {
      for (const field of fields) parseRequest(sent({ command }, { ...CONFIG, prevResult: PREV, [field]: value }));
      for (const field of Object.keys(ENVELOPE)) parseRequest(sent({ command, [field]: value }));
    }
  }
});
