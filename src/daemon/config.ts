/**
 * The daemon's configuration: one JSON file, then `--set key=value` for single keys, checked as a whole.
 *
 * Invariants: every key has its default here, so `--print-config` shows all of them; a key that is not known is an
 * error; every error is a sentence that names the key and what is allowed.
 */
import { hostname } from 'node:os';
import { z } from 'zod';
import { DEFAULT_SETTINGS } from '../core/boot.ts';
import type { PoolId } from '../core/brand.ts';
import type { Family } from '../core/ip.ts';
import type { PoolRow, Settings } from '../core/rows.ts';
import { DEFAULT_PLACES } from '../install/binary.ts';
import { PORTMAP_CHOICES } from '../install/conflist.ts';
import { closest } from './spelling.ts';

/** One sentence a value: what fails ends its checks, and those of the group that it is in. */
const allowed = (text: string) => ({ error: text, abort: true });

const whole = (min: number, max: number) => {
  const text = allowed(`a whole number from ${min} to ${max}`);
  return z.int(text).min(min, text).max(max, text);
};
const duration = (min: number, max: number) => {
  const text = allowed(`milliseconds, a whole number from ${min} to ${max}`);
  return z.int(text).min(min, text).max(max, text);
};
const text = (pattern: RegExp, what: string) => z.string(allowed(what)).regex(pattern, allowed(what));
const choice = <const T extends readonly [string, ...string[]]>(...values: T) =>
  z.enum(values, allowed(`one of ${values.join(', ')}`));
const flag = z.boolean(allowed('true or false'));
/** Keys in it are checked as at the top; a missing one is empty, so that its defaults apply. */
const group = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape, allowed('an object of keys and values')).prefault({} as never);

