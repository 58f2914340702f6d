/** The life of an ENI through the endpoint, with every error on the way. */
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import { onStage, type Parameters, type Stage } from './stage.ts';
import { elementsAt, textAt, textsAt } from './xml-reader.ts';

const NOBODY = 'eni-0ffffffffffffffff';

const read = async (stage: Stage, eni: string) => {
  const root = await stage.value('DescribeNetworkInterfaces', { 'NetworkInterfaceId.1': eni });
  const [item] = elementsAt(root, 'networkInterfaceSet.item');
  if (item === undefined) throw new Error(`no ${eni}`);
  return item;
};

describe('CreateNetworkInterface', () => {
  const create = (stage: Stage, parameters: Parameters) =>
    stage.code('CreateNetworkInterface', { SubnetId: stage.subnet, ...parameters });

  test(
    'answers the ENI with all it was asked for',
    onStage(async (stage) => {
      const root = await stage.value('CreateNetworkInterface', {
        SubnetId: stage.subnet,
        Description: 'a <b> & c',
        'SecurityGroupId.1': 'sg-0123456789abcdef0',
        PrivateIpAddress: '10.0.1.77',
        SecondaryPrivateIpAddressCount: 2,
        Ipv6AddressCount: 2,
        EnablePrimaryIpv6: true,
        ClientToken: 'token-1',
        'TagSpecification.1.ResourceType': 'network-interface',
        'TagSpecification.1.Tag.1.Key': 'a',
        'TagSpecification.1.Tag.1.Value': 'b',
      });
      const [eni] = elementsAt(root, 'networkInterface');
      if (eni === undefined) throw new Error('no ENI');
      expect(textAt(eni, 'status')).toBe('pending');
      expect(textAt(eni, 'description')).toBe('a <b> & c');
      expect(textAt(eni, 'privateIpAddress')).toBe('10.0.1.77');
      expect(textsAt(eni, 'privateIpAddressesSet.item.primary')).toEqual(['true', 'false', 'false']);
      expect(textsAt(eni, 'ipv6AddressesSet.item.isPrimaryIpv6')).toEqual(['true', 'false']);
      expect(textsAt(eni, 'groupSet.item.groupId')).toEqual(['sg-0123456789abcdef0']);
      expect(textsAt(eni, 'tagSet.item.value')).toEqual(['b']);
      expect(textAt(root, 'clientToken')).toBe('token-1');
      expect(elementsAt(eni, 'attachment')).toEqual([]);
    }),
  );

  test(
    'gives prefixes, and the very addresses that are named',
    onStage(async (stage) => {
      const prefixed = await read(stage, await stage.createEni({ Ipv4PrefixCount: 2, Ipv6PrefixCount: 1 }));
      expect(textsAt(prefixed, 'ipv4PrefixSet.item.ipv4Prefix')).toHaveLength(2);
      expect(textsAt(prefixed, 'ipv6PrefixSet.item.ipv6Prefix')).toEqual([
        expect.stringMatching(/::\/80$|:0\/80$|\/80$/),
      ]);
      const named = await read(
        stage,
        await stage.createEni({
          'PrivateIpAddresses.1.PrivateIpAddress': '10.0.1.200',
          'PrivateIpAddresses.1.Primary': true,
          'PrivateIpAddresses.2.PrivateIpAddress': '10.0.1.201',
          'Ipv6Addresses.1.Ipv6Address': '2001:db8:7::abcd',
        }),
      );
      expect(textsAt(named, 'privateIpAddressesSet.item.privateIpAddress')).toEqual(['10.0.1.200', '10.0.1.201']);
      expect(textsAt(named, 'ipv6AddressesSet.item.ipv6Address')).toEqual(['2001:db8:7::abcd']);
    }),
  );

  test(
    'repeats with one token make one ENI, and other parameters are a mismatch',
    onStage(async (stage) => {
      const wish = { ClientToken: 't', SecondaryPrivateIpAddressCount: 1 };
      expect(await stage.createEni(wish)).toBe(await stage.createEni(wish));
      expect(await create(stage, { ...wish, SecondaryPrivateIpAddressCount: 2 })).toBe('IdempotentParameterMismatch');
      expect(stage.cloud.truth.enis()).toHaveLength(2);
    }),
  );

  test(
    'refuses what cannot be',
    onStage(async (stage) => {
      expect(await stage.code('CreateNetworkInterface')).toBe('MissingParameter');
      expect(await create(stage, { SubnetId: 'subnet-0ffffffffffffffff' })).toBe('InvalidSubnetID.NotFound');
      expect(await create(stage, { SubnetId: 'net' })).toBe('InvalidSubnetID.Malformed');
      expect(await create(stage, { PrivateIpAddress: '10.9.9.9' })).toBe('InvalidParameterValue');
      expect(await create(stage, { PrivateIpAddress: stage.cloud.truth.enis()[0]?.primary4 ?? '' })).toBe(
        'InvalidIPAddress.InUse',
      );
      const counts = { SecondaryPrivateIpAddressCount: 1, Ipv4PrefixCount: 1 };
      expect(await create(stage, counts)).toBe('InvalidParameterCombination');
      expect(await create(stage, { Ipv6AddressCount: 1, Ipv6PrefixCount: 1 })).toBe('InvalidParameterCombination');
      const primaries = {
        PrivateIpAddress: '10.0.1.90',
        'PrivateIpAddresses.1.PrivateIpAddress': '10.0.1.91',
        'PrivateIpAddresses.1.Primary': true,
      };
      expect(await create(stage, primaries)).toBe('InvalidParameterCombination');
      expect(await create(stage, { EnablePrimaryIpv6: true })).toBe('MissingParameter');
      expect(await create(stage, { SecondaryPrivateIpAddressCount: 50 })).toBe('PrivateIpAddressLimitExceeded');
      expect(await create(stage, { SubnetId: stage.small, SecondaryPrivateIpAddressCount: 12 })).toBe(
        'InsufficientFreeAddressesInSubnet',
      );
      expect(await create(stage, { SubnetId: stage.small, Ipv4PrefixCount: 1 })).toBe('InsufficientCidrBlocks');
      expect(await create(stage, { SubnetId: stage.small, Ipv6AddressCount: 1 })).toBe('InvalidParameterValue');
      expect(await create(stage, { ClientToken: 'x'.repeat(65) })).toBe('InvalidParameterValue');
      expect(await create(stage, { 'Operator.Principal': 'x' })).toBe('UnsupportedOperation');
      expect(await create(stage, { InterfaceType: 'efa' })).toBe('InvalidParameterValue');
      stage.cloud.faults.arm({ kind: 'eni-limit' }, { calls: 1 });
      expect(await create(stage, {})).toBe('NetworkInterfaceLimitExceeded');
      expect(stage.cloud.truth.enis()).toHaveLength(1);
    }),
  );

  test(
    'refuses tags that EC2 does not take',
    onStage(async (stage) => {
      const tags = (type: string, ...keys: string[]) =>
        Object.fromEntries([
          ['TagSpecification.1.ResourceType', type],
          ...keys.map((key, at) => [`TagSpecification.1.Tag.${at + 1}.Key`, key]),
        ]);
      expect(await create(stage, tags('instance', 'a'))).toBe('InvalidParameterValue');
      expect(await create(stage, tags('network-interface', 'aws:x'))).toBe('InvalidParameterValue');
      expect(await create(stage, tags('network-interface', 'a', 'a'))).toBe('InvalidParameterValue');
      expect(await create(stage, tags('network-interface', 'k'.repeat(129)))).toBe('InvalidParameterValue');
      const many = Array.from({ length: 51 }, (_, at) => `k${at}`);
      expect(await create(stage, tags('network-interface', ...many))).toBe('TagLimitExceeded');
    }),
  );
});

