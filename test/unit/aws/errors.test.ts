import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { classify } from '../../../providers/aws/errors.ts';
import type { EniId } from '../../../src/core/brand.ts';
import type { CloudFailure } from '../../../src/core/cloud.ts';
import { options, refusal, type Stage, stage } from './ec2-server.ts';

const ENI = 'eni-0bb6d5cc5ed4f5140' as EniId;

let open: Stage | undefined;
afterEach(() => open?.close());

/** What a delete comes back with when EC2 answers this; the table is one for all calls. */
async function failureOf(code: string, message: string, status = 400): Promise<CloudFailure> {
  open = await stage({ DeleteNetworkInterface: [refusal(code, message, status)] });
  const answer = await open.provider.deleteEni(ENI, options());
  if (answer.ok) throw new Error('succeeded');
  return answer.failure;
}

/** Recorded replies; each names where it was seen. */
const RECORDED: readonly (readonly [string, string, number, Partial<CloudFailure>])[] = [
  // EC2 API reference, "Query API request rate"
  ['RequestLimitExceeded', 'Request limit exceeded.', 503, { kind: 'throttled' }],
  // EKS user guide, "Some provided subnets don't have enough free addresses"
  [
    'InsufficientFreeAddressesInSubnet',
    'The specified subnet does not have enough free addresses to satisfy the request.',
    400,
    { kind: 'exhausted', scope: 'subnet' },
  ],
  // EKS best practices, "Use subnet reservations to avoid subnet fragmentation"
  [
    'InsufficientCidrBlocks',
    'The specified subnet does not have enough free cidr blocks to satisfy the request',
    400,
    { kind: 'exhausted', scope: 'prefix' },
  ],
  // cilium/cilium issue 15877
  [
    'AttachmentLimitExceeded',
    'Interface count 4 exceeds the limit for t3.medium',
    400,
    { kind: 'exhausted', scope: 'instance' },
  ],
  // a load test on an m4.xlarge, published with its notes
  [
    'PrivateIpAddressLimitExceeded',
    'eni-5af8fa3d: Number of private addresses will exceed limit.',
    400,
    { kind: 'exhausted', scope: 'eni' },
  ],
  // aws/amazon-vpc-cni-k8s issue 1399
  [
    'InvalidParameterValue',
    "Network interface 'eni-0bb6d5cc5ed4f5140' is currently in use.",
    400,
    { kind: 'conflict' },
  ],
  // as Cilium matches it
  [
    'InvalidParameterValue',
    "Instance 'i-1234567890abcdef0' already has an interface attached at device index '2'.",
    400,
    { kind: 'conflict' },
  ],
  // as four public clients match it
  [
    'InvalidParameterValue',
    'Some of the specified addresses are not assigned to interface eni-0bb6d5cc5ed4f5140',
    400,
    { kind: 'notFound' },
  ],
  // ansible's ec2_eni module documentation
  ['InvalidParameterValue', '[10.0.1.9] assigned, but move is not allowed.', 400, { kind: 'conflict' }],
  // Cilium's SubnetFullErrMsgStr
  [
    'InvalidParameterValue',
    "There aren't sufficient free Ipv4 addresses or prefixes in subnet subnet-0123",
    400,
    { kind: 'exhausted', scope: 'subnet' },
  ],
  // knife-ec2 and others: a parameter that is simply wrong
  ['InvalidParameterValue', 'Value (abc) for parameter subnetId is invalid.', 400, { kind: 'bug' }],
  // aws-samples/aws-modern-application-workshop issue 56
  ['OperationNotPermitted', "You are not allowed to manage 'ela-attach' attachments.", 400, { kind: 'denied' }],
  // a launch template's comment, quoting the CLI
  [
    'InvalidParameterCombination',
    'You may not attach a network interface to an instance if they are not in the same availability zone',
    400,
    { kind: 'bug' },
  ],
  // EC2 API reference, error codes
  ['UnauthorizedOperation', 'You are not authorized to perform this operation.', 403, { kind: 'denied' }],
  ['AuthFailure', 'AWS was not able to validate the provided access credentials', 401, { kind: 'denied' }],
  [
    'IdempotentParameterMismatch',
    'The request uses the same client token as a previous, but non-identical request.',
    400,
    { kind: 'parameterMismatch' },
  ],
  [
    'InvalidNetworkInterfaceID.NotFound',
    "The networkInterface ID 'eni-0bb6d5cc5ed4f5140' does not exist",
    400,
    { kind: 'notFound' },
  ],
  ['InvalidInstanceID.NotFound', "The instance ID 'i-1234567890abcdef0' does not exist", 400, { kind: 'nodeGone' }],
  ['IncorrectState', "Instance 'i-1234567890abcdef0' is not 'running'", 400, { kind: 'nodeGone' }],
  ['InternalError', 'An internal error has occurred', 500, { kind: 'ambiguous' }],
  ['Unavailable', 'The service is unavailable. Please try again shortly.', 503, { kind: 'ambiguous' }],
];

