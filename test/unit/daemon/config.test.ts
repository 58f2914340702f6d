import { type CheckedConfig, needsRestart, parseConfig, poolsOf, settingsOf } from '../../../src/daemon/config.ts';

const parse = (file: unknown, ...sets: readonly string[]): CheckedConfig =>
  parseConfig({ file: typeof file === 'string' ? file : JSON.stringify(file), sets, providers: ['aws', 'aliyun'] });

function taken(checked: CheckedConfig) {
  if ('errors' in checked) throw new Error(checked.errors.join('\n'));
  return checked.config;
}

test('a cluster is all that must be said; every default is there to see', () => {
  const config = taken(parse({ cluster: 'prod', nodeName: 'n1' }));
  expect(config).toEqual({
    cluster: 'prod',
    nodeName: 'n1',
    provider: { name: 'aws', region: null, endpoint: null, metadataEndpoint: null },
    socket: '/run/underway/cni.sock',
    stateDir: '/var/lib/underway',
    bootIdFile: '/proc/sys/kernel/random/boot_id',
    netns: null,
    cni: { confDir: null, binDir: null, binary: null, portmap: 'auto' },
    metricsListen: '127.0.0.1:9479',
    logLevel: 'info',
    kubernetes: { watch: 'auto', kubeconfig: null },
    pool: {
      subnets: [],
      groups: [],
      families: [4],
      prefixes: 'never',
      primaryEni: 'use',
      targets: { floor: 8, headroom: 8, ceiling: 1024 },
    },
    addDeadlineMs: 60_000,
    waiterCountMax: 1_024,
    cooldownMs: 30_000,
    cooldownUnflushedMs: 120_000,
    cooldownUnderPressureMs: 5_000,
    surplusMs: 60_000,
    mtu: 9_001,
    masquerade: true,
    markMask: 127,
    lockWaitMs: 30_000,
  });
  // What is printed can be read back.
  expect(taken(parse(config))).toEqual(config);
});

test('--set goes over the file, as JSON where it is some, else as text', () => {
  const config = taken(
    parse(
      { cluster: 'a', pool: { targets: { floor: 1 } } },
      'cluster=b',
      'pool.targets.floor=16',
      'pool.families=[6,4]',
    ),
  );
  expect(config.cluster).toBe('b');
  expect(config.pool.targets).toEqual({ floor: 16, headroom: 8, ceiling: 1024 });
  expect(poolsOf(config)).toMatchObject([{ id: 'default', families: [4, 6], targets: { floor: 16 } }]);
  expect(settingsOf(config)).toMatchObject({ addDeadlineMs: 60_000, markMask: 127 });
});