test(
  'an ENI is pending after create, unknown to some servers, and late in lists',
  onStage(
    async (stage) => {
      stage.cloud.faults.arm({ kind: 'stale-reads', lagMs: 20_000 });
      const eni = await stage.createEni();
      const attach = { NetworkInterfaceId: eni, InstanceId: stage.node, DeviceIndex: 1 };
      expect(await stage.refusal('AttachNetworkInterface', attach)).toEqual({
        status: 400,
        code: 'InvalidNetworkInterfaceID.NotFound',
        message: `The networkInterface ID '${eni}' does not exist`,
      });
      const seen = new Set<string>();
      for (let asked = 0; asked < 10; asked++) {
        const { status, root } = await stage.ask('DescribeNetworkInterfaces', { 'NetworkInterfaceId.1': eni });
        seen.add(textAt(root, status === 200 ? 'networkInterfaceSet.item.status' : 'Errors.Error.Code'));
      }
      expect(seen).toContain('InvalidNetworkInterfaceID.NotFound');
      stage.clock.advance(30_000);
      expect(textAt(await read(stage, eni), 'status')).toBe('available');
      await stage.value('AttachNetworkInterface', attach);
    },
    { ...AWS_2026, spread: 0, freshNotFoundRate: 1 },
  ),
);

describe('AttachNetworkInterface', () => {
  test(
    'goes attaching, attached, with its link, and says so',
    onStage(
      async (stage) => {
        const eni = await stage.createEni();
        stage.clock.advance(5_000);
        const request = { NetworkInterfaceId: eni, InstanceId: stage.node, DeviceIndex: 2 };
        const root = await stage.value('AttachNetworkInterface', request);
        expect(textAt(root, 'attachmentId')).toMatch(/^eni-attach-[0-9a-f]{17}$/);
        expect(textAt(root, 'networkCardIndex')).toBe('0');
        expect(stage.cloud.truth.eni(eni as never)?.attachment?.state).toBe('attaching');
        stage.clock.advance(10_000);
        const seen = await read(stage, eni);
        expect(textAt(seen, 'status')).toBe('in-use');
        expect(textAt(seen, 'attachment.status')).toBe('attached');
        expect(textAt(seen, 'attachment.deviceIndex')).toBe('2');
        expect(textAt(seen, 'attachment.instanceId')).toBe(stage.node);
        expect(textAt(seen, 'attachment.deleteOnTermination')).toBe('false');
      },
      { ...AWS_2026, freshNotFoundRate: 0 },
    ),
  );

  test(
    'refuses what cannot be',
    onStage(async (stage) => {
      const eni = await stage.createEni();
      const attach = (parameters: Parameters) =>
        stage.refusal('AttachNetworkInterface', {
          NetworkInterfaceId: eni,
          InstanceId: stage.node,
          DeviceIndex: 1,
          ...parameters,
        });
      expect(await attach({ DeviceIndex: 0 })).toEqual({
        status: 400,
        code: 'InvalidParameterValue',
        message: `Instance '${stage.node}' already has an interface attached at device index '0'.`,
      });
      expect(await attach({ DeviceIndex: -1 })).toMatchObject({ code: 'InvalidParameterValue' });
      expect(await attach({ NetworkCardIndex: 1 })).toMatchObject({ code: 'InvalidParameterValue' });
      expect(await attach({ NetworkInterfaceId: NOBODY })).toMatchObject({
        code: 'InvalidNetworkInterfaceID.NotFound',
      });
      expect(await attach({ InstanceId: 'i-0ffffffffffffffff' })).toMatchObject({ code: 'InvalidInstanceID.NotFound' });
      expect(await attach({ InstanceId: 'node' })).toMatchObject({ code: 'InvalidInstanceID.Malformed' });
      const far = await stage.createEni({ SubnetId: stage.elsewhere });
      expect(await attach({ NetworkInterfaceId: far })).toMatchObject({ code: 'InvalidParameterCombination' });
      const wide = await stage.createEni({ SecondaryPrivateIpAddressCount: 12 });
      expect(await attach({ NetworkInterfaceId: wide })).toMatchObject({ code: 'PrivateIpAddressLimitExceeded' });
      await stage.attach(eni, 1);
      expect(await attach({ DeviceIndex: 2 })).toEqual({
        status: 400,
        code: 'InvalidNetworkInterface.InUse',
        message: `Interface: [${eni}] in use.`,
      });
      await stage.attach(await stage.createEni(), 2);
      const fourth = await stage.createEni();
      expect(await attach({ NetworkInterfaceId: fourth, DeviceIndex: 3 })).toMatchObject({
        code: 'AttachmentLimitExceeded',
      });
      stage.cloud.terminate(stage.node);
      expect(await attach({ NetworkInterfaceId: fourth })).toEqual({
        status: 400,
        code: 'IncorrectState',
        message: `Instance '${stage.node}' is not 'running' or 'stopped'.`,
      });
    }),
  );
});

