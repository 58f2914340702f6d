/** Assign and unassign through the endpoint: only what is new, all or nothing, and every refusal. */
import { onStage, type Parameters, type Stage } from './stage.ts';
import { textAt, textsAt } from './xml-reader.ts';

const primaryOf = (stage: Stage): string => stage.cloud.truth.enisOf(stage.node)[0]?.id ?? '';
const blocksOf = (stage: Stage, eni: string) => stage.cloud.truth.eni(eni as never)?.blocks;

const on = (eni: string, stage: Stage) => ({
  assign: (parameters: Parameters) =>
    stage.value('AssignPrivateIpAddresses', { NetworkInterfaceId: eni, ...parameters }),
  refused: (parameters: Parameters, action = 'AssignPrivateIpAddresses') =>
    stage.refusal(action, { NetworkInterfaceId: eni, ...parameters }),
});

test(
  'an assign lists only what is new',
  onStage(async (stage) => {
    const eni = primaryOf(stage);
    const { assign } = on(eni, stage);
    const first = await assign({ SecondaryPrivateIpAddressCount: 2 });
    const second = await assign({ SecondaryPrivateIpAddressCount: 1, Ipv4PrefixCount: 1 });
    const [old, fresh] = [first, second].map((root) =>
      textsAt(root, 'assignedPrivateIpAddressesSet.item.privateIpAddress'),
    );
    expect([old?.length, fresh?.length]).toEqual([2, 1]);
    expect(old).not.toContain(fresh?.[0]);
    expect(textsAt(second, 'assignedIpv4PrefixSet.item.ipv4Prefix')).toEqual([expect.stringMatching(/\/28$/)]);
    expect(textAt(second, 'networkInterfaceId')).toBe(eni);
    const again = await assign({ 'PrivateIpAddress.1': old?.[0] ?? '', 'PrivateIpAddress.2': '10.0.1.200' });
    expect(textsAt(again, 'assignedPrivateIpAddressesSet.item.privateIpAddress')).toEqual(['10.0.1.200']);
    const named = await assign({ 'Ipv4Prefix.1': '10.0.1.224/28' });
    expect(textsAt(named, 'assignedIpv4PrefixSet.item.ipv4Prefix')).toEqual(['10.0.1.224/28']);
  }),
);

test(
  'IPv6 has actions of its own',
  onStage(async (stage) => {
    const eni = primaryOf(stage);
    const root = await stage.value('AssignIpv6Addresses', {
      NetworkInterfaceId: eni,
      'Ipv6Addresses.1': '2001:0db8:7::00AB',
      Ipv6PrefixCount: 1,
    });
    const [ip, prefix] = [textAt(root, 'assignedIpv6Addresses.item'), textAt(root, 'assignedIpv6PrefixSet.item')];
    expect(ip).toBe('2001:db8:7::ab');
    expect(prefix).toMatch(/\/80$/);
    const gone = await stage.value('UnassignIpv6Addresses', {
      NetworkInterfaceId: eni,
      'Ipv6Addresses.1': ip,
      'Ipv6Prefix.1': prefix,
    });
    expect(textsAt(gone, 'unassignedIpv6Addresses.item')).toEqual([ip]);
    expect(textsAt(gone, 'unassignedIpv6PrefixSet.item')).toEqual([prefix]);
    expect(blocksOf(stage, eni)).toEqual([]);
  }),
);

test(
  'an assign that cannot be given whole gives nothing',
  onStage(async (stage) => {
    const eni = await stage.createEni({ SubnetId: stage.small });
    const { refused } = on(eni, stage);
    expect(await refused({ SecondaryPrivateIpAddressCount: 11 })).toEqual({
      status: 400,
      code: 'InsufficientFreeAddressesInSubnet',
      message: 'The specified subnet does not have enough free addresses to satisfy the request.',
    });
    expect(await refused({ Ipv4PrefixCount: 1 })).toMatchObject({ code: 'InsufficientCidrBlocks' });
    expect(blocksOf(stage, eni)).toEqual([]);
    expect(stage.cloud.truth.freeCount(stage.small)).toBe(10);
    stage.cloud.faults.arm({ kind: 'no-prefix' }, { calls: 1 });
    expect(await on(primaryOf(stage), stage).refused({ Ipv4PrefixCount: 1 })).toMatchObject({
      code: 'InsufficientCidrBlocks',
    });
  }),
);

