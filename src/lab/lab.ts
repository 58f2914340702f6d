/**
 * The lab: a VPC with packets, nodes with their daemons, endpoints, faults. `underway lab up` holds one in a process of
 * its own; the demo and the tests hold one in theirs.
 *
 * Invariant: whatever way its process ends, `removeLab` with its name finds and removes all of it.
 */
import type { AddressInfo } from 'node:net';
import type { MemoryCloud } from '../../providers/memory/cloud.ts';
import type { Networks } from '../kernel/networks.ts';
import { closeControl, openControl } from './control.ts';
import { INTERNET4, INTERNET6, urlOf } from './fabric/addressing.ts';
import { type ArmedFault, nodeNamed, strike } from './fault.ts';
import type { Instance } from './instance.ts';
import { checkLabName } from './namespaces.ts';
import { Network, REGION } from './network.ts';
import { LabNode } from './node/node.ts';
import { DEFAULT_LAB, familiesOf, type LabOptions, labCommand } from './options.ts';
import { defaultStateRoot, isInUserNamespace } from './privilege.ts';
import { isAlive, processRecord } from './processes.ts';
import { type Left, removeLab } from './removal.ts';
import { type LabFolder, type LabRecord, labFolder, makeFolder, readJson, writeJson } from './state-folder.ts';
import { eniStatus, type InstanceStatus, type LabStatus } from './status.ts';

/** Which of a node's daemons ended and which began, by their pids. */
export interface Restarted {
  readonly killed: number | null;
  readonly started: number | null;
  /** Until it served. */
  readonly readyMs: number;
}

export class Lab {
  readonly name: string;
  readonly folder: LabFolder;
  readonly nodes: readonly LabNode[];
  readonly #network: Network;
  readonly #faults: ArmedFault[] = [];
  #ready = false;
  #closing: Promise<Left> | undefined;

  private constructor(options: LabOptions, { folder, network }: { folder: LabFolder; network: Network }) {
    this.name = options.name;
    this.folder = folder;
    this.#network = network;
    const { cloud, networks, instances } = network;
    const settings = {
      cluster: options.name,
      region: REGION,
      subnets: [...cloud.truth.subnets.keys()],
      families: familiesOf(options),
      daemonConfig: options.daemonConfig,
    };
    this.nodes = instances
      .filter(({ name }) => name.startsWith('node-'))
      .map((instance) => new LabNode(instance, { lab: folder, networks, settings, shipped: options.shipped }));
  }

  /** Up, with its daemons ready. Rejects with a sentence, and then leaves nothing behind. */
  static async start(options: LabOptions): Promise<Lab> {
    const folder = labFolder(options.stateRoot, checkLabName(options.name));
    refuseSecond(folder, options.name);
    await removeLab({ name: options.name, folder });
    takeFolder(folder);
    const network = new Network(options);
    try {
      await network.start();
      await new Promise<void>((resolve) => network.ec2.listen(0, '127.0.0.1', resolve));
      const lab = new Lab(options, { folder, network });
      await openControl(lab);
      if (options.daemons) await lab.#startDaemons();
      lab.#ready = true;
      writeJson(folder.status, await lab.status());
      return lab;
    } catch (error) {
      await network.close();
      await removeLab({ name: options.name, folder });
      throw error;
    }
  }

  get cloud(): MemoryCloud {
    return this.#network.cloud;
  }

  get networks(): Networks {
    return this.#network.networks;
  }

  get instances(): readonly Instance[] {
    return this.#network.instances;
  }

  get vms(): readonly Instance[] {
    return this.instances.filter(({ name }) => name.startsWith('vm-'));
  }

  get internetNetns(): string {
    return this.#network.internetNetns;
  }

  get fabricNetns(): string {
    return this.#network.fabricNetns;
  }

  get faults(): readonly ArmedFault[] {
    return this.#faults;
  }

  /** Packets that the fabric dropped or had nobody for, by reason. */
  drops(): Promise<Readonly<Record<string, number>>> {
    return this.#network.fabric.drops();
  }

  /** What the cloud has told so far is true for packets. */
  settled(): Promise<void> {
    return this.#network.fabric.settled();
  }

  /** `deny`, `deny:node-2`, `reboot:node-1` ... (fault.ts). Rejects with RangeError for what is not there. */
  async break(asked: string): Promise<ArmedFault> {
    const fault = await strike(this, asked);
    if (fault.heal !== undefined) this.#faults.push(fault);
    return fault;
  }