test.each<[string, unknown, readonly string[], readonly (string | RegExp)[]]>([
  ['no JSON', '{"cluster"', [], [/^the file is not JSON: /]],
  ['a list', '[]', [], ['the file must be a JSON object, such as {"cluster": "prod"}']],
  ['nothing', '', [], [/^cluster is missing: it must be a name of/]],
  [
    'several at once',
    { cluster: 'x', mtu: 3.5, provider: { name: 'azure', endpoint: 'here' }, logLevel: 'loud' },
    [],
    [
      'provider.name must be one of aws, aliyun; it is "azure"',
      'provider.endpoint must be a URL such as http://127.0.0.1:4566, without a path; it is "here"',
      'logLevel must be one of debug, info, warn, error; it is "loud"',
      'mtu must be a whole number from 1280 to 65535; it is 3.5',
    ],
  ],
  [
    'keys nearly right',
    { cluster: 'x', nodename: 'n', pool: { targets: { flor: 1 } }, floor: 3, colour: 'red' },
    [],
    [
      'pool.targets.flor is no key: did you mean pool.targets.floor? (--print-config shows them all)',
      'nodename is no key: did you mean nodeName? (--print-config shows them all)',
      'floor is no key: did you mean pool.targets.floor? (--print-config shows them all)',
      'colour is no key (--print-config shows them all)',
    ],
  ],
  ['a pool that is none', { cluster: 'x', pool: 3 }, [], ['pool must be an object of keys and values; it is 3']],
  [
    'floor above ceiling',
    { cluster: 'x', pool: { targets: { floor: 9, ceiling: 2 } } },
    [],
    ['pool.targets.floor must be at most pool.targets.ceiling, which is 2; it is 9'],
  ],
  [
    'a floor above the default ceiling',
    { cluster: 'x' },
    ['pool.targets.floor=2000'],
    ['pool.targets.floor must be at most pool.targets.ceiling, which is 1024; it is 2000'],
  ],
  [
    'a family that is none',
    { cluster: 'x', pool: { families: [4, 5] } },
    [],
    ['pool.families must be [4], [6] or [4, 6]; it is [4,5]'],
  ],
  ['a number for a text', {}, ['cluster=12'], [/^cluster must be a name of .*; it is 12, a number$/]],
  [
    'a port that there is not',
    { cluster: 'x', metricsListen: '127.0.0.1:99999' },
    [],
    ['metricsListen must be host:port such as 127.0.0.1:9479, or null for none; it is "127.0.0.1:99999"'],
  ],
  [
    'a URL with such a port',
    { cluster: 'x', provider: { endpoint: 'http://a:99999' } },
    [],
    ['provider.endpoint must be a URL such as http://127.0.0.1:4566, without a path; it is "http://a:99999"'],
  ],
  [
    'families twice',
    { cluster: 'x', pool: { families: [4, 4] } },
    [],
    ['pool.families must be [4], [6] or [4, 6]; it is [4,4]'],
  ],
  ['a mask of six bits', { cluster: 'x', markMask: 0x3f }, [], [/^markMask must be .* 7 bits side by side/]],
  ['a mask with a gap', { cluster: 'x', markMask: 0xff7f }, [], [/^markMask must be .* 7 bits side by side/]],
  [
    'a long socket',
    { cluster: 'x', socket: `/${'s'.repeat(120)}` },
    [],
    [/^socket must be an absolute path of at most 99/],
  ],
  [
    'a --set without a value',
    { cluster: 'x' },
    ['mtu'],
    ['--set mtu must be key=value, such as pool.targets.floor=16'],
  ],
  ['a --set into a text', { cluster: 'x' }, ['cluster.name=1'], ['--set cluster.name=1: cluster is no object']],
  ['a --set into what every object has', { cluster: 'x' }, ['toString.x=1'], [/^toString is no key/]],
  ['a prototype', '{"cluster":"x","__proto__":{"mtu":1}}', ['__proto__.x=1'], [/^--set __proto__.x=1 must be/]],
])('%s is refused with a sentence', (_, file, sets, sentences) => {
  const checked = parse(file, ...sets);
  expect('errors' in checked && checked.errors).toEqual(
    sentences.map((sentence) => (typeof sentence === 'string' ? sentence : expect.stringMatching(sentence))),
  );
});

test('one key of a group leaves the others their defaults', () => {
  const config = taken(parse({ cluster: 'x' }, 'provider.region=eu-west-1', 'pool.targets.floor=3'));
  expect(config.provider).toEqual({ name: 'aws', region: 'eu-west-1', endpoint: null, metadataEndpoint: null });
  expect(config.pool).toMatchObject({ families: [4], targets: { floor: 3, headroom: 8, ceiling: 1_024 } });
});

/** Paths with dots, groups among them. */
const keysOf = (value: object, before = ''): string[] =>
  Object.entries(value).flatMap(([key, inner]) => [
    `${before}${key}`,
    ...(typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? keysOf(inner, `${before}${key}.`) : []),
  ]);

test.each(keysOf(taken(parse({ cluster: 'x' }))))('whatever %s is, it is taken or refused with one sentence', (key) => {
  const odd = [null, true, -1, 0.5, 1e9, '', 'odd one', '12', [], [5], ['a b'], {}];
  for (const value of odd.map((each) => JSON.stringify(each))) {
    const checked = parse({ cluster: 'x' }, `${key}=${value}`);
    if (!('errors' in checked)) continue;
    const { errors } = checked;
    expect(errors).toHaveLength(1);
    expect(errors[0]?.startsWith(key)).toBe(true);
    expect(errors[0]).toMatch(/ must be (?!.*(Invalid|expected|received)).+; it is .+$/);
  }
});

test('a mask of any seven bits side by side will do', () => {
  for (const markMask of [0x7f, 0x7f00, 0xff, 0xfe000000])
    expect(taken(parse({ cluster: 'x', markMask })).markMask).toBe(markMask);
});

test('a reload takes targets and waits, and names what it cannot take', () => {
  const before = taken(parse({ cluster: 'x' }));
  expect(
    needsRestart(before, taken(parse({ cluster: 'x', pool: { targets: { floor: 3 } }, cooldownMs: 9_000 }))),
  ).toEqual([]);
  expect(needsRestart(before, taken(parse({ cluster: 'y', markMask: 255, socket: '/x' })))).toEqual([
    'cluster',
    'socket',
    'markMask',
  ]);
});
