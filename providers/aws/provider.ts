/**
 * The Provider port over EC2. docs/providers/port.md says which call is what, and what each answer means.
 *
 * Invariants: one call here is at most one change in EC2; after a refusal the ENI may be read, to tell "already so"
 * from "cannot be"; an answer to a change that cannot be read is `ambiguous`, since the change was made.
 */
import type { EniId } from '../../src/core/brand.ts';
import type { Answer, EniFacts, NodeFacts, SubnetFacts, Tags } from '../../src/core/cloud.ts';
import type { Cidr } from '../../src/core/ip.ts';
import type { CallOptions, Provider } from '../../src/ports/provider.ts';
import { Addresses, unservable } from './addresses.ts';
import { bug, changed, refuse, SUCCESS, sharedDeadline, withoutValue } from './answer.ts';
import { CAPABILITIES } from './capabilities.ts';
import { connectEc2, type Ec2 } from './client.ts';
import { credentialSource } from './credentials.ts';
import { Enis, tagFilters } from './enis.ts';
import { Imds } from './imds.ts';
import { AwsNode } from './node.ts';
import { allPages } from './pages.ts';
import { blocks4, createInput, eniIn, reservedIn, subnetsIn, tagList } from './translate.ts';

export interface AwsConfig {
  /** The instance's own, from its metadata, when absent. */
  readonly region?: string;
  /** Another EC2 endpoint than the region's, such as a lab's `http://127.0.0.1:4566`. */
  readonly endpoint?: string;
  /** Another instance metadata endpoint than `http://169.254.169.254`. */
  readonly metadataEndpoint?: string;
  /** Where credentials may be: the process's environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Hears each EC2 error code that errors.ts has no row for. */
  readonly onUnknownCode: (code: string) => void;
}

/** Connects to nothing yet: a daemon starts from its journal also when metadata and EC2 are away. */
export function createAwsProvider({ endpoint, env, onUnknownCode, ...config }: AwsConfig): AwsProvider {
  const imds = new Imds({ endpoint: config.metadataEndpoint });
  const region = async () => config.region ?? (await imds.identity()).region;
  const credentials = credentialSource({ env, imds, region });
  const ec2 = connectEc2({ region, endpoint, credentials, onUnknownCode });
  return new AwsProvider({ ec2, imds });
}

export class AwsProvider implements Provider {
  readonly capabilities = CAPABILITIES;
  readonly #ec2: Ec2;
  readonly #node: AwsNode;
  readonly #enis: Enis;
  readonly #addresses: Addresses;

  constructor({ ec2, imds }: { readonly ec2: Ec2; readonly imds: Imds }) {
    this.#ec2 = ec2;
    this.#node = new AwsNode({ imds, ec2 });
    this.#enis = new Enis(ec2);
    this.#addresses = new Addresses({ ec2, enis: this.#enis });
  }

  /** Closes kept connections. */
  close(): void {
    this.#ec2.close();
  }

  describeNode(options: CallOptions): Promise<Answer<NodeFacts>> {
    return this.#node.describe(sharedDeadline(options));
  }

  /** By filter, not by id: one id that EC2 does not know would fail the whole call. */
  async listSubnets(
    query: Parameters<Provider['listSubnets']>[0],
    options: CallOptions,
  ): Promise<Answer<SubnetFacts[]>> {
    if ('ids' in query && query.ids.length === 0) return { ok: true, value: [] };
    const Filters = 'ids' in query ? [{ Name: 'subnet-id', Values: [...query.ids] }] : tagFilters(query.tags);
    const deadline = sharedDeadline(options);
    const pages = await allPages((page) => this.#ec2.describeSubnets({ Filters, ...page }, deadline));
    return pages.ok ? subnetsIn(pages.value.flatMap((page) => page.Subnets ?? [])) : pages;
  }

  /** Who has an address of a subnet has it on an ENI: DescribeNetworkInterfaces tells of AWS's own services too. */
  async listUse({ subnet, cidr4 }: Parameters<Provider['listUse']>[0], options: CallOptions): Promise<Answer<Cidr[]>> {
    const enis = await this.#enis.inSubnet(subnet, sharedDeadline(options));
    if (!enis.ok) return enis;
    return { ok: true, value: [...reservedIn(cidr4), ...enis.value.flatMap(blocks4)] };
  }

  async listEnis(options: CallOptions): Promise<Answer<EniFacts[]>> {
    const self = await this.#node.instanceId();
    if (!self.ok) return self;
    return this.#enis.ofInstance(self.value, sharedDeadline(options));
  }

  async createEni(wish: Parameters<Provider['createEni']>[0], options: CallOptions): Promise<Answer<EniFacts>> {
    const wrong = unservable(wish.blocks);
    if (wrong !== undefined) return bug(wrong);
    const reply = await this.#ec2.createNetworkInterface(createInput(wish), options);
    return reply.ok ? changed(eniIn(reply.value.NetworkInterface)) : reply;
  }

  async attachEni(
    eni: EniId,
    { deviceIndex }: { readonly deviceIndex?: number },
    options: CallOptions,
  ): Promise<Answer<void>> {
    if (deviceIndex === undefined) return bug('EC2 needs a device index for an attach');
    const deadline = sharedDeadline(options);
    const self = await this.#node.instanceId();
    if (!self.ok) return self;
    const reply = await this.#ec2.attachNetworkInterface(
      // Card 0 said outright: EC2 mis-validated its own default on types with several cards (Cilium PR 42512).
      { NetworkInterfaceId: eni, InstanceId: self.value, DeviceIndex: deviceIndex, NetworkCardIndex: 0 },
      deadline,
    );
    if (reply.ok) {
      if (reply.value.AttachmentId !== undefined) this.#enis.attached(eni, reply.value.AttachmentId);
      return SUCCESS;
    }
    if (reply.failure.kind !== 'conflict') return reply;
    const seen = await this.#enis.one(eni, deadline);
    const attachment = seen.ok ? seen.value?.attachment : undefined;
    const here = attachment?.instance === self.value && attachment.state !== 'detaching';
    return here ? SUCCESS : reply;
  }

