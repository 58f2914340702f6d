/**
 * The cloud's network as packets see it: one namespace whose links are the ENIs, kept as the cloud's truth says.
 *
 * Invariants: what a fact changes is in the kernel a moment later, in the order of the facts; delivery of an address
 * starts when the cloud has assigned it and ends when it has taken it back; a link is there from `link-seen` to
 * `link-gone`. The fabric only ever reads the truth, so a fact that is told twice changes nothing.
 */
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { CloudFact, EniRecord, RouteTableRecord, RouteTarget } from '../../../providers/memory/records.ts';
import { ownAddresses } from '../../../providers/memory/world.ts';
import type { EniId, InstanceId } from '../../core/brand.ts';
import type { KernelObject, Step } from '../../datapath/kernel-state.ts';
import type { Networks } from '../../kernel/networks.ts';
import { ENI_MTU, ROUTER_MAC } from './addressing.ts';
import { ObjectStore } from './object-store.ts';
import { baseRuleset, type DropReason, ENI_LINK_PREFIX, type PublicSource, publicSources, TABLE } from './ruleset.ts';
import { namespaceSysctls } from './sysctls.ts';
import { eniObjects, internetWay, subnetObjects, vpcRoute, type Way } from './wanted.ts';

/** Tables of VPC routes are numbered from here in the fabric. */
const FIRST_VPC_TABLE = 1_000;

export interface FabricOptions {
  readonly cloud: MemoryCloud;
  readonly networks: Networks;
  /** Path of the fabric's namespace. */
  readonly netns: string;
  /** Path of an instance's namespace; undefined for an instance that the lab did not build. */
  netnsOf(instance: InstanceId): string | undefined;
  /** What the operating system of an instance does when it sees a link, before packets are delivered to it. */
  onLink(eni: EniRecord, name: string): Promise<void>;
  /** The kernel refused something: a defect of the lab. */
  onProblem(sentence: string): void;
}

/** A link that is in the kernel. */
interface Link {
  readonly name: string;
  /** A new attachment is a new link. */
  readonly attachment: string;
}

export class Fabric {
  readonly #options: FabricOptions;
  readonly #store = new ObjectStore();
  readonly #links = new Map<EniId, Link>();
  readonly #tables = new Map<string, number>();
  readonly #dirty = new Set<EniId | 'vpc'>();
  #work: Promise<void> = Promise.resolve();
  #unlisten: () => void = () => {};

  constructor(options: FabricOptions) {
    this.#options = options;
  }

  /** The namespace is there, with a link named `internet` that is up. */
  async start(): Promise<void> {
    const { cloud, networks, netns } = this.#options;
    const { vpcs, subnets } = cloud.truth;
    const cidrs = [...subnets.values()].flatMap(({ cidr4, cidr6 }) =>
      [cidr4, cidr6].filter((cidr) => cidr !== undefined),
    );
    if (vpcs.size !== 1) throw new RangeError('the fabric is one VPC');
    await networks.put(netns, [...baseRuleset(), ...cidrs.flatMap(subnetObjects)]);
    this.#unlisten = cloud.listen((fact) => this.#hear(fact));
    this.#touch('vpc');
    await this.settled();
  }

  stop(): Promise<void> {
    this.#unlisten();
    return this.settled();
  }

  /** Everything told so far is in the kernel. */
  settled(): Promise<void> {
    return this.#work;
  }

  /** Name of the ENI's end in the fabric: its own for as long as the lab lives. */
  linkName(eni: EniId): string {
    return `${ENI_LINK_PREFIX}${eni.slice(-8)}`;
  }

  /** Packets dropped, by reason. */
  async drops(): Promise<Readonly<Record<DropReason, number>>> {
    const { networks, netns } = this.#options;
    const tables = await Promise.all(
      (['inet', 'arp'] as const).map((family) => networks.counters({ netns, family, table: TABLE })),
    );
    return Object.fromEntries(tables.flat().map(({ name, packets }) => [name, packets])) as Record<DropReason, number>;
  }

  #hear(fact: CloudFact): void {
    switch (fact.kind) {
      case 'link-seen':
      case 'link-gone':
        this.#touch(fact.eni.id);
        // Public addresses and VPC routes are those of ENIs with a link.
        this.#touch('vpc');
        return;
      case 'address-added':
      case 'address-removed':
      case 'source-dest-check':
        return this.#touch(fact.eni);
      case 'public-address':
        return this.#touch('vpc');
      case 'route-table':
        for (const eni of this.#links.keys()) this.#touch(eni);
        return this.#touch('vpc');
      default:
        return;
    }
  }

