/** What the bench needs of the machine beyond the right to make namespaces; each lack is told with its remedy. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findCompiler } from '../../deploy/build-shim.ts';
import { CNI_PATH } from './contenders.ts';

export const PARTS = ['latency', 'forwarding', 'memory'] as const;
export type Part = (typeof PARTS)[number];

interface Tool {
  readonly what: string;
  readonly packages: string;
  readonly parts: readonly Part[];
  readonly isThere: () => boolean;
}

const plugin = (name: string, ...parts: readonly Part[]): Tool => ({
  what: `the CNI plugin ${name} in ${CNI_PATH}`,
  packages: 'containernetworking-plugins',
  parts,
  isThere: () => existsSync(join(CNI_PATH, name)),
});

const runs = (name: string, ...args: readonly string[]) => spawnSync(name, args, { stdio: 'ignore' }).status === 0;

const TOOLS: readonly Tool[] = [
  { what: 'a C compiler', packages: 'gcc libc6-dev', parts: PARTS, isThere: () => findCompiler() !== undefined },
  plugin('ptp', 'latency', 'forwarding'),
  plugin('host-local', 'latency', 'forwarding'),
  plugin('bridge', 'latency'),
  plugin('static', 'forwarding'),
  { what: 'nft', packages: 'nftables', parts: ['forwarding'], isThere: () => runs('nft', '--version') },
  { what: 'ip', packages: 'iproute2', parts: ['forwarding'], isThere: () => runs('ip', '-V') },
];

/** Throws with a sentence that names all that is lacking for these parts. */
export function checkTools(parts: readonly Part[]): void {
  const lacking = TOOLS.filter((tool) => tool.parts.some((part) => parts.includes(part)) && !tool.isThere());
  if (lacking.length === 0) return;
  const packages = [...new Set(lacking.map((tool) => tool.packages))].join(' ');
  throw new Error(`it needs ${lacking.map(({ what }) => what).join(', ')} (Debian: apt-get install ${packages})`);
}
