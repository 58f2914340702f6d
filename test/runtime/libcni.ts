/**
 * The verbs that containerd never calls, CHECK and GC, as libcni calls them for a runtime that does (CRI-O, cnitool): from
 * what libcni itself keeps of an attachment.
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CniError } from '../../src/lab/demo/cni.ts';
import type { LabNode } from '../../src/lab/node/node.ts';
import { CNI_CACHE } from './remains.ts';

const NEWEST = '1.1.0';

/** libcni/api.go, `cachedInfo`; the configuration list is base64. */
interface CacheFile {
  readonly containerId: string;
  readonly config: string;
  readonly ifName: string;
  readonly networkName: string;
  readonly cniArgs: readonly (readonly [string, string])[] | null;
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
  readonly result: Result;
}

interface Result {
  readonly ips: readonly { readonly address: string }[];
}

interface Conflist {
  readonly name: string;
  readonly plugins: readonly [Readonly<Record<string, unknown>>];
}

export interface Attachment {
  readonly containerID: string;
  readonly ifname: string;
}

export interface CachedAttachment extends Attachment {
  readonly args: string;
  /** What our plugin gets on stdin, with the result of its ADD as `prevResult`. */
  readonly config: Readonly<Record<string, unknown>> & { readonly prevResult: Result };
}

/** Throws when libcni keeps nothing of it. */
export function cachedAttachment(containerId: string): CachedAttachment {
  const files = existsSync(CNI_CACHE) ? readdirSync(CNI_CACHE) : [];
  const name = files.find((file) => file.endsWith(`-${containerId}-eth0`));
  if (name === undefined) throw new Error(`libcni keeps nothing of ${containerId}`);
  const file: CacheFile = JSON.parse(readFileSync(join(CNI_CACHE, name), 'utf8'));
  const conflist: Conflist = JSON.parse(Buffer.from(file.config, 'base64').toString('utf8'));
  return {
    containerID: file.containerId,
    ifname: file.ifName,
    args: (file.cniArgs ?? []).map(([key, value]) => `${key}=${value}`).join(';'),
    config: {
      ...conflist.plugins[0],
      cniVersion: NEWEST,
      name: conflist.name,
      ...(file.capabilityArgs && { runtimeConfig: file.capabilityArgs }),
      prevResult: file.result,
    },
  };
}

/** Undefined is success. */
export function check(
  node: LabNode,
  { containerID, ifname, args, config }: CachedAttachment,
  netns: string,
): Promise<CniError | undefined> {
  const attachment = { CNI_CONTAINERID: containerID, CNI_IFNAME: ifname, CNI_NETNS: netns, CNI_ARGS: args };
  return call(node, { CNI_COMMAND: 'CHECK', ...attachment }, config);
}

/** `valid` undefined: the runtime sent no list. Since 1.1 libcni sends it by its draft name too. */
export function gc(node: LabNode, network: string, valid?: readonly Attachment[]): Promise<CniError | undefined> {
  const lists = valid && { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid };
  return call(node, { CNI_COMMAND: 'GC' }, { cniVersion: NEWEST, name: network, type: 'underway', ...lists });
}

function call(
  { folder }: LabNode,
  env: Readonly<Record<string, string>>,
  config: Readonly<Record<string, unknown>>,
): Promise<CniError | undefined> {
  const child = spawn(join(folder.cniBin, 'underway'), [], {
    env: { CNI_PATH: folder.cniBin, ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stdin.end(JSON.stringify(config));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0 ? undefined : (JSON.parse(said) as CniError)));
  });
}
