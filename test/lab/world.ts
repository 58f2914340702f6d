/** A lab with daemons and pods for tests that send packets. */
import type { EniRecord } from '../../providers/memory/records.ts';
import { cidrContains, familyOf, type Ip } from '../../src/core/ip.ts';
import { type DemoPod, type DemoPods, hostOf } from '../../src/lab/demo/pods.ts';
import type { Instance } from '../../src/lab/instance.ts';
import type { Lab } from '../../src/lab/lab.ts';
import type { NamespaceServer } from '../../src/lab/namespace-server.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { LabOptions } from '../../src/lab/options.ts';
import { startEcho } from '../../src/lab/probe/echo.ts';
import { found, PARALLEL, PodLab } from './pod-lab.ts';

export const FAMILIES = [4, 6] as const;

export class World {
  readonly lab: Lab;
  readonly pods: DemoPods;
  readonly #whole: PodLab;
  readonly #echoes: NamespaceServer[] = [];

  private constructor(whole: PodLab) {
    this.lab = whole.lab;
    this.pods = whole.pods;
    this.#whole = whole;
  }

  static async up(options: Partial<LabOptions>): Promise<World> {
    return new World(await PodLab.up(options));
  }

  async down(): Promise<void> {
    await Promise.all(this.#echoes.map((echo) => echo.close()));
    await this.#whole.down();
  }

  /** Pods through the shim, each with its address. */
  async add(node: LabNode, count: number): Promise<DemoPod[]> {
    const pods = await this.pods.add(hostOf(node), count, PARALLEL);
    expect(pods.flatMap(({ error }) => error ?? [])).toEqual([]);
    return pods;
  }

  /** From now on whoever connects there is told whom it was seen as. */
  async listen(netns: string, name: string): Promise<void> {
    this.#echoes.push(await startEcho(this.lab.networks, { netns, name }));
  }

  node(n: number): LabNode {
    return found(this.lab.nodes[n - 1], `node-${n}`);
  }

  vm(n: number): Instance {
    return found(this.lab.vms[n - 1], `vm-${n}`);
  }

  /** In the order of their device indexes: the primary first. */
  enisOf({ id }: Instance): EniRecord[] {
    const at = (eni: EniRecord) => eni.attachment?.deviceIndex ?? 0;
    return this.lab.cloud.truth.enisOf(id).toSorted((one, other) => at(one) - at(other));
  }

  primaryOf(instance: Instance): EniRecord {
    return found(this.enisOf(instance)[0], `primary ENI of ${instance.name}`);
  }

  /** The ENI that the cloud has the pod's first address on. */
  eniOf({ name, addresses }: DemoPod): EniRecord {
    const ip = found(addresses[0], `address of ${name}`) as Ip;
    const enis = this.lab.cloud.truth.enis();
    return found(
      enis.find(({ blocks }) => blocks.some((block) => cidrContains(block, ip))),
      `ENI of ${name}`,
    );
  }
}

export const addressOf = ({ name, addresses }: DemoPod, family: 4 | 6): Ip =>
  found(
    (addresses as readonly Ip[]).find((ip) => familyOf(ip) === family),
    `IPv${family} address of ${name}`,
  );

export const ownAddress = (eni: EniRecord, family: 4 | 6): Ip =>
  found(family === 4 ? eni.primary4 : eni.primary6, `IPv${family} address of ${eni.id}`);
