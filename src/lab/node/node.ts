/** A node: an instance with a disk, the CNI binary and the daemon. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { isLinkName } from '../../core/link-name.ts';
import type { KernelObject, KernelState } from '../../datapath/kernel-state.ts';
import type { Networks } from '../../kernel/networks.ts';
import type { Instance } from '../instance.ts';
import type { LabFolder } from '../state-folder.ts';
import { type NodeFolder, nodeFolder } from '../state-folder.ts';
import { NodeDaemon } from './daemon.ts';
import { type NodeSettings, writeBootId, writeNodeFiles } from './files.ts';

/** What the daemon's objects are known by (src/datapath/numbering.ts). */
const DAEMON_PROTOCOL = 117;
export const DAEMON_NFT_TABLE = 'underway';
const PRIMARY_LINK = 'eth0';
const BALLAST_CHUNK = Buffer.alloc(1 << 16);

export class LabNode {
  readonly instance: Instance;
  readonly folder: NodeFolder;
  readonly daemon: NodeDaemon;
  readonly #networks: Networks;

  constructor(
    instance: Instance,
    {
      lab,
      networks,
      settings,
      shipped,
    }: {
      readonly lab: LabFolder;
      readonly networks: Networks;
      readonly settings: Omit<NodeSettings, 'nodeName' | 'services'>;
      readonly shipped: boolean;
    },
  ) {
    this.instance = instance;
    this.folder = nodeFolder(lab, instance.name);
    this.daemon = new NodeDaemon({ folder: this.folder, netns: instance.netns, shipped });
    this.#networks = networks;
    writeNodeFiles(this.folder, { ...settings, nodeName: instance.name, services: instance.services });
  }

  get name(): string {
    return this.instance.name;
  }

  /** What a reboot leaves: the disk, the links of the ENIs, and another boot id. Pods' namespaces are their maker's. */
  async reboot(): Promise<void> {
    const hadDaemon = this.daemon.pid !== undefined;
    await this.daemon.kill();
    const state = await this.#networks.read(this.instance.netns, { nftTables: [DAEMON_NFT_TABLE] });
    if (state !== undefined) await this.#forget(state);
    writeBootId(this.folder);
    if (hadDaemon) this.daemon.start();
  }

  /** Somebody flushed them: every rule and route that the daemon made, of both families. How many there were. */
  async loseWays(): Promise<number> {
    const state = await this.#networks.read(this.instance.netns);
    const ways = (state?.objects ?? []).filter(
      (object) => (object.kind === 'rule' || object.kind === 'route') && object.protocol === DAEMON_PROTOCOL,
    );
    await this.#networks.remove(this.instance.netns, ways);
    return ways.length;
  }

  /** Not a byte is free where the journal lies. */
  fillDisk(): void {
    const fd = openSync(this.#ballast, 'a');
    try {
      for (const chunk of [BALLAST_CHUNK, BALLAST_CHUNK.subarray(0, 512), BALLAST_CHUNK.subarray(0, 1)])
        while (writeSync(fd, chunk) > 0);
    } catch (error) {
      if (!(Error.isError(error) && 'code' in error && error.code === 'ENOSPC')) throw error;
    } finally {
      closeSync(fd);
    }
  }

  freeDisk(): void {
    rmSync(this.#ballast, { force: true });
  }

  get #ballast(): string {
    return join(this.folder.state, 'ballast');
  }

  async #forget({ links, objects }: KernelState): Promise<void> {
    const { netns } = this.instance;
    const podLinks = links.filter(({ name }) => isLinkName(name));
    await this.#networks.apply(
      podLinks.map(({ name }) => ({ do: 'delete-link', at: 'host', name }) as const),
      { netns },
    );
    await this.#networks.remove(
      netns,
      objects.filter((object) => isDaemons(object)),
    );
    const secondary = links.filter(({ name }) => name.startsWith('eth') && name !== PRIMARY_LINK);
    await this.#networks.apply(
      secondary.map(({ name }) => ({ do: 'set-link', at: 'host', link: { name, up: false } }) as const),
      { netns },
    );
    // A table with an owner is its socket's alone; one whose owner is gone can be taken over, and then removed.
    const tables = objects.flatMap((object) => (object.kind === 'nft-table' ? [{ ...object, owned: true }] : []));
    await this.#networks.put(netns, tables);
    await this.#networks.remove(netns, tables);
  }
}

/** Neighbours and routes of pods went with their links. */
function isDaemons(object: KernelObject): boolean {
  if (object.kind === 'rule' || object.kind === 'route') return object.protocol === DAEMON_PROTOCOL;
  return object.kind === 'address' && object.link.startsWith('eth') && object.link !== PRIMARY_LINK;
}
