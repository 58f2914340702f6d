/** A lab with daemons and pods for tests that send packets: brought up in beforeAll, and nothing of it is left after. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EniRecord } from '../../providers/memory/records.ts';
import { cidrContains, familyOf, type Ip } from '../../src/core/ip.ts';
import { type DemoPod, DemoPods, type PodHost } from '../../src/lab/demo/pods.ts';
import type { Instance } from '../../src/lab/instance.ts';
import { createLab, type Lab } from '../../src/lab/lab.ts';
import type { NamespaceServer } from '../../src/lab/namespace-server.ts';
import { NETWORK_NAME } from '../../src/lab/node/files.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import type { LabOptions } from '../../src/lab/options.ts';
import { startEcho } from '../../src/lab/probe/echo.ts';

/** How many pods are added at a time. */
const PARALLEL = 8;
export const FAMILIES = [4, 6] as const;

export class World {
  readonly lab: Lab;
  readonly pods: DemoPods;
  readonly #stateRoot: string;
  readonly #echoes: NamespaceServer[] = [];

  private constructor(lab: Lab, stateRoot: string) {
    this.lab = lab;
    this.pods = new DemoPods(lab.networks, lab.name);
    this.#stateRoot = stateRoot;
  }

  /** A cloud that answers at once; a daemon on each node, ready; a name of its own. */
  static async up(options: Partial<LabOptions>): Promise<World> {
    const stateRoot = mkdtempSync(join(tmpdir(), 'uwp'));
    const name = `uwp${Math.floor(Math.random() * 0x10000)
      .toString(16)
      .padStart(4, '0')}`;
    return new World(await createLab({ name, fast: true, stateRoot, ...options }), stateRoot);
  }

  /** Deletes every pod; then the lab must be a lab without defects, of which nothing is left. */
  async down(): Promise<void> {
    const errors = await this.pods.remove([...this.pods.all], PARALLEL);
    await Promise.all(this.#echoes.map((echo) => echo.close()));
    const { problems } = await this.lab.status();
    const invariants = this.lab.cloud.invariants();
    const left = await this.lab.close();
    rmSync(this.#stateRoot, { recursive: true, force: true });
    expect({ errors, problems, invariants, left }).toEqual({
      errors: [],
      problems: [],
      invariants: [],
      left: { processes: 0, namespaces: 0, mounts: 0, files: 0 },
    });
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

  /** The ENI that the cloud has the pod's address on. */
  eniOf(pod: DemoPod): EniRecord {
    const ip = addressOf(pod, 4);
    const enis = this.lab.cloud.truth.enis();
    return found(
      enis.find(({ blocks }) => blocks.some((block) => familyOf(block) === 4 && cidrContains(block, ip))),
      `ENI of ${pod.name}`,
    );
  }
}

export const hostOf = ({ name, instance, folder }: LabNode): PodHost => ({
  name,
  netns: instance.netns,
  plugin: { binary: join(folder.cniBin, 'underway'), network: NETWORK_NAME },
});

export const addressOf = ({ name, addresses }: DemoPod, family: 4 | 6): Ip =>
  found(
    (addresses as readonly Ip[]).find((ip) => familyOf(ip) === family),
    `IPv${family} address of ${name}`,
  );

export const ownAddress = (eni: EniRecord, family: 4 | 6): Ip =>
  found(family === 4 ? eni.primary4 : eni.primary6, `IPv${family} address of ${eni.id}`);

export function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`there is no ${what}`);
  return value;
}
