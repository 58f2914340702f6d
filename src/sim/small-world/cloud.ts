/**
 * A cloud small enough to be a value: two ENIs of two slots (the memory cloud's t3.micro). A call gives a new cloud and
 * its answer; nothing is ever changed in place, so every order of answers can be tried from one state.
 */
import { ec2Capabilities } from '../../../providers/memory/capabilities.ts';
import { AWS_2026 } from '../../../providers/memory/figures.ts';
import type { EniId, GroupId, InstanceId, Mac, OperationId, SubnetId } from '../../core/brand.ts';
import type {
  Answer,
  Capabilities,
  CloudCall,
  CloudFailure,
  CloudResult,
  EniFacts,
  InstanceLimits,
  SubnetFacts,
  Tags,
} from '../../core/cloud.ts';
import type { Cidr, Ip } from '../../core/ip.ts';

/** Two ENIs, and one address for pods on each. */
const INSTANCE_TYPE = 't3.micro';

export const INSTANCE = 'i-1' as InstanceId;
export const LIMITS: InstanceLimits = limitsOf(INSTANCE_TYPE);

function limitsOf(type: string): InstanceLimits {
  const limits = AWS_2026.instanceTypes.get(type);
  if (limits === undefined) throw new Error(`the figures have no ${type}`);
  return limits;
}

const plenty = { burst: 1e9, perSecond: 1e9 };
/** As EC2, with tokens enough that only order matters. */
export const CAPABILITIES: Capabilities = {
  ...ec2Capabilities(AWS_2026),
  rates: {
    create: plenty,
    attach: plenty,
    modify: plenty,
    detach: plenty,
    delete: plenty,
    assign: plenty,
    unassign: plenty,
    tag: plenty,
    listEnis: plenty,
    listSubnets: plenty,
    listUse: plenty,
    describeNode: plenty,
  },
};

interface TinyEni {
  readonly id: EniId;
  readonly n: number;
  readonly token: string;
  readonly tags: Tags;
  readonly blocks: readonly Cidr[];
  readonly attached: boolean;
}

export interface TinyCloud {
  readonly enis: readonly TinyEni[];
  readonly made: number;
}

export const FRESH_CLOUD: TinyCloud = {
  enis: [{ id: 'eni-0' as EniId, n: 0, token: '', tags: {}, blocks: [], attached: true }],
  made: 1,
};

const SUBNET: SubnetFacts = {
  id: 'subnet-1' as SubnetId,
  cidr4: '10.0.0.0/24' as Cidr,
  gateway4: '10.0.0.1' as Ip,
  freeCount4: 200,
  zone: 'a',
};

export const macOf = (n: number): Mac => `02:00:00:00:00:0${n}` as Mac;

export interface Outcome {
  readonly cloud: TinyCloud;
  readonly answer: Answer<CloudResult>;
}

const ok = (cloud: TinyCloud, value: CloudResult): Outcome => ({ cloud, answer: { ok: true, value } });

const refuse = (
  cloud: TinyCloud,
  failure: Pick<CloudFailure, 'kind'> | { kind: 'exhausted'; scope: 'eni' },
): Outcome => ({
  cloud,
  answer: { ok: false, failure: { code: failure.kind, message: '', ...failure } as CloudFailure },
});

/** What the cloud does with the call, and says. A token makes a create that was done before answer the same ENI. */
export function perform(cloud: TinyCloud, operation: OperationId, call: CloudCall): Outcome {
  switch (call.action) {
    case 'describeNode':
      return ok(cloud, { action: 'describeNode', node: nodeFacts(cloud) });
    case 'listSubnets':
      return ok(cloud, { action: 'listSubnets', subnets: [SUBNET] });
    case 'listUse':
      return ok(cloud, { action: 'listUse', used: cloud.enis.flatMap(({ blocks }) => blocks) });
    case 'listEnis':
      return ok(cloud, { action: 'listEnis', enis: cloud.enis.map(factsOf) });
    case 'create':
      return create(cloud, operation, call);
    default:
      return change(cloud, call);
  }
}

