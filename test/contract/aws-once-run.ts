/**
 * Sends each change of the AWS adapter to endpoints that end the connection after the whole request, and prints what
 * they saw as JSON. A program of its own, since inside jest the SDK takes Node's errors for none (another realm), and
 * what it would do about a reset could not be seen.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { AssignPrivateIpAddressesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { type AwsProvider, createAwsProvider } from '../../providers/aws/provider.ts';
import type { EniId, OperationId, SubnetId } from '../../src/core/brand.ts';
import type { Answer } from '../../src/core/cloud.ts';
import type { Cidr } from '../../src/core/ip.ts';
import type { CallOptions } from '../../src/ports/provider.ts';
import { stage } from '../unit/aws/ec2-server.ts';
import { eniXml, listedEnis } from '../unit/aws/replies.ts';

export interface Seen {
  readonly action: string;
  readonly end: string;
  /** What the adapter answered, or `sdk` for the client as it comes. */
  readonly answer: string;
  readonly sent: readonly string[];
}

const ENI = 'eni-0b11111111111111b' as EniId;
const TOKEN = '00000000000000aa-1' as OperationId;
const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' };
/** The SDK's first retry comes within 100 ms. */
const RETRY_WAIT_MS = 300;
const TRIES_MAX = 10;

/** Ways in which a connection ends after a whole request came. */
const ENDS: Readonly<Record<string, (socket: Socket) => void>> = {
  reset: (socket) => void socket.resetAndDestroy(),
  closed: (socket) => void socket.end(),
  'cut in mid-answer': (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n<Assign'),
  'internal error': (socket) => void socket.end('HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n'),
  'bad gateway': (socket) => void socket.end('HTTP/1.1 502 Oops\r\nContent-Length: 0\r\n\r\n'),
};

type Change = (provider: AwsProvider, options: CallOptions) => Promise<Answer<unknown>>;

const wish = (family: 4 | 6, prefixLength: number) => ({ family, prefixLength, count: 2, token: TOKEN }) as const;

const CHANGES: Readonly<Record<string, Change>> = {
  CreateNetworkInterface: (provider, options) =>
    provider.createEni(
      { subnet: 'subnet-0b' as SubnetId, groups: [], blocks: [wish(4, 32)], tags: { a: 'b' }, token: TOKEN },
      options,
    ),
  AttachNetworkInterface: (provider, options) => provider.attachEni(ENI, { deviceIndex: 1 }, options),
  ModifyNetworkInterfaceAttribute: (provider, options) => provider.modifyEni(ENI, { sourceDestCheck: false }, options),
  DetachNetworkInterface: (provider, options) => provider.detachEni(ENI, { force: false }, options),
  DeleteNetworkInterface: (provider, options) => provider.deleteEni(ENI, options),
  AssignPrivateIpAddresses: (provider, options) => provider.assign(ENI, wish(4, 32), options),
  AssignIpv6Addresses: (provider, options) => provider.assign(ENI, wish(6, 128), options),
  UnassignPrivateIpAddresses: (provider, options) => provider.unassign(ENI, ['10.0.1.20/32' as Cidr], options),
  UnassignIpv6Addresses: (provider, options) => provider.unassign(ENI, ['2001:db8::6/128' as Cidr], options),
  CreateTags: (provider, options) => provider.tag(ENI, { a: 'b' }, options),
};

/** Reads are answered, so that a detach finds its attachment. */
function answerRead(socket: Socket): void {
  const body = listedEnis([eniXml({ id: ENI, attachment: { index: 1, status: 'attached' } })]);
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** An endpoint that reads each request whole, notes each change, and ends the connection in its way. */
async function rudeEndpoint(end: (socket: Socket) => void) {
  const sent: string[] = [];
  const server: Server = createServer((socket) => {
    let text = '';
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const [head = '', body] = text.split('\r\n\r\n');
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1]);
      if (body === undefined || body.length < length) return;
      const action = new URLSearchParams(body).get('Action') ?? '?';
      text = '';
      if (action.startsWith('Describe')) return answerRead(socket);
      sent.push(action);
      end(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return { sent, endpoint: `http://127.0.0.1:${port}`, close: () => void server.close() };
}

const pause = () => new Promise((resolve) => setTimeout(resolve, RETRY_WAIT_MS));

async function throughAdapter(action: string, end: string, metadataEndpoint: string): Promise<Seen> {
  const { sent, endpoint, close } = await rudeEndpoint(ENDS[end] ?? (() => {}));
  const env = { AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId, AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey };
  const config = { region: 'us-east-1', endpoint, metadataEndpoint, env, onUnknownCode: () => {} };
  const provider = createAwsProvider(config);
  const options = { signal: new AbortController().signal, timeoutMs: 5_000 };
  let answer = await CHANGES[action]?.(provider, options);
  // On a busy machine metadata may be late: what was never sent is asked for again, as the core does.
  for (let tries = 1; sent.length === 0 && tries < TRIES_MAX; tries++)
    answer = await CHANGES[action]?.(provider, options);
  await pause();
  provider.close();
  close();
  return { action, end, answer: answer?.ok === false ? answer.failure.kind : 'done', sent };
}

/** The SDK with its own defaults: shows that a second request would be seen. */
async function throughSdk(end: string): Promise<Seen> {
  const { sent, endpoint, close } = await rudeEndpoint(ENDS[end] ?? (() => {}));
  const client = new EC2Client({ region: 'us-east-1', endpoint, credentials: CREDENTIALS });
  const input = { NetworkInterfaceId: ENI, SecondaryPrivateIpAddressCount: 2 };
  await client.send(new AssignPrivateIpAddressesCommand(input)).catch(() => {});
  client.destroy();
  close();
  return { action: 'AssignPrivateIpAddresses', end, answer: 'sdk', sent };
}

const metadata = await stage({});
const ends = Object.keys(ENDS);
const seen = await Promise.all([
  ...Object.keys(CHANGES).flatMap((action) => ends.map((end) => throughAdapter(action, end, metadata.url))),
  ...ends.map(throughSdk),
]);
await metadata.close();
process.stdout.write(JSON.stringify(seen));
