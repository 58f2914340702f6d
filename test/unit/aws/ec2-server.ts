/**
 * An EC2 endpoint and instance metadata of recorded replies: what the real SDK is answered, and what it sent.
 * It has no state and no opinion; the lab's endpoint, which has both, is in the contract test.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type AwsConfig, type AwsProvider, createAwsProvider } from '../../../providers/aws/provider.ts';
import type { CallOptions } from '../../../src/ports/provider.ts';

export interface Sent {
  readonly action: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type Replies = Readonly<Record<string, readonly (string | Reply)[]>>;

export const INSTANCE = 'i-1234567890abcdef0';

const IDENTITY = {
  accountId: '123456789012',
  architecture: 'x86_64',
  availabilityZone: 'us-east-1a',
  imageId: 'ami-98765432',
  instanceId: INSTANCE,
  instanceType: 'm5.large',
  pendingTime: '2026-01-02T03:04:05Z',
  privateIp: '10.0.1.10',
  region: 'us-east-1',
  version: '2017-09-30',
};

/** Where metadata tells of the primary ENI. */
export const PRIMARY = 'meta-data/network/interfaces/macs/0e:49:61:0f:c3:11';

export const METADATA: Readonly<Record<string, string>> = {
  'dynamic/instance-identity/document': JSON.stringify(IDENTITY, null, 2),
  'meta-data/mac': '0e:49:61:0f:c3:11',
  [`${PRIMARY}/interface-id`]: 'eni-0a00000000000000a',
  [`${PRIMARY}/local-ipv4s`]: '10.0.1.10\n10.0.1.77',
  [`${PRIMARY}/ipv6s`]: '2001:db8:7::10',
  [`${PRIMARY}/ipv4-prefix`]: '10.0.1.32/28',
  [`${PRIMARY}/security-group-ids`]: 'sg-0123456789abcdef0\nsg-0123456789abcdef1',
  [`${PRIMARY}/subnet-id`]: 'subnet-0b0b0b0b0b0b0b0b0',
  [`${PRIMARY}/subnet-ipv4-cidr-block`]: '10.0.1.0/24',
  [`${PRIMARY}/subnet-ipv6-cidr-blocks`]: '2001:db8:7::/64',
  [`${PRIMARY}/vpc-ipv4-cidr-blocks`]: '10.0.0.0/16\n100.64.0.0/16',
  [`${PRIMARY}/vpc-ipv6-cidr-blocks`]: '2001:db8:7::/56',
  'meta-data/iam/security-credentials/': 'node-role',
  'meta-data/iam/security-credentials/node-role': JSON.stringify({
    Code: 'Success',
    LastUpdated: '2026-01-02T03:04:05Z',
    Type: 'AWS-HMAC',
    AccessKeyId: 'ASIAIOSFODNN7EXAMPLE',
    SecretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    Token: 'token',
    Expiration: '2099-01-02T09:04:05Z',
  }),
};

/** Everything one test needs; `close` ends it. */
export interface Stage {
  readonly provider: AwsProvider;
  readonly sent: readonly Sent[];
  /** Requests to the metadata service, as `METHOD path`. */
  readonly asked: readonly string[];
  readonly unknownCodes: readonly string[];
  readonly url: string;
  close(): Promise<void>;
}

/** Answers each action's replies in order, the last one for good. */
export async function stage(
  replies: Replies,
  { metadata = METADATA, config = {} }: { metadata?: typeof METADATA; config?: Partial<AwsConfig> } = {},
): Promise<Stage> {
  const sent: Sent[] = [];
  const asked: string[] = [];
  const unknownCodes: string[] = [];
  const counts = new Map<string, number>();
  const server = createServer(async (request, response) => {
    if (request.url?.startsWith('/latest/')) return answerMetadata({ request, response, metadata, asked });
    const parameters = Object.fromEntries(new URLSearchParams(await bodyOf(request)));
    const action = parameters.Action ?? '';
    sent.push({ action, parameters });
    const list = replies[action] ?? [];
    const at = counts.get(action) ?? 0;
    counts.set(action, at + 1);
    const reply = list[Math.min(at, list.length - 1)];
    if (reply === undefined) throw new Error(`no reply for ${action}`);
    const { status, body, headers = {} } = typeof reply === 'string' ? { status: 200, body: reply } : reply;
    response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8', ...headers }).end(body);
  });
  const url = await listen(server);
  const provider = createAwsProvider({
    region: 'us-east-1',
    endpoint: url,
    metadataEndpoint: url,
    env: { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret' },
    onUnknownCode: (code) => unknownCodes.push(code),
    ...config,
  });
  const close = async () => {
    provider.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { provider, sent, asked, unknownCodes, url, close };
}

export async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk;
  return body;
}

/** IMDSv2: a GET without the session's token is refused. */
function answerMetadata(on: {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly metadata: typeof METADATA;
  readonly asked: string[];
}): void {
  const { request, response, metadata, asked } = on;
  const path = (request.url ?? '').slice('/latest/'.length);
  asked.push(`${request.method} ${path}`);
  if (request.method === 'PUT' && path === 'api/token') {
    const ttl = request.headers['x-aws-ec2-metadata-token-ttl-seconds'];
    response.writeHead(ttl === undefined ? 400 : 200).end('session-token');
  } else if (request.headers['x-aws-ec2-metadata-token'] !== 'session-token') response.writeHead(401).end();
  else if (metadata[path] === undefined) response.writeHead(404).end();
  else response.writeHead(200).end(metadata[path]);
}

export const options = (timeoutMs = 5_000): CallOptions => ({ signal: new AbortController().signal, timeoutMs });

/** An error as EC2 words it. */
export const refusal = (code: string, message: string, status = 400): Reply => ({
  status,
  body: `<?xml version="1.0" encoding="UTF-8"?>
<Response><Errors><Error><Code>${code}</Code><Message>${message}</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>`,
});

/** A reply as EC2 frames it. */
export const reply = (action: string, content: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>
<${action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>8dbe591e-5a22-48cb-b948-example</requestId>${content}</${action}Response>`;
