/** A VPC with packets: the cloud's truth, the fabric that follows it, the internet, and instances in namespaces. */
import type { Server } from 'node:http';
import { MemoryCloud } from '../../providers/memory/cloud.ts';
import { AWS_2026, withoutLatency } from '../../providers/memory/figures.ts';
import type { EniRecord, SubnetRecord } from '../../providers/memory/records.ts';
import type { InstanceId } from '../core/brand.ts';
import { type Networks, openNetworks } from '../kernel/networks.ts';
import { systemClock } from '../ports/clock.ts';
import { createEc2Endpoint } from './ec2/endpoint.ts';
import { EndingClock } from './ending-clock.ts';
import { publicAddress, subnetCidrs, VPC_CIDR4, VPC_CIDR6 } from './fabric/addressing.ts';
import { Fabric, prepareFabric } from './fabric/fabric.ts';
import { buildInternet } from './fabric/internet.ts';
import { configurePrimary, Instance } from './instance.ts';
import { netnsPath } from './namespaces.ts';
import type { LabOptions } from './options.ts';

export const REGION = 'us-east-1';
/** One zone: an ENI can only be attached within its own. */
const ZONE = 'us-east-1a';

export class Network {
  readonly cloud: MemoryCloud;
  readonly networks: Networks = openNetworks();
  readonly fabric: Fabric;
  readonly ec2: Server;
  readonly instances: Instance[] = [];
  /** Sentences about what the lab itself got wrong. */
  readonly problems: string[] = [];
  readonly fabricNetns: string;
  readonly internetNetns: string;
  readonly #clock = new EndingClock(systemClock);
  readonly #options: LabOptions;
  readonly #subnets: readonly SubnetRecord[];
  readonly #netnsOf = new Map<InstanceId, string>();

  constructor(options: LabOptions) {
    const { name, fast, exact, seed } = options;
    this.#options = options;
    this.fabricNetns = netnsPath(name, 'fabric');
    this.internetNetns = netnsPath(name, 'internet');
    this.cloud = new MemoryCloud({
      clock: this.#clock,
      seed,
      figures: fast ? withoutLatency(AWS_2026) : exact ? { ...AWS_2026, spread: 0 } : AWS_2026,
    });
    this.#subnets = addVpc(this.cloud, options);
    this.ec2 = createEc2Endpoint({
      cloud: this.cloud,
      clock: this.#clock,
      region: REGION,
      settled: () => this.fabric.settled(),
    });
    this.fabric = new Fabric({
      cloud: this.cloud,
      networks: this.networks,
      netns: this.fabricNetns,
      netnsOf: (instance) => this.#netnsOf.get(instance),
      onLink: (eni, link) => this.#onLink(eni, link),
      onProblem: (sentence) => this.problems.push(sentence),
    });
  }

  async start(): Promise<void> {
    const { nodeCount, vmCount } = this.#options;
    const { fabricNetns: fabric, internetNetns: internet, networks } = this;
    await networks.createNamespace(fabric);
    await networks.createNamespace(internet);
    await prepareFabric(networks, fabric);
    await buildInternet(networks, { fabric, internet });
    await this.fabric.start();
    for (let n = 1; n <= nodeCount; n++) await this.#launch(`node-${n}`, n);
    for (let n = 1; n <= vmCount; n++) await this.#launch(`vm-${n}`, n);
    await this.fabric.settled();
    await Promise.all(this.instances.map(({ netns }) => this.#awaitGateways(netns)));
  }

  /**
   * An instance booted long ago. Here its kernel may not be done with its link-local address for a second on a busy
   * machine, and until then solicits nobody: a node's first IPv6 packet took a second more.
   */
  async #awaitGateways(netns: string): Promise<void> {
    const state = await this.networks.read(netns);
    const ways = (state?.objects ?? []).filter((object) => object.kind === 'route' && object.gateway !== undefined);
    await this.networks.kernel({ netns }).apply(ways.map((object) => ({ do: 'put', at: 'host', object })));
  }

  /** Timers, sockets and the worker; namespaces stay, to be deleted by name. */
  async close(): Promise<void> {
    this.#clock.end();
    await this.fabric.stop();
    await Promise.all(this.instances.map((instance) => instance.close()));
    this.ec2.close();
    this.ec2.closeAllConnections();
    await this.networks.close();
  }

  async #launch(name: string, n: number): Promise<void> {
    const { cloud, networks, ec2 } = this;
    const subnet = this.#subnets[(n - 1) % this.#subnets.length];
    if (subnet === undefined) throw new RangeError('a VPC has at least one subnet');
    const netns = netnsPath(this.#options.name, name);
    const instance = await Instance.build(
      { name, netns, cloud, networks, ec2, clock: this.#clock, region: REGION, ipv4: this.#options.ipv4 },
      () => {
        const { id } = cloud.launch({
          instanceType: this.#options.instanceType,
          subnet: subnet.id,
          ...(this.#options.ipv4 && { publicIp: publicAddress(this.instances.length) }),
          tags: { Name: name },
        });
        this.#netnsOf.set(id, netns);
        return id;
      },
    );
    this.instances.push(instance);
  }

  /** Only the primary is the operating system's business; the daemon sees to the others. */
  async #onLink(eni: EniRecord, name: string): Promise<void> {
    const netns = eni.attachment && this.#netnsOf.get(eni.attachment.instance);
    const subnet = this.cloud.truth.subnets.get(eni.subnet);
    if (!eni.primary || netns === undefined || subnet === undefined) return;
    await configurePrimary(this.networks, { netns, name, eni, subnet });
  }
}

function addVpc(cloud: MemoryCloud, { subnetCount, ipv4, ipv6 }: LabOptions): SubnetRecord[] {
  const vpc = cloud.addVpc({ cidrs4: [VPC_CIDR4], ...(ipv6 ? { cidrs6: [VPC_CIDR6] } : {}) });
  return Array.from({ length: subnetCount }, (_, n) => {
    const { cidr4, cidr6 } = subnetCidrs(n + 1);
    return cloud.addSubnet({ vpc: vpc.id, zone: ZONE, ...(ipv4 && { cidr4 }), ...(ipv6 && { cidr6 }) });
  });
}