test.each(RECORDED)('%s: %s', async (code, message, status, expected) => {
  const failure = await failureOf(code, message, status);
  expect(failure).toEqual({ code, message, ...expected });
  expect(open?.unknownCodes).toEqual([]);
});

test('a full subnet under the overloaded code means no prefix, when prefixes were asked for', async () => {
  const message = "There aren't sufficient free Ipv4 addresses or prefixes in subnet subnet-0123";
  open = await stage({ AssignPrivateIpAddresses: [refusal('InvalidParameterValue', message)] });
  const wish = { family: 4, count: 1, token: 'aa-1' as never } as const;
  const prefix = await open.provider.assign(ENI, { ...wish, prefixLength: 28 }, options());
  const single = await open.provider.assign(ENI, { ...wish, prefixLength: 32 }, options());
  expect(prefix).toMatchObject({ failure: { kind: 'exhausted', scope: 'prefix' } });
  expect(single).toMatchObject({ failure: { kind: 'exhausted', scope: 'subnet' } });
});

test('a code without a row is a bug or ambiguous by its status, and is counted', async () => {
  expect(await failureOf('SomethingNew', 'never seen', 400)).toMatchObject({ kind: 'bug', code: 'SomethingNew' });
  expect(open?.unknownCodes).toEqual(['SomethingNew']);
  await open?.close();
  expect(await failureOf('SomethingWorse', 'never seen', 500)).toMatchObject({ kind: 'ambiguous' });
  expect(open?.unknownCodes).toEqual(['SomethingWorse']);
});

test('names that every object has are no codes', async () => {
  expect(await failureOf('constructor', 'never seen', 400)).toMatchObject({ kind: 'bug', code: 'constructor' });
});

test('a throttled call says how long to wait when EC2 does', async () => {
  const throttled = {
    ...refusal('RequestLimitExceeded', 'Request limit exceeded.', 503),
    headers: { 'retry-after': '2' },
  };
  open = await stage({ DeleteNetworkInterface: [throttled] });
  const answer = await open.provider.deleteEni(ENI, options());
  expect(answer).toMatchObject({ failure: { kind: 'throttled', retryAfterMs: 2_000 } });
});

test('an answer that is no XML leaves open whether the work was done', async () => {
  const gateway = { status: 502, body: '<html><body>Bad Gateway</body></html>' };
  const cut = { status: 200, body: '<DeleteNetworkInterfaceResponse><ret' };
  open = await stage({ DeleteNetworkInterface: [gateway, cut] });
  expect(await open.provider.deleteEni(ENI, options())).toMatchObject({ failure: { kind: 'ambiguous' } });
  expect(await open.provider.deleteEni(ENI, options())).toMatchObject({ failure: { kind: 'ambiguous' } });
});

test('without credentials nothing is sent, and the call may be made again', async () => {
  open = await stage({ DeleteNetworkInterface: [] }, { metadata: {}, config: { env: {} } });
  expect(await open.provider.deleteEni(ENI, options())).toMatchObject({
    failure: { kind: 'transient', code: 'CredentialsProviderError' },
  });
  expect(open.sent).toEqual([]);
});

// Inside jest the SDK takes Node's errors for no errors at all (another realm) and wraps them, so these are classified
// as Node throws them.
const thrownBy = (open: () => Socket): Promise<unknown> =>
  new Promise((resolve) => {
    const socket = open();
    socket.on('error', resolve);
    socket.on('close', () => resolve(undefined));
  });

const kindOf = (thrown: unknown): string => classify(thrown, { prefixes: false }).failure.kind;

test('a refused connection, or a name that is none, was surely not sent', async () => {
  const closed = await stage({});
  await closed.close();
  const port = Number(new URL(closed.url).port);
  expect(kindOf(await thrownBy(() => connect(port, '127.0.0.1')))).toBe('transient');
  expect(kindOf(await thrownBy(() => connect(port, 'ec2.invalid')))).toBe('transient');
  // A name with several addresses: Node tries them all and throws one AggregateError.
  const all = { autoSelectFamily: true, lookup: (_: string, __: object, done: LookupAll) => done(null, LOOPBACKS) };
  expect(kindOf(await thrownBy(() => connect({ port, host: 'ec2', ...all })))).toBe('transient');
});

test('a connection that breaks with a request on it leaves open whether the work was done', async () => {
  const server = createServer((socket) => socket.once('data', () => socket.resetAndDestroy()));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const thrown = await thrownBy(() => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.end('POST / HTTP/1.1\r\n\r\n');
    return socket;
  });
  expect(thrown).toMatchObject({ code: 'ECONNRESET' });
  expect(kindOf(thrown)).toBe('ambiguous');
  server.close();
});

test('what is no error at all leaves open whether the work was done', () => {
  expect(kindOf(undefined)).toBe('ambiguous');
  expect(kindOf('?')).toBe('ambiguous');
});

type LookupAll = (error: null, addresses: { address: string; family: number }[]) => void;
const LOOPBACKS = [
  { address: '127.0.0.1', family: 4 },
  { address: '127.0.0.2', family: 4 },
];