test(
  'an ENI is not deleted while it is attached or detaching',
  onStage(
    async (stage) => {
      const eni = await stage.createEni();
      stage.clock.advance(5_000);
      const attachment = await stage.attach(eni, 1);
      const inUse = {
        status: 400,
        code: 'InvalidParameterValue',
        message: `Network interface '${eni}' is currently in use.`,
      };
      expect(await stage.refusal('DeleteNetworkInterface', { NetworkInterfaceId: eni })).toEqual(inUse);
      await stage.value('DetachNetworkInterface', { AttachmentId: attachment });
      expect(await stage.refusal('DeleteNetworkInterface', { NetworkInterfaceId: eni })).toEqual(inUse);
      expect(await stage.code('DetachNetworkInterface', { AttachmentId: attachment })).toBe('IncorrectState');
      stage.clock.advance(10_000);
      expect(await stage.code('DetachNetworkInterface', { AttachmentId: attachment })).toBe(
        'InvalidAttachmentID.NotFound',
      );
      expect(textAt(await stage.value('DeleteNetworkInterface', { NetworkInterfaceId: eni }), 'return')).toBe('true');
      expect(await stage.code('DeleteNetworkInterface', { NetworkInterfaceId: eni })).toBe(
        'InvalidNetworkInterfaceID.NotFound',
      );
    },
    { ...AWS_2026, freshNotFoundRate: 0 },
  ),
);

