/**
 * The lab as data, for people and for any other program that is to be pointed at it as at a cloud: another CNI driver,
 * a container runtime, an EC2 client in another language. Every path and address in it can be used as it stands.
 */
import type { EniRecord } from '../../providers/memory/records.ts';
import type { Network } from './network.ts';

export interface EniStatus {
  readonly id: string;
  /** Its name inside the instance, while it has a link there. */
  readonly link: string | null;
  /** The other end's, in the fabric. */
  readonly fabricLink: string | null;
  readonly mac: string;
  readonly subnet: string;
  readonly primary: boolean;
  readonly state: 'attaching' | 'attached' | 'detaching';
  readonly sourceDestCheck: boolean;
  readonly primary4: string | null;
  readonly primary6: string | null;
  readonly public4: string | null;
  /** Secondary addresses and prefixes. */
  readonly blocks: readonly string[];
}

export interface DaemonStatus {
  readonly socket: string;
  /** Null when none runs; `ending` then says how the last one ended. */
  readonly pid: number | null;
  readonly ending: string | null;
  readonly config: string;
  readonly log: string;
  readonly stateDir: string;
  readonly bootIdFile: string;
}

export interface InstanceStatus {
  readonly name: string;
  readonly id: string;
  readonly instanceType: string;
  readonly zone: string;
  readonly netns: string;
  /** Inside the namespace. */
  readonly metadataEndpoint: string;
  readonly ec2Endpoint: string;
  readonly enis: readonly EniStatus[];
  /** Of nodes only. */
  readonly daemon: DaemonStatus | null;
  readonly cni: { readonly bin: string; readonly conf: string } | null;
}

export interface LabStatus {
  readonly name: string;
  readonly pid: number;
  /** Every daemon that it was asked to start serves. */
  readonly ready: boolean;
  readonly folder: string;
  readonly region: string;
  /** From the namespace that the lab was started in. Any access key will do. */
  readonly ec2Endpoint: string;
  readonly subnets: readonly {
    readonly id: string;
    readonly cidr4: string | null;
    readonly cidr6: string | null;
    /** Null where the subnet has no IPv4. */
    readonly free4: number | null;
  }[];
  readonly instances: readonly InstanceStatus[];
  readonly internet: { readonly netns: string; readonly address4: string; readonly address6: string };
  readonly fabric: { readonly netns: string; readonly drops: Readonly<Record<string, number>> };
  readonly faults: readonly { readonly name: string; readonly what: string }[];
  /** What the lab itself got wrong; empty unless it has a defect. */
  readonly problems: readonly string[];
}

export function eniStatus(eni: EniRecord, { cloud, fabric }: Network): EniStatus {
  const linked = cloud.truth.linked(eni.id);
  return {
    id: eni.id,
    link: linked ? `eth${eni.attachment?.deviceIndex}` : null,
    fabricLink: linked ? fabric.linkName(eni.id) : null,
    mac: eni.mac,
    subnet: eni.subnet,
    primary: eni.primary,
    state: eni.attachment?.state ?? 'attached',
    sourceDestCheck: eni.sourceDestCheck,
    primary4: eni.primary4 ?? null,
    primary6: eni.primary6 ?? null,
    public4: eni.publicIp ?? null,
    blocks: eni.blocks,
  };
}
