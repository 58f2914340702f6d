/**
 * The network's configuration list, by which a runtime finds the plugin: what it holds, and where.
 *
 * Invariants: one text for the same choice, so that nothing is written twice; the network's name never changes, since it
 * is a part of each attachment and of the runtime's own records; it comes after the binaries that it names.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Placed, placeFile } from './place.ts';

export const NETWORK_NAME = 'underway';
export const CONFLIST_NAME = '10-underway.conflist';

/** Whether `portmap` (hostPort) is chained behind us; `auto`: where its binary is in the plugins' folder. */
export const PORTMAP_CHOICES = ['auto', 'always', 'never'] as const;
export type PortmapChoice = (typeof PORTMAP_CHOICES)[number];

export interface ConflistPlace {
  readonly confDir: string;
  /** Where the runtime finds plugins; null where that is not known. */
  readonly binDir: string | null;
  readonly portmap: PortmapChoice;
}

/** What a runtime passes on (docs/parameters.md); some of it only so that who asks for it hears that it cannot be had. */
const CAPABILITIES = { bandwidth: true, 'io.kubernetes.cri.pod-annotations': true, dns: true, ips: true, mac: true };

/**
 * `cniVersion` is for a libcni that knows no `cniVersions` (containerd before 2.0); a newer one takes the highest it can
 * and then asks STATUS and GC. Only what stands here is chained, not what lies in a folder beside it.
 */
export function conflistText({ portmap }: { readonly portmap: boolean }): string {
  const chained = portmap ? [{ type: 'portmap', capabilities: { portMappings: true }, snat: true }] : [];
  const list = {
    cniVersion: '1.0.0',
    cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    name: NETWORK_NAME,
    loadOnlyInlinedPlugins: true,
    plugins: [{ type: 'underway', capabilities: CAPABILITIES }, ...chained],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** A runtime refuses every pod whose chain names a binary that is not there. */
const isChained = ({ binDir, portmap }: ConflistPlace): boolean =>
  portmap === 'always' || (portmap === 'auto' && binDir !== null && existsSync(join(binDir, 'portmap')));

/** Throws Error with a sentence that names the file. */
export function placeConflist(place: ConflistPlace): Placed {
  const content = conflistText({ portmap: isChained(place) });
  return placeFile({ path: join(place.confDir, CONFLIST_NAME), content, mode: 0o644 });
}

/** Files that a runtime reads before ours: it takes the first one that is valid. */
export function rivalsOf(confDir: string): readonly string[] {
  return readdirSync(confDir)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name < CONFLIST_NAME)
    .sort();
}
