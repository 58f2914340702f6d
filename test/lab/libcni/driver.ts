/**
 * A runtime's side of CNI by the library that runtimes use (libcni, of containernetworking's own), built from main.go beside
 * this file; it runs in a node's namespace, as a runtime does.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runIn } from '../../../src/lab/launch.ts';
import { goLack } from '../../go.ts';

const PROGRAM = fileURLToPath(new URL('../../../build/libcni/driver', import.meta.url));
const SOURCES = ['main.go', 'go.mod', 'go.sum'].map((name) => join(import.meta.dirname, name));
/** Seconds; the module comes first. */
const BUILD_TIMEOUT_MS = 150_000;

/** Debian's folder of the reference plugins that are chained before us and behind us. */
export const PLUGINS = '/usr/lib/cni';

/** Builds it where that was not done yet. A sentence where it cannot be built, or has nobody to work with. */
export async function libcniLack(): Promise<string | undefined> {
  const missing = ['loopback', 'portmap'].filter((plugin) => !existsSync(join(PLUGINS, plugin)));
  if (missing.length > 0)
    return `It needs ${missing.join(' and ')} in ${PLUGINS} (Debian: apt-get install containernetworking-plugins iptables).`;
  const builtMs = existsSync(PROGRAM) ? statSync(PROGRAM).mtimeMs : 0;
  if (SOURCES.every((source) => statSync(source).mtimeMs < builtMs)) return undefined;
  const args = ['-trimpath', '-o', PROGRAM, '.'];
  const lack = await goLack({ folder: import.meta.dirname, args, timeoutMs: BUILD_TIMEOUT_MS });
  return lack && `To build libcni it needs ${lack}.`;
}

export interface Place {
  /** Whose network namespace the runtime runs in. */
  readonly netns: string;
  readonly confDir: string;
  readonly binDir: string;
  /** What libcni remembers of each attachment. */
  readonly cacheDir: string;
  readonly network: string;
}

export interface Call {
  readonly verb: 'ADD' | 'CHECK' | 'DEL' | 'GC' | 'STATUS' | 'VALIDATE';
  readonly containerID?: string;
  readonly netNS?: string;
  readonly ifName?: string;
  readonly args?: readonly (readonly [string, string])[];
  readonly capabilityArgs?: Readonly<Record<string, unknown>>;
  readonly valid?: readonly { readonly containerID: string; readonly ifname: string }[];
}

export interface Outcome {
  /** The version that library and network agreed upon. */
  readonly cniVersion?: string;
  readonly result?: CniResult;
  readonly error?: { readonly code: number; readonly msg: string; readonly details?: string };
}

export interface CniResult {
  readonly cniVersion: string;
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac?: string;
    readonly mtu?: number;
    readonly sandbox?: string;
  }[];
  readonly ips: readonly { readonly address: string; readonly interface?: number; readonly version?: string }[];
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[];
}

export async function libcni({ netns, ...place }: Place, call: Call): Promise<Outcome> {
  const { code, stdout, stderr } = await runIn(netns, [PROGRAM], { input: JSON.stringify({ ...place, ...call }) });
  if (code !== 0) throw new Error(`libcni's driver ended with ${code}: ${stderr || stdout}`);
  return JSON.parse(stdout);
}
