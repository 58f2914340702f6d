/** What every action has in common: protocol, authentication, dry runs, throttling, lost answers. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { accessKeyOf } from '../../../src/lab/imds/role.ts';
import { AT_ONCE, onStage, refusalIn, type Stage } from './stage.ts';
import { elementsAt, readXml, textAt, textsAt } from './xml-reader.ts';

const signedBy = (accessKey: string) => ({
  authorization: `AWS4-HMAC-SHA256 Credential=${accessKey}/20260102/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0`,
});

/** Sends as it is and answers the raw bytes, or the error's code. */
const raw = (
  stage: Stage,
  options: { method?: string; path?: string; headers?: Record<string, string>; body?: string },
) =>
  new Promise<{ status: number; body: string } | string>((resolve) => {
    const { method = 'POST', path = '/', headers = signedBy('AKID'), body = '' } = options;
    const sent = request(stage.url, { method, path, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    sent.end(body);
  });

const rawRefusal = async (stage: Stage, options: Parameters<typeof raw>[1]) => {
  const answer = await raw(stage, options);
  if (typeof answer === 'string') throw new Error(answer);
  return refusalIn({ status: answer.status, root: readXml(answer.body) });
};

test(
  'a signature must be there, in a header or in the URL',
  onStage(async (stage) => {
    const bare = await stage.refusal('DescribeVpcs', {}, {});
    expect(bare).toEqual({
      status: 403,
      code: 'MissingAuthenticationToken',
      message: 'Request is missing Authentication Token',
    });
    const query =
      'Action=DescribeVpcs&Version=2016-11-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260102%2Fus-east-1%2Fec2%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0';
    const presigned = await stage.run(raw(stage, { method: 'GET', path: `/?${query}`, headers: {} }));
    expect(presigned).toMatchObject({ status: 200 });
  }),
);

test(
  'GET works as POST does',
  onStage(async (stage) => {
    const path = '/?Action=DescribeVpcs&Version=2016-11-15&Filter.1.Name=tag:none&Filter.1.Value.1=x';
    const answer = await stage.run(raw(stage, { method: 'GET', path }));
    expect(answer).toMatchObject({ status: 200, body: expect.stringContaining('<vpcSet/>') });
  }),
);

test(
  'what is no action is refused as EC2 refuses it',
  onStage(async (stage) => {
    const refusal = async (body: string) => {
      const { status, code } = await rawRefusal(stage, { body });
      return `${status} ${code}`;
    };
    expect(await refusal('')).toBe('400 MissingAction');
    expect(await refusal('Action=DescribeVpcs')).toBe('400 MissingParameter');
    expect(await refusal('Action=DescribeVpcs&Version=2014-01-01')).toBe('400 NoSuchVersion');
    expect(await refusal('Action=RunAway&Version=2016-11-15')).toBe('400 InvalidAction');
    expect(await refusal('Action=toString&Version=2016-11-15')).toBe('400 InvalidAction');
    expect(await refusal('Action=DescribeVpcs&Version=2016-11-15&Colour=red')).toBe('400 UnknownParameter');
    expect(await rawRefusal(stage, { path: '/elsewhere' })).toMatchObject({ status: 404 });
    expect(await rawRefusal(stage, { path: '//' })).toMatchObject({ status: 404 });
    expect(await rawRefusal(stage, { method: 'PUT' })).toMatchObject({ status: 405 });
    expect(await rawRefusal(stage, { body: `a=${'x'.repeat(2_000_000)}` })).toMatchObject({
      status: 413,
      code: 'RequestEntityTooLarge',
    });
    expect(stage.cloud.callCounts.size).toBe(0);
  }),
);

test(
  'an answer is one write, with its length, its id in header and body',
  onStage(async (stage) => {
    const { port } = new URL(stage.url);
    const chunks: string[] = [];
    const body = 'Action=Nothing&Version=2016-11-15';
    const socket = connect(Number(port), '127.0.0.1').setEncoding('utf8');
    socket.on('data', (chunk) => chunks.push(String(chunk)));
    socket.write(
      `POST / HTTP/1.1\r\nhost: x\r\nauthorization: ${signedBy('AKID').authorization}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
    );
    await new Promise((resolve) => socket.on('close', resolve));
    expect(chunks).toHaveLength(1);
    const [head = '', xml = ''] = (chunks[0] ?? '').split('\r\n\r\n');
    expect(head).toMatch(/^HTTP\/1.1 400 /);
    expect(head).toContain(`content-length: ${xml.length}`);
    expect(head.toLowerCase()).toContain(`x-amzn-requestid: ${textAt(readXml(xml), 'RequestID')}`);
  }),
);

test(
  'a dry run says whether it would be allowed, and does nothing',
  onStage(async (stage) => {
    const wish = { SubnetId: stage.subnet, DryRun: true };
    expect(await stage.refusal('CreateNetworkInterface', wish)).toEqual({
      status: 412,
      code: 'DryRunOperation',
      message: 'Request would have succeeded, but DryRun flag is set.',
    });
    expect(await stage.code('CreateNetworkInterface', { DryRun: true })).toBe('MissingParameter');
    stage.cloud.faults.arm({ kind: 'deny' }, { actions: ['create-eni'] });
    expect(await stage.refusal('CreateNetworkInterface', wish)).toMatchObject({
      status: 403,
      code: 'UnauthorizedOperation',
    });
    expect(await stage.code('DescribeVpcs', { DryRun: true })).toBe('DryRunOperation');
    expect(stage.cloud.truth.enis()).toHaveLength(1);
    expect(stage.cloud.callCounts.size).toBe(0);
  }),
);

test(
  'each action has a bucket, and an empty one answers RequestLimitExceeded',
  onStage(
    async (stage) => {
      const one = { NetworkInterfaceId: await stage.createEni() };
      expect((await stage.ask('DescribeVpcs')).status).toBe(200);
      expect((await stage.ask('DescribeVpcs')).status).toBe(200);
      expect(await stage.refusal('DescribeVpcs')).toMatchObject({ status: 503, code: 'RequestLimitExceeded' });
      expect((await stage.ask('DescribeSubnets')).status).toBe(200);
      stage.clock.advance(1_000);
      expect((await stage.ask('DescribeVpcs')).status).toBe(200);
      // Families are actions of their own.
      const [four, six] = [{ SecondaryPrivateIpAddressCount: 1 }, { Ipv6AddressCount: 1 }];
      await stage.value('AssignPrivateIpAddresses', { ...one, ...four });
      await stage.value('AssignPrivateIpAddresses', { ...one, ...four });
      expect(await stage.code('AssignPrivateIpAddresses', { ...one, ...four })).toBe('RequestLimitExceeded');
      await stage.value('AssignIpv6Addresses', { ...one, ...six });
    },
    {
      ...AT_ONCE,
      buckets: {
        ...AT_ONCE.buckets,
        describe: { burst: 2, perSecond: 1 },
        assign: { burst: 2, perSecond: 1 },
      },
    },
  ),
);

test(
  'a role’s access key says which instance calls, so a fault can strike it alone',
  onStage(async (stage) => {
    stage.cloud.faults.arm({ kind: 'deny' }, { caller: stage.node });
    const struck = await stage.ask('DescribeVpcs', {}, signedBy(accessKeyOf(stage.node)));
    expect(refusalIn(struck)).toMatchObject({ status: 403, code: 'UnauthorizedOperation' });
    expect((await stage.ask('DescribeVpcs')).status).toBe(200);
  }),
);

test(
  'a lost reply breaks the connection after the work was done',
  onStage(async (stage) => {
    stage.cloud.faults.arm({ kind: 'lost-reply', silent: false }, { calls: 1 });
    const body = `Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=${stage.subnet}`;
    expect(await stage.run(raw(stage, { body }))).toBe('ECONNRESET');
    expect(stage.cloud.truth.enis()).toHaveLength(2);
  }),
);

test(
  'a lost request and a cloud out of reach break it with nothing done',
  onStage(async (stage) => {
    const body = `Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=${stage.subnet}`;
    for (const fault of [{ kind: 'lost-request', silent: false }, { kind: 'api-down' }] as const) {
      stage.cloud.faults.arm(fault, { calls: 1 });
      expect(await stage.run(raw(stage, { body }))).toBe('ECONNRESET');
    }
    expect(stage.cloud.truth.enis()).toHaveLength(1);
  }),
);

test(
  'a silent loss leaves the client waiting',
  onStage(async (stage) => {
    stage.cloud.faults.arm({ kind: 'lost-reply', silent: true }, { calls: 1 });
    let answered = false;
    const body = `Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=${stage.subnet}`;
    void raw(stage, { body }).then((answer) => {
      answered = typeof answer !== 'string';
    });
    for (let turn = 0; turn < 1_000 && stage.cloud.truth.enis().length < 2; turn++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      stage.clock.step();
    }
    stage.clock.advance(60_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([answered, stage.cloud.truth.enis().length]).toEqual([false, 2]);
  }),
);

test(
  'pages are given until the end, for the same request only',
  onStage(async (stage) => {
    for (let made = 0; made < 6; made++) await stage.createEni();
    const first = await stage.value('DescribeNetworkInterfaces', { MaxResults: 5 });
    const token = textAt(first, 'nextToken');
    const second = await stage.value('DescribeNetworkInterfaces', { MaxResults: 5, NextToken: token });
    const ids = [first, second].flatMap((root) => textsAt(root, 'networkInterfaceSet.item.networkInterfaceId'));
    expect(new Set(ids).size).toBe(7);
    expect(elementsAt(second, 'nextToken')).toEqual([]);
    const other = { MaxResults: 5, NextToken: token, 'Filter.1.Name': 'status', 'Filter.1.Value.1': '*' };
    expect(await stage.code('DescribeNetworkInterfaces', other)).toBe('InvalidNextToken');
    expect(await stage.code('DescribeSubnets', { MaxResults: 5, NextToken: token })).toBe('InvalidNextToken');
    expect(await stage.code('DescribeNetworkInterfaces', { MaxResults: 4 })).toBe('InvalidParameterValue');
    const both = { MaxResults: 5, 'NetworkInterfaceId.1': ids[0] ?? '' };
    expect(await stage.code('DescribeNetworkInterfaces', both)).toBe('InvalidParameterCombination');
  }),
);
