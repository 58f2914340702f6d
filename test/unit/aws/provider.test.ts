import { createServer, type Server } from 'node:http';
import { CAPABILITIES } from '../../../providers/aws/capabilities.ts';
import type { EniId, GroupId, OperationId, SubnetId } from '../../../src/core/brand.ts';
import type { Cidr } from '../../../src/core/ip.ts';
import { INSTANCE, listen, options, type Replies, refusal, type Stage, stage } from './ec2-server.ts';
import { ATTACHED, assigned4, assigned6, createdEni, done, eniXml, listedEnis } from './replies.ts';

const ENI = 'eni-0b11111111111111b' as EniId;
const IN_USE = "Network interface 'eni-0b11111111111111b' is currently in use.";
const NOT_ASSIGNED = 'Some of the specified addresses are not assigned to interface eni-0b11111111111111b';

let open: Stage | undefined;
afterEach(() => open?.close());

async function ec2(replies: Replies, more: Parameters<typeof stage>[1] = {}): Promise<Stage> {
  open = await stage(replies, more);
  return open;
}

const wish = (family: 4 | 6, prefixLength: number, count: number) =>
  ({ family, prefixLength, count, token: '00000000000000aa-1' as OperationId }) as const;

const createWish = (...blocks: readonly { family: 4 | 6; prefixLength: number; count: number }[]) => ({
  subnet: 'subnet-0b0b0b0b0b0b0b0b0' as SubnetId,
  groups: ['sg-0123456789abcdef0' as GroupId],
  blocks,
  tags: { 'underway.dev/cluster': 'c1', 'underway.dev/instance': INSTANCE },
  token: '00000000000000aa-1' as OperationId,
});

describe('create', () => {
  test('answers the ENI with its own addresses apart from its blocks', async () => {
    const { provider } = await ec2({
      CreateNetworkInterface: [
        createdEni(
          eniXml({
            secondary: ['10.0.1.20'],
            prefixes4: ['10.0.1.32/28'],
            addresses6: [{ ip: '2001:DB8:7:0::5', primary: true }, { ip: '2001:db8:7::6' }],
            prefixes6: ['2001:db8:7:0:1::/80'],
            tags: { 'underway.dev/cluster': 'c1' },
            mac: '02:74:B0:72:79:61',
          }),
        ),
      ],
    });
    expect(await provider.createEni(createWish(), options())).toEqual({
      ok: true,
      value: {
        id: ENI,
        mac: '02:74:b0:72:79:61',
        subnet: 'subnet-0b0b0b0b0b0b0b0b0',
        groups: ['sg-0123456789abcdef0'],
        primary4: '10.0.1.149',
        primary6: '2001:db8:7::5',
        blocks: ['10.0.1.20/32', '10.0.1.32/28', '2001:db8:7::6/128', '2001:db8:7:0:1::/80'],
        tags: { 'underway.dev/cluster': 'c1' },
        primary: false,
      },
    });
  });

  test('asks for addresses, prefixes, tags and idempotency in one request', async () => {
    const { provider, sent } = await ec2({ CreateNetworkInterface: [createdEni(eniXml())] });
    const blocks = [
      { family: 4, prefixLength: 28, count: 2 },
      { family: 6, prefixLength: 128, count: 3 },
    ] as const;
    await provider.createEni(createWish(...blocks), options());
    expect(sent).toHaveLength(1);
    expect(sent[0]?.parameters).toMatchObject({
      Action: 'CreateNetworkInterface',
      SubnetId: 'subnet-0b0b0b0b0b0b0b0b0',
      'SecurityGroupId.1': 'sg-0123456789abcdef0',
      ClientToken: '00000000000000aa-1',
      Ipv4PrefixCount: '2',
      // One more than asked for: the first becomes the ENI's own.
      Ipv6AddressCount: '4',
      EnablePrimaryIpv6: 'true',
      'TagSpecification.1.ResourceType': 'network-interface',
      'TagSpecification.1.Tag.1.Key': 'underway.dev/cluster',
      'TagSpecification.1.Tag.1.Value': 'c1',
    });
    expect(sent[0]?.parameters).not.toHaveProperty('SecondaryPrivateIpAddressCount');
  });

  test('does not ask for what EC2 cannot do in one call', async () => {
    const { provider, sent } = await ec2({});
    const mixed = createWish({ family: 4, prefixLength: 32, count: 1 }, { family: 4, prefixLength: 28, count: 1 });
    expect(await provider.createEni(mixed, options())).toMatchObject({ failure: { kind: 'bug' } });
    const odd = createWish({ family: 4, prefixLength: 27, count: 1 });
    expect(await provider.createEni(odd, options())).toMatchObject({ failure: { kind: 'bug' } });
    expect(sent).toEqual([]);
  });

  test('an answer without the new ENI leaves open whether it was made', async () => {
    const nameless = createdEni(eniXml().replace(/<networkInterfaceId>.*?<\/networkInterfaceId>/, ''));
    const { provider } = await ec2({ CreateNetworkInterface: [nameless, createdEni('')] });
    const expected = { ok: false, failure: { kind: 'ambiguous', code: 'UnreadableReply' } };
    expect(await provider.createEni(createWish(), options())).toMatchObject(expected);
    expect(await provider.createEni(createWish(), options())).toMatchObject(expected);
  });
});