const path = text(/^\//, 'an absolute path');
/** sun_path holds 108 bytes with its final zero; the socket is bound under a name with the process's id behind it. */
const socketPath = text(/^\/[!-~]{1,98}$/, 'an absolute path of at most 99 ASCII characters without a space');
const URL_TEXT = 'a URL such as http://127.0.0.1:4566, without a path';
const url = text(/^https?:\/\/[^/\s]+\/?$/, URL_TEXT).refine(URL.canParse, allowed(URL_TEXT));
const ids = (prefix: string) => {
  const id = `${prefix}-0123456789abcdef0`;
  return z.array(text(/^[\w-]+$/, `an id such as ${id}`), allowed(`a list of ids such as ["${id}"]`));
};
const LISTEN_TEXT = 'host:port such as 127.0.0.1:9479, or null for none';
const listenAddress = text(/^(\[[0-9a-f:.]+\]|[\w.-]+):\d{1,5}$/i, LISTEN_TEXT).refine(
  (address) => Number(address.split(':').at(-1)) <= 65_535,
  allowed(LISTEN_TEXT),
);

/** ENI numbers go up to 127, so a mark needs seven bits side by side. */
const isMask = (mask: number): boolean => {
  const low = mask / (mask & -mask);
  return mask > 0 && mask <= 0xffff_ffff && low >= 0x7f && (low & (low + 1)) === 0;
};

const targets = group({
  floor: whole(0, 65_536).default(8),
  headroom: z
    .union([z.literal('auto'), whole(0, 65_536)], allowed('a whole number from 0 to 65536, or auto'))
    .default(8),
  ceiling: whole(1, 65_536).default(1_024),
}).superRefine(({ floor, ceiling }, { addIssue }) => {
  if (floor <= ceiling) return;
  const message = `at most pool.targets.ceiling, which is ${ceiling}`;
  addIssue({ code: 'custom', path: ['floor'], message, input: floor });
});

const families = z.custom<readonly Family[]>(
  (list) =>
    Array.isArray(list) &&
    list.length > 0 &&
    list.every((family, at) => (family === 4 || family === 6) && list.indexOf(family) === at),
  allowed('[4], [6] or [4, 6]'),
);

const pool = group({
  subnets: ids('subnet').default([]),
  groups: ids('sg').default([]),
  families: families.default([4]),
  prefixes: choice('never', 'prefer').default('never'),
  primaryEni: choice('use', 'skip').default('use'),
  targets,
});

const schemaFor = (providers: readonly string[]) =>
  z.strictObject(
    {
      cluster: text(
        /^[\w.:/=+@-]{1,128}$/,
        'a name of 1 to 128 letters, digits and _ . : / = + - @ (it becomes a tag)',
      ),
      nodeName: text(
        /^[\w.-]{1,253}$/,
        'the name of the node in Kubernetes, of 1 to 253 letters, digits and _ . -',
      ).default(() => hostname().toLowerCase()),
      provider: group({
        name: choice(...(providers as [string, ...string[]])).default(providers[0] ?? ''),
        region: text(/^[a-z0-9-]+$/, 'a region such as eu-central-1, or null for the instance’s own')
          .nullable()
          .default(null),
        endpoint: url.nullable().default(null),
        metadataEndpoint: url.nullable().default(null),
      }),
      socket: socketPath.default(DEFAULT_PLACES.socket),
      stateDir: path.default(DEFAULT_PLACES.stateDir),
      bootIdFile: path.default('/proc/sys/kernel/random/boot_id'),
      netns: path.nullable().default(null),
      cni: group({
        confDir: path.nullable().default(null),
        binDir: path.nullable().default(null),
        binary: path.nullable().default(null),
        portmap: choice(...PORTMAP_CHOICES).default('auto'),
      }),
      metricsListen: listenAddress.nullable().default('127.0.0.1:9479'),
      logLevel: choice('debug', 'info', 'warn', 'error').default('info'),
      kubernetes: group({
        watch: choice('auto', 'off').default('auto'),
        kubeconfig: path.nullable().default(null),
      }),
      pool,
      addDeadlineMs: duration(1_000, 600_000).default(DEFAULT_SETTINGS.addDeadlineMs),
      waiterCountMax: whole(1, 65_536).default(DEFAULT_SETTINGS.waiterCountMax),
      cooldownMs: duration(1_000, 3_600_000).default(DEFAULT_SETTINGS.cooldownMs),
      cooldownUnflushedMs: duration(1_000, 3_600_000).default(DEFAULT_SETTINGS.cooldownUnflushedMs),
      cooldownUnderPressureMs: duration(1_000, 3_600_000).default(DEFAULT_SETTINGS.cooldownUnderPressureMs),
      surplusMs: duration(1_000, 3_600_000).default(DEFAULT_SETTINGS.surplusMs),
      mtu: whole(1_280, 65_535).default(DEFAULT_SETTINGS.mtu),
      masquerade: flag.default(DEFAULT_SETTINGS.masquerade),
      markMask: z
        .int(allowed('a number with at least 7 bits side by side, such as 127'))
        .refine(isMask, allowed('a number with at least 7 bits side by side, such as 127'))
        .default(DEFAULT_SETTINGS.markMask),
      lockWaitMs: duration(0, 600_000).default(30_000),
    },
    allowed('a JSON object'),
  );

export type Config = z.infer<ReturnType<typeof schemaFor>>;

export type CheckedConfig = { readonly config: Config } | { readonly errors: readonly string[] };

/**
 * The effective configuration, or every sentence about what is wrong. `file` is the file's text (undefined: all
 * defaults), `sets` are `key.path=value` with the value as JSON, or as plain text where it is none.
 */
export function parseConfig(options: {
  readonly file: string | undefined;
  readonly sets: readonly string[];
  readonly providers: readonly string[];
}): CheckedConfig {
  const read = readFileText(options.file);
  if ('errors' in read) return read;
  const raw = structuredClone(read.value);
  for (const assignment of options.sets) {
    const error = assign(raw, assignment);
    if (error !== undefined) return { errors: [error] };
  }
  const parsed = schemaFor(options.providers).safeParse(raw, { reportInput: true });
  return parsed.success ? { config: parsed.data } : { errors: parsed.error.issues.flatMap(sentences) };
}

function readFileText(
  file: string | undefined,
): { readonly value: Record<string, unknown> } | { readonly errors: string[] } {
  if (file === undefined || file.trim() === '') return { value: {} };
  let value: unknown;
  try {
    value = JSON.parse(file);
  } catch (error) {
    return { errors: [`the file is not JSON: ${Error.isError(error) ? error.message : String(error)}`] };
  }
  return isObject(value) ? { value } : { errors: ['the file must be a JSON object, such as {"cluster": "prod"}'] };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Puts one `--set` into the object; a sentence when it is none. */
function assign(raw: Record<string, unknown>, assignment: string): string | undefined {
  const equals = assignment.indexOf('=');
  const keys = assignment.slice(0, equals).split('.');
  if (equals <= 0 || keys.some((key) => key === '' || key === '__proto__'))
    return `--set ${assignment} must be key=value, such as pool.targets.floor=16`;
  let at = raw;
  for (const key of keys.slice(0, -1)) {
    const inner = (Object.hasOwn(at, key) ? at[key] : undefined) ?? {};
    if (!isObject(inner)) return `--set ${assignment}: ${key} is no object`;
    at[key] = inner;
    at = inner;
  }
  at[keys.at(-1) ?? ''] = jsonOrText(assignment.slice(equals + 1));
  return undefined;
}

function jsonOrText(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** One zod issue as sentences for a person. */
function sentences(issue: z.core.$ZodIssue): string[] {
  const where = issue.path.join('.');
  const { input: value } = issue;
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => unknownKey(where === '' ? key : `${where}.${key}`));
  if (value === undefined) return [`${where} is missing: it must be ${issue.message}`];
  // As `--set cluster=12` gives it.
  const wantsText = issue.code === 'invalid_type' && issue.expected === 'string';
  const but = wantsText && (typeof value === 'number' || typeof value === 'boolean') ? `, a ${typeof value}` : '';
  return [
    `${where || 'the configuration'} must be ${issue.message}; it is ${JSON.stringify(value).slice(0, 80)}${but}`,
  ];
}

function unknownKey(key: string): string {
  const near = closest(key, KEYS);
  return `${key} is no key${near === undefined ? '' : `: did you mean ${near}?`} (--print-config shows them all)`;
}

/** Every key, as paths with dots. */
const KEYS: readonly string[] = pathsOf(schemaFor(['']).parse({ cluster: 'x' }));

function pathsOf(value: Record<string, unknown>, before = ''): string[] {
  return Object.entries(value).flatMap(([key, inner]) =>
    isObject(inner) ? [`${before}${key}`, ...pathsOf(inner, `${before}${key}.`)] : [`${before}${key}`],
  );
}

/** What the core is told; both may change while it runs. */
export function poolsOf(config: Config): readonly Omit<PoolRow, 'surplusSinceMs'>[] {
  const { subnets, groups, families, ...rest } = config.pool;
  const sorted = [...families].sort((one, other) => one - other);
  return [{ id: 'default' as PoolId, subnets: subnets as never, groups: groups as never, families: sorted, ...rest }];
}

export function settingsOf(config: Config): Settings {
  const { addDeadlineMs, waiterCountMax, cooldownMs, cooldownUnflushedMs, cooldownUnderPressureMs } = config;
  const { surplusMs, mtu, masquerade, markMask } = config;
  return {
    addDeadlineMs,
    waiterCountMax,
    cooldownMs,
    cooldownUnflushedMs,
    cooldownUnderPressureMs,
    surplusMs,
    mtu,
    masquerade,
    markMask,
  };
}

/** Taken at a reload: pods that run keep the families and the MTU that they were wired with. */
const RELOADABLE: readonly (keyof Config)[] = [
  'pool',
  'addDeadlineMs',
  'waiterCountMax',
  'cooldownMs',
  'cooldownUnflushedMs',
  'cooldownUnderPressureMs',
  'surplusMs',
  'mtu',
  'masquerade',
];

/** Keys whose change needs a restart; empty when the new configuration can be taken as it is. */
export function needsRestart(before: Config, after: Config): readonly string[] {
  const changed = (key: keyof Config) => JSON.stringify(before[key]) !== JSON.stringify(after[key]);
  return (Object.keys(after) as (keyof Config)[]).filter((key) => changed(key) && !RELOADABLE.includes(key));
}
