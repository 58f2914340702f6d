/**
 * The cluster's API server over HTTP, as KubeConfig finds it. Kubeconfig, certificates and tokens are read anew for each
 * request (and its credential helper run): they are renewed in place, and there are few requests.
 *
 * Of client-node only this one file is used. Its Watch stays out: it takes the connection for dead after 30 s of silence
 * where the API server speaks once a minute, skips lines that are no JSON without a word, and brings undici.
 */
import type { IncomingMessage } from 'node:http';
import { get as getInTheClear } from 'node:http';
import { get as getOverTls, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { Access } from './access.ts';
import { credentialOf, type HelperSpec } from './exec-credential.ts';

/** A NAT or a load balancer forgets a silent connection after some minutes. */
const KEEP_ALIVE_MS = 30_000;
const STATUS_LENGTH_MAX = 65_536;
/** client-node's own, for the token of a service account. The others ask over the network, or block this thread. */
const SERVICE_ACCOUNT_PROVIDER = 'tokenFile';

/** The API server refused; `status` is HTTP's. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(`the API server answered ${status}: ${message}`);
    this.status = status;
  }
}

export interface Question {
  /** From the server's root, such as `/api/v1/pods`. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly accept: string;
  readonly userAgent: string;
  readonly signal: AbortSignal;
}

/** The answer's body, to be read. Throws RefusedError for a status other than 200, any other Error where none came. */
export async function ask(
  access: Access,
  { path, query, signal, accept, userAgent }: Question,
): Promise<IncomingMessage> {
  const config = configOf(access);
  await authenticate(config, signal);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) throw new Error('the kubeconfig names no cluster in its current context');
  const url = new URL(server.replace(/\/$/, '') + path);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  const options: RequestOptions = { headers: {} };
  await config.applyToHTTPSOptions(options);
  const headers = { ...options.headers, accept, 'user-agent': userAgent };
  const get = url.protocol === 'http:' ? getInTheClear : getOverTls;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const request = get(url, { ...options, headers, signal }, resolve);
    request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
    request.on('error', reject);
  });
  if (response.statusCode === 200) return response;
  throw new RefusedError(response.statusCode ?? 0, await messageIn(response));
}

function configOf(access: Access): KubeConfig {
  const config = new KubeConfig();
  if ('kubeconfig' in access) config.loadFromFile(access.kubeconfig);
  else config.loadFromCluster(access.serviceAccountUnder);
  return config;
}

/** Takes from client-node what may wait for ever: afterwards it has only files to read. */
async function authenticate(config: KubeConfig, signal: AbortSignal): Promise<void> {
  const user = config.getCurrentUser();
  if (user === null) return;
  const provider: unknown = user.authProvider?.name;
  if (provider !== undefined && provider !== SERVICE_ACCOUNT_PROVIDER)
    throw new Error(
      `the kubeconfig's auth-provider "${provider}" is not supported: use exec, a token or a certificate`,
    );
  if (!user.exec) return;
  const { token, clientCertificateData, clientKeyData } = await credentialOf(user.exec as HelperSpec, signal);
  const { exec: _, ...others } = user;
  const found = {
    ...others,
    ...(token && { token }),
    ...(clientCertificateData && { certData: base64(clientCertificateData) }),
    ...(clientKeyData && { keyData: base64(clientKeyData) }),
  };
  config.users = config.users.map((one) => (one === user ? found : one));
}

const base64 = (pem: string): string => Buffer.from(pem).toString('base64');

/** The `message` of its Status object, or what there is instead. */
async function messageIn(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of response.setEncoding('utf8')) {
    text += piece;
    if (text.length > STATUS_LENGTH_MAX) break;
  }
  try {
    return String((JSON.parse(text) as { readonly message?: unknown }).message);
  } catch {
    return text.trim().slice(0, 200) || (response.statusMessage ?? '');
  }
}