test(
  'detach refuses the primary ENI, and one still attaching unless by force',
  onStage(async (stage) => {
    const primary = stage.cloud.truth.enisOf(stage.node)[0]?.attachment?.id ?? '';
    expect(await stage.code('DetachNetworkInterface', { AttachmentId: primary })).toBe('OperationNotPermitted');
    expect(await stage.code('DetachNetworkInterface', { AttachmentId: 'eni-attach' })).toBe(
      'InvalidAttachmentID.Malformed',
    );
    stage.cloud.faults.arm({ kind: 'attach-stuck' }, { calls: 1 });
    const attachment = await stage.attach(await stage.createEni(), 1);
    expect(await stage.code('DetachNetworkInterface', { AttachmentId: attachment })).toBe('IncorrectState');
    await stage.value('DetachNetworkInterface', { AttachmentId: attachment, Force: true });
    stage.clock.advance(10_000);
    expect(stage.cloud.truth.enisOf(stage.node)).toHaveLength(1);
  }),
);

test(
  'attributes are changed one a call, and read back',
  onStage(async (stage) => {
    const eni = await stage.createEni();
    const attachment = await stage.attach(eni, 1);
    const modify = (parameters: Parameters) =>
      stage.ask('ModifyNetworkInterfaceAttribute', { NetworkInterfaceId: eni, ...parameters });
    const attribute = (name: string) =>
      stage.value('DescribeNetworkInterfaceAttribute', { NetworkInterfaceId: eni, Attribute: name });
    const termination = { 'Attachment.AttachmentId': attachment, 'Attachment.DeleteOnTermination': true };
    for (const change of [
      { 'Description.Value': 'new' },
      { 'SourceDestCheck.Value': false },
      { 'SecurityGroupId.1': 'sg-00000000000000001' },
      termination,
    ])
      expect((await modify(change)).status).toBe(200);
    expect(textAt(await attribute('description'), 'description.value')).toBe('new');
    expect(textAt(await attribute('sourceDestCheck'), 'sourceDestCheck.value')).toBe('false');
    expect(textsAt(await attribute('groupSet'), 'groupSet.item.groupId')).toEqual(['sg-00000000000000001']);
    expect(textAt(await attribute('attachment'), 'attachment.deleteOnTermination')).toBe('true');
    const code = async (parameters: Parameters) => textAt((await modify(parameters)).root, 'Errors.Error.Code');
    expect(await code({})).toBe('InvalidParameterCombination');
    expect(await code({ 'Description.Value': 'x', 'SourceDestCheck.Value': true })).toBe('InvalidParameterCombination');
    expect(await code({ 'Attachment.AttachmentId': attachment })).toBe('MissingParameter');
    expect(await code({ ...termination, 'Attachment.AttachmentId': 'eni-attach-0ffffffffffffffff' })).toBe(
      'InvalidAttachmentID.NotFound',
    );
    expect(await code({ EnablePrimaryIpv6: true })).toBe('UnsupportedOperation');
    expect(await stage.code('DescribeNetworkInterfaceAttribute', { NetworkInterfaceId: eni })).toBe('MissingParameter');
    const other = { NetworkInterfaceId: await stage.createEni(), ...termination };
    expect(await stage.code('ModifyNetworkInterfaceAttribute', other)).toBe('InvalidAttachmentID.NotFound');
  }),
);
