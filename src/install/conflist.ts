/**
 * The network's configuration list, by which a runtime finds the plugin: what it holds, and where.
 *
 * Invariants: one text for the same choice, so that nothing is written twice; the network's name never changes, since it
 * is a part of each attachment and of the runtime's own records; it comes after the binaries that it names.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Placed, placeFile } from './place.ts';

export const NETWORK_NAME = 'underway';
export const CONFLIST_NAME = '10-underway.conflist';

/**
 * Whether `portmap` (hostPort) is chained behind us; `auto`: where its binary is in the plugins' folder, or was when the
 * present list was written. By a list without it the DELs of running pods would never call it, and hostPort's traffic
 * would go on to whoever gets their addresses next.
 */
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
 * Those that a list may ask for: all of src/protocol/version.ts but 0.3.0, since whoever knows `cniVersions` knows its
 * correction 0.3.1 as well. The last one that a libcni without `cniVersions` knows is NEWEST_ALONE.
 */
const VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
const NEWEST_ALONE = '1.0.0';
const ASK_MS = 1_000;

/**
 * `cniVersion` is for a libcni that knows no `cniVersions` (containerd before 2.0); a newer one takes the highest it can,
 * and from 1.1.0 on asks STATUS and GC. Only what stands here is chained, not what lies in a folder beside it.
 */
export function conflistText({ chained }: { readonly chained: Chained | undefined }): string {
  const versions = VERSIONS.filter((version) => chained?.versions.includes(version) !== false);
  const list = {
    cniVersion: versions.findLast((version) => version <= NEWEST_ALONE),
    cniVersions: versions,
    name: NETWORK_NAME,
    loadOnlyInlinedPlugins: true,
    plugins: [{ type: 'underway', capabilities: CAPABILITIES }, ...(chained === undefined ? [] : [PORTMAP])],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

const PORTMAP = { type: 'portmap', capabilities: { portMappings: true }, snat: true };

interface Chained {
  readonly versions: readonly string[];
  /** It is not in the plugins' folder, where that is known. */
  readonly isAway: boolean;
}

/**
 * portmap, where it is chained. A runtime refuses every pod whose chain names a binary that is not there, and every pod
 * whose chain has a plugin that does not speak the version of the list: so it is asked which it speaks.
 */
function chainedIn({ binDir, portmap }: ConflistPlace, present: PresentList | undefined): Chained | undefined {
  const binary = binDir === null ? undefined : join(binDir, 'portmap');
  const isThere = binary !== undefined && existsSync(binary);
  if (portmap === 'never' || (portmap === 'auto' && !isThere && present?.chainsPortmap !== true)) return undefined;
  const answer = isThere ? versionsOf(binary) : undefined;
  const before = present?.chainsPortmap === true ? spoken(present.versions) : undefined;
  // Every portmap since 2021 speaks 1.0.0.
  const versions = answer ?? before ?? VERSIONS.filter((version) => version <= NEWEST_ALONE);
  return { versions, isAway: binary !== undefined && !isThere };
}

/** What the plugin says that it speaks; undefined where it says nothing that we understand. */
function versionsOf(binary: string): readonly string[] | undefined {
  const env = { CNI_COMMAND: 'VERSION' };
  const { stdout } = spawnSync(binary, { env, input: '{"cniVersion":"1.0.0"}', timeout: ASK_MS, encoding: 'utf8' });
  try {
    return spoken(JSON.parse(stdout).supportedVersions);
  } catch {
    return undefined;
  }
}

/** Versions of which a list can be made: one at least that may stand alone in it. */
function spoken(versions: unknown): readonly string[] | undefined {
  const isList = Array.isArray(versions) && versions.some((one) => one !== '1.1.0' && VERSIONS.includes(one));
  return isList ? versions : undefined;
}

/** What is there under our list's name: ours, or what a person made of it. */
interface PresentList {
  readonly text: string;
  readonly chainsPortmap: boolean;
  readonly versions: unknown;
}

function presentAt(path: string): PresentList | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // Not there, or nothing to read: placeFile says what is in the way.
    return undefined;
  }
  try {
    const { plugins, cniVersions } = JSON.parse(text);
    const chainsPortmap = Array.isArray(plugins) && plugins.some((plugin) => plugin?.type === PORTMAP.type);
    return { text, chainsPortmap, versions: cniVersions };
  } catch {
    return { text, chainsPortmap: false, versions: undefined };
  }
}

export interface PlacedList extends Placed {
  /** What a person should know of it. */
  readonly notes: readonly string[];
}

/** Throws Error with a sentence that names the file. */
export function placeConflist(place: ConflistPlace): PlacedList {
  const path = join(place.confDir, CONFLIST_NAME);
  const present = presentAt(path);
  const chained = chainedIn(place, present);
  const content = conflistText({ chained });
  const placed = placeFile({ path, content, mode: 0o644 });
  const rivals = rivalsOf(place.confDir).map(
    (name) =>
      `${join(place.confDir, name)} sorts before ${CONFLIST_NAME}: the runtime takes it instead; remove it, unless it is meant to be`,
  );
  const isReplaced = present !== undefined && present.text !== content;
  const isLeftOut = place.portmap === 'auto' && chained === undefined;
  const isKept = place.portmap === 'auto' && chained?.isAway === true;
  const isWanted = place.portmap === 'always' && chained?.isAway === true;
  const isOld = chained?.isAway === false && !chained.versions.includes('1.1.0');
  const notes = [
    isReplaced && replacedAt(path),
    isLeftOut && portmapLeftOut(place.binDir),
    isKept && PORTMAP_KEPT,
    isWanted && PORTMAP_WANTED,
    isOld && OLD_PORTMAP,
  ];
  return { ...placed, notes: [...rivals, ...notes.filter((note) => note !== false)] };
}

const replacedAt = (path: string): string =>
  `${path} was another, and was replaced: if a person had changed it, put an own list under a name that sorts before it, or set cni.confDir to null`;

/** A runtime passes a hostPort to nobody then, and says nothing. */
const portmapLeftOut = (binDir: string | null): string =>
  binDir === null
    ? 'whether the runtime has portmap is not known without cni.binDir, so it is not chained and a pod’s hostPort does nothing: set portmap to always where it is there, else to never'
    : `portmap is not in ${binDir}, so it is not chained and a pod’s hostPort does nothing: put it there and start the daemon (or run underway install) again, or set portmap to never`;

const PORTMAP_KEPT =
  'portmap is chained by the list and not among the plugins: it stays, since running pods need it to end, and the runtime makes no pod until it is back; to do without it drain the node and set portmap to never';

const PORTMAP_WANTED =
  'portmap is chained by the list and not among the plugins: the runtime makes no pod until it is there; put it there, or set portmap to auto or never';

const OLD_PORTMAP =
  'portmap does not speak CNI 1.1.0, so no runtime asks for STATUS or GC: use one of containernetworking-plugins 1.6 or later, or set portmap to never';

/** Files that a runtime reads before ours: it takes the first one that is valid. */
function rivalsOf(confDir: string): readonly string[] {
  return readdirSync(confDir)
    .filter((name) => /\.(conf|conflist|json)$/.test(name) && name < CONFLIST_NAME)
    .sort();
}
