/** This instance: who it is from its metadata, what it may hold from EC2. */
import { type InstanceId, parseMac } from '../../src/core/brand.ts';
import type { Answer, NodeFacts } from '../../src/core/cloud.ts';
import type { CallOptions } from '../../src/ports/provider.ts';
import type { Ec2 } from './client.ts';
import { type Imds, type InstanceIdentity, MetadataError } from './imds.ts';
import { cidrsIn, limitsIn, PRIMARY_ITEMS, primaryIn } from './translate.ts';

export class AwsNode {
  readonly #imds: Imds;
  readonly #ec2: Ec2;

  constructor({ imds, ec2 }: { readonly imds: Imds; readonly ec2: Ec2 }) {
    this.#imds = imds;
    this.#ec2 = ec2;
  }

  async instanceId(): Promise<Answer<InstanceId>> {
    const identity = await fromMetadata(() => this.#imds.identity());
    return identity.ok ? { ok: true, value: identity.value.instanceId as InstanceId } : identity;
  }

  async describe(options: CallOptions): Promise<Answer<NodeFacts>> {
    const metadata = await fromMetadata(() => this.#read());
    if (!metadata.ok) return metadata;
    const { identity, primary, vpcCidrs } = metadata.value;
    const cidrs = cidrsIn(vpcCidrs);
    if (!cidrs.ok) return cidrs;
    const facts = primaryIn(primary, identity);
    if (!facts.ok) return facts;
    const types = await this.#ec2.describeInstanceTypes({ InstanceTypes: [asType(identity)] }, options);
    if (!types.ok) return types;
    const limits = limitsIn(types.value.InstanceTypes);
    if (!limits.ok) return limits;
    return {
      ok: true,
      value: {
        instanceId: identity.instanceId as InstanceId,
        limits: limits.value,
        vpcCidrs: cidrs.value,
        primaryEni: facts.value.eni.id,
        zone: identity.availabilityZone,
        primary: facts.value,
      },
    };
  }

  async #read() {
    const identity = await this.#imds.identity();
    const mac = parseMac((await this.#imds.mac()).trim());
    if (mac === undefined) throw new MetadataError('instance metadata has no readable MAC address');
    const primary = await this.#imds.ofInterface(mac, PRIMARY_ITEMS);
    const cidrs = await this.#imds.ofInterface(mac, ['vpc-ipv4-cidr-blocks', 'vpc-ipv6-cidr-blocks']);
    return { identity, primary: { ...primary, mac }, vpcCidrs: Object.values(cidrs).join('\n') };
  }
}

/** The SDK types the names of all instance types it knew at its release; new ones appear every month. */
type SdkInstanceType = NonNullable<Parameters<Ec2['describeInstanceTypes']>[0]['InstanceTypes']>[number];
const asType = ({ instanceType }: InstanceIdentity) => instanceType as SdkInstanceType;

/** Metadata only reads, so whatever went wrong, nothing was done. */
async function fromMetadata<T>(read: () => Promise<T>): Promise<Answer<T>> {
  try {
    return { ok: true, value: await read() };
  } catch (error) {
    if (!(error instanceof MetadataError)) throw error;
    const { message } = error;
    return { ok: false, failure: { kind: 'transient', source: 'metadata', code: 'MetadataUnreachable', message } };
  }
}
