/** What is read of the node, its subnets and ENIs, from EC2 and from instance metadata. */
import type { EniId, SubnetId } from '../../../src/core/brand.ts';
import { INSTANCE, METADATA, options, PRIMARY, type Replies, type Stage, stage } from './ec2-server.ts';
import { eniXml, instanceType, listedEnis, SUBNETS } from './replies.ts';

const ENI = 'eni-0b11111111111111b' as EniId;
/** What SUBNETS has of the first, and the instance's metadata tells too. */
const SUBNET_FACTS = {
  id: 'subnet-0b0b0b0b0b0b0b0b0',
  zone: 'us-east-1a',
  cidr4: '10.0.1.0/24',
  gateway4: '10.0.1.1',
  cidr6: '2001:db8:7::/64',
  gateway6: 'fe80:ec2::1',
};

let open: Stage | undefined;
afterEach(() => open?.close());

async function ec2(replies: Replies, more: Parameters<typeof stage>[1] = {}): Promise<Stage> {
  open = await stage(replies, more);
  return open;
}

describe('reads', () => {
  test('the node, from metadata and its instance type', async () => {
    const { provider, asked } = await ec2({ DescribeInstanceTypes: [instanceType({ name: 'm5.large' })] });
    expect(await provider.describeNode(options())).toEqual({
      ok: true,
      value: {
        instanceId: INSTANCE,
        limits: { instanceType: 'm5.large', eniCountMax: 3, slotsPerEni: { 4: 10, 6: 10 }, prefixes: true },
        vpcCidrs: ['10.0.0.0/16', '100.64.0.0/16', '2001:db8:7::/56'],
        primaryEni: 'eni-0a00000000000000a',
        zone: 'us-east-1a',
        primary: {
          eni: {
            id: 'eni-0a00000000000000a',
            mac: '0e:49:61:0f:c3:11',
            subnet: 'subnet-0b0b0b0b0b0b0b0b0',
            groups: ['sg-0123456789abcdef0', 'sg-0123456789abcdef1'],
            primary4: '10.0.1.10',
            primary6: '2001:db8:7::10',
            blocks: ['10.0.1.77/32', '10.0.1.32/28'],
            attachment: { instance: INSTANCE, deviceIndex: 0, state: 'attached' },
            tags: {},
            primary: true,
          },
          subnet: SUBNET_FACTS,
        },
      },
    });
    expect(asked.filter((line) => line.startsWith('PUT'))).toHaveLength(1);
  });

  test('a VPC without IPv6, an old type, a type with several cards', async () => {
    const { 'meta-data/network/interfaces/macs/0e:49:61:0f:c3:11/vpc-ipv6-cidr-blocks': _, ...metadata } = METADATA;
    const types = [
      instanceType({ name: 'm4.large', hypervisor: 'xen', ipv6: false }),
      instanceType({ name: 'p4d.24xlarge', cards: [15, 15, 15, 15] }),
    ];
    const { provider } = await ec2({ DescribeInstanceTypes: types }, { metadata });
    expect(await provider.describeNode(options())).toMatchObject({
      value: {
        vpcCidrs: ['10.0.0.0/16', '100.64.0.0/16'],
        limits: { slotsPerEni: { 4: 10, 6: 0 }, prefixes: false },
      },
    });
    expect(await provider.describeNode(options())).toMatchObject({ value: { limits: { eniCountMax: 15 } } });
  });

  test('metadata that tells half of the primary ENI is no answer', async () => {
    const types = { DescribeInstanceTypes: [instanceType({ name: 'm5.large' })] };
    const { [`${PRIMARY}/subnet-id`]: _, ...without } = METADATA;
    const { provider } = await ec2(types, { metadata: without });
    expect(await provider.describeNode(options())).toMatchObject({ failure: { kind: 'bug', code: 'UnreadableReply' } });
    await open?.close();
    const garbled = { ...METADATA, [`${PRIMARY}/local-ipv4s`]: '10.0.1.10\n<html>' };
    const other = await ec2(types, { metadata: garbled });
    expect(await other.provider.describeNode(options())).toMatchObject({
      failure: { kind: 'bug', message: 'EC2 answered without a readable local-ipv4s' },
    });
  });

  test('metadata that is away is said by name, and nothing was done', async () => {
    const { provider, sent } = await ec2({}, { config: { metadataEndpoint: 'http://127.0.0.1:9' } });
    const expected = { ok: false, failure: { kind: 'transient', code: 'MetadataUnreachable' } };
    expect(await provider.describeNode(options())).toMatchObject(expected);
    expect(await provider.listEnis(options())).toMatchObject(expected);
    expect(await provider.attachEni(ENI, { deviceIndex: 1 }, options())).toMatchObject(expected);
    expect(sent).toEqual([]);
  });

  test('subnets with their gateways, by filter', async () => {
    const { provider, sent } = await ec2({ DescribeSubnets: [SUBNETS] });
    const ids = ['subnet-0b0b0b0b0b0b0b0b0' as SubnetId, 'subnet-unknown' as SubnetId];
    expect(await provider.listSubnets({ ids }, options())).toEqual({
      ok: true,
      value: [{ ...SUBNET_FACTS, freeCount4: 249 }],
    });
    await provider.listSubnets({ tags: { role: 'pods' } }, options());
    expect(sent[0]?.parameters).toMatchObject({ 'Filter.1.Name': 'subnet-id', 'Filter.1.Value.2': 'subnet-unknown' });
    expect(sent[1]?.parameters).toMatchObject({ 'Filter.1.Name': 'tag:role', 'Filter.1.Value.1': 'pods' });
  });

  test('no subnet is asked for as none, not as all', async () => {
    const { provider, sent } = await ec2({});
    expect(await provider.listSubnets({ ids: [] }, options())).toEqual({ ok: true, value: [] });
    expect(sent).toEqual([]);
  });

  test('ENIs attached here and tagged with this instance, each once, over all pages', async () => {
    const primary = eniXml({ id: 'eni-0a00000000000000a', attachment: { index: 0, status: 'attached' } });
    const attached = eniXml({ attachment: { index: 1, status: 'attaching' } });
    const loose = eniXml({ id: 'eni-0c22222222222222c', tags: { 'underway.dev/instance': INSTANCE } });
    const { provider, sent } = await ec2({
      DescribeNetworkInterfaces: [listedEnis([primary], 'more'), listedEnis([attached, loose]), listedEnis([attached])],
    });
    const answer = await provider.listEnis(options());
    if (!answer.ok) throw new Error(answer.failure.message);
    const seen = answer.value.map(({ id, primary, attachment }) => [id, primary, attachment?.state]);
    expect([...seen].sort()).toEqual([
      ['eni-0a00000000000000a', true, 'attached'],
      [ENI, false, 'attaching'],
      ['eni-0c22222222222222c', false, undefined],
    ]);
    expect(sent).toHaveLength(3);
    expect(new Set(sent.map(({ parameters }) => parameters['Filter.1.Name']))).toEqual(
      new Set(['attachment.instance-id', 'tag:underway.dev/instance']),
    );
    expect(sent.some(({ parameters }) => parameters.NextToken === 'more')).toBe(true);
  });

  test('the own IPv6 address of an instance is no block, also when EC2 does not call it primary', async () => {
    const addresses6 = [{ ip: '2001:db8:7::10' }, { ip: '2001:db8:7::11' }];
    const { provider } = await ec2({
      DescribeNetworkInterfaces: [listedEnis([eniXml({ addresses6, attachment: { index: 0, status: 'attached' } })])],
    });
    expect(await provider.listEnis(options())).toMatchObject({
      value: [{ primary: true, primary6: '2001:db8:7::10', blocks: ['2001:db8:7::11/128'] }],
    });
  });

  test('one unreadable ENI spoils the list: left out, it would look deleted', async () => {
    const broken = eniXml({ id: 'eni-0c22222222222222c', mac: 'nonsense' });
    const { provider } = await ec2({ DescribeNetworkInterfaces: [listedEnis([eniXml(), broken])] });
    expect(await provider.listEnis(options())).toMatchObject({
      failure: { kind: 'bug', code: 'UnreadableReply', message: expect.stringContaining('macAddress') },
    });
  });
});
