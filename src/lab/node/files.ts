/**
 * What a node has on its disk: the daemon's configuration, the CNI binary with its settings, the network's
 * configuration list. All of it is what an installation has; only the paths are the lab's.
 */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { SubnetId } from '../../core/brand.ts';
import type { Family, Ip } from '../../core/ip.ts';
import { faultOfBinary, ownBinary, placeBinary } from '../../install/binary.ts';
import { urlOf } from '../fabric/addressing.ts';
import { mountTmpfs } from '../mounts.ts';
import { makeFolder, type NodeFolder, writeJson } from '../state-folder.ts';

/** Some hundred times a journal; small, because it lies in memory. */
const STATE_SIZE = '16m';

export interface NodeSettings {
  readonly cluster: string;
  readonly nodeName: string;
  readonly region: string;
  readonly subnets: readonly SubnetId[];
  readonly families: readonly Family[];
  /** As the node reaches them. */
  readonly services: { readonly metadata: Ip; readonly ec2: Ip };
  /** Over the lab's own; keys of `pool` one by one. */
  readonly daemonConfig: Readonly<Record<string, unknown>>;
}

/** Throws with a sentence when the CNI binary was not built. */
export function writeNodeFiles(folder: NodeFolder, settings: NodeSettings): void {
  const fault = faultOfBinary(ownBinary());
  if (fault !== undefined) throw new Error(fault);
  for (const path of [folder.path, folder.state, folder.cniBin, folder.cniConf]) makeFolder(path);
  mountTmpfs(folder.state, `size=${STATE_SIZE},mode=0700`);
  writeBootId(folder);
  writeJson(folder.config, daemonConfig(folder, settings));
  // As an image's first container does it; the list comes from the daemon, once it can serve.
  placeBinary({ binDir: folder.cniBin, binary: ownBinary(), socket: folder.socket, stateDir: folder.state });
}

/** Another boot from now on, to whoever reads it. */
export function writeBootId(folder: NodeFolder): void {
  writeFileSync(folder.bootId, `${randomUUID()}\n`);
}

function daemonConfig(folder: NodeFolder, settings: NodeSettings): Record<string, unknown> {
  const { cluster, nodeName, region, subnets, families, services } = settings;
  const { pool, ...others } = settings.daemonConfig;
  return {
    cluster,
    nodeName,
    provider: {
      name: 'aws',
      region,
      endpoint: urlOf(services.ec2),
      metadataEndpoint: urlOf(services.metadata),
    },
    socket: folder.socket,
    stateDir: folder.state,
    bootIdFile: folder.bootId,
    cni: { confDir: folder.cniConf, binDir: folder.cniBin, binary: ownBinary() },
    pool: { subnets, families, ...(pool as object | undefined) },
    ...others,
  };
}