describe('attach, modify, detach', () => {
  const here = listedEnis([eniXml({ attachment: { index: 1, status: 'attached' } })]);
  const detaching = listedEnis([eniXml({ attachment: { index: 1, status: 'detaching' } })]);
  const elsewhere = listedEnis([eniXml({ attachment: { index: 1, status: 'attached', instance: 'i-0other' } })]);

  test('attaches at the index it is told, on card 0', async () => {
    const { provider, sent } = await ec2({ AttachNetworkInterface: [ATTACHED] });
    expect(await provider.attachEni(ENI, { deviceIndex: 2 }, options())).toEqual({ ok: true });
    expect(sent[0]?.parameters).toMatchObject({ DeviceIndex: '2', NetworkCardIndex: '0', InstanceId: INSTANCE });
  });

  test('does not guess a device index', async () => {
    const { provider, sent } = await ec2({});
    expect(await provider.attachEni(ENI, {}, options())).toMatchObject({ failure: { kind: 'bug' } });
    expect(sent).toEqual([]);
  });

  test.each([
    ['attached here', here, { ok: true }],
    ['being detached', detaching, { failure: { kind: 'conflict' } }],
    ["another instance's", elsewhere, { failure: { kind: 'conflict' } }],
  ])('a refused attach of an ENI that is %s', async (_, list, expected) => {
    const { provider } = await ec2({
      AttachNetworkInterface: [refusal('InvalidParameterValue', IN_USE)],
      DescribeNetworkInterfaces: [list],
    });
    expect(await provider.attachEni(ENI, { deviceIndex: 1 }, options())).toMatchObject(expected);
  });

  test('detaches by the attachment that the attach answered, without a read', async () => {
    const { provider, sent } = await ec2({
      AttachNetworkInterface: [ATTACHED],
      DetachNetworkInterface: [done('DetachNetworkInterface')],
    });
    await provider.attachEni(ENI, { deviceIndex: 1 }, options());
    expect(await provider.detachEni(ENI, { force: true }, options())).toEqual({ ok: true });
    expect(sent.map(({ action }) => action)).toEqual(['AttachNetworkInterface', 'DetachNetworkInterface']);
    expect(sent[1]?.parameters).toMatchObject({ AttachmentId: 'eni-attach-6537fc0c', Force: 'true' });
  });

  test('reads the attachment first when it does not know it', async () => {
    const { provider, sent } = await ec2({
      DescribeNetworkInterfaces: [here],
      DetachNetworkInterface: [done('DetachNetworkInterface')],
    });
    expect(await provider.detachEni(ENI, { force: false }, options())).toEqual({ ok: true });
    expect(sent.map(({ action }) => action)).toEqual(['DescribeNetworkInterfaces', 'DetachNetworkInterface']);
  });

  test.each([
    ['is not attached', listedEnis([eniXml()]), { ok: true }],
    ['is being detached', detaching, { ok: true }],
    ['is not listed', listedEnis([]), { failure: { kind: 'notFound' } }],
  ])('does not detach an ENI that %s', async (_, list, expected) => {
    const { provider, sent } = await ec2({ DescribeNetworkInterfaces: [list] });
    expect(await provider.detachEni(ENI, { force: false }, options())).toMatchObject(expected);
    expect(sent.map(({ action }) => action)).toEqual(['DescribeNetworkInterfaces']);
  });

  test('an attachment that has ended is a detach that is done', async () => {
    const { provider } = await ec2({
      DescribeNetworkInterfaces: [here],
      DetachNetworkInterface: [refusal('InvalidAttachmentID.NotFound', "'eni-attach-6537fc0c' does not exist")],
    });
    expect(await provider.detachEni(ENI, { force: false }, options())).toEqual({ ok: true });
  });

  test('sets DeleteOnTermination on the attachment, and only there', async () => {
    const { provider, sent } = await ec2({
      DescribeNetworkInterfaces: [here, listedEnis([eniXml()])],
      ModifyNetworkInterfaceAttribute: [done('ModifyNetworkInterfaceAttribute')],
    });
    expect(await provider.modifyEni(ENI, { deleteOnTermination: true }, options())).toEqual({ ok: true });
    expect(sent[1]?.parameters).toMatchObject({
      'Attachment.AttachmentId': 'eni-attach-6537fc0c',
      'Attachment.DeleteOnTermination': 'true',
    });
    const other = 'eni-0c22222222222222c' as EniId;
    expect(await provider.modifyEni(other, { deleteOnTermination: true }, options())).toMatchObject({
      failure: { kind: 'conflict' },
    });
  });

  test('changes one attribute a call', async () => {
    const { provider, sent } = await ec2({
      ModifyNetworkInterfaceAttribute: [done('ModifyNetworkInterfaceAttribute')],
    });
    const both = { sourceDestCheck: false, deleteOnTermination: true };
    expect(await provider.modifyEni(ENI, both, options())).toMatchObject({ failure: { kind: 'bug' } });
    expect(await provider.modifyEni(ENI, { sourceDestCheck: false }, options())).toEqual({ ok: true });
    expect(await provider.modifyEni(ENI, { groups: ['sg-1' as GroupId] }, options())).toEqual({ ok: true });
    expect(
      sent.map(({ parameters }) => parameters['SourceDestCheck.Value'] ?? parameters['SecurityGroupId.1']),
    ).toEqual(['false', 'sg-1']);
  });
});