  /** One attribute a call, as EC2 takes them. */
  async modifyEni(
    eni: EniId,
    change: Parameters<Provider['modifyEni']>[1],
    options: CallOptions,
  ): Promise<Answer<void>> {
    if (Object.values(change).filter((value) => value !== undefined).length !== 1)
      return bug('EC2 changes one attribute a call');
    const { deleteOnTermination, sourceDestCheck, groups } = change;
    if (deleteOnTermination !== undefined) return this.#deleteOnTermination(eni, deleteOnTermination, options);
    const attribute = groups === undefined ? { SourceDestCheck: { Value: sourceDestCheck } } : { Groups: [...groups] };
    return withoutValue(
      await this.#ec2.modifyNetworkInterfaceAttribute({ NetworkInterfaceId: eni, ...attribute }, options),
    );
  }

  /** A property of the attachment, not of the ENI. */
  async #deleteOnTermination(eni: EniId, value: boolean, options: CallOptions): Promise<Answer<void>> {
    const deadline = sharedDeadline(options);
    const attachment = await this.#enis.attachmentOf(eni, deadline);
    if (!attachment.ok) return attachment;
    if (attachment.value === undefined) return refuse('conflict', 'NotAttached', `${eni} is not attached`);
    return withoutValue(
      await this.#ec2.modifyNetworkInterfaceAttribute(
        { NetworkInterfaceId: eni, Attachment: { AttachmentId: attachment.value, DeleteOnTermination: value } },
        deadline,
      ),
    );
  }

  async detachEni(eni: EniId, { force }: { readonly force: boolean }, options: CallOptions): Promise<Answer<void>> {
    const deadline = sharedDeadline(options);
    const attachment = await this.#enis.attachmentOf(eni, deadline);
    if (!attachment.ok) return attachment;
    if (attachment.value === undefined) return SUCCESS;
    this.#enis.forget(eni);
    const reply = await this.#ec2.detachNetworkInterface({ AttachmentId: attachment.value, Force: force }, deadline);
    if (reply.ok || reply.failure.kind === 'notFound') return SUCCESS;
    if (reply.failure.kind !== 'conflict') return reply;
    const seen = await this.#enis.one(eni, deadline);
    if (!seen.ok) return seen;
    const state = seen.value?.attachment?.state;
    return state === undefined || state === 'detaching' ? SUCCESS : reply;
  }

  async deleteEni(eni: EniId, options: CallOptions): Promise<Answer<void>> {
    return withoutValue(await this.#ec2.deleteNetworkInterface({ NetworkInterfaceId: eni }, options));
  }

  assign(eni: EniId, wish: Parameters<Provider['assign']>[1], options: CallOptions): Promise<Answer<Cidr[]>> {
    return this.#addresses.assign(eni, wish, options);
  }

  unassign(eni: EniId, blocks: readonly Cidr[], options: CallOptions): Promise<Answer<void>> {
    return this.#addresses.unassign(eni, blocks, sharedDeadline(options));
  }

  async tag(eni: EniId, tags: Tags, options: CallOptions): Promise<Answer<void>> {
    return withoutValue(await this.#ec2.createTags({ Resources: [eni], Tags: tagList(tags) }, options));
  }
}
