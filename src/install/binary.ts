/**
 * The CNI binary in the folder where the runtime looks for plugins, and `underway.conf` beside it where socket or state
 * folder are not the ones that are compiled in (src/cni/settings.h).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Placed, placeFile } from './place.ts';

export const BINARY_NAME = 'underway';
const SETTINGS_NAME = 'underway.conf';

export const DEFAULT_PLACES = { socket: '/run/underway/cni.sock', stateDir: '/var/lib/underway' } as const;

export interface BinaryPlace {
  readonly binDir: string;
  /** The binary that is copied. */
  readonly binary: string;
  readonly socket: string;
  readonly stateDir: string;
}

/** The one that came with this program: `npm run build:shim` makes it, deploy/build.ts puts it beside the bundle. */
export const ownBinary = (): string =>
  fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../build/shim/underway' : './underway', import.meta.url));

/** How it begins where no runtime calls it (print_about in src/cni/shim.c); every other plugin says something else. */
const ABOUT = 'Underway CNI plugin';
/** It takes a millisecond. */
const ASK_MS = 5_000;

/** What is wrong with the binary to be copied, as a sentence. It is asked who it is: what it replaces may be in use. */
export function faultOfBinary(binary: string): string | undefined {
  if (!existsSync(binary)) return `the CNI binary ${binary} is not there: \`npm run build:shim\` builds it`;
  const { error, stderr } = spawnSync(binary, { env: {}, timeout: ASK_MS, killSignal: 'SIGKILL', encoding: 'utf8' });
  if (error === undefined && stderr.startsWith(ABOUT)) return undefined;
  const why = error === undefined ? 'it is another program' : `it cannot be run: ${error.message}`;
  return `${binary} is not Underway's CNI binary (${why}): name the one that came with this program, or that \`npm run build:shim\` built`;
}

/**
 * The settings first: a binary that is new here then never looks in the wrong place. Throws Error with a sentence that
 * names the file.
 */
export function placeBinary(place: BinaryPlace): readonly Placed[] {
  const path = join(place.binDir, SETTINGS_NAME);
  const before = existsSync(path) ? readFileSync(path, 'utf8') : undefined;
  const content = settingsText(place, before ?? '');
  const settings = before === undefined && content === '' ? [] : [placeFile({ path, content, mode: 0o644 })];
  const binary = readFileSync(place.binary);
  return [...settings, placeFile({ path: join(place.binDir, BINARY_NAME), content: binary, mode: 0o755 })];
}

export const isBinaryThere = (binDir: string): boolean => existsSync(join(binDir, BINARY_NAME));

/** Where socket and state are, and whatever else a person has set there. */
function settingsText({ socket, stateDir }: BinaryPlace, before: string): string {
  const others = before.split('\n').filter((line) => line !== '' && !/^(socket|state)=/.test(line));
  const ours = [
    ...(socket === DEFAULT_PLACES.socket ? [] : [`socket=${socket}`]),
    ...(stateDir === DEFAULT_PLACES.stateDir ? [] : [`state=${stateDir}`]),
  ];
  return [...ours, ...others].map((line) => `${line}\n`).join('');
}