test(
  'an assign is refused beyond the instance type’s limit',
  onStage(async (stage) => {
    const { assign, refused } = on(primaryOf(stage), stage);
    await assign({ SecondaryPrivateIpAddressCount: 9 });
    expect(await refused({ SecondaryPrivateIpAddressCount: 1 })).toEqual({
      status: 400,
      code: 'PrivateIpAddressLimitExceeded',
      message: 'Number of private addresses will exceed limit.',
    });
  }),
);

test(
  'an address of another ENI moves only where that is allowed',
  onStage(async (stage) => {
    const [from, to] = [primaryOf(stage), await stage.createEni()];
    await on(from, stage).assign({ 'PrivateIpAddress.1': '10.0.1.99' });
    const { assign, refused } = on(to, stage);
    expect(await refused({ 'PrivateIpAddress.1': '10.0.1.99' })).toEqual({
      status: 400,
      code: 'InvalidParameterValue',
      message: '[10.0.1.99] is assigned, but move is not allowed.',
    });
    await assign({ 'PrivateIpAddress.1': '10.0.1.99', AllowReassignment: true });
    expect([blocksOf(stage, from), blocksOf(stage, to)]).toEqual([[], ['10.0.1.99/32']]);
  }),
);

test(
  'an unassign takes all that is named, or nothing',
  onStage(async (stage) => {
    const eni = primaryOf(stage);
    const { assign, refused } = on(eni, stage);
    await assign({
      'PrivateIpAddress.1': '10.0.1.50',
      'PrivateIpAddress.2': '10.0.1.51',
      'Ipv4Prefix.1': '10.0.1.64/28',
    });
    const unassign = 'UnassignPrivateIpAddresses';
    const partly = { 'PrivateIpAddress.1': '10.0.1.50', 'PrivateIpAddress.2': '10.0.1.52' };
    expect(await refused(partly, unassign)).toEqual({
      status: 400,
      code: 'InvalidParameterValue',
      message: `Some of [10.0.1.52] are not assigned to interface ${eni}`,
    });
    expect(blocksOf(stage, eni)).toHaveLength(3);
    const own = stage.cloud.truth.eni(eni as never)?.primary4 ?? '';
    expect(await refused({ 'PrivateIpAddress.1': own }, unassign)).toMatchObject({ code: 'InvalidParameterValue' });
    expect(await refused({}, unassign)).toMatchObject({ code: 'MissingParameter' });
    const both = { 'PrivateIpAddress.1': '10.0.1.50', 'Ipv4Prefix.1': '10.0.1.64/28' };
    await stage.value(unassign, { NetworkInterfaceId: eni, ...both });
    expect(blocksOf(stage, eni)).toEqual(['10.0.1.51/32']);
  }),
);

test(
  'refuses what contradicts itself',
  onStage(async (stage) => {
    const { refused } = on(primaryOf(stage), stage);
    const code = async (parameters: Parameters, action?: string) => (await refused(parameters, action)).code;
    expect(await code({})).toBe('MissingParameter');
    expect(await code({ SecondaryPrivateIpAddressCount: 0 })).toBe('InvalidParameterValue');
    expect(await code({ 'PrivateIpAddress.1': '10.0.1.9', SecondaryPrivateIpAddressCount: 1 })).toBe(
      'InvalidParameterCombination',
    );
    expect(await code({ 'Ipv4Prefix.1': '10.0.1.64/28', Ipv4PrefixCount: 1 })).toBe('InvalidParameterCombination');
    expect(await code({ 'PrivateIpAddress.1': '10.7.0.1' })).toBe('InvalidParameterValue');
    expect(await code({ DryRun: true, SecondaryPrivateIpAddressCount: 1 })).toBe('UnknownParameter');
    expect(await code({ 'Ipv6Addresses.1': '10.0.0.1' }, 'AssignIpv6Addresses')).toBe('InvalidParameterValue');
    expect(await stage.code('AssignPrivateIpAddresses', { SecondaryPrivateIpAddressCount: 1 })).toBe(
      'MissingParameter',
    );
    const nobody = { NetworkInterfaceId: 'eni-0ffffffffffffffff', SecondaryPrivateIpAddressCount: 1 };
    expect(await stage.code('AssignPrivateIpAddresses', nobody)).toBe('InvalidNetworkInterfaceID.NotFound');
  }),
);