describe('addresses', () => {
  test('assigns counts and very addresses of both families', async () => {
    const { provider, sent } = await ec2({
      AssignPrivateIpAddresses: [assigned4(['10.0.1.20', '10.0.1.21']), assigned4([], ['10.0.1.32/28'])],
      AssignIpv6Addresses: [assigned6(['2001:db8:7::6']), assigned6([], ['2001:db8:7:0:1::/80'])],
    });
    const answers = [
      await provider.assign(ENI, wish(4, 32, 2), options()),
      await provider.assign(ENI, wish(4, 28, 1), options()),
      await provider.assign(ENI, { ...wish(6, 128, 1), blocks: ['2001:db8:7::6/128' as Cidr] }, options()),
      await provider.assign(ENI, wish(6, 80, 1), options()),
    ];
    expect(answers.map((answer) => answer.ok && answer.value)).toEqual([
      ['10.0.1.20/32', '10.0.1.21/32'],
      ['10.0.1.32/28'],
      ['2001:db8:7::6/128'],
      ['2001:db8:7:0:1::/80'],
    ]);
    expect(sent.map(({ parameters: { Action, Version, NetworkInterfaceId, ...rest } }) => rest)).toEqual([
      { SecondaryPrivateIpAddressCount: '2' },
      { Ipv4PrefixCount: '1' },
      { 'Ipv6Addresses.1': '2001:db8:7::6' },
      { Ipv6PrefixCount: '1' },
    ]);
  });

  test('never asks for more than one call can be relied on to give', async () => {
    const { provider, sent } = await ec2({});
    const many = wish(4, 32, CAPABILITIES.maxBlocksPerCall + 1);
    expect(await provider.assign(ENI, many, options())).toMatchObject({ failure: { kind: 'bug' } });
    expect(sent).toEqual([]);
  });

  test('unassigns addresses and prefixes in one request', async () => {
    const { provider, sent } = await ec2({ UnassignPrivateIpAddresses: [done('UnassignPrivateIpAddresses')] });
    const blocks = ['10.0.1.20/32', '10.0.1.32/28'] as Cidr[];
    expect(await provider.unassign(ENI, blocks, options())).toEqual({ ok: true });
    expect(sent[0]?.parameters).toMatchObject({ 'PrivateIpAddress.1': '10.0.1.20', 'Ipv4Prefix.1': '10.0.1.32/28' });
  });

  const blocks = ['10.0.1.20/32', '10.0.1.21/32'] as Cidr[];
  test.each([
    ['some are gone', ['10.0.1.21'], { ok: true }, ['10.0.1.21']],
    ['all are gone', [], { ok: true }, []],
    ['a read that is behind shows all', ['10.0.1.20', '10.0.1.21'], { failure: { kind: 'transient' } }, []],
  ])('an unassign refused because %s', async (_, secondary, expected, second) => {
    const { provider, sent } = await ec2({
      UnassignPrivateIpAddresses: [refusal('InvalidParameterValue', NOT_ASSIGNED), done('UnassignPrivateIpAddresses')],
      DescribeNetworkInterfaces: [listedEnis([eniXml({ secondary })])],
    });
    expect(await provider.unassign(ENI, blocks, options())).toMatchObject(expected);
    const unassigned = sent.filter(({ action }) => action === 'UnassignPrivateIpAddresses').slice(1);
    expect(unassigned.map(({ parameters }) => parameters['PrivateIpAddress.1'])).toEqual(second);
  });

  test('an unassign from an ENI that is gone is not found', async () => {
    const gone = refusal('InvalidNetworkInterfaceID.NotFound', "The networkInterface ID 'eni-0b1' does not exist");
    const { provider, sent } = await ec2({ UnassignPrivateIpAddresses: [gone] });
    expect(await provider.unassign(ENI, blocks, options())).toMatchObject({ failure: { kind: 'notFound' } });
    expect(sent).toHaveLength(1);
  });
});

