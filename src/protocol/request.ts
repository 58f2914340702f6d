/**
 * What travels to the daemon: one JSON envelope a request, `POST /v1/cni` on the Unix socket.
 *
 *   {"command","containerId","netns","ifname","args","path","traceparent","config","deadlineMs"}
 *
 * The first seven are the environment as the runtime set it, absent where it set nothing. `config` is stdin as a JSON
 * string (the shim, which parses no JSON) or the object itself (a person with curl). `deadlineMs` is how long the
 * caller still waits. Everything is checked here, so what comes out needs no second look. A spooled DEL is the same
 * envelope in a file; its deadline means nothing any more.
 */
import { z } from 'zod';
import type { Attachment } from '../core/brand.ts';
import type { Bandwidth } from '../core/plan.ts';
import type { PodRef } from '../core/rows.ts';
import { bandwidthOf } from './bandwidth.ts';
import { podOf } from './cni-args.ts';
import { type Checked, type CniError, CODE, type Refused, type Verb } from './error.ts';
import { checkConfig, checkName, NAME, type NetworkConfig, versionOf } from './network-config.ts';
import { type Told, toldBy } from './told.ts';
import { unsupportedField } from './unsupported.ts';
import { isSupported, NEWEST_VERSION } from './version.ts';

/** The largest envelope that the shim sends (src/cni/request.h); the server reads no further. */
export const ENVELOPE_BYTES_MAX = 2 * 1024 * 1024 + 256 * 1024;

/** See network-config.ts: what the link's alias leaves. */
export const CONTAINER_ID_MAX = 128;

/** Kept back of the caller's deadline, so that the answer still arrives: a second, or a tenth of a short one. */
const REPLY_MARGIN_MS = 1_000;
/** For a person with curl, who names none. */
const DEADLINE_MS_DEFAULT = 61_000;
const DEADLINE_MS_MAX = 600_000;

interface Asked {
  /** What the answer is written in. */
  readonly cniVersion: string;
  /** How long the daemon may take. */
  readonly budgetMs: number;
  /** W3C Trace Context, from a libcni that traces. */
  readonly traceparent?: string;
}

export type CniRequest = Asked &
  (
    | {
        readonly verb: 'ADD';
        readonly attachment: Attachment;
        readonly netns: string;
        readonly pod?: PodRef;
        readonly bandwidth?: Bandwidth;
        readonly config: NetworkConfig;
      }
    /** `netns` is missing when the runtime already removed it (containerd's second DEL): it succeeds all the same. */
    | { readonly verb: 'DEL'; readonly attachment: Attachment; readonly netns?: string }
    /** `told` is what the runtime believes of this interface. */
    | {
        readonly verb: 'CHECK';
        readonly attachment: Attachment;
        readonly netns: string;
        readonly told: Told;
        readonly config: NetworkConfig;
      }
    /** `valid` is undefined when the runtime named no list: then nothing may be collected. */
    | { readonly verb: 'GC'; readonly network: string; readonly valid: readonly Attachment[] | undefined }
    | { readonly verb: 'STATUS'; readonly network: string }
  );

/** Who sent what was refused as it was read, for the log and `underway why`: as they said it, where they did. */
export interface Asker {
  readonly command: string;
  readonly attachment: Attachment;
  readonly pod?: PodRef;
}

export type ParsedRequest =
  | { readonly request: CniRequest }
  /** `cniVersion` is the one asked for where it could be read and is known. */
  | { readonly error: CniError; readonly cniVersion: string; readonly asked?: Asker };

const envelope = z.object({
  command: z.string(),
  containerId: z.string().optional(),
  netns: z.string().max(4_095).optional(),
  ifname: z.string().optional(),
  args: z.string().optional(),
  traceparent: z.string().max(55).optional(),
  config: z.union([z.string(), z.record(z.string(), z.unknown())]),
  deadlineMs: z.number().min(0).max(DEADLINE_MS_MAX).default(DEADLINE_MS_DEFAULT),
});
type Envelope = z.infer<typeof envelope>;

const fail = (code: number, msg: string, details?: string): Refused => ({
  error: { code, msg, ...(details !== undefined && { details }) },
});

