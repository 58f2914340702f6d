/** The rest of an ENI's life: attach, detach, delete, and its attributes. */
import type { EniId, InstanceId } from '../../../core/brand.ts';
import { action, RETURN_TRUE } from '../action.ts';
import { attachmentContent, groupSet } from '../content/eni.ts';
import { Ec2Error, invalidCombination, invalidValue, missing } from '../ec2-error.ts';
import { flag, id, integer, list, need, oneOf, structure, text } from '../fields.ts';
import type { Session } from '../session.ts';
import type { Elements } from '../xml.ts';
import { GROUP_ID } from './create-eni.ts';
import { ENI_ID } from './describe-enis.ts';

export const INSTANCE_ID = id<InstanceId>('i', 'InvalidInstanceID');
const ATTACHMENT_ID = id('eni-attach', 'InvalidAttachmentID');

export const attachNetworkInterface = action({
  parameters: {
    NetworkInterfaceId: need(ENI_ID),
    InstanceId: need(INSTANCE_ID),
    DeviceIndex: need(integer({ min: 0 })),
    // The model's instances have the one card.
    NetworkCardIndex: integer({ min: 0, max: 0 }),
    DryRun: flag(),
  },
  notInLab: ['EnaSrdSpecification', 'EnaQueueCount'],
  is: 'attach-eni',
  async handle({ NetworkInterfaceId: eni, InstanceId: instance, DeviceIndex: deviceIndex }, session) {
    const { attachment } = await session.call('attach-eni', { eni, instance, deviceIndex });
    return { attachmentId: attachment, networkCardIndex: 0 };
  },
});

export const detachNetworkInterface = action({
  parameters: { AttachmentId: need(ATTACHMENT_ID), Force: flag(), DryRun: flag() },
  is: 'detach-eni',
  async handle({ AttachmentId: attachment, Force: force = false }, session) {
    await session.call('detach-eni', { attachment, force });
    return RETURN_TRUE;
  },
});

export const deleteNetworkInterface = action({
  parameters: { NetworkInterfaceId: need(ENI_ID), DryRun: flag() },
  is: 'delete-eni',
  async handle({ NetworkInterfaceId: eni }, session) {
    await session.call('delete-eni', { eni });
    return RETURN_TRUE;
  },
});

export const modifyNetworkInterfaceAttribute = action({
  parameters: {
    NetworkInterfaceId: need(ENI_ID),
    Description: structure({ Value: text({ lengthMax: 255 }) }),
    SourceDestCheck: structure({ Value: flag() }),
    SecurityGroupId: list(GROUP_ID),
    Attachment: structure({ AttachmentId: need(ATTACHMENT_ID), DeleteOnTermination: need(flag()) }),
    DryRun: flag(),
  },
  notInLab: [
    'AssociatedSubnetId',
    'AssociatePublicIpAddress',
    'ConnectionTrackingSpecification',
    'EnablePrimaryIpv6',
    'EnaSrdSpecification',
  ],
  is: 'modify-eni',
  async handle(input, session) {
    const changes = [
      input.Description?.Value !== undefined && { description: input.Description.Value },
      input.SourceDestCheck?.Value !== undefined && { sourceDestCheck: input.SourceDestCheck.Value },
      input.SecurityGroupId.length > 0 && { groups: input.SecurityGroupId },
      input.Attachment !== undefined && {
        attachment: input.Attachment.AttachmentId,
        deleteOnTermination: input.Attachment.DeleteOnTermination,
      },
    ].filter((change) => change !== false);
    const [change, another] = changes;
    // EC2 API reference: "You can specify only one attribute at a time."
    if (another !== undefined) throw invalidCombination('Fields for multiple attribute types specified.');
    if (change === undefined) throw invalidCombination('No attributes specified.');
    await session.call('modify-eni', { eni: input.NetworkInterfaceId, ...change });
    return RETURN_TRUE;
  },
});

export const describeNetworkInterfaceAttribute = action({
  parameters: {
    NetworkInterfaceId: need(ENI_ID),
    Attribute: oneOf('description', 'groupSet', 'sourceDestCheck', 'attachment'),
    DryRun: flag(),
  },
  is: 'describe-enis',
  async handle({ NetworkInterfaceId: networkInterfaceId, Attribute: attribute }, session) {
    if (attribute === undefined) throw missing('Attribute');
    return { networkInterfaceId, ...(await attributeOf(networkInterfaceId, attribute, session)) };
  },
});

async function attributeOf(
  id: EniId,
  attribute: 'description' | 'groupSet' | 'sourceDestCheck' | 'attachment',
  session: Session,
): Promise<Elements> {
  const [eni] = await session.call('describe-enis', { ids: [id] });
  if (eni === undefined) throw new Ec2Error('InvalidNetworkInterfaceID.NotFound', `no ${id}`);
  switch (attribute) {
    case 'description':
      return { description: { value: eni.description } };
    case 'groupSet':
      return { groupSet: groupSet(eni.groups, session) };
    case 'sourceDestCheck':
      return { sourceDestCheck: { value: eni.sourceDestCheck } };
    case 'attachment': {
      const { attachment } = eni;
      const instance = { instanceId: attachment?.instance };
      return { attachment: attachment && { ...attachmentContent(attachment, session), ...instance } };
    }
    default:
      throw invalidValue(`unknown attribute ${attribute satisfies never}`);
  }
}
