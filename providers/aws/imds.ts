/**
 * EC2's instance metadata, version 2: a session token first, then plain GETs. Everything here reads.
 *
 * Invariants: one request has one deadline; a token is fetched again when it is about to end or was refused; the
 * identity of an instance never changes, so it is read once a process.
 * Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata".
 */
import { request } from 'node:http';

const TOKEN_TTL_SECONDS = 21_600;
/** A token is replaced this long before it ends. */
const TOKEN_SPARE_MS = 60_000;
/** The service is on this host's own link; upstream tools use 1 s. */
const REQUEST_DEADLINE_MS = 1_000;
/** The longest document read here is about 1 kB. */
const REPLY_LENGTH_MAX = 65_536;
const DEFAULT_ENDPOINT = 'http://169.254.169.254';

export interface InstanceIdentity {
  readonly instanceId: string;
  readonly instanceType: string;
  readonly region: string;
  readonly availabilityZone: string;
}

export interface RoleCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  readonly expiration: Date;
}

/** Metadata could not be read, or what it said could not be understood. */
export class MetadataError extends Error {
  override readonly name = 'MetadataError';
}

interface Reply {
  readonly status: number;
  readonly body: string;
}

export class Imds {
  readonly #endpoint: URL;
  #token: { readonly value: string; readonly untilMs: number } | undefined;
  #identity: InstanceIdentity | undefined;

  /** `endpoint`: such as `http://169.254.169.254`, the default. */
  constructor({ endpoint = DEFAULT_ENDPOINT }: { readonly endpoint?: string | undefined } = {}) {
    this.#endpoint = new URL(endpoint);
  }

  async identity(): Promise<InstanceIdentity> {
    this.#identity ??= identityIn(await this.#required('dynamic/instance-identity/document'));
    return this.#identity;
  }

  /** MAC of the instance's primary ENI. */
  mac(): Promise<string> {
    return this.#required('meta-data/mac');
  }

  /** Items about the ENI with this MAC, such as `interface-id`; undefined is one that it has not. */
  async ofInterface<Item extends string>(
    mac: string,
    items: readonly Item[],
  ): Promise<Readonly<Record<Item, string | undefined>>> {
    const read = async (item: Item) => [item, await this.#get(`meta-data/network/interfaces/macs/${mac}/${item}`)];
    return Object.fromEntries(await Promise.all(items.map(read)));
  }

  /** Credentials of the instance's role. */
  async roleCredentials(): Promise<RoleCredentials> {
    const roles = await this.#required('meta-data/iam/security-credentials/');
    const role = roles.split('\n')[0]?.trim() ?? '';
    return credentialsIn(await this.#required(`meta-data/iam/security-credentials/${role}`));
  }

  async #required(path: string): Promise<string> {
    const value = await this.#get(path);
    if (value === undefined) throw new MetadataError(`instance metadata has no ${path}`);
    return value;
  }

  async #get(path: string): Promise<string | undefined> {
    let reply = await this.#send('GET', path, { 'x-aws-ec2-metadata-token': await this.#sessionToken() });
    if (reply.status === 401) {
      // The service forgot the token (it does so when its options change): one new one.
      this.#token = undefined;
      reply = await this.#send('GET', path, { 'x-aws-ec2-metadata-token': await this.#sessionToken() });
    }
    if (reply.status === 404) return undefined;
    if (reply.status !== 200) throw new MetadataError(`instance metadata answered ${reply.status} for ${path}`);
    return reply.body;
  }

  async #sessionToken(): Promise<string> {
    const nowMs = performance.now();
    if (this.#token !== undefined && nowMs < this.#token.untilMs) return this.#token.value;
    const reply = await this.#send('PUT', 'api/token', {
      'x-aws-ec2-metadata-token-ttl-seconds': String(TOKEN_TTL_SECONDS),
    });
    if (reply.status !== 200) throw new MetadataError(`instance metadata answered ${reply.status} for a session token`);
    this.#token = { value: reply.body, untilMs: nowMs + TOKEN_TTL_SECONDS * 1000 - TOKEN_SPARE_MS };
    return reply.body;
  }

  #send(method: 'GET' | 'PUT', path: string, headers: Readonly<Record<string, string>>): Promise<Reply> {
    const url = new URL(`/latest/${path}`, this.#endpoint);
    const signal = AbortSignal.timeout(REQUEST_DEADLINE_MS);
    return new Promise((resolve, reject) => {
      const fail = (cause: Error) =>
        reject(new MetadataError(`instance metadata did not answer: ${cause.message}`, { cause }));
      const call = request(url, { method, headers, signal }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
          if (body.length > REPLY_LENGTH_MAX) response.destroy(new Error(`more than ${REPLY_LENGTH_MAX} characters`));
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
        response.on('error', fail);
      });
      call.on('error', fail);
      call.end();
    });
  }
}

function identityIn(text: string): InstanceIdentity {
  const { instanceId, instanceType, region, availabilityZone } = textFields(text);
  if (!instanceId || !instanceType || !region || !availabilityZone)
    throw new MetadataError('the instance identity document lacks a field');
  return { instanceId, instanceType, region, availabilityZone };
}

function credentialsIn(text: string): RoleCredentials {
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = textFields(text);
  if (!AccessKeyId || !SecretAccessKey || !Token || !Expiration)
    throw new MetadataError('the role credentials in the instance metadata lack a field');
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    sessionToken: Token,
    expiration: new Date(Expiration),
  };
}

/** The fields of a JSON object that are strings. */
function textFields(text: string): Readonly<Record<string, string | undefined>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new MetadataError('instance metadata answered no JSON', { cause });
  }
  if (typeof parsed !== 'object' || parsed === null) throw new MetadataError('instance metadata answered no object');
  return Object.fromEntries(Object.entries(parsed).filter(([, value]) => typeof value === 'string'));
}