/** Never throws: whatever the text holds, the answer is a request or a CNI error (codes 1, 4, 6, 7). */
export function parseRequest(body: string): ParsedRequest {
  const opened = openEnvelope(body);
  if ('error' in opened) return { ...opened, cniVersion: NEWEST_VERSION };
  const { raw, sent } = opened.value;
  const version = versionOf(raw);
  const cniVersion = isSupported(version) ? version : NEWEST_VERSION;
  const parsed = checkVerb(sent, raw, {
    cniVersion,
    budgetMs: Math.floor(sent.deadlineMs - Math.min(REPLY_MARGIN_MS, sent.deadlineMs / 10)),
    ...(sent.traceparent !== undefined && { traceparent: sent.traceparent }),
  });
  return 'error' in parsed ? { ...parsed, cniVersion, asked: askerOf(sent, raw) } : { request: parsed.value };
}

/** Nothing of it was checked; whoever writes with curl may have sent megabytes. */
function askerOf({ command, containerId = '', ifname = '', args = '' }: Envelope, raw: object): Asker {
  const network = 'name' in raw && typeof raw.name === 'string' ? raw.name : '';
  const brief = (text: string) => text.slice(0, CONTAINER_ID_MAX);
  const attachment = { network: brief(network), containerId: brief(containerId), ifname: brief(ifname) };
  const pod = podOf(args);
  return { command: brief(command), attachment, ...(pod && { pod }) };
}

/** The envelope, and the configuration in it as an object not yet looked into. Code 6. */
function openEnvelope(body: string): Checked<{ readonly sent: Envelope; readonly raw: object }> {
  if (body.length > ENVELOPE_BYTES_MAX)
    return fail(CODE.undecodable, `the request has more than ${ENVELOPE_BYTES_MAX} bytes`);
  const outer = parseJson(body, 'the request');
  if ('error' in outer) return outer;
  const sent = envelope.safeParse(outer.value);
  if (!sent.success) {
    const [issue] = sent.error.issues;
    return fail(CODE.undecodable, `the request is wrong at ${issue?.path.join('.') || 'its top'}`, issue?.message);
  }
  const { config } = sent.data;
  const raw = typeof config === 'string' ? parseJson(config, 'the network configuration') : { value: config };
  if ('error' in raw) return raw;
  if (typeof raw.value !== 'object' || raw.value === null || Array.isArray(raw.value))
    return fail(CODE.undecodable, 'the network configuration is no JSON object');
  return { value: { sent: sent.data, raw: raw.value } };
}

function parseJson(text: string, what: string): Checked<unknown> {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return fail(
      CODE.undecodable,
      `${what} is not JSON`,
      Error.isError(error) ? error.message.slice(0, 200) : undefined,
    );
  }
}

function checkVerb(sent: Envelope, raw: object, asked: Asked): Checked<CniRequest> {
  switch (sent.command) {
    case 'ADD':
    case 'CHECK':
      return checkInPod(sent.command, sent, raw, asked);
    case 'DEL':
      return checkDel(sent, raw, asked);
    case 'GC':
    case 'STATUS':
      return checkNetworkWide(sent.command, raw, asked);
    default:
      return fail(
        CODE.badEnvironment,
        `CNI_COMMAND ${JSON.stringify(sent.command.slice(0, 40))} is none that the daemon knows`,
      );
  }
}

function checkInPod(verb: 'ADD' | 'CHECK', sent: Envelope, raw: object, asked: Asked): Checked<CniRequest> {
  const named = checkNames(verb, sent, ['containerId', 'netns', 'ifname']);
  if ('error' in named) return named;
  const checked = checkConfig(raw, verb);
  if ('error' in checked) return checked;
  const config = checked.value;
  const { containerId, netns, ifname } = named.value;
  const attachment = { network: config.name, containerId, ifname };
  if (verb === 'ADD') {
    const wishes = checkWishes(config, sent.args ?? '');
    return 'error' in wishes ? wishes : { value: { ...asked, verb, attachment, netns, ...wishes.value, config } };
  }
  if (config.prevResult === undefined) return fail(CODE.invalidConfig, 'CHECK needs prevResult, which is missing');
  const told = toldBy(config.prevResult, ifname);
  return 'error' in told ? told : { value: { ...asked, verb, attachment, netns, told: told.value, config } };
}