function create(cloud: TinyCloud, token: OperationId, call: Extract<CloudCall, { action: 'create' }>): Outcome {
  const known = cloud.enis.find((eni) => eni.token === token);
  if (known !== undefined) return ok(cloud, { action: 'create', eni: factsOf(known) });
  const n = cloud.made;
  const count = call.blocks.reduce((sum, wish) => sum + wish.count, 0);
  const eni: TinyEni = {
    id: `eni-${n}` as EniId,
    n,
    token,
    tags: call.tags,
    blocks: freeBlocks(cloud, count),
    attached: false,
  };
  return ok({ enis: [...cloud.enis, eni], made: n + 1 }, { action: 'create', eni: factsOf(eni) });
}

function change(
  cloud: TinyCloud,
  call: Exclude<CloudCall, { action: 'create' | `list${string}` | 'describeNode' }>,
): Outcome {
  const eni = 'eni' in call ? cloud.enis.find(({ id }) => id === call.eni) : undefined;
  if (eni === undefined) return refuse(cloud, { kind: 'notFound' });
  const put = (now: TinyEni | undefined): TinyCloud => ({
    ...cloud,
    enis: cloud.enis.flatMap((other) => (other.id === eni.id ? (now ?? []) : other)),
  });
  switch (call.action) {
    case 'attach': {
      const attached = cloud.enis.filter((other) => other.attached && other.id !== eni.id).length;
      if (attached >= LIMITS.eniCountMax) return refuse(cloud, { kind: 'exhausted', scope: 'eni' });
      return ok(put({ ...eni, attached: true }), { action: 'attach' });
    }
    case 'detach':
      return ok(put({ ...eni, attached: false }), { action: 'detach' });
    case 'delete':
      return eni.attached ? refuse(cloud, { kind: 'conflict' }) : ok(put(undefined), { action: 'delete' });
    case 'assign': {
      const room = LIMITS.slotsPerEni[4] - 1 - eni.blocks.length;
      if (room < call.wish.count) return refuse(cloud, { kind: 'exhausted', scope: 'eni' });
      const blocks = freeBlocks(cloud, call.wish.count);
      return ok(put({ ...eni, blocks: [...eni.blocks, ...blocks] }), { action: 'assign', blocks });
    }
    case 'unassign':
      return ok(put({ ...eni, blocks: eni.blocks.filter((block) => !call.blocks.includes(block)) }), {
        action: 'unassign',
      });
    case 'modify':
    case 'tag':
      return ok(cloud, { action: call.action });
    default:
      return refuse(cloud, { kind: 'bug' });
  }
}

/** Lowest first, so that what was given back is given again as soon as can be. */
function freeBlocks(cloud: TinyCloud, count: number): Cidr[] {
  const taken = new Set(cloud.enis.flatMap((eni) => eni.blocks));
  const free: Cidr[] = [];
  for (let at = 100; free.length < count; at++) {
    const block = `10.0.0.${at}/32` as Cidr;
    if (!taken.has(block)) free.push(block);
  }
  return free;
}

function factsOf({ id, n, tags, blocks, attached }: TinyEni): EniFacts {
  return {
    id,
    mac: macOf(n),
    subnet: SUBNET.id,
    groups: ['sg-1' as GroupId],
    primary4: `10.0.0.${10 + n}` as Ip,
    blocks,
    ...(attached && { attachment: { instance: INSTANCE, deviceIndex: n === 0 ? 0 : 1, state: 'attached' } }),
    tags,
    primary: n === 0,
  };
}

const nodeFacts = (cloud: TinyCloud) => {
  const [primary] = cloud.enis;
  return {
    instanceId: INSTANCE,
    limits: LIMITS,
    vpcCidrs: ['10.0.0.0/16' as Cidr],
    primaryEni: 'eni-0' as EniId,
    zone: 'a',
    ...(primary && { primary: { eni: factsOf(primary), subnet: SUBNET } }),
  };
};
