/**
 * The instance metadata service of one instance, version 2 only: a session token first, then plain GETs.
 *
 * Invariants: one write an answer; nothing is told without a token of this instance that has not ended.
 * Source: EC2 User Guide, "Use the Instance Metadata Service to access instance metadata": 400 for a bad request for a
 * token, 401 for none or an ended one, 403 for a request that came through a proxy, 404 for what is not there.
 */
import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import type { InstanceId } from '../../core/brand.ts';
import { type Metadata, metadataOf, type TreeOptions } from './tree.ts';

const TTL_HEADER = 'x-aws-ec2-metadata-token-ttl-seconds';
const TOKEN_HEADER = 'x-aws-ec2-metadata-token';
const TTL_SECONDS_MAX = 21_600;
/** More sessions than this at once end the oldest: the service's memory has an end. */
const SESSION_COUNT_MAX = 10_000;

export interface ImdsOptions extends TreeOptions {
  readonly instance: InstanceId;
}

export interface Imds {
  /** For a server that listens where the instance can reach it. */
  readonly listener: RequestListener;
  /** The fault `metadata-down`: while true, connections break without an answer. */
  down: boolean;
}

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Request {
  readonly method: string;
  readonly path: string;
  header(name: string): string | undefined;
}

/** Answers while the machine is up, also when its instance is being terminated: closing the server is the machine's end. */
export function createImds({ instance, ...options }: ImdsOptions): Imds {
  const { cloud, clock } = options;
  const sessions = new Sessions(() => clock.nowMs());
  const imds: Imds = {
    down: false,
    listener(request, response) {
      const record = cloud.truth.instances.get(instance);
      if (imds.down || record === undefined) {
        request.socket.resetAndDestroy();
        return;
      }
      const { status, body, headers } = replyTo(
        {
          method: request.method ?? '',
          path: (request.url ?? '/').replace(/\?.*$/s, ''),
          header: (name) => [request.headers[name]].flat()[0],
        },
        { sessions, read: () => metadataOf(record, options) },
      );
      const length = Buffer.byteLength(body);
      response.writeHead(status, { ...headers, 'content-type': 'text/plain', 'content-length': length }).end(body);
    },
  };
  return imds;
}

function replyTo(
  request: Request,
  { sessions, read }: { readonly sessions: Sessions; readonly read: () => Metadata },
): Reply {
  const { method, path } = request;
  if (path === '/latest/api/token') return method === 'PUT' ? newSession(request, sessions) : refuse(405);
  if (method !== 'GET') return refuse(405);
  const token = request.header(TOKEN_HEADER);
  if (token === undefined || !sessions.has(token)) return refuse(401);
  const found = lookUp(read(), path);
  return found === undefined ? refuse(404) : { status: 200, body: typeof found === 'string' ? found : listing(found) };
}

/** A proxy in front would hand the instance's credentials to whoever reaches it. */
function newSession(request: Request, sessions: Sessions): Reply {
  if (request.header('x-forwarded-for') !== undefined) return refuse(403);
  const ttl = request.header(TTL_HEADER) ?? '';
  const seconds = Number(ttl);
  if (!/^\d+$/.test(ttl) || seconds < 1 || seconds > TTL_SECONDS_MAX) return refuse(400);
  return { status: 200, body: sessions.open(seconds), headers: { [TTL_HEADER]: ttl } };
}

const REASONS = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
} as const;

const refuse = (status: keyof typeof REASONS): Reply => ({ status, body: `${status} - ${REASONS[status]}` });

/** `/latest/a/b`, `/2021-07-15/a/b`; a folder also without its last slash. Undefined when it is not there. */
function lookUp(metadata: Metadata, path: string): Metadata | undefined {
  const [version, ...names] = path.split('/').filter((name) => name !== '');
  if (version === undefined) return { latest: {} };
  if (version !== 'latest' && !/^\d{4}-\d{2}-\d{2}$/.test(version)) return undefined;
  let found: Metadata | undefined = metadata;
  for (const name of names) {
    if (typeof found !== 'object' || !Object.hasOwn(found, name)) return undefined;
    found = found[name];
  }
  return typeof found === 'string' && path.endsWith('/') ? undefined : found;
}

/** Folders end in a slash, but `security-credentials` lists roles, which are texts. */
const listing = (folder: Exclude<Metadata, string>): string =>
  Object.entries(folder)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => (typeof value === 'object' ? `${name}/` : name))
    .join('\n');

class Sessions {
  readonly #nowMs: () => number;
  /** When each token ends; oldest first. */
  readonly #endMs = new Map<string, number>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  open(seconds: number): string {
    const token = randomBytes(42).toString('base64');
    const [oldest] = this.#endMs.keys();
    if (oldest !== undefined && this.#endMs.size >= SESSION_COUNT_MAX) this.#endMs.delete(oldest);
    this.#endMs.set(token, this.#nowMs() + seconds * 1_000);
    return token;
  }

  has(token: string): boolean {
    const endMs = this.#endMs.get(token);
    if (endMs !== undefined && endMs > this.#nowMs()) return true;
    this.#endMs.delete(token);
    return false;
  }
}
