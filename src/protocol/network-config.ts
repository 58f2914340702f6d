/**
 * The network configuration: the CNI JSON that the runtime gives on stdin. Parsed once, here; what is not named here
 * is dropped (`capabilities` too: libcni leaves it in although the specification says that it must not be set).
 */
import { z } from 'zod';
import { type Checked, CODE, type Refused, type Verb } from './error.ts';
import { runtimeConfig } from './runtime-config.ts';
import { type CniVersion, isSince, isSupported, SUPPORTED_VERSIONS } from './version.ts';

/**
 * The kernel keeps `<lease> <network> <containerID> <ifname>` as the link's alias, of at most 255 bytes: a lease's id
 * takes up to 29 (16 hex digits, a dash and 12 decimals), three spaces, the ifname 15 and the container id 128, which
 * leaves 80. The runtime's cache file `<network>-<containerID>-<ifname>` then also stays under 255.
 */
export const NETWORK_NAME_MAX = 80;

/** The specification's, for network names and container ids. */
export const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

const absent = <T extends z.ZodType>(schema: T) => schema.nullish().transform((value) => value ?? undefined);

const dns = z.object({
  nameservers: absent(z.array(z.string())),
  domain: absent(z.string()),
  search: absent(z.array(z.string())),
  options: absent(z.array(z.string())),
});
export type Dns = z.infer<typeof dns>;

const rows = <T extends z.ZodRawShape>(shape: T) =>
  z
    .array(z.looseObject(shape))
    .nullish()
    .transform((value) => value ?? []);

/** Another plugin's result, always in the configuration's own version (libcni converts it). Unknown fields are kept. */
const prevResult = z.object({
  interfaces: rows({
    name: z.string(),
    mac: absent(z.string()),
    mtu: absent(z.int().nonnegative()),
    sandbox: absent(z.string()),
  }),
  ips: rows({ address: z.string(), interface: absent(z.int().nonnegative()) }),
  routes: rows({ dst: z.string() }),
  dns: absent(z.looseObject({})),
});
export type PrevResult = z.infer<typeof prevResult>;

/** The name under which libcni 1.1 and later sends GC's list, and its draft name. */
const VALID = 'cni.dev/valid-attachments';
const VALID_LEGACY = 'cni.dev/attachments';
const validAttachments = absent(z.array(z.object({ containerID: z.string(), ifname: z.string() })));

const networkConfig = z
  .object({
    cniVersion: z.string(),
    name: z.string(),
    type: z.string().min(1),
    args: absent(z.record(z.string(), z.unknown())),
    dns: absent(dns),
    runtimeConfig: absent(runtimeConfig),
    prevResult: absent(prevResult),
    [VALID]: validAttachments,
    [VALID_LEGACY]: validAttachments,
  })
  .transform(({ [VALID]: valid, [VALID_LEGACY]: legacy, ...config }) => ({
    ...config,
    /** Undefined when the runtime named none: unknown, never "delete all". What either key names is there. */
    validAttachments: valid === undefined && legacy === undefined ? undefined : [...(valid ?? []), ...(legacy ?? [])],
  }));

export type NetworkConfig = z.infer<typeof networkConfig> & { readonly cniVersion: CniVersion };

const invalid = (msg: string, details?: string): Refused => ({
  error: { code: CODE.invalidConfig, msg, ...(details !== undefined && { details }) },
});

/** The version of a raw configuration as the specification reads it: a missing one means 0.1.0. */
export const versionOf = (raw: object): string =>
  'cniVersion' in raw && typeof raw.cniVersion === 'string' && raw.cniVersion !== '' ? raw.cniVersion : '0.1.0';

/** The network's name, which makes an attachment an attachment. All that DEL needs of a configuration. */
export function checkName(raw: object): Checked<string> {
  const name = 'name' in raw ? raw.name : undefined;
  if (name === undefined || name === '') return invalid('the network configuration has no name');
  if (typeof name !== 'string' || !NAME.test(name) || name.length > NETWORK_NAME_MAX) {
    return invalid(
      `the network's name must match ${NAME.source} and have at most ${NETWORK_NAME_MAX} characters`,
      `name is ${JSON.stringify(name).slice(0, 120)}`,
    );
  }
  return { value: name };
}

/** The verb's first version: an older runtime has no business to send it (libcni checks the same). */
const FIRST_VERSION: Record<Verb, CniVersion> = {
  ADD: '0.3.0',
  DEL: '0.3.0',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
};

function checkVersion(raw: object, verb: Verb): Checked<CniVersion> {
  const error = (msg: string) => ({ error: { code: CODE.incompatibleVersion, msg } });
  const written = 'cniVersion' in raw ? (raw.cniVersion ?? undefined) : undefined;
  if (written !== undefined && typeof written !== 'string')
    return error(`cniVersion must be text, such as "1.0.0"; it is ${JSON.stringify(written).slice(0, 40)}`);
  const version = versionOf(raw);
  if (!isSupported(version)) {
    return error(`cniVersion ${version.slice(0, 40)} is not supported, these are: ${SUPPORTED_VERSIONS.join(', ')}`);
  }
  const first = FIRST_VERSION[verb];
  return isSince(version, first)
    ? { value: version }
    : error(`cniVersion ${version} does not allow ${verb}, which came with ${first}`);
}

/** The whole configuration, for every verb but DEL. Codes 1 and 7. */
export function checkConfig(raw: object, verb: Verb): Checked<NetworkConfig> {
  const version = checkVersion(raw, verb);
  if ('error' in version) return version;
  const name = checkName(raw);
  if ('error' in name) return name;
  const parsed = networkConfig.safeParse(raw);
  if (parsed.success) return { value: { ...parsed.data, cniVersion: version.value } };
  const [issue] = parsed.error.issues;
  const field = asWritten(raw, issue?.path ?? []).join('.') || 'it';
  return invalid(`the network configuration is invalid at ${field}`, issue?.message);
}

/** The path in the caller's own spelling: `runtimeConfig` is read by its keys in lower case (runtime-config.ts). */
function asWritten(raw: unknown, [key, ...rest]: readonly PropertyKey[]): readonly string[] {
  if (key === undefined) return [];
  const inside: Readonly<Record<string, unknown>> = typeof raw === 'object' && raw !== null ? { ...raw } : {};
  const name = String(key);
  const written = Object.hasOwn(inside, name)
    ? name
    : (Object.keys(inside).findLast((one) => one.toLowerCase() === name) ?? name);
  return [written, ...asWritten(inside[written], rest)];
}
