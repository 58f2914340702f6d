/**
 * Reads of ENIs, and the attachment ids seen in them: EC2 takes detach and DeleteOnTermination by attachment.
 *
 * Invariant: an attachment id is only forgotten when we detach it. A read may come from a replica that is behind, and
 * an id that has ended is refused by EC2 (`InvalidAttachmentID.NotFound`), so keeping one does no harm.
 */
import type { Filter, NetworkInterface } from '@aws-sdk/client-ec2';
import type { EniId, InstanceId, SubnetId } from '../../src/core/brand.ts';
import { type Answer, type EniFacts, OWNER_TAGS, type Tags } from '../../src/core/cloud.ts';
import type { CallOptions } from '../../src/ports/provider.ts';
import { refuse } from './answer.ts';
import type { Ec2 } from './client.ts';
import { allPages } from './pages.ts';
import { enisIn } from './translate.ts';

export class Enis {
  readonly #ec2: Ec2;
  readonly #attachments = new Map<EniId, string>();

  constructor(ec2: Ec2) {
    this.#ec2 = ec2;
  }

  /** Two reads, since EC2 joins filters by "and"; an ENI in both is taken from the first. */
  async ofInstance(instance: InstanceId, options: CallOptions): Promise<Answer<EniFacts[]>> {
    const lists = await Promise.all([
      this.#describe([{ Name: 'attachment.instance-id', Values: [instance] }], options),
      this.#describe(tagFilters({ [OWNER_TAGS.instance]: instance }), options),
    ]);
    const merged = new Map<EniId, EniFacts>();
    for (const list of lists) {
      if (!list.ok) return list;
      for (const facts of list.value) if (!merged.has(facts.id)) merged.set(facts.id, facts);
    }
    return { ok: true, value: [...merged.values()] };
  }

  /** Other instances' too, so their attachments are not kept. */
  async inSubnet(subnet: SubnetId, options: CallOptions): Promise<Answer<EniFacts[]>> {
    const shapes = await this.#shapes([{ Name: 'subnet-id', Values: [subnet] }], options);
    return shapes.ok ? enisIn(shapes.value) : shapes;
  }

  /** By filter, not by id: an id that the replica does not know is then just not there. */
  async one(eni: EniId, options: CallOptions): Promise<Answer<EniFacts | undefined>> {
    const list = await this.#describe([{ Name: 'network-interface-id', Values: [eni] }], options);
    return list.ok ? { ok: true, value: list.value[0] } : list;
  }

  /** The id of the ENI's attachment, as last seen or read now; undefined when it has none, or is being detached. */
  async attachmentOf(eni: EniId, options: CallOptions): Promise<Answer<string | undefined>> {
    const known = this.#attachments.get(eni);
    if (known !== undefined) return { ok: true, value: known };
    const seen = await this.one(eni, options);
    if (!seen.ok) return seen;
    if (seen.value === undefined) return refuse('notFound', 'NotListed', `${eni} is not listed`);
    const { attachment } = seen.value;
    const held = attachment !== undefined && attachment.state !== 'detaching';
    return { ok: true, value: held ? this.#attachments.get(eni) : undefined };
  }

  attached(eni: EniId, attachment: string): void {
    this.#attachments.set(eni, attachment);
  }

  forget(eni: EniId): void {
    this.#attachments.delete(eni);
  }

  async #describe(Filters: Filter[], options: CallOptions): Promise<Answer<EniFacts[]>> {
    const shapes = await this.#shapes(Filters, options);
    if (!shapes.ok) return shapes;
    for (const { NetworkInterfaceId: eni, Attachment: attachment } of shapes.value)
      if (eni !== undefined && attachment?.AttachmentId !== undefined && attachment.Status !== 'detached')
        this.attached(eni as EniId, attachment.AttachmentId);
    return enisIn(shapes.value);
  }

  async #shapes(Filters: Filter[], options: CallOptions): Promise<Answer<NetworkInterface[]>> {
    const pages = await allPages((page) => this.#ec2.describeNetworkInterfaces({ Filters, ...page }, options));
    return pages.ok ? { ok: true, value: pages.value.flatMap((page) => page.NetworkInterfaces ?? []) } : pages;
  }
}

export const tagFilters = (tags: Tags): Filter[] =>
  Object.entries(tags).map(([key, value]) => ({ Name: `tag:${key}`, Values: [value] }));