  /** Looked at after the change is complete: facts are told in the middle of one. */
  #touch(what: EniId | 'vpc'): void {
    this.#dirty.add(what);
    this.#work = this.#work.then(() => this.#refresh());
  }

  async #refresh(): Promise<void> {
    const [what] = this.#dirty;
    if (what === undefined) return;
    this.#dirty.delete(what);
    try {
      await (what === 'vpc' ? this.#refreshVpc() : this.#refreshEni(what));
    } catch (error) {
      this.#options.onProblem(`fabric, ${what}: ${Error.isError(error) ? error.message : String(error)}`);
    }
  }

  async #refreshEni(id: EniId): Promise<void> {
    const { truth } = this.#options.cloud;
    const eni = truth.eni(id);
    const attachment = truth.linked(id) ? eni?.attachment : undefined;
    const link = this.#links.get(id);
    if (link !== undefined && link.attachment !== attachment?.id) await this.#unplug(id, link);
    if (eni === undefined || attachment === undefined) return;
    if (!this.#links.has(id) && !(await this.#plug(eni))) return;
    await this.#apply(this.#store.steps(id, this.#wantedOf(eni)));
  }

  /** False when the instance is none of the lab's. */
  async #plug(eni: EniRecord): Promise<boolean> {
    const { attachment } = eni;
    const { networks, netns, netnsOf, onLink } = this.#options;
    const instance = attachment && netnsOf(attachment.instance);
    if (attachment === undefined || instance === undefined) return false;
    const fabricEnd = { netns, name: this.linkName(eni.id), mac: ROUTER_MAC, mtu: ENI_MTU };
    const name = `eth${attachment.deviceIndex}`;
    await networks.createVeth(fabricEnd, { netns: instance, name, mac: eni.mac, mtu: ENI_MTU });
    this.#links.set(eni.id, { name: fabricEnd.name, attachment: attachment.id });
    await this.#apply([{ do: 'set-link', at: 'host', link: { name: fabricEnd.name, up: true, noAddrGen: true } }]);
    await onLink(eni, name);
    return true;
  }

  async #unplug(id: EniId, { name }: Link): Promise<void> {
    this.#links.delete(id);
    await this.#apply([{ do: 'delete-link', at: 'host', name }, ...this.#store.stepsWithoutLink(id)]);
  }

  #wantedOf(eni: EniRecord): KernelObject[] {
    const table = this.#options.cloud.truth.routeTableOf(eni.subnet);
    return eniObjects({
      link: this.linkName(eni.id),
      mac: eni.mac,
      blocks: [...ownAddresses(eni), ...eni.blocks],
      checked: eni.sourceDestCheck,
      table: this.#tableNumber(table?.id ?? ''),
    });
  }

  async #refreshVpc(): Promise<void> {
    const { truth } = this.#options.cloud;
    const routes = truth.routeTables().flatMap((table) => this.#routesOf(table));
    await this.#apply(this.#store.steps('vpc', [...routes, ...publicSources(this.#publicSources())]));
  }

  /** `local` is what every packet is routed by first. */
  #routesOf(table: RouteTableRecord): KernelObject[] {
    return [...table.routes].flatMap(([destination, target]) =>
      target.kind === 'local' ? [] : [vpcRoute(destination, this.#wayTo(target), this.#tableNumber(table.id))],
    );
  }

  #wayTo(target: Exclude<RouteTarget, { kind: 'local' }>): Way {
    if (target.kind !== 'eni') return internetWay;
    const link = this.#links.get(target.eni);
    return link === undefined ? 'nowhere' : { link: link.name };
  }

  /** An ENI with a public address is known by it; behind a NAT gateway all of its subnet is. */
  #publicSources(): PublicSource[] {
    const { truth } = this.#options.cloud;
    const enis = truth.enis().filter(({ id }) => this.#links.has(id));
    const own = enis.flatMap(({ primary4, publicIp }): PublicSource[] =>
      publicIp === undefined || primary4 === undefined ? [] : [{ source: primary4, as: publicIp }],
    );
    const behindNat = enis.flatMap(({ id, subnet }): PublicSource[] => {
      const nat = [...(truth.routeTableOf(subnet)?.routes.values() ?? [])].find(({ kind }) => kind === 'nat');
      return nat?.kind === 'nat' ? [{ link: this.linkName(id), as: nat.publicIp }] : [];
    });
    return [...own, ...behindNat];
  }

  #tableNumber(id: string): number {
    const number = this.#tables.get(id) ?? FIRST_VPC_TABLE + this.#tables.size;
    this.#tables.set(id, number);
    return number;
  }

  async #apply(steps: readonly Step[]): Promise<void> {
    const { networks, netns, onProblem } = this.#options;
    for (const { step, errno, message } of await networks.apply(steps, { netns }))
      onProblem(`fabric: ${JSON.stringify(step)}: ${errno} ${message}`);
  }
}

/** Before any link: the fabric routes, and nothing else of the machine's settings counts. */
export async function prepareFabric(networks: Networks, netns: string): Promise<void> {
  await networks.put(netns, namespaceSysctls({ router: true }));
  await networks.apply([{ do: 'set-link', at: 'host', link: { name: 'lo', up: true } }], { netns });
}