describe('deadlines and credentials', () => {
  test('a call that is given up on, or takes too long, is ambiguous', async () => {
    const server = await ec2({}, { config: { endpoint: await silentEndpoint() } });
    const patience = new AbortController();
    setTimeout(() => patience.abort(), 30);
    const call = server.provider.deleteEni(ENI, { signal: patience.signal, timeoutMs: 10_000 });
    expect(await call).toMatchObject({ failure: { kind: 'ambiguous' } });
    expect(await server.provider.deleteEni(ENI, options(30))).toMatchObject({ failure: { kind: 'ambiguous' } });
  });

  test('signs with the role of the instance when the environment has nothing, asked for once', async () => {
    const { provider, asked } = await ec2(
      { DeleteNetworkInterface: [done('DeleteNetworkInterface')] },
      { config: { env: {} } },
    );
    await provider.deleteEni(ENI, options());
    await provider.deleteEni(ENI, options());
    expect(asked).toEqual([
      'PUT api/token',
      'GET meta-data/iam/security-credentials/',
      'GET meta-data/iam/security-credentials/node-role',
    ]);
  });
});

const silent: Server[] = [];
afterEach(() => {
  for (const server of silent.splice(0)) server.close().closeAllConnections();
});

/** Takes requests and never answers. */
async function silentEndpoint(): Promise<string> {
  const server = createServer(() => {});
  silent.push(server);
  return listen(server);
}