  /** Ends every lasting fault, or those that were asked for by this name. How many. Throws RangeError without one. */
  heal(asked?: string): number {
    const healed = this.#faults.filter(({ name }) => asked === undefined || name === asked);
    if (asked !== undefined && healed.length === 0) {
      const names = this.#faults.map(({ name }) => name).join(', ');
      throw new RangeError(`${asked} is not armed; ${names === '' ? 'nothing is' : `armed: ${names}`}`);
    }
    for (const fault of healed) {
      fault.heal?.();
      this.#faults.splice(this.#faults.indexOf(fault), 1);
    }
    return healed.length;
  }

  /** kill -9 of a node's daemon. Rejects with RangeError for a node that is not there. */
  async kill(node: string): Promise<Restarted> {
    const { daemon } = nodeNamed(this, node);
    const killed = daemon.pid ?? null;
    await daemon.kill();
    return { killed, started: null, readyMs: 0 };
  }

  /** The same, and another daemon; resolves when it serves, rejects with a sentence when it does not. */
  async restart(node: string): Promise<Restarted> {
    const { killed } = await this.kill(node);
    const { daemon } = nodeNamed(this, node);
    const beganMs = performance.now();
    daemon.start();
    const started = daemon.pid ?? null;
    await daemon.ready();
    return { killed, started, readyMs: performance.now() - beganMs };
  }

  async status(): Promise<LabStatus> {
    const { cloud, problems, fabricNetns, internetNetns } = this.#network;
    return {
      name: this.name,
      pid: process.pid,
      ready: this.#ready,
      folder: this.folder.path,
      region: REGION,
      ec2Endpoint: `http://127.0.0.1:${(this.#network.ec2.address() as AddressInfo | null)?.port}`,
      subnets: [...cloud.truth.subnets.values()].map(({ id, cidr4, cidr6 }) => ({
        id,
        cidr4: cidr4 ?? null,
        cidr6: cidr6 ?? null,
        free4: cidr4 === undefined ? null : cloud.truth.freeCount(id),
      })),
      instances: this.instances.map((instance) => this.#instanceStatus(instance)),
      internet: { netns: internetNetns, address4: INTERNET4, address6: INTERNET6 },
      fabric: { netns: fabricNetns, drops: await this.drops() },
      faults: this.#faults.map(({ name, what }) => ({ name, what })),
      problems,
    };
  }

  /** Takes all of it down, and counts what is left. Safe to call twice. */
  close(): Promise<Left> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<Left> {
    await closeControl(this);
    await Promise.all(this.nodes.map(({ daemon }) => daemon.stop()));
    await this.#network.close();
    return removeLab({ name: this.name, folder: this.folder });
  }

  async #startDaemons(): Promise<void> {
    for (const { daemon } of this.nodes) daemon.start();
    await Promise.all(this.nodes.map(({ daemon }) => daemon.ready()));
  }

  #instanceStatus(instance: Instance): InstanceStatus {
    const { name, id, netns } = instance;
    const record = this.cloud.truth.instances.get(id);
    const node = this.nodes.find((candidate) => candidate.instance === instance);
    return {
      name,
      id,
      instanceType: record?.limits.instanceType ?? '',
      zone: record?.zone ?? '',
      netns,
      metadataEndpoint: urlOf(instance.services.metadata),
      ec2Endpoint: urlOf(instance.services.ec2),
      enis: this.cloud.truth.enisOf(id).map((eni) => eniStatus(eni, this.#network)),
      daemon: node === undefined ? null : daemonStatus(node),
      cni: node === undefined ? null : { bin: node.folder.cniBin, conf: node.folder.cniConf },
    };
  }
}

const daemonStatus = ({ daemon, folder }: LabNode) => ({
  socket: folder.socket,
  pid: daemon.pid ?? null,
  ending: daemon.ending ?? null,
  config: folder.config,
  log: folder.log,
  stateDir: folder.state,
  bootIdFile: folder.bootId,
});

/** A lab with defaults for what is not said. Needs root, or to be inside of `privilege.ts`'s user namespace. */
export const createLab = (options: Partial<LabOptions> = {}): Promise<Lab> =>
  Lab.start({ ...DEFAULT_LAB, stateRoot: defaultStateRoot(), ...options });

/** Throws with a sentence where one of this name is up. */
export function refuseSecond(folder: LabFolder, name: string): void {
  const record = readJson<LabRecord>(folder.record);
  if (record === undefined || record.pid === process.pid || !isAlive(record)) return;
  throw new Error(`a lab named ${name} is up already (pid ${record.pid}): ${labCommand('down', name)}`);
}

function takeFolder(folder: LabFolder): void {
  makeFolder(folder.path);
  const record = processRecord(process.pid);
  if (record === undefined) throw new Error('/proc is not mounted');
  const lab: LabRecord = { ...record, userNamespace: isInUserNamespace() };
  writeJson(folder.record, lab);
}