/** Who the pod is and what it may have. CHECK does not ask: what could not be had was never added. Codes 2 and 7. */
function checkWishes(
  config: NetworkConfig,
  args: string,
): Checked<{ readonly pod?: PodRef; readonly bandwidth?: Bandwidth }> {
  const error = unsupportedField(config);
  if (error !== undefined) return { error };
  const checked = config.runtimeConfig === undefined ? { value: undefined } : bandwidthOf(config.runtimeConfig);
  if ('error' in checked) return checked;
  const pod = podOf(args);
  const { value: bandwidth } = checked;
  return { value: { ...(pod && { pod }), ...(bandwidth && { bandwidth }) } };
}

/** Of the configuration only the name: an old or half-broken one must not keep an address from being freed. */
function checkDel(sent: Envelope, raw: object, asked: Asked): Checked<CniRequest> {
  const named = checkNames('DEL', sent, ['containerId', 'ifname']);
  if ('error' in named) return named;
  const network = checkName(raw);
  if ('error' in network) return network;
  const { containerId, netns, ifname } = named.value;
  const attachment = { network: network.value, containerId, ifname };
  return { value: { ...asked, verb: 'DEL', attachment, ...(netns !== '' && { netns }) } };
}

function checkNetworkWide(verb: 'GC' | 'STATUS', raw: object, asked: Asked): Checked<CniRequest> {
  const checked = checkConfig(raw, verb);
  if ('error' in checked) return checked;
  const { name: network, validAttachments } = checked.value;
  if (verb === 'STATUS') return { value: { ...asked, verb, network } };
  const valid = validAttachments?.map(({ containerID, ifname }) => ({ network, containerId: containerID, ifname }));
  return { value: { ...asked, verb, network, valid } };
}

const VARIABLES = { containerId: 'CNI_CONTAINERID', netns: 'CNI_NETNS', ifname: 'CNI_IFNAME' } as const;
type Variable = keyof typeof VARIABLES;

/** Code 4, naming what is missing or wrong. CNI_PATH is not asked for: the shim does that, and nothing here uses it. */
function checkNames(verb: Verb, sent: Envelope, needed: readonly Variable[]): Checked<Record<Variable, string>> {
  const { containerId = '', netns = '', ifname = '' } = sent;
  const missing = needed.filter((variable) => !sent[variable]).map((variable) => VARIABLES[variable]);
  if (missing.length > 0)
    return fail(
      CODE.badEnvironment,
      `${verb} needs these environment variables, which are missing: ${missing.join(', ')}`,
    );
  if (!NAME.test(containerId) || containerId.length > CONTAINER_ID_MAX) {
    const msg = `CNI_CONTAINERID must match ${NAME.source} and have at most ${CONTAINER_ID_MAX} characters`;
    return fail(CODE.badEnvironment, msg, `it is ${JSON.stringify(containerId.slice(0, 140))}`);
  }
  if (!isIfname(ifname)) {
    const msg =
      "CNI_IFNAME must have 1 to 15 printable ASCII characters without '/', ':' and space, and not be '.' or '..'";
    return fail(CODE.badEnvironment, msg, `it is ${JSON.stringify(ifname.slice(0, 40))}`);
  }
  if (verb !== 'DEL' && netns !== '' && !netns.startsWith('/')) {
    const msg = 'CNI_NETNS must be an absolute path: what a relative one means depends on who reads it';
    return fail(CODE.badEnvironment, msg, `it is ${JSON.stringify(netns.slice(0, 140))}`);
  }
  // A DEL passes: nothing was ever made under such a name, and a pod that was refused it has to end.
  if (verb !== 'DEL' && isKernels(ifname)) {
    const msg = `CNI_IFNAME ${ifname} cannot be a pod's interface: lo, all, default and names with a % mean something else to the kernel; name another`;
    return fail(CODE.badEnvironment, msg);
  }
  return { value: { containerId, netns, ifname } };
}

/** As the kernel's dev_valid_name, but printable ASCII only, as in the shim: the alias separates by spaces. */
const isIfname = (name: string): boolean => /^[!-.0-9;-~]{1,15}$/.test(name) && name !== '.' && name !== '..';

/** Every namespace's own loopback, the folders for all links under /proc/sys/net, and what the kernel puts a number into. */
const isKernels = (name: string): boolean => ['lo', 'all', 'default'].includes(name) || name.includes('%');
